// Looking at a store: its keys, every entry of one, and how much there is of everything.

internal import Logging

extension Engine {
  /// One entry on disk, and where.
  package struct Listed: Sendable {
    package var record: FoundRecord
    package var segment: String
    package var slots: Slots

    private var order: (UInt64, Origin) { (record.header.stamp, record.header.origin) }
    fileprivate func isCopy(of other: Listed) -> Bool { order == other.order }

    /// The newest first; of copies that which fills a slot.
    fileprivate func comes(before other: Listed) -> Bool {
      isCopy(of: other) ? !slots.isEmpty && other.slots.isEmpty : order > other.order
    }
  }

  /// Every key that lives and has an entry, in the order of the fingerprints.
  package func keys() throws(StoreError) -> [Fingerprint] {
    try withFreshCatalog(strict: true) { catalog in
      var keys: [Fingerprint] = []
      catalog.index.forEachKey { key, _ in if !isExpired(key) { keys.append(key) } }
      return keys.sorted()
    }
  }

  /// Every entry of the key that is still on disk and was not removed, the newest first, and the
  /// slots that each fills.
  package func entries(of key: Fingerprint) throws(StoreError) -> [Listed] {
    try entries(of: [key])[key] ?? []
  }

  /// The same of many keys, with one pass over the segments; those without an entry are left out.
  package func entries(of keys: Set<Fingerprint>) throws(StoreError) -> [Fingerprint: [Listed]] {
    try withFreshCatalog(strict: true) { catalog throws(StoreError) in
      let found = try catalog.records(of: keys.filter { !isExpired($0) })
      return Dictionary(grouping: found, by: \.0.header.key).compactMapValues { found in
        let removed = found.filter { $0.0.header.kind == .removal }.map(\.0.header.stamp).max() ?? 0
        let places = catalog.index.places(of: found[0].0.header.key)
        let entries = found.filter { $0.0.header.kind.isEntry && $0.0.header.stamp > removed }
          .map { record, segment in
            let place = places.first {
              $0.place.segment == segment.number && $0.place.offset == record.offset
            }
            return Listed(record: record, segment: segment.name, slots: place?.slots ?? [])
          }
          .sorted { $0.comes(before: $1) }
        // A compaction that was cut short leaves a record and its copy, and so does whoever puts the files of
        // two stores together. The one that fills a slot stands for both.
        let single = entries.enumerated().filter { index, entry in
          index == 0 || !entry.isCopy(of: entries[index - 1])
        }
        return entries.isEmpty ? nil : single.map(\.element)
      }
    }
  }

  /// The producer of the key's newest final, or nil if it has none.
  package func producerOfNewestFinal(_ key: Fingerprint) throws(StoreError) -> String? {
    try withFreshCatalog(strict: true) { catalog in
      let finals = catalog.index.places(of: key).filter { $0.slots.contains(.final) }
      let order = catalog.index.order
      guard let newest = finals.max(by: { order.isNewer($1.place, than: $0.place) }) else {
        return nil
      }
      return catalog.index.producers[Int(newest.place.producer)]
    }
  }
}

extension Engine {
  /// The entry itself; nil if it is damaged or was moved meanwhile.
  package func read(_ listed: Listed) throws(StoreError) -> ReadRecord? {
    let header = listed.record.header
    guard let name = SegmentName(listed.segment),
      let (segment, file) = try open(segmentOf: name.id)
    else { return nil }
    let reader = SegmentReader(file: file, id: name.id)
    do throws(SegmentReader.RecordFailure) {
      let record = try reader.record(
        at: listed.record.offset, headerLength: header.length, storedLength: header.storedLength,
        salt: segment.salt, payloadLimit: options.payloadLimit, spare: { header })
      guard record.header.key == header.key, record.header.stamp == header.stamp,
        record.header.origin == header.origin
      else { throw .damaged("record of another key") }
      return record
    } catch {
      switch error {
      case .file(let error): throw .file(error)
      case .overLimit(let bytes): throw .payloadTooLong(bytes: bytes, limit: options.payloadLimit)
      case .damaged(let what), .unfaithful(let what):
        options.logger?.warning("\(listed.segment) at byte \(listed.record.offset): \(what)")
        return nil
      }
    }
  }

  /// The file of a segment, and its header; nil if the segment is not there any more.
  func open(segmentOf id: SegmentID) throws(StoreError) -> (SegmentHeader, any File)? {
    try stateLock.withLock { () throws(StoreError) in
      try catalog.untilPresent {
        catalog throws(Catalog.Interruption) -> (SegmentHeader, any File)? in
        guard let segment = catalog.segments[id] else { return nil }
        return (segment.header, try catalog.file(of: segment))
      }
    }
  }
}
