// One merge: which records of its segments are kept, and their copies.

internal import Glibc

/// Merges a few segments into one.
final class Merge {
  /// A segment that is merged.
  struct Victim {
    var id: SegmentID
    var number: UInt32
    var name: String
    var header: SegmentHeader
    var isSealed: Bool
    var file: any File
    /// Where its records end.
    var tail: UInt64
    var syncedBytes: UInt64
    var fileBytes: UInt64
    /// It is not what was written: it is set aside, not replaced.
    var isDamaged: Bool
    /// In the order of the file.
    var kept: [Kept] = []
  }

  /// A record to be copied.
  struct Kept {
    var offset: UInt64
    var headerLength: Int
    var storedLength: Int
    var key: Fingerprint
  }

  /// A record that is not what was written.
  struct DamagedRecord {
    var place: Place
    var key: Fingerprint
    var what: String
  }

  /// Why there is no copy.
  enum Outcome: Error {
    case stop(Compactor.Stop)
    case damaged([DamagedRecord])
    /// More producers or origins than one segment can have.
    case tooMany
  }

  private let compactor: Compactor
  private(set) var victims: [Victim]
  private var view: Catalog.MergeView
  /// Removals of all victims, and whose they are.
  private var removals: [(record: Catalog.Candidate, victim: Int)] = []
  /// Keys of which something is dropped for the sake of a record outside the merge.
  private var keysToVerify: Set<Fingerprint> = []

  /// Records that are judged with the lock held once.
  private static let batch = 256

  init(_ compactor: Compactor, _ ids: [SegmentID]) throws(Compactor.Stop) {
    self.compactor = compactor
    // Those that listed others once must not go before the others are gone for good.
    (victims, view) = try compactor.withCatalog { catalog throws(StoreError) in
      try Self.begin(ids, catalog)
    }
    if victims.contains(where: { !$0.header.replaced.isEmpty }) {
      let directory = compactor.engine.directory
      try compactor.attempt { () throws(FileError) in try directory.sync() }
    }
  }

  private static func begin(
    _ ids: [SegmentID], _ catalog: Catalog
  ) throws(StoreError) -> ([Victim], Catalog.MergeView) {
    let segments = ids.compactMap { catalog.segments[$0] }.filter { segment in
      catalog.closedSegments.contains { $0 === segment }
    }
    // What is set aside comes back if the disk forgets that: it counts as outside.
    let names = Set(catalog.damage.map(\.segment))
    let isDamaged = { (segment: Segment) in
      names.contains(segment.name) || catalog.hasUnreadable(in: segment.number)
    }
    var victims: [Victim] = []
    for segment in segments {
      let file = try catalog.openFile(of: segment)
      victims.append(
        Victim(
          id: segment.id, number: segment.number, name: segment.name, header: segment.header,
          isSealed: segment.phase == .sealed, file: file, tail: segment.tail,
          syncedBytes: segment.syncedBytes, fileBytes: max(segment.fileBytes, segment.tail),
          isDamaged: isDamaged(segment)))
    }
    let gone = Set(victims.filter { !$0.isDamaged }.map(\.number))
    var oldest = catalog.hasUnknownSegments ? 0 : UInt64.max
    for segment in catalog.segments.values where !gone.contains(segment.number) {
      oldest = min(oldest, segment.oldestStamp)
    }
    let view = Catalog.MergeView(
      victims: Set(victims.map(\.number)), oldestOutside: oldest)
    return (victims, view)
  }

  // MARK: Selection

  /// Finds out what must be kept.
  func select() throws(Outcome) {
    let engine = compactor.engine
    defer { engine.stateLock.withLock { engine.catalog.removedSince = nil } }
    do throws(Compactor.Stop) {
      try findUnstable()
      for index in victims.indices {
        for batch in try candidates(of: victims[index]).batches(of: Self.batch) {
          try judge(batch, index)
        }
      }
      try judgeRemovals()
    } catch { throw .stop(error) }
    for index in victims.indices { victims[index].kept.sort { $0.offset < $1.offset } }
    try verifyWinners()
  }

