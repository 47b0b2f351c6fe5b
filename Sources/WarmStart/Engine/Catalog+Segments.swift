// Taking segments in: sealed ones by their footers, logs by replay.

internal import Glibc

extension Catalog {
  /// Takes in a segment that was not known, when the store is opened or later.
  func load(_ name: SegmentName, _ file: any File, isFirst: Bool) throws(Interruption) {
    let isLive = name.phase == .log ? try !hasNoWriter(file) : false
    let size = try length(of: file, name.description)
    let reader = SegmentReader(file: file, id: name.id)
    var footer: Footer?
    var search: FooterSearch?
    var problems: [Damage] = []
    if name.phase == .sealed {
      let found = try fromReader { () throws(StoreError) in try reader.trailer(fileSize: size) }
      var damage = found.damage
      if let trailer = found.trailer {
        if isFirst, DeferredFooters.areWorthIt(trailer, options) {
          (search, damage) = try fromReader { () throws(StoreError) in try reader.search(trailer) }
        } else {
          (footer, damage) = try fromReader { () throws(StoreError) in try reader.footer(trailer) }
        }
      }
      if let damage { problems.append(damage) }
    }
    let spare = footer?.header ?? search?.header
    let head = try fromReader { () throws(StoreError) in try reader.head(spare: spare) }
    guard let header = head.header else {
      try refuse(name, file, size: size, problems: problems + head.damage)
      return
    }
    if let trailer = footer?.trailer ?? search?.trailer, spare != header {
      problems.append(
        Damage(
          segment: name.description, offset: trailer.footerOffset, length: 0,
          what: "segment header and footer disagree"))
      (footer, search) = (nil, nil)
    }
    for damage in problems + head.damage { report(damage) }
    let segment = register(name.id, phase: name.phase, isLive: isLive, header: header)
    segment.fileBytes = size
    keep(file, of: segment)
    if let search { return putOff(search, of: segment) }
    if let footer { return take(footer, in: segment) }
    do throws(Interruption) { try replay(segment, file, size: size) } catch {
      // Half read is not known: the next refresh begins anew.
      unregister(segment)
      throw error
    }
  }

  /// How much of a file is looked at: what is beyond the limit of the format is damage.
  private func length(of file: any File, _ name: String) throws(Interruption) -> UInt64 {
    let size = try fromDisk { () throws(FileError) in try file.size() }
    guard size > FormatLimits.file else { return size }
    report(
      Damage(
        segment: name, offset: FormatLimits.file, length: size - FormatLimits.file,
        what: "the file is longer than a segment can be"))
    return FormatLimits.file
  }

  /// A segment without any intact header. Of a log that begins with zeros its head was never on stable
  /// storage: its creator's machine lost power.
  private func refuse(
    _ name: SegmentName, _ file: any File, size: UInt64, problems: [Damage]
  ) throws(Interruption) {
    if name.phase == .log {
      let reader = SegmentReader(file: file, id: name.id)
      let isHeadless = try fromDisk { () throws(FileError) in try reader.isHeadless(fileSize: size)
      }
      if isHeadless { return noteHeadless(name.id) }
    }
    refuse(name.id)
    headerless[name.id] = name
    for damage in problems { report(damage) }
  }

  /// Whether nobody has a log's lock any more. Then nothing will ever be added to it.
  private func hasNoWriter(_ file: any File) throws(Interruption) -> Bool {
    do throws(FileError) {
      guard try file.tryLock(.shared) else { return false }
      try file.unlock()
      return true
    } catch {
      // Without locks a reader cannot tell, and looks at every log again and again.
      guard error.isWithoutLocks, isReadOnly else {
        throw Interruption(error)
      }
      return false
    }
  }

  /// Takes in the records of a footer; those known already change nothing.
  func take(_ footer: Footer, in segment: Segment) {
    index.reserve(footer.count)
    let producers = footer.producers.map { index.producerNumber($0) }
    let origins = footer.origins.map { index.originNumber($0) }
    for number in 0..<footer.count {
      guard let entry = footer.entry(number), RecordKind(rawValue: entry.kind) != nil else {
        report(
          Damage(
            segment: segment.name, offset: footer.trailer.footerOffset, length: 0,
            what: "entry \(number) of the footer is out of limits"))
        continue
      }
      take(
        entry, producer: producers[Int(entry.producer)], origin: origins[Int(entry.origin)],
        in: segment)
    }
    segment.count(footer.trailer)
  }

  /// Takes one entry of a footer into account; `producer` and `origin` are the numbers that the index gives
  /// to what the footer numbers in its own way.
  func take(_ entry: FooterEntry, producer: UInt32?, origin: UInt32, in segment: Segment) {
    guard let kind = RecordKind(rawValue: entry.kind) else { return }
    take(
      kind: kind, key: entry.key, stamp: entry.stamp, writeSeconds: entry.writeSeconds,
      offset: entry.offset, in: segment
    ) {
      guard let producer else { return nil }
      return Place(
        stamp: entry.stamp, objective: entry.objective, segment: segment.number,
        offset: entry.offset, storedLength: Int(entry.storedLength),
        headerLength: entry.headerLength, isFinal: kind == .final, producer: producer,
        originSegment: origin, originNumber: entry.originNumber)
    }
  }

