// Writing: drafts become records of this process's segment.

internal import Logging

extension Engine {
  /// Writes one record; what is durable when it returns is what `durability` says.
  package func append(
    _ draft: Draft, payload: UnsafeRawBufferPointer, durability: Durability
  ) throws(StoreError) {
    let expired = try removalIfExpired(draft)
    try withFrame { frame throws(StoreError) in
      try check(draft, payload: payload.count)
      if let expired { frame.add(expired, payload: UnsafeRawBufferPointer(start: nil, count: 0)) }
      frame.add(draft, payload: payload)
      try write(frame, durability: durability)
    }
  }

  /// Writes records with one write and one sync, in this order, all or none of them acknowledged.
  package func append(
    _ batch: [PendingRecord<some PayloadBytes>], durability: Durability
  ) throws(StoreError) {
    for index in batch.indices { try batch[index].check(by: self) }
    var rest = batch.indices
    while !rest.isEmpty {
      try withFrame { frame throws(StoreError) in
        // A frame goes into one segment, and so has the limits of one.
        while !rest.isEmpty, frame.recordCount < Self.batchRecords, frame.length < Self.batchBytes {
          var (end, bytes) = (rest.lowerBound, 0)
          let last = min(rest.upperBound, end + Self.batchRecords - frame.recordCount)
          while end < last, bytes < Self.bytesAtOnce {
            bytes += batch[end].payload.count
            end += 1
          }
          try pack(batch, rest.lowerBound..<end, into: frame)
          rest = end..<rest.upperBound
        }
        try write(frame, durability: durability)
      }
    }
  }

  /// What is expired is gone, and does not come back because its key is saved anew: a removal goes first, of
  /// exactly what is known now.
  func removalIfExpired(_ draft: Draft) throws(StoreError) -> Draft? {
    guard draft.kind.isEntry, options.timeToLive > 0 else { return nil }
    let newest = try stateLock.withLock { () throws(StoreError) -> UInt64? in
      do throws(StoreError) { try catalog.bringInByItself(draft.key) } catch {
        // A fit goes on saving where the disk refuses to tell what is there.
        options.logger?.error("not known whether a key is expired: \(error)")
        return nil
      }
      guard mayBeExpired(draft.key, at: host.wallClock()),
        !catalog.index.places(of: draft.key).isEmpty
      else { return nil }
      // Others may have used it meanwhile.
      try catalog.refresh()
      guard isExpired(draft.key) else { return nil }
      return catalog.index.places(of: draft.key).map(\.place.stamp).max()
    }
    return newest.map {
      Draft(kind: .removal, key: draft.key, writeTime: host.wallClock(), stamp: $0)
    }
  }

  /// Whether a key is expired, or that cannot be told without asking the disk. With the state lock.
  func mayBeExpired(_ key: Fingerprint, at now: UInt64) -> Bool {
    // What could not be read a moment ago kept every key alive.
    !catalog.knowsAll(of: key) || catalog.skippedBecause != nil || catalog.isExpired(key, at: now)
  }

  /// Nanoseconds that stamps may be ahead of the clock because many were given out at once.
  private static let skew: UInt64 = 1_000_000
  private static let batchRecords = 4096
  private static let batchBytes = 4 << 20
  /// Bytes of payloads that are packed before it is seen how far they shrink.
  private static let bytesAtOnce = 256 << 10

  /// Throws if a record is over a limit, or nothing may be written.
  package func check(_ draft: Draft, payload: Int) throws(StoreError) {
    guard !isReadOnly else { throw .readOnly(path: path) }
    guard payload <= options.payloadLimit else {
      throw .payloadTooLong(bytes: payload, limit: options.payloadLimit)
    }
    try check("producer", draft.producer, limit: FormatLimits.producer)
    try check("label", draft.label, limit: FormatLimits.label)
  }

  private func check(_ what: String, _ text: String, limit: Int) throws(StoreError) {
    guard text.utf8.count > limit else { return }
    throw .textTooLong(what: what, bytes: text.utf8.count, limit: limit)
  }

  private func write(_ frame: Frame, durability: Durability) throws(StoreError) {
    guard durability == .buffered else {
      return try commitQueue.commit(frame) { frames in commit(frames) }
    }
    let toWriteOut = try appendLock.withLock {
      () throws(StoreError) -> (SegmentWriter, stretch: Range<UInt64>)? in
      let writer = try append(frame)
      let isMuch = writer.accept()
      losses.accepted += 1
      writePendingMarks()
      return isMuch && willSealNow(writer) ? (writer, writer.takeStretch()) : nil
    }
    // Behind the lock: it may have to wait for the disk, and that is for nobody else.
    guard let (writer, stretch) = toWriteOut else { return }
    do throws(FileError) { try writer.writeOut(stretch) } catch {
      appendLock.withLock {
        // Of one that was succeeded meanwhile everything that counts is on stable storage.
        if self.writer === writer || sealing?.id == writer.header.id { losses.note(error) }
        abandon(writer)
      }
      options.logger?.error("segment abandoned: \(error)")
    }
  }