  private func judge(
    _ batch: ArraySlice<Catalog.Candidate>, _ index: Int
  ) throws(Compactor.Stop) {
    if compactor.control.isCancelled() { throw .cancelled }
    let number = victims[index].number
    let catalog = compactor.engine.catalog
    compactor.engine.stateLock.withLock {
      for record in batch {
        guard record.kind != .removal else {
          removals.append((record, index))
          continue
        }
        switch catalog.verdict(record, in: number, &view) {
        case .keep, .keepIfOlderOutside: keep(record, index)
        case .drop: break
        case .dropForOthers: keysToVerify.insert(record.key)
        }
      }
    }
  }

  private func keep(_ record: Catalog.Candidate, _ index: Int) {
    victims[index].kept.append(
      Kept(
        offset: record.offset, headerLength: record.headerLength,
        storedLength: record.storedLength, key: record.key))
  }

  /// All records of a segment, in the order of the file.
  private func candidates(of victim: Victim) throws(Compactor.Stop) -> [Catalog.Candidate] {
    if victim.isSealed, let footer = try footer(of: victim.id, victim.file) {
      return (0..<footer.count).compactMap { footer.entry($0) }.compactMap { entry in
        RecordKind(rawValue: entry.kind).map {
          Catalog.Candidate(
            kind: $0, key: entry.key, stamp: entry.stamp, writeSeconds: entry.writeSeconds,
            offset: entry.offset, headerLength: entry.headerLength,
            storedLength: Int(entry.storedLength))
        }
      }.sorted { $0.offset < $1.offset }
    }
    let replay = try compactor.attempt { () throws(FileError) in
      try Replay.run(
        SegmentScanner(file: victim.file, salt: victim.header.salt, end: victim.tail),
        from: victim.header.recordsStart, life: victim.isSealed ? .sealed : .dead,
        syncedBytes: victim.syncedBytes)
    }
    return replay.records.map { record in
      Catalog.Candidate(
        kind: record.header.kind, key: record.header.key, stamp: record.header.stamp,
        writeSeconds: UInt32(clamping: record.header.writeTime / 1_000_000_000),
        offset: record.offset, headerLength: record.header.length,
        storedLength: record.header.storedLength)
    }
  }

  private func footer(
    of id: SegmentID, _ file: any File
  ) throws(Compactor.Stop) -> Footer? {
    do throws(StoreError) {
      let size = try StoreError.wrapping { () throws(FileError) in try file.size() }
      return try SegmentReader(file: file, id: id).footer(fileSize: size).footer
    } catch { throw .failed(error) }
  }

  // MARK: What is not on stable storage yet

  /// A log that is not merged, and what of it is not known to be on stable storage.
  private struct OpenLog {
    var file: any File
    var salt: UInt64
    var range: Range<UInt64>
  }

  /// Finds the keys of which something is not on stable storage, and what counts without that.
  private func findUnstable() throws(Compactor.Stop) {
    let numbers = view.victims
    let logs = try compactor.withCatalog { catalog throws(StoreError) -> [OpenLog] in
      var logs: [OpenLog] = []
      for segment in catalog.segments.values.sorted(by: { $0.id < $1.id })
      where segment.phase == .log && !numbers.contains(segment.number) {
        let start = max(segment.syncedBytes, segment.header.recordsStart)
        guard start < segment.tail else { continue }
        logs.append(
          OpenLog(
            file: try catalog.openFile(of: segment), salt: segment.header.salt,
            range: start..<segment.tail))
      }
      for segment in catalog.segments.values {
        view.ends[segment.number] = segment.phase == .sealed ? .max : segment.tail
      }
      catalog.removedSince = []
      return logs
    }
    var keys: Set<Fingerprint> = []
    for log in logs {
      try compactor.attempt { () throws(FileError) in
        let scanner = SegmentScanner(file: log.file, salt: log.salt, end: log.range.upperBound)
        var offset = log.range.lowerBound
        while offset < log.range.upperBound {
          switch try scanner.look(at: offset) {
          case .record(let record):
            keys.insert(record.header.key)
            offset = record.end
          case .unknown(let length), .impossible(let length, _): offset += length
          case .beyond, .nothing:
            offset = try scanner.nextHeader(from: offset + 8) ?? log.range.upperBound
          }
        }
      }
    }
    guard !keys.isEmpty, compactor.engine.host.compactionFlaw != .unsyncedMakesDead else { return }
    view.unstable = try stableSlots(of: keys)
  }