  /// Takes in what a log, or a sealed segment without its footer, holds from its tail on.
  private func replay(_ segment: Segment, _ file: any File, size: UInt64) throws(Interruption) {
    var end = size
    if segment.phase == .sealed {
      let reader = SegmentReader(file: file, id: segment.id)
      let found = try fromReader { () throws(StoreError) in try reader.trailer(fileSize: size) }
      if let trailer = found.trailer { end = trailer.footerOffset }
    }
    let scanner = SegmentScanner(file: file, salt: segment.header.salt, end: end)
    let life: SegmentLife = segment.phase == .sealed ? .sealed : segment.isLive ? .live : .dead
    let start = segment.tail
    let known = segment.syncedBytes
    let replay = try fromDisk { () throws(FileError) in
      try Replay<FoundRecord>.run(scanner, from: start, life: life, syncedBytes: known)
    }
    for record in replay.records {
      take(record.header, at: record.offset, in: segment)
      segment.count(record.header)
    }
    for gap in replay.damage {
      report(
        Damage(
          segment: segment.name, offset: gap.range.lowerBound,
          length: gap.range.upperBound - gap.range.lowerBound, what: gap.what))
    }
    noteTorn(replay.torn, in: segment)
    segment.tail = replay.tail
    segment.syncedBytes = replay.syncedBytes
    segment.fileBytes = size
  }

  /// Looks for records that another process added to its log.
  func poll(_ segment: Segment) throws(Interruption) {
    let file = try file(of: segment)
    var prefix: (UInt64, UInt64, UInt64) = (0, 0, 0)
    let tail = segment.tail
    let got = try fromDisk { () throws(FileError) in
      try withUnsafeMutableBytes(of: &prefix) { bytes throws(FileError) in
        try file.read(into: bytes, at: tail)
      }
    }
    guard got > 0, prefix != (0, 0, 0) else { return }
    let size = try length(of: file, segment.name)
    try replay(segment, file, size: size)
    // Something is there and it is no record: the writer is at it, or died over it.
    if segment.tail == tail { try retireIfAbandoned(segment) }
  }

  /// A log whose writer died is read to its end, once, and never looked at again.
  func retireIfAbandoned(_ segment: Segment) throws(Interruption) {
    let file = try file(of: segment)
    guard try hasNoWriter(file) else { return }
    segment.isLive = false
    do throws(Interruption) {
      try replay(segment, file, size: try length(of: file, segment.name))
    } catch {
      segment.isLive = true
      throw error
    }
  }

  /// Another process sealed its log: the rest of it is taken in.
  func becomeSealed(_ segment: Segment) throws(Interruption) {
    segment.phase = .sealed
    // What was misread while it grew is read anew.
    unreadable = unreadable.filter { $0.segment != segment.number }
    do throws(Interruption) {
      try takeSealed(segment, try file(of: segment))
      segment.isLive = false
    } catch {
      // The next refresh tries again.
      segment.phase = .log
      throw error
    }
  }

  /// Takes in what a sealed segment holds, or the rest of it where some of it is known already.
  func takeSealed(_ segment: Segment, _ file: any File) throws(Interruption) {
    let size = try length(of: file, segment.name)
    let reader = SegmentReader(file: file, id: segment.id)
    let (footer, damage) = try fromReader { () throws(StoreError) in
      try reader.footer(fileSize: size)
    }
    if let footer, footer.header == segment.header {
      // From the start: what a reader found torn in a log that grew may be whole in the end.
      take(footer, in: segment)
      return
    }
    if let damage { report(damage) }
    try replay(segment, file, size: size)
  }

  /// Calls `body` with every record of the keys that the segment holds.
  func forEachRecord(
    of keys: Set<Fingerprint>, in segment: Segment, _ body: (RecordHeader, UInt64) -> Void
  ) throws(Interruption) {
    let file = try file(of: segment)
    if segment.phase == .sealed {
      let size = try length(of: file, segment.name)
      let reader = SegmentReader(file: file, id: segment.id)
      let found = try fromReader { () throws(StoreError) in try reader.footer(fileSize: size) }
      if let records = found.footer.flatMap({ Self.records(of: keys, in: $0) }) {
        for (header, offset) in records { body(header, offset) }
        return
      }
    }
    let scanner = SegmentScanner(file: file, salt: segment.header.salt, end: segment.tail)
    let life: SegmentLife = segment.phase == .sealed ? .sealed : .dead
    let start = segment.header.recordsStart
    let known = segment.syncedBytes
    let replay = try fromDisk { () throws(FileError) in
      try Replay<FoundRecord>.run(scanner, from: start, life: life, syncedBytes: known)
    }
    for record in replay.records where keys.contains(record.header.key) {
      body(record.header, record.offset)
    }
  }

  /// The records of the keys as the footer has them; nil if it has one that is malformed.
  private static func records(
    of keys: Set<Fingerprint>, in footer: Footer
  ) -> [(RecordHeader, UInt64)]? {
    var found: [(RecordHeader, UInt64)] = []
    // Of very many keys a search for each takes longer than a look at every entry.
    if keys.count > footer.count / 8 {
      for number in 0..<footer.count {
        guard let entry = footer.entry(number), keys.contains(entry.key) else { continue }
        guard let header = try? footer.header(of: entry) else { return nil }
        found.append((header, entry.offset))
      }
      return found
    }
    for key in keys {
      for entry in footer.entries(of: key) {
        guard let header = try? footer.header(of: entry) else { return nil }
        found.append((header, entry.offset))
      }
    }
    return found
  }

  private func fromDisk<Value>(
    _ body: () throws(FileError) -> Value
  ) throws(Interruption) -> Value {
    do throws(FileError) { return try body() } catch { throw Interruption(error) }
  }

  private func fromReader<Value>(
    _ body: () throws(StoreError) -> Value
  ) throws(Interruption) -> Value {
    do throws(StoreError) { return try body() } catch {
      if case .file(let error) = error { throw Interruption(error) }
      throw .store(error)
    }
  }
}