  /// One turn at the disk: writes the frames and puts them on stable storage. Gives what became of each.
  private func commit(_ frames: [Frame]) -> [StoreError?] {
    var outcomes = [StoreError?](repeating: nil, count: frames.count)
    var left = Array(frames.indices)
    // After a failed sync what was not acknowledged is written anew to a new segment, once.
    for _ in 0...1 where !left.isEmpty {
      let written = appendLock.withLock { append(frames, left, &outcomes) }
      left = []
      for (writer, end, indices) in written {
        do throws(FileError) { try writer.sync(through: end) } catch {
          appendLock.withLock { abandon(writer) }
          options.logger?.error("segment abandoned: \(error)")
          for index in indices { outcomes[index] = .file(error) }
          left += indices
        }
      }
    }
    return outcomes
  }

  /// Writes those frames that are left. Gives the segments they are in, how far each must be synced, and
  /// which frames depend on that. With the append lock.
  private func append(
    _ frames: [Frame], _ left: [Int], _ outcomes: inout [StoreError?]
  ) -> [(writer: SegmentWriter, end: UInt64, frames: [Int])] {
    var written: [(writer: SegmentWriter, end: UInt64, frames: [Int])] = []
    for index in left {
      do throws(StoreError) {
        let writer = try append(frames[index])
        if written.last?.writer !== writer { written.append((writer, 0, [])) }
        written[written.count - 1].end = writer.tail
        written[written.count - 1].frames.append(index)
        outcomes[index] = nil
      } catch { outcomes[index] = error }
    }
    guard let last = written.last else { return [] }
    finishSealingUnlessSynced()
    writePendingMarks()
    if last.writer === writer, let length = last.frames.map({ frames[$0].length }).max() {
      last.writer.fillAhead(frameLength: length, limit: options.segmentLimit)
    }
    return written
  }

  /// Writes a frame behind the last one. With the append lock.
  private func append(_ frame: Frame) throws(StoreError) -> SegmentWriter {
    guard !isClosed else { throw .closed(path: path) }
    let writer = try writerWithRoom(for: frame)
    try place(frame, writer)
    return writer
  }

  /// Everything accepted so far is on stable storage when it returns. Throws if some of it may be lost
  /// and no flush before this one has told of that; of several at once every one does.
  package func flush() throws(StoreError) {
    let (current, seen) = try appendLock.withLock {
      () throws(StoreError) -> ((SegmentWriter, UInt64)?, Losses.Seen) in
      guard !isClosed else { throw .closed(path: path) }
      finishSealing()
      giveUpLogUnlessThere()
      return (writer.map { ($0, $0.tail) }, losses.look())
    }
    if let (writer, end) = current {
      do throws(FileError) { try writer.sync(through: end) } catch {
        appendLock.withLock { abandon(writer) }
      }
    }
    let loss = appendLock.withLock { losses.tell(since: seen) }
    if let loss { throw .file(loss) }
  }

  // MARK: With the append lock

  /// Whether the log, when it is full, will be sealed by the save that finds it so, as far as can be told: as the last one
  /// was. Then that save will wait for its sync, and the less there is left to write out the better.
  private func willSealNow(_ writer: SegmentWriter) -> Bool {
    if let lastEnd { return lastEnd == .sealedNow }
    return stateLock.withLock {
      guard let own = catalog.own else { return false }
      let live = catalog.index.liveBytes(of: own.number)
      let mostLeft = options.upkeep.map { Legacy.limit(of: writer, $0) } ?? 0
      return live < writer.tail / 2 && live > mostLeft
    }
  }

  private func writerWithRoom(for frame: Frame) throws(StoreError) -> SegmentWriter {
    giveUpLogIfGone()
    if let writer {
      if writer.hasRoom(
        bytes: frame.length, records: frame.recordCount, texts: frame.textLength,
        limit: options.segmentLimit)
      {
        return writer
      }
    }
    if let next = succeedWriter(),
      next.hasRoom(
        bytes: frame.length, records: frame.recordCount, texts: frame.textLength,
        limit: options.segmentLimit)
    {
      return next
    }
    var full = takeWriter()
    if let writer = full {
      let isAside = maySealAside(writer)
      lastEnd = isAside ? .sealedAside : .sealedNow
      if !isAside {
        sealNow(writer)
        full = nil
      }
    }
    // Behind the new log: its creation must not wait for the content of the full one.
    defer { if let full { sealAside(full) } }
    removeAbandonedTemporaries()
    makeRoomForLog()
    return try startWriter(synced: true)
  }

