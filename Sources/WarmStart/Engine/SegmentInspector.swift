// Verifies one segment: both copies of every header, every checksum, and that they agree.

/// Verifies one segment. For one thread.
final class SegmentInspector {
  private let file: any File
  private let name: SegmentName
  private let reader: SegmentReader
  private let payloads: PayloadInspector?

  private(set) var damage: [Damage] = []
  /// Records whose payloads are not what was written.
  private(set) var damagedRecords: [(header: RecordHeader, offset: UInt64)] = []
  private(set) var recordCount = 0
  private(set) var fileSize: UInt64 = 0
  private(set) var isTorn = false
  /// No copy of the segment's header is intact.
  private(set) var isLost = false

  /// Damaged places of one segment that are told of one by one.
  private static let damageLimit = 10_000

  /// `progress` hears of the bytes of payloads that were read.
  init(
    file: any File, name: SegmentName, depth: Engine.Depth,
    progress: @escaping (Int) -> Void = { _ in }
  ) {
    self.file = file
    self.name = name
    reader = SegmentReader(file: file, id: name.id)
    payloads = depth == .payloads ? PayloadInspector(file, progress: progress) : nil
  }

  func run() throws(StoreError) {
    // The lock first: once it was seen to be free, nothing is added any more.
    let life = try life()
    let size = try StoreError.wrapping { () throws(FileError) in try file.size() }
    fileSize = min(size, FormatLimits.file)
    if size > fileSize {
      note(
        fileSize, size - fileSize, "the file is longer than a segment can be", effect: .nothingLost)
    }
    var footer: Footer?
    if name.phase == .sealed {
      let found = try reader.footer(fileSize: fileSize)
      footer = found.footer
      noteRedundant(found.damage)
    }
    let head = try reader.head(footer: footer)
    guard let header = head.header else { return try noteMissing(head.damage) }
    head.damage.forEach(noteRedundant)
    if let footer, footer.header != header {
      note(
        0, UInt64(SegmentHeader.fixedLength), "segment header differs from its copy in the footer",
        effect: .nothingLost)
    }
    if payloads != nil { file.willRead(0..<fileSize) }
    let end: UInt64
    if let footer { end = footer.trailer.footerOffset } else { end = try recordsEnd() }
    let scanner = SegmentScanner(file: file, salt: header.salt, end: end)
    let replay = try StoreError.wrapping { () throws(FileError) in
      try Replay.run(scanner, from: header.recordsStart, life: life, syncedBytes: 0)
    }
    isTorn = !replay.torn.isEmpty
    recordCount = replay.records.count
    let spares = footer.map { self.spares($0, in: replay.damage) } ?? []
    for gap in replay.damage { note(gap, footer, spares) }
    if let footer { compare(replay, footer) }
    for record in replay.records { try inspect(record.header, at: record.offset) }
    for spare in spares { try inspect(spare.header, at: spare.offset) }
  }

  // MARK: Gaps

  /// The headers in the footer of records that have none in their place.
  private func spares(
    _ footer: Footer, in gaps: [Replay.Gap]
  ) -> [(header: RecordHeader, offset: UInt64)] {
    guard !gaps.isEmpty else { return [] }
    return (0..<footer.count).compactMap { footer.entry($0) }
      .filter { entry in gaps.contains { $0.range.contains(entry.offset) } }
      .sorted { $0.offset < $1.offset }
      .compactMap { entry in
        (try? footer.header(of: entry)).map { (header: $0, offset: entry.offset) }
      }
  }

  private func note(
    _ gap: Replay.Gap, _ footer: Footer?, _ spares: [(header: RecordHeader, offset: UInt64)]
  ) {
    let copied = spares.filter { gap.range.contains($0.offset) }
    let length = gap.range.upperBound - gap.range.lowerBound
    // Its payload is looked at for itself.
    let effect: Damage.Effect = footer == nil ? .unknownLost : .nothingLost
    let first = copied.count == 1 ? copied[0].header : nil
    note(
      gap.range.lowerBound, length, copied.isEmpty ? gap.what : gap.what + "; read by the footer",
      of: first, effect: effect)
  }

  private func life() throws(StoreError) -> Replay.Life {
    guard name.phase == .log else { return .sealed }
    return try StoreError.wrapping { () throws(FileError) in
      guard try file.tryLock(.shared) else { return .live }
      try file.unlock()
      return .dead
    }
  }

  private func recordsEnd() throws(StoreError) -> UInt64 {
    guard name.phase == .sealed else { return fileSize }
    return try reader.trailer(fileSize: fileSize).trailer?.footerOffset ?? fileSize
  }

