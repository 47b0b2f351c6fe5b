// One merge: which records of its segments are kept, and their copies.

internal import Glibc

/// Merges a few segments into one.
final class Merge {
  /// A segment that is merged.
  struct Victim {
    var source: OpenSegment
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
    case failed(StoreError)
    /// These records are not what was written; or, if there are none, more is known now than at first.
    case damaged([DamagedRecord])
    /// What records of these keys were dropped for is not where it was any more.
    case moved(Set<Fingerprint>)
    /// More than one segment can have.
    case tooMuch
  }

  let compactor: Compactor
  var victims: [Victim]
  var view: Catalog.MergeView
  /// Removals of all victims, and whose they are.
  var removals: [(record: Catalog.Candidate, victim: Int)] = []
  /// What must count so that what is dropped is dead.
  var winners: [Fingerprint: [Place]] = [:]

  /// Removals of what is left out, to be written by this merge.
  var ownRemovals: [(key: Fingerprint, stamp: UInt64)] = []

  /// Records that are judged with the lock held once.
  static let batch = 256

  /// The keys in `evictions` are left out, but for those that were used since; of `restless` keys everything is kept.
  init(
    _ compactor: Compactor, _ ids: [SegmentID], evicting evictions: Evictions,
    restless: Set<Fingerprint>
  ) throws(StoreError) {
    self.compactor = compactor
    func begin(_ ids: [SegmentID]) throws(StoreError) -> ([Victim], Catalog.MergeView) {
      let now = compactor.engine.host.wallClock()
      return try compactor.engine.withFreshCatalog { catalog throws(StoreError) in
        var (victims, view) = try Self.begin(ids, catalog, now: now)
        view.evicted = evictions.keys.filter { catalog.isUnused($0.key, since: $0.value) }
        view.restless = restless
        return (victims, view)
      }
    }
    (victims, view) = try begin(ids)
    let held = try Self.held(among: victims, compactor)
    if !held.isEmpty { (victims, view) = try begin(ids.filter { !held.contains($0) }) }
  }

  /// Those that must not go yet: what they list as replaced would be in force again. Clears that away before.
  private static func held(
    among victims: [Victim], _ compactor: Compactor
  ) throws(StoreError) -> Set<SegmentID> {
    guard victims.contains(where: { !$0.source.header.replaced.isEmpty }) else { return [] }
    try compactor.clearAway()
    let directory = compactor.engine.directory
    // A living writer may have its full log still, or be sealing it. A listing may leave out what is renamed meanwhile, under
    // both its names; a segment is renamed once.
    let names = try StoreError.wrapping { () throws(FileError) in
      try directory.sync()
      return try directory.list(limit: Catalog.nameLimit)
        + directory.list(limit: Catalog.nameLimit)
    }
    let present = Set(names.compactMap { SegmentName($0) }.map(\.id))
    return Set(
      victims.map(\.source).filter { $0.header.replaced.contains(where: present.contains) }
        .map(\.id))
  }

  private static func begin(
    _ ids: [SegmentID], _ catalog: Catalog, now: UInt64
  ) throws(StoreError) -> ([Victim], Catalog.MergeView) {
    let closed = Set(catalog.closedSegments.map(\.id))
    var victims: [Victim] = []
    for segment in ids.compactMap({ catalog.segments[$0] }) where closed.contains(segment.id) {
      guard let source = try catalog.opened(segment) else { continue }
      victims.append(
        Victim(
          source: source, tail: segment.tail,
          syncedBytes: segment.syncedBytes, fileBytes: max(segment.fileBytes, segment.tail),
          isDamaged: catalog.damagedSegments.contains(segment.id)))
    }
    // What is set aside comes back if the disk forgets that: it counts as outside.
    let gone = Set(victims.filter { !$0.isDamaged }.map(\.source.number))
    var oldest = catalog.hasUnknownSegments ? 0 : UInt64.max
    for segment in catalog.segments.values where !gone.contains(segment.number) {
      oldest = min(oldest, segment.oldestStamp)
    }
    let view = Catalog.MergeView(
      victims: Set(victims.map(\.source.number)), oldestOutside: oldest,
      setAsideCount: catalog.setAsideCount, now: now)
    return (victims, view)
  }