  func startWriter(synced: Bool) throws(StoreError) -> SegmentWriter {
    let started: SegmentWriter
    let isFirst = stateLock.withLock { catalog.segments.isEmpty }
    do throws(FileError) {
      // Who made the directory may have died before its own name was on stable storage.
      if synced, isFirst { try host.files.syncName(of: path) }
      started = try SegmentWriter.create(
        in: directory, host: host, permissions: options.permissions, synced: synced,
        announce: { id in stateLock.withLock { catalog.announced = id } })
    } catch { throw .file(error) }
    predecessors = Predecessors()
    begin(started) { segment in catalog.beginOwn(segment) }
    return started
  }

  /// From here on this is the log that is written; `own` tells the catalog so, with the state lock.
  func begin(_ started: SegmentWriter, own: (Segment) -> Void) {
    writer = started
    hasBegunLog = true
    stateLock.withLock {
      let segment = catalog.register(
        started.header.id, phase: .log, isLive: false, header: started.header)
      segment.file = started.file
      segment.syncDoubt = started.syncDoubt
      own(segment)
    }
  }

  func place(_ frame: Frame, _ writer: SegmentWriter) throws(StoreError) {
    let (now, stamp) = try stateLock.withLock { () throws(StoreError) -> (UInt64, UInt64) in
      // The clock was set, or another process is ahead: what it wrote must be known first. And a removal
      // must be newer than everything that is there.
      let now = catalog.clockWatch.look(at: host)
      if frame.holdsRemoval || catalog.mayBeBehind(now) {
        try catalog.refresh()
        if catalog.skippedBecause == nil { catalog.clockWatch.refreshed() }
        if now <= catalog.lastStamp { catalog.forgetStampsThatAreGone() }
      }
      if frame.holdsRemoval, let why = catalog.skippedBecause,
        catalog.mayBeBehind(now + Self.skew)
      {
        // The clock may be behind, and what cannot be read may be newer than this removal would be.
        throw .file(why)
      }
      if let given = frame.given { return (given.writeTime, given.stamp) }
      let stamp = max(now, catalog.lastStamp + 1, frame.removedThrough + 1)
      guard stamp < FormatLimits.stamp - UInt64(frame.recordCount) else {
        throw .stampsExhausted(path: path)
      }
      return (now, stamp)
    }
    frame.finish(
      in: writer.header, at: writer.tail, number: writer.footer.count, stamp: stamp,
      writeTime: now, syncedBytes: writer.syncedBytes)
    do throws(FileError) { try writer.append(frame.bytes, frame.records) } catch {
      takeBack(frame, writer)
      throw .file(error)
    }
    stateLock.withLock {
      guard let segment = catalog.own else { return }
      for index in frame.records.indices { frame.records[index].enter(catalog, segment) }
      segment.tail = writer.tail
      segment.syncedBytes = writer.syncedBytes
      segment.fileBytes = max(segment.fileBytes, writer.tail)
    }
  }

  /// After a write that failed. What others may have read already, whole records of a frame of several
  /// or one whose rest was there, may never be written over: then the segment ends there.
  private func takeBack(_ frame: Frame, _ writer: SegmentWriter) {
    if frame.recordCount == 1, (try? writer.cutBack(frameLength: frame.length)) == true { return }
    abandon(writer)
  }

  /// Nothing more is added to this segment; what is in it stays readable.
  private func abandon(_ abandoned: SegmentWriter) {
    guard writer === abandoned else {
      if sealing?.id == abandoned.header.id { finishSealing() }
      // Abandoned before, for a write that failed, or full; and now it proves that nothing is known of it.
      if abandoned.hasFailedToSync {
        stateLock.withLock { catalog.forget(abandoned.header.id) }
      }
      return
    }
    writer = nil
    endedLogBytes += abandoned.tail
    if let loss = putAway(abandoned) { losses.note(loss) }
    stateLock.withLock {
      // After a failed sync the file may hold anything behind what was synced before: it is read anew,
      // like the log of a writer that died.
      if abandoned.hasFailedToSync { catalog.forgetOwn() } else { catalog.endOwn() }
    }
  }

  /// Clears away what creators left that died before their segment had a name: old, and not locked.
  private func removeAbandonedTemporaries() {
    let now = host.wallClock()
    for name in stateLock.withLock({ catalog.temporaries }) {
      guard name.id.creation < now, now - name.id.creation > Self.abandonedAfter else { continue }
      directory.unlinkUnlessLocked(name.description)
    }
  }

  private static let abandonedAfter: UInt64 = 3_600_000_000_000
}

extension FoundRecord {
  // As a method: see ``PendingRecord``.
  fileprivate func enter(_ catalog: Catalog, _ segment: Segment) {
    catalog.take(header, at: offset, in: segment)
    segment.count(header)
  }
}