  /// No copy of the header is intact. Of a log without a head it never was on stable storage.
  private func noteMissing(_ found: [Damage]) throws(StoreError) {
    let isHeadless = try StoreError.wrapping { () throws(FileError) in
      try reader.isHeadless(fileSize: fileSize)
    }
    if name.phase == .log, isHeadless {
      isTorn = fileSize > 0
    } else {
      isLost = true
      for damage in found { note(damage.with(effect: .segmentLost)) }
    }
  }

  // MARK: Footer against records

  private func compare(_ replay: Replay, _ footer: Footer) {
    var entries: [UInt64: FooterEntry] = [:]
    var previous: FooterEntry?
    for index in 0..<footer.count {
      guard let entry = footer.entry(index) else {
        noteFooter(footer, "entry \(index) is out of limits")
        continue
      }
      if let previous, (entry.key, entry.offset) <= (previous.key, previous.offset) {
        noteFooter(footer, "entry \(index) is out of order")
      }
      previous = entry
      entries[entry.offset] = entry
    }
    for record in replay.records {
      guard let entry = entries.removeValue(forKey: record.offset) else {
        note(
          record.offset, record.length, "record is missing in the footer", of: record.header,
          effect: .entryLost)
        continue
      }
      var header = record.header
      header.syncedBytes = 0
      if !((try? footer.header(of: entry))?.isIdentical(to: header) ?? false)
        || entry.writeSecondsDisagree
      {
        note(
          record.offset, record.length, "header and footer disagree", of: header,
          effect: .nothingLost)
      }
    }
    // Where the header of a record in the footer is damaged, the replay told of the gap already.
    for entry in entries.values
    where !replay.damage.contains(where: { $0.range.contains(entry.offset) }) {
      noteFooter(footer, "names a record at \(entry.offset) that is not there")
    }
    if replay.damage.isEmpty { compareCounts(replay, footer) }
  }

  private func compareCounts(_ replay: Replay, _ footer: Footer) {
    var expected = footer.trailer
    let headers = replay.records.map(\.header)
    expected.recordCount = headers.count
    expected.removalCount = headers.filter { $0.kind == .removal }.count
    expected.markCount = headers.filter { $0.kind == .accessMark }.count
    expected.oldestStamp = headers.map(\.stamp).min() ?? 0
    expected.newestStamp = headers.map(\.stamp).max() ?? 0
    expected.rawBytes = headers.reduce(0) { $0 + UInt64($1.rawLength) }
    expected.storedBytes = headers.reduce(0) { $0 + UInt64($1.storedLength) }
    if expected != footer.trailer { noteFooter(footer, "counts differ from the records") }
    for (number, header) in headers.enumerated() where header.number != UInt32(number) {
      noteFooter(footer, "record \(number) is numbered \(header.number)")
      break
    }
  }

  // MARK: Payloads

  private func inspect(_ header: RecordHeader, at offset: UInt64) throws(StoreError) {
    guard let payloads else { return }
    let fault = try StoreError.wrapping { () throws(FileError) in
      try payloads.fault(of: header, at: offset)
    }
    let length = UInt64(header.recordLength)
    switch fault {
    case .lost(let what):
      note(
        offset, length, what, of: header, effect: header.kind.isEntry ? .entryLost : .nothingLost)
      damagedRecords.append((header, offset))
    case .harmless(let what): note(offset, length, what, of: header, effect: .nothingLost)
    case nil: return
    }
  }

  // MARK: Notes

  private func note(_ found: Damage?) {
    guard let found, damage.count < Self.damageLimit else { return }
    damage.append(found)
  }

  /// Of what stands there is another copy.
  private func noteRedundant(_ found: Damage?) { note(found?.with(effect: .nothingLost)) }

  private func note(
    _ offset: UInt64, _ length: UInt64, _ what: String, of header: RecordHeader? = nil,
    effect: Damage.Effect
  ) {
    let run = header?.runID ?? ""
    note(
      Damage(
        segment: name.description, offset: offset, length: length, what: what, key: header?.key,
        run: run.isEmpty ? nil : run, effect: effect))
  }

  private func noteFooter(_ footer: Footer, _ what: String) {
    let offset = footer.trailer.footerOffset
    note(
      offset, footer.trailer.fileSize - offset, "footer: \(what)", effect: .nothingLost)
  }
}

extension FooterEntry {
  fileprivate var writeSecondsDisagree: Bool {
    writeSeconds != UInt32(clamping: writeTime / 1_000_000_000)
  }
}
