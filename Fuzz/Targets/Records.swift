// What was ever written into a file, found without the engine: whatever a store serves must be among it.

import WarmStart

/// Intact headers, wherever they stand.
enum Records {
  /// Calls `body` with every header at a multiple of 8, one behind the other where one says how long it is.
  static func forEach(
    in bytes: [UInt8], from start: Int, to end: Int, salt: UInt64,
    _ body: (RecordHeader, Int) -> Void
  ) {
    var offset = start
    while offset + RecordHeader.prefixLength <= end {
      guard let header = header(in: bytes, at: offset, to: end, salt: salt) else {
        offset += 8
        continue
      }
      body(header, offset)
      offset += header.recordLength
    }
  }

  /// The header there, if the record ends where it may.
  static func header(
    in bytes: [UInt8], at offset: Int, to end: Int, salt: UInt64
  ) -> RecordHeader? {
    let span = bytes.span.bytes
    guard bytes.u32(offset) == RecordHeader.magic,
      let prefix = RecordHeader.decodePrefix(
        span.extracting(offset..<end), offset: UInt64(offset), salt: salt),
      offset + prefix.recordLength <= end
    else { return nil }
    return try? RecordHeader.decode(
      span.extracting(offset..<offset + prefix.headerLength), offset: UInt64(offset), salt: salt)
  }
}

/// What a record says, but for its place: equal in every copy.
struct Statement: Hashable {
  var key: Fingerprint
  var writeTime: UInt64
  var objective: UInt64?
  var iteration: UInt64?
  var texts: [[UInt8]]
  var length: Int
  var checksum: UInt32

  init(_ header: RecordHeader) {
    key = header.key
    writeTime = header.writeTime
    objective = header.objective?.bitPattern
    iteration = header.iteration
    texts = [header.runID, header.producer, header.label].map { Array($0.utf8) }
    length = header.rawLength
    checksum = header.rawChecksum
  }

  init(_ entry: WarmStartEntry) {
    key = entry.key
    writeTime = entry.writtenNanoseconds
    objective = entry.objective?.bitPattern
    iteration = entry.iteration
    texts = [entry.runID.description, entry.producer, entry.label ?? ""].map { Array($0.utf8) }
    length = entry.payload.count
    checksum = entry.payload.withUnsafeBytes(CRC32C.of)
  }
}

/// Every record that can be found in some files, in its place or in a footer.
struct Testimony {
  private(set) var statements: Set<Statement> = []
  private(set) var keys: Set<Fingerprint> = []
  /// Keys of which it is open what counts: two records have the same stamp, or a record and its footer do not
  /// say the same.
  private(set) var ambiguous: Set<Fingerprint> = []
  /// Segments that a header says are replaced.
  private(set) var replaced: Set<SegmentID> = []
  private var byStamp: [Stamp: RecordHeader] = [:]

  private struct Stamp: Hashable {
    var key: Fingerprint
    var stamp: UInt64
  }

  mutating func add(_ bytes: [UInt8], id: SegmentID) {
    var salts: Set<UInt64> = []
    for start in [0, SegmentHeader.copyLength] where bytes.count >= start + 64 {
      salts.insert(bytes.u64(start + 40))
      noteReplaced(bytes, bytes.u32(start + 56))
    }
    let footer = footer(bytes, id)
    if let footer {
      salts.insert(footer.trailer.salt)
      replaced.formUnion(footer.header.replaced)
    }
    var inPlace: [UInt64: RecordHeader] = [:]
    for salt in salts {
      // Not from one to the next: a record may stand in another's payload.
      for offset in stride(from: 0, through: bytes.count - RecordHeader.prefixLength, by: 8) {
        if let header = Records.header(in: bytes, at: offset, to: bytes.count, salt: salt) {
          note(header)
          inPlace[UInt64(offset)] = header
        }
      }
    }
    if let footer { compare(footer, inPlace) }
  }

  private mutating func compare(_ footer: Footer, _ inPlace: [UInt64: RecordHeader]) {
    var unlisted = inPlace
    for number in 0..<footer.count {
      guard let entry = footer.entry(number) else { continue }
      keys.insert(entry.key)
      let header = try? footer.header(of: entry)
      if let header { note(header) } else { ambiguous.insert(entry.key) }
      guard var other = inPlace[entry.offset] else { continue }
      other.syncedBytes = 0
      if header?.isIdentical(to: other) ?? false {
        unlisted[entry.offset] = nil
      } else {
        ambiguous.insert(entry.key)
      }
    }
    for header in unlisted.values { ambiguous.insert(header.key) }
  }

  private mutating func noteReplaced(_ bytes: [UInt8], _ count: UInt32) {
    for number in 0..<min(Int(count), FormatLimits.replaced) {
      let at = SegmentHeader.fixedLength + 16 * number
      guard at + 16 <= bytes.count else { return }
      replaced.insert(SegmentID(creation: bytes.u64(at), random: bytes.u64(at + 8)))
    }
  }

  private mutating func note(_ header: RecordHeader) {
    keys.insert(header.key)
    statements.insert(Statement(header))
    var header = header
    (header.syncedBytes, header.number) = (0, 0)
    let stamp = Stamp(key: header.key, stamp: header.stamp)
    if let other = byStamp[stamp], !other.isIdentical(to: header) { ambiguous.insert(header.key) }
    byStamp[stamp] = header
  }

  private func footer(_ bytes: [UInt8], _ id: SegmentID) -> Footer? {
    guard bytes.count >= FooterTrailer.length + SegmentHeader.fixedLength else { return nil }
    let start = bytes.count - FooterTrailer.length
    guard
      let trailer = try? FooterTrailer(
        decoding: bytes.span.bytes.extracting(start..<bytes.count), id: id,
        fileSize: UInt64(bytes.count))
    else { return nil }
    return try? Footer(
      decoding: Array(bytes[Int(trailer.footerOffset)..<start]), trailer: trailer)
  }
}