  private func stableSlots(
    of keys: Set<Fingerprint>
  ) throws(Compactor.Stop) -> [Fingerprint: [Place]] {
    let ids = try compactor.withCatalog { catalog in catalog.segments.keys.sorted() }
    var records: [(header: RecordHeader, segment: UInt32, offset: UInt64)] = []
    let numbers = view.victims
    for id in ids {
      // One at a time, so that others get at the catalog in between.
      try compactor.withCatalog { catalog throws(StoreError) in
        try catalog.untilPresent { catalog throws(Catalog.Interruption) in
          guard let segment = catalog.segments[id] else { return }
          let isStable = segment.phase == .sealed || numbers.contains(segment.number)
          let found = records.count
          do throws(Catalog.Interruption) {
            try catalog.forEachRecord(of: keys, in: segment) { header, offset in
              let end = offset + UInt64(header.recordLength)
              if isStable || end <= segment.syncedBytes {
                records.append((header, segment.number, offset))
              }
            }
          } catch {
            records.removeSubrange(found...)
            throw error
          }
        }
      }
    }
    return try compactor.withCatalog { catalog in catalog.stableSlots(of: keys, records) }
  }

  // MARK: Removals

  /// Keeps those removals of which a segment outside the merge may hold something older.
  private func judgeRemovals() throws(Compactor.Stop) {
    var doubts: [(record: Catalog.Candidate, victim: Int)] = []
    let catalog = compactor.engine.catalog
    compactor.engine.stateLock.withLock {
      for (record, victim) in removals {
        if compactor.engine.host.compactionFlaw == .removalDroppedEarly { continue }
        switch catalog.verdict(ofRemoval: record, view) {
        case .keep: keep(record, victim)
        case .drop, .dropForOthers: break
        case .keepIfOlderOutside: doubts.append((record, victim))
        }
      }
    }
    guard let newest = doubts.map(\.record.stamp).max() else { return }
    guard let outside = try sealedOutside(olderThan: newest) else {
      for (record, victim) in doubts { keep(record, victim) }
      return
    }
    for (id, file) in outside where !doubts.isEmpty {
      let footer = try footer(of: id, file)
      doubts.removeAll { record, victim in
        let older = footer?.entries(of: record.key).contains {
          $0.stamp <= record.stamp && RecordKind(rawValue: $0.kind)?.isEntry ?? true
        }
        guard older ?? true else { return false }
        keep(record, victim)
        return true
      }
    }
  }

  /// The segments outside the merge that hold anything so old; nil if they are not all sealed, or if
  /// nobody knows what some hold.
  private func sealedOutside(
    olderThan stamp: UInt64
  ) throws(Compactor.Stop) -> [(id: SegmentID, file: any File)]? {
    // What is set aside comes back if the disk forgets that: it counts as outside.
    let gone = Set(victims.filter { !$0.isDamaged }.map(\.number))
    return try compactor.withCatalog {
      catalog throws(StoreError) -> [(id: SegmentID, file: any File)]? in
      guard !catalog.hasUnknownSegments else { return nil }
      var files: [(id: SegmentID, file: any File)] = []
      for segment in catalog.segments.values.sorted(by: { $0.id < $1.id })
      where !gone.contains(segment.number) && segment.oldestStamp <= stamp {
        guard segment.phase == .sealed else { return nil }
        files.append((segment.id, try catalog.openFile(of: segment)))
      }
      return files
    }
  }

  // MARK: What counts instead

  /// Before the last copy of something goes for a better one, the better one is checked.
  private func verifyWinners() throws(Outcome) {
    var damaged: [DamagedRecord] = []
    do throws(Compactor.Stop) {
      for keys in keysToVerify.sorted().batches(of: Self.batch) {
        for winner in try winners(of: keys) {
          if let what = try whatIsWrong(with: winner) {
            damaged.append(DamagedRecord(place: winner.place, key: winner.key, what: what))
          }
        }
      }
    } catch { throw .stop(error) }
    if !damaged.isEmpty { throw .damaged(damaged) }
  }

