// What is not on stable storage yet makes nothing dead: a power cut could take both.

extension Merge {
  /// Finds the keys of which something is not on stable storage, and what counts without that.
  func findUnstable() throws(StoreError) {
    let numbers = view.victims
    var keys: Set<Fingerprint> = []
    let logs = try compactor.engine.withFreshCatalog {
      catalog throws(StoreError) -> [(log: OpenSegment, range: Range<UInt64>)] in
      var logs: [(log: OpenSegment, range: Range<UInt64>)] = []
      for segment in catalog.segments.values.sorted(by: { $0.id < $1.id }) {
        view.ends[segment.number] = segment.phase == .sealed ? .max : segment.tail
        guard segment.phase == .log, !numbers.contains(segment.number) else { continue }
        let start = max(segment.syncedBytes, segment.header.recordsStart)
        let end = segment.tail
        // What counts of one that has gone is in a log that was not there, of which everything does.
        guard start < end, let log = try catalog.opened(segment) else { continue }
        logs.append((log, start..<end))
      }
      keys = catalog.unsyncedRemovals
      catalog.changedSince = []
      return logs
    }
    for (log, range) in logs {
      try StoreError.wrapping { () throws(FileError) in
        try Self.forEachKey(in: log, range) { keys.insert($0) }
      }
    }
    guard !keys.isEmpty, compactor.engine.options.compactionFlaw != .unsyncedMakesDead else {
      return
    }
    view.unstable = try stableSlots(of: keys)
  }

  private static func forEachKey(
    in log: OpenSegment, _ range: Range<UInt64>, _ body: (Fingerprint) -> Void
  ) throws(FileError) {
    let scanner = SegmentScanner(file: log.file, salt: log.header.salt, end: range.upperBound)
    var offset = range.lowerBound
    while offset < range.upperBound {
      switch try scanner.look(at: offset) {
      case .record(let record):
        body(record.header.key)
        offset = record.end
      case .unknown(let length, _), .impossible(let length, _): offset += length
      case .beyond, .nothing:
        offset = try scanner.nextHeader(from: offset + 8) ?? range.upperBound
      }
    }
  }

  private func stableSlots(
    of keys: Set<Fingerprint>
  ) throws(StoreError) -> [Fingerprint: [Place]] {
    let ids = try compactor.engine.withFreshCatalog { catalog in catalog.segments.keys.sorted() }
    var records: [Catalog.KnownRecord] = []
    let numbers = view.victims
    for id in ids {
      // One at a time, so that others get at the catalog in between.
      try compactor.engine.withFreshCatalog { catalog throws(StoreError) in
        try catalog.untilPresent { catalog throws(Catalog.Interruption) in
          guard let segment = catalog.segments[id] else { return }
          // What is copied is on stable storage then.
          let isStable = segment.phase == .sealed || numbers.contains(segment.number)
          var found: [Catalog.KnownRecord] = []
          try catalog.forEachRecord(of: keys, in: segment) { header, offset in
            let end = offset + UInt64(header.recordLength)
            let isLasting = isStable || end <= segment.syncedBytes
            guard isLasting || header.kind == .removal else { return }
            found.append(
              Catalog.KnownRecord(
                header: header, segment: segment.number, offset: offset, isLasting: isLasting))
          }
          records += found
        }
      }
    }
    return try compactor.engine.withFreshCatalog { catalog in catalog.stableSlots(of: keys, records)
    }
  }
}