  // MARK: Selection

  /// Finds out what must be kept.
  func select() throws(Outcome) {
    let engine = compactor.engine
    defer { engine.stateLock.withLock { engine.catalog.changedSince = nil } }
    do throws(StoreError) {
      try findUnstable()
      for index in victims.indices {
        for batch in try candidates(of: victims[index]).batches(of: Self.batch) {
          judge(batch, index)
        }
      }
      try judgeRemovals()
    } catch { throw .failed(error) }
    for index in victims.indices { victims[index].kept.sort { $0.offset < $1.offset } }
    try verifyWinners()
  }

  private func judge(_ batch: ArraySlice<Catalog.Candidate>, _ index: Int) {
    let number = victims[index].source.number
    let catalog = compactor.engine.catalog
    compactor.engine.stateLock.withLock {
      for record in batch {
        guard record.kind != .removal else {
          removals.append((record, index))
          continue
        }
        switch catalog.verdict(record, in: number, &view) {
        case .keep: keep(record, index)
        case .drop(let places): note(places, of: record.key)
        }
      }
    }
  }

  func keep(_ record: Catalog.Candidate, _ index: Int) {
    victims[index].kept.append(
      Kept(
        offset: record.offset, headerLength: record.headerLength,
        storedLength: record.storedLength, key: record.key))
  }

  private func note(_ places: [Place], of key: Fingerprint) {
    guard !places.isEmpty else { return }
    let known = winners[key] ?? []
    winners[key] =
      known
      + places.filter { place in
        !known.contains { $0.segment == place.segment && $0.offset == place.offset }
      }
  }

