// Reading: which entry of a key answers a question, and the entry itself.

extension Engine {
  /// The questions that a lookup can ask.
  package enum Question: Hashable, Sendable {
    /// What a fit of this producer goes on from: its newest final, else the best of all entries.
    case resume(producer: String)
    /// The entry with the best objective, of either kind.
    case best
    /// The newest entry of either kind.
    case latest
  }

  /// What a lookup found.
  package struct Answer: Sendable {
    package var record: ReadRecord
    package var place: Place
    package var slots: Slots
  }

  /// The entry that answers the question. A damaged one is reported, set aside, and the next best
  /// takes its place. `countsAsUse` notes the lookup, as fits do and tools do not.
  package func lookup(
    _ key: Fingerprint, _ question: Question, countsAsUse: Bool
  ) throws(StoreError) -> Answer? {
    let hash = key.tableHash
    // While the system is asked.
    index.prefetch(hash)
    recordCache.prefetch(hash)
    // Before the lock, so that mostly no thread waits for the system call of another. If it fails, the refresh
    // tells why.
    let look = try? catalog.look()
    if let look {
      switch glance(key, hash: hash, question, look, countsAsUse: countsAsUse) {
      case .found(let answer): return answer
      case .onDisk(let chosen):
        // What cannot be read is looked into below.
        if let answer = try? answer(key, chosen) { return answer }
      case .unclear: break
      }
    }
    return try lookup(key, question, look, countsAsUse: countsAsUse)
  }

  /// The same, if it is not to be found at a glance.
  @inline(never)
  private func lookup(
    _ key: Fingerprint, _ question: Question, _ look: DirectoryLook?, countsAsUse: Bool
  ) throws(StoreError) -> Answer? {
    try lookup(key, look, countsAsUse: countsAsUse) { row in place(question, row: row) }
  }

  /// Of the places that fill a slot of a row of the index the one that answers a question.
  func place(_ question: Question, row: Int) -> SlottedPlace? {
    // Where one entry fills all slots, as mostly, it answers whatever is asked.
    index.onlyPlace(row: row) ?? pick(index.places(row: row), question)
  }

  /// The same, of the entry that `pick` chooses among those that fill a slot of a row of the index; it is called with
  /// the state lock held. `look` is one that was taken since the question was asked.
  func lookup(
    _ key: Fingerprint, _ look: DirectoryLook? = nil, countsAsUse: Bool,
    _ pick: (_ row: Int) -> SlottedPlace?
  ) throws(StoreError) -> Answer? {
    var stale = 0
    var look = look
    while true {
      guard let chosen = try choose(key, look.take(), countsAsUse: countsAsUse, pick) else {
        return nil
      }
      do throws(SegmentReader.RecordFailure) { return try answer(key, chosen) } catch {
        switch error {
        case .file(let error) where error.isStale && stale < Catalog.attempts:
          stale += 1
          stateLock.withLock { catalog.lookAnew() }
        case .file(let error): throw .file(error)
        case .overLimit(let bytes):
          throw .payloadTooLong(bytes: bytes, limit: options.payloadLimit)
        // Each turn takes one record out of the running, so that this ends.
        case .damaged(let what): try setAside(chosen.place.place, key: key, what: what)
        case .unfaithful(let what):
          try setAside(chosen.place.place, key: key, what: what, isWhole: true)
        }
      }
    }
  }

  /// What a place has, from memory or the disk.
  private func answer(
    _ key: Fingerprint, _ chosen: Chosen
  ) throws(SegmentReader.RecordFailure) -> Answer {
    let (place, slots) = (chosen.place.place, chosen.place.slots)
    let segment: Readable
    switch chosen.source {
    case .memory(let record): return Answer(record: record, place: place, slots: slots)
    case .disk(let readable): segment = readable
    }
    let record = try read(place, in: segment, key: key, sharing: chosen.texts)
    if chosen.isLasting { keep(record, at: Catalog.Spot(place), sharing: chosen.texts) }
    return Answer(record: record, place: place, slots: slots)
  }

  /// Keeps a record in memory, if it is worth it.
  private func keep(_ record: ReadRecord, at spot: Catalog.Spot, sharing texts: RecordTexts) {
    guard let cost = recordCache.cost(ofAdmissible: record, at: spot, sharing: texts) else {
      return
    }
    let key = record.header.key
    func named() -> [SlottedPlace] { index.places(of: key) }
    if stateLock.tryAcquireShared() {
      let isAdmitted = recordCache.admits(key, spot, cost: cost, named: named)
      stateLock.releaseShared()
      guard isAdmitted else { return }
    }
    stateLock.withLock {
      // What others look for does not change.
      stateLock.share()
      // Others may have had the same room in mind.
      guard !catalog.isClosed, recordCache.admits(key, spot, cost: cost, named: named) else {
        return
      }
      recordCache.insert(record, at: spot, cost: cost, named: named())
    }
  }

