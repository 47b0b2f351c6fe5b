// Verifies one segment: both copies of every header, every checksum, and that they agree.

final class SegmentInspector {
  private let file: any File
  private let name: SegmentName
  private let depth: Engine.Depth
  private let reader: SegmentReader

  private(set) var damage: [Damage] = []
  private(set) var recordCount = 0
  private(set) var fileSize: UInt64 = 0
  private(set) var isTorn = false

  /// Damaged places of one segment that are told of one by one.
  private static let damageLimit = 10_000

  init(file: any File, name: SegmentName, depth: Engine.Depth) {
    self.file = file
    self.name = name
    self.depth = depth
    reader = SegmentReader(file: file, id: name.id)
  }

  func run() throws(StoreError) {
    // The lock first: once it was seen to be free, nothing is added any more.
    let life = try life()
    let size = try StoreError.wrapping { () throws(FileError) in try file.size() }
    fileSize = min(size, FormatLimits.file)
    if size > fileSize {
      note(fileSize, size - fileSize, "the file is longer than a segment can be")
    }
    var footer: Footer?
    if name.phase == .sealed {
      let found = try reader.footer(fileSize: fileSize)
      footer = found.footer
      note(found.damage)
    }
    let head = try reader.head(footer: footer)
    guard let header = head.header else { return try noteMissing(head.damage) }
    head.damage.forEach(note)
    if let footer, footer.header != header {
      note(
        0, UInt64(SegmentHeader.fixedLength), "segment header differs from its copy in the footer")
    }
    let end: UInt64
    if let footer { end = footer.trailer.footerOffset } else { end = try recordsEnd() }
    let scanner = SegmentScanner(file: file, salt: header.salt, end: end)
    let replay = try StoreError.wrapping { () throws(FileError) in
      try Replay.run(scanner, from: header.recordsStart, life: life, syncedBytes: 0)
    }
    for gap in replay.damage {
      note(gap.range.lowerBound, gap.range.upperBound - gap.range.lowerBound, gap.what)
    }
    isTorn = !replay.torn.isEmpty
    recordCount = replay.records.count
    if let footer { compare(replay, footer) }
    for record in replay.records { try inspect(record) }
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
      found.forEach(note)
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
          record.offset, record.length, "record is missing in the footer", key: record.header.key)
        continue
      }
      var header = record.header
      header.syncedBytes = 0
      if !((try? footer.header(of: entry))?.isIdentical(to: header) ?? false)
        || entry.writeSecondsDisagree
      {
        note(record.offset, record.length, "header and footer disagree", key: header.key)
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

  private func inspect(_ record: FoundRecord) throws(StoreError) {
    guard depth == .payloads else { return }
    let header = record.header
    let length = Int(record.length)
    let bytes = try StoreError.wrapping { () throws(FileError) in
      try file.read(length, at: record.offset)
    }
    guard let bytes else {
      return note(record.offset, record.length, "the file ends within the record", key: header.key)
    }
    let payloadEnd = header.length + header.storedLength
    let storedChecksum = bytes.withUnsafeBytes {
      CRC32C.of(UnsafeRawBufferPointer(rebasing: $0[header.length..<payloadEnd]))
    }
    var what: String?
    if storedChecksum != header.storedChecksum {
      what = "stored payload checksum"
    } else {
      do throws(SegmentReader.RecordFailure) {
        _ = try SegmentReader.payload(bytes, from: header.length, header)
      } catch {
        if case .damaged(let why) = error { what = why }
      }
    }
    if what == nil, !bytes.span.bytes.isZero(payloadEnd..<length) { what = "padding is not zero" }
    if let what { note(record.offset, record.length, what, key: header.key) }
  }

  // MARK: Notes

  private func note(_ found: Damage?) {
    guard let found, damage.count < Self.damageLimit else { return }
    damage.append(found)
  }

  private func note(_ offset: UInt64, _ length: UInt64, _ what: String, key: Fingerprint? = nil) {
    note(
      Damage(segment: name.description, offset: offset, length: length, what: what, key: key))
  }

  private func noteFooter(_ footer: Footer, _ what: String) {
    let offset = footer.trailer.footerOffset
    note(offset, footer.trailer.fileSize - offset, "footer: \(what)")
  }
}

extension FooterEntry {
  fileprivate var writeSecondsDisagree: Bool {
    writeSeconds != UInt32(clamping: writeTime / 1_000_000_000)
  }
}