  /// All records of a segment, in the order of the file.
  private func candidates(of victim: Victim) throws(StoreError) -> [Catalog.Candidate] {
    let source = victim.source
    if let footer = try source.footer() {
      let all = (0..<footer.count).compactMap { footer.entry($0) }.compactMap { entry in
        RecordKind(rawValue: entry.kind).map {
          Catalog.Candidate(
            kind: $0, key: entry.key, stamp: entry.stamp, writeSeconds: entry.writeSeconds,
            offset: entry.offset, headerLength: entry.headerLength,
            storedLength: Int(entry.storedLength))
        }
      }.sorted { $0.offset < $1.offset }
      // Copies of one that is named a thousand times would fill the disk.
      return all.enumerated().filter { number, record in
        guard number > 0, all[number - 1].offset == record.offset else { return true }
        // What a footer says besides counts, until the record itself proves that it lies.
        let last = all[number - 1]
        return last.key != record.key || last.kind != record.kind || last.stamp != record.stamp
      }.map(\.element)
    }
    let replay = try StoreError.wrapping { () throws(FileError) in
      try Replay<FoundRecord>.run(
        SegmentScanner(file: source.file, salt: source.header.salt, end: victim.tail),
        from: source.header.recordsStart, life: source.isSealed ? .sealed : .dead,
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

  /// Throws if a key that is left out has been used since, or a record that something was dropped for may
  /// have proved damaged, so that the merge must be made anew.
  func checkIsStillRight() throws(Outcome) {
    let catalog = compactor.engine.catalog
    do throws(StoreError) {
      let isRight = try compactor.engine.withFreshCatalog { _ in
        catalog.setAsideCount == view.setAsideCount
          && view.leftOut.allSatisfy { catalog.isUnused($0, since: view.evicted[$0]!) }
      }
      if isRight { return }
    } catch { throw .failed(error) }
    throw .damaged([])
  }

  // MARK: Copying

  /// Copies what is kept; nil if nothing need be written.
  func copy() throws(Outcome) -> MergeOutput? {
    // To do away with several is not one step: only of what is dead each can go by itself.
    let isEmpty = victims.allSatisfy { $0.kept.isEmpty } && ownRemovals.isEmpty
    let isDead = removals.isEmpty && view.leftOut.isEmpty
    if isEmpty, isDead || victims.count < 2 { return nil }
    let engine = compactor.engine
    let output: MergeOutput
    do throws(FileError) {
      output = try MergeOutput(
        in: engine.directory, host: engine.host, permissions: engine.options.permissions,
        replaced: victims.filter { !$0.isDamaged }.map(\.source.id))
    } catch { throw .failed(.file(error)) }
    do throws(Outcome) {
      var damaged: [DamagedRecord] = []
      var isNew = false
      for victim in victims {
        // Once it is known that there will be no output, what else is damaged is still of interest.
        isNew = try copy(victim, to: isNew ? nil : output, &damaged) || isNew
      }
      if !damaged.isEmpty || isNew { throw .damaged(damaged) }
      try write(ownRemovals, to: output)
      return output
    } catch {
      output.discard()
      throw error
    }
  }

  private func write(
    _ removals: [(key: Fingerprint, stamp: UInt64)], to output: MergeOutput
  ) throws(Outcome) {
    let engine = compactor.engine
    for (key, stamp) in removals {
      if output.isFull { throw .tooMuch }
      do throws(FileError) {
        try output.addRemoval(
          of: key, stamp: stamp, writeTime: engine.host.wallClock(),
          producer: engine.options.producer)
      } catch { throw .failed(.file(error)) }
    }
  }

  /// Whether so many bytes more are too much for one segment.
  private func isFull(_ output: MergeOutput, adding length: UInt64) -> Bool {
    let limit = compactor.engine.options.segmentLimit
    // One alone gives no more than it has, unless somebody made up records within records.
    let most = victims.count > 1 ? limit + limit / 8 : victims[0].tail + limit
    return output.isFull || output.length > 0 && output.length + length > most
  }

  /// Gives whether a segment proved damaged that was not known to be. Once something is damaged there will
  /// be no output.
  private func copy(
    _ victim: Victim, to output: MergeOutput?, _ damaged: inout [DamagedRecord]
  ) throws(Outcome) -> Bool {
    let copier = Copier(compactor, victim.source)
    var isNew = false
    for record in victim.kept {
      let length = UInt64(record.headerLength + record.storedLength)
      if let output, isFull(output, adding: length) { throw .tooMuch }
      let place = record.place(in: victim.source.number)
      do throws(Copier.Failure) {
        if compactor.isToBeRestored(place) {
          try copier.restore(record, to: damaged.isEmpty && !isNew ? output : nil)
        } else {
          try copier.copy(record, to: damaged.isEmpty && !isNew ? output : nil)
        }
      } catch {
        switch error {
        case .failed(let error): throw .failed(error)
        case .damaged(let what):
          if !compactor.isToBeRestored(place), copier.canRestore(record) {
            compactor.restore(place, key: record.key, of: victim.source)
            isNew = true
          } else {
            damaged.append(DamagedRecord(place: place, key: record.key, what: what))
          }
        }
      }
    }
    if isNew { return true }
    guard let spareAt = copier.spareAt, !victim.isDamaged else { return false }
    // The header in its place is damaged, the footer has a copy: nothing is lost, but it is set aside.
    compactor.engine.stateLock.withLock {
      compactor.engine.catalog.report(
        Damage(
          segment: victim.source.name, offset: spareAt, length: 0,
          what: "record header; read by the footer"))
    }
    return true
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
  func batches(of size: Int) -> [ArraySlice<Element>] {
    stride(from: 0, to: count, by: size).map { self[$0..<Swift.min($0 + size, count)] }
  }
}