  private func setAside(
    _ place: Place, key: Fingerprint, what: String, isWhole: Bool = false
  ) throws(StoreError) {
    try stateLock.withLock { () throws(StoreError) in
      try catalog.setAside(place, key: key, what: what, isWhole: isWhole)
    }
  }

  /// The entry that answers a question, and where it is.
  struct Chosen {
    var place: SlottedPlace
    var source: Source
    /// Whether it is on stable storage, so that no failing disk takes it back.
    var isLasting = true
    /// What a record that is read now may share.
    var texts = RecordTexts()

    enum Source {
      case memory(ReadRecord)
      case disk(Readable)
    }
  }

  /// Of a segment what it takes to read a record: no more, since each lookup carries it along.
  struct Readable {
    let file: any File
    let id: SegmentID
    let salt: UInt64
    let isSealed: Bool

    init(_ segment: Segment, file: any File) {
      self.file = file
      id = segment.id
      salt = segment.header.salt
      isSealed = segment.phase == .sealed
    }

    var name: String { SegmentName(id: id, phase: isSealed ? .sealed : .log).description }
  }

  private func choose(
    _ key: Fingerprint, _ early: DirectoryLook?, countsAsUse: Bool,
    _ pick: (_ row: Int) -> SlottedPlace?
  ) throws(StoreError) -> Chosen? {
    let hash = key.tableHash
    let look = early ?? (try? catalog.look())
    return try stateLock.withLock { () throws(StoreError) -> Chosen? in
      try catalog.untilPresent(look: look) { catalog throws(Catalog.Interruption) -> Chosen? in
        try catalog.requireSettled(key)
        if countsAsUse, !isReadOnly { catalog.index.noteLookups() }
        // From here on others may see at a glance that nothing has changed.
        if let look, catalog.isUpToDate(look) { stateLock.share() }
        let now = look?.wall ?? host.wallClock()
        guard let row = catalog.index.row(ofKnown: key, hash: hash) else { return nil }
        let use = catalog.index.lastUse(row: row)
        guard !catalog.isExpired(use, at: now),
          let place = pick(row),
          let segment = catalog.segment(place.place.segment)
        else { return nil }
        if countsAsUse { noteUse(key, row, use, at: now) }
        if let record = recordCache.record(hash: hash, at: Catalog.Spot(place.place)) {
          return Chosen(place: place, source: .memory(record))
        }
        return chosen(place, segment, file: try catalog.file(of: segment))
      }
    }
  }

  /// A record that has to be read.
  func chosen(_ place: SlottedPlace, _ segment: Segment, file: any File) -> Chosen {
    Chosen(
      place: place, source: .disk(Readable(segment, file: file)),
      isLasting: segment.isLasting(place.place), texts: recordCache.texts)
  }

  /// The one of a key's places that answers a question.
  package func pick(_ places: [SlottedPlace], _ question: Question) -> SlottedPlace? {
    switch question {
    case .best: return places.first { $0.slots.contains(.best) }
    case .latest: return places.first { $0.slots.contains(.latest) }
    case .resume(let producer):
      // A final of nobody is nobody's claim.
      if !producer.isEmpty, let number = index.knownProducerNumber(producer),
        let final = places.first(where: {
          $0.slots.contains(.final) && $0.place.producer == number
        })
      {
        return final
      }
      return places.first { $0.slots.contains(.best) }
    }
  }

  private func read(
    _ place: Place, in segment: Readable, key: Fingerprint, sharing texts: RecordTexts
  ) throws(SegmentReader.RecordFailure) -> ReadRecord {
    let reader = SegmentReader(file: segment.file, id: segment.id)
    var usedSpare = false
    let record = try reader.record(
      at: place.offset, headerLength: place.headerLength, storedLength: place.storedLength,
      salt: segment.salt, payloadLimit: options.payloadLimit, sharing: texts
    ) { () throws(StoreError) in
      usedSpare = true
      return segment.isSealed ? try reader.spareHeader(at: place.offset, key: key) : nil
    }
    guard record.header.key == key, record.header.stamp == place.stamp,
      record.header.origin.number == place.originNumber
    else { throw .damaged("record of another key") }
    if usedSpare { reportHeader(of: place, key: key, in: segment.name) }
    return record
  }

  /// Nothing was lost, since the footer says the same; but the disk is not to be trusted.
  private func reportHeader(of place: Place, key: Fingerprint, in name: String) {
    stateLock.withLock {
      catalog.report(
        Damage(
          segment: name, offset: place.offset, length: UInt64(place.headerLength),
          what: "record header; read by the footer", key: key))
    }
  }
}

extension SegmentReader {
  /// The footer's copy of the header of the record at `offset`, if the footer is intact.
  func spareHeader(at offset: UInt64, key: Fingerprint) throws(StoreError) -> RecordHeader? {
    let size = try StoreError.wrapping { () throws(FileError) in try file.size() }
    guard let footer = try footer(fileSize: size).footer,
      let entry = footer.entries(of: key).first(where: { $0.offset == offset })
    else { return nil }
    return try? footer.header(of: entry)
  }
}