  private struct Winner {
    var key: Fingerprint
    var place: Place
    var file: any File
    var id: SegmentID
    var header: SegmentHeader
    var isSealed: Bool
  }

  private func winners(
    of keys: ArraySlice<Fingerprint>
  ) throws(Compactor.Stop) -> [Winner] {
    let view = view
    return try compactor.withCatalog { catalog throws(StoreError) -> [Winner] in
      var found: [Winner] = []
      for key in keys {
        for place in catalog.winners(of: key, outside: view)
        where catalog.isToBeVerified(place) {
          guard let segment = catalog.segment(place.segment) else { continue }
          found.append(
            Winner(
              key: key, place: place, file: try catalog.openFile(of: segment), id: segment.id,
              header: segment.header, isSealed: segment.phase == .sealed))
        }
      }
      return found
    }
  }

  private func whatIsWrong(with winner: Winner) throws(Compactor.Stop) -> String? {
    let place = winner.place
    let kept = Kept(
      offset: place.offset, headerLength: place.headerLength, storedLength: place.storedLength,
      key: winner.key)
    var what: String?
    do throws(Copier.Failure) {
      let copier = Copier(compactor, winner.file, winner.header, winner.isSealed ? winner.id : nil)
      try copier.copy(kept, to: nil)
    } catch {
      switch error {
      case .stop(let stop): throw stop
      case .damaged(let why): what = why
      }
    }
    if what == nil {
      let catalog = compactor.engine.catalog
      compactor.engine.stateLock.withLock { catalog.noteVerified(place) }
    }
    return what
  }

  // MARK: Copying

  /// Copies what is kept; nil if nothing need be written.
  func copy() throws(Outcome) -> MergeOutput? {
    let healthy = victims.filter { !$0.isDamaged }
    let isEmpty = victims.allSatisfy { $0.kept.isEmpty }
    // To unlink several is not one step: without removals each can go by itself.
    if isEmpty, removals.isEmpty || healthy.count < 2 { return nil }
    let engine = compactor.engine
    let output: MergeOutput
    do throws(FileError) {
      output = try MergeOutput(
        in: engine.directory, host: engine.host, permissions: engine.options.permissions,
        replaced: healthy.map(\.id))
    } catch { throw .stop(.failed(.file(error))) }
    do throws(Outcome) {
      for victim in victims { try copy(victim, to: output) }
      return output
    } catch {
      output.discard()
      throw error
    }
  }

  private func copy(_ victim: Victim, to output: MergeOutput) throws(Outcome) {
    let copier = Copier(
      compactor, victim.file, victim.header, victim.isSealed ? victim.id : nil)
    var damaged: [DamagedRecord] = []
    for record in victim.kept {
      if output.isFull { throw .tooMany }
      // Once something is damaged there will be no output; what else is damaged is still of interest.
      do throws(Copier.Failure) {
        try copier.copy(record, to: damaged.isEmpty ? output : nil)
      } catch {
        switch error {
        case .stop(let stop): throw .stop(stop)
        case .damaged(let what):
          damaged.append(
            DamagedRecord(place: record.place(in: victim.number), key: record.key, what: what))
        }
      }
    }
    if !damaged.isEmpty { throw .damaged(damaged) }
    if copier.usedSpare, !victim.isDamaged {
      // The header in its place is damaged, the footer has a copy: nothing is lost, but it is set aside.
      let catalog = compactor.engine.catalog
      compactor.engine.stateLock.withLock {
        catalog.report(
          Damage(
            segment: victim.name, offset: copier.spareAt, length: 0,
            what: "record header; read by the footer"))
      }
      throw .damaged([])
    }
  }
}

extension Merge.Kept {
  /// A place that tells where the record is, and no more.
  func place(in segment: UInt32) -> Place {
    Place(
      stamp: 0, objective: nil, segment: segment, offset: offset, storedLength: storedLength,
      headerLength: headerLength, isFinal: false, producer: 0, originSegment: 0, originNumber: 0)
  }
}

extension Array {
  fileprivate func batches(of size: Int) -> [ArraySlice<Element>] {
    stride(from: 0, to: count, by: size).map { self[$0..<Swift.min($0 + size, count)] }
  }
}
