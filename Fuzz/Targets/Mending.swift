// Makes the checksums of damaged segments right again, so that what a fuzzer changed is believed.
//
// A format that checks everything refuses nearly all that a fuzzer makes up, and what lies behind the checks is
// never tried. So the first byte of an input says which checksums are mended.

import WarmStart

/// Which checksums are mended.
struct Mending: OptionSet {
  let rawValue: UInt8

  static let heads = Mending(rawValue: 1)
  static let records = Mending(rawValue: 2)
  static let payloads = Mending(rawValue: 4)
  static let footer = Mending(rawValue: 8)
  /// The trailer's lengths, salt and id are made those of the file.
  static let trailer = Mending(rawValue: 16)
  /// A footer of the records that are there takes the place of the one that there is.
  static let rebuiltFooter = Mending(rawValue: 32)
}

/// A segment under repair.
struct Mender {
  private(set) var bytes: [UInt8]
  private let mending: Mending

  /// Mends a sealed segment or a log.
  static func mend(_ bytes: [UInt8], _ mending: Mending, isSealed: Bool) -> [UInt8] {
    guard bytes.count >= SegmentHeader.fixedLength else { return bytes }
    var mender = Mender(bytes: bytes, mending: mending)
    if mending.contains(.heads) { mender.mendHeads() }
    var end = bytes.count
    if isSealed, let start = mender.footerOffset {
      if mending.contains(.trailer) { mender.mendTrailer() }
      end = start
    }
    mender.mendRecords(end: end)
    if isSealed, mending.contains(.rebuiltFooter) { mender.rebuildFooter(at: end) }
    if isSealed, mending.contains(.footer) { mender.mendFooter() }
    return mender.bytes
  }

  private init(bytes: [UInt8], mending: Mending) {
    self.bytes = bytes
    self.mending = mending
  }

  private var salt: UInt64 { bytes.u64(40) }
  private var id: SegmentID { SegmentID(creation: bytes.u64(24), random: bytes.u64(32)) }
  private var trailerOffset: Int { bytes.count - FooterTrailer.length }

  // MARK: Heads

  private mutating func mendHeads() {
    for start in [0, SegmentHeader.copyLength] {
      bytes.put(checksum(start..<start + 60), at: start + 60)
    }
    mendList(at: SegmentHeader.fixedLength, count: bytes.u32(56))
  }

  /// The list of replaced segments.
  private mutating func mendList(at start: Int, count: UInt32) {
    guard (1...UInt32(FormatLimits.replaced)).contains(count) else { return }
    let end = start + 16 * Int(count)
    guard end + 4 <= bytes.count else { return }
    bytes.put(checksum(start..<end, (salt, UInt64(SegmentHeader.fixedLength))), at: end)
  }

  private var recordsStart: Int {
    let count = Int(bytes.u32(56))
    guard (1...FormatLimits.replaced).contains(count) else { return SegmentHeader.fixedLength }
    return SegmentHeader.fixedLength + (16 * count + 4 + 7) & ~7
  }

  // MARK: Records

  private mutating func mendRecords(end: Int) {
    guard mending.contains(.records) || mending.contains(.payloads) else { return }
    var offset = recordsStart
    while offset + RecordHeader.prefixLength <= end {
      guard bytes.u32(offset) == RecordHeader.magic else {
        offset += 8
        continue
      }
      offset += mendRecord(at: offset, end: end)
    }
  }

  /// Gives how far the next one is.
  private mutating func mendRecord(at offset: Int, end: Int) -> Int {
    let seed = (salt, UInt64(offset))
    let (header, stored) = (Int(bytes.u16(offset + 8)), Int(bytes.u32(offset + 4)))
    if mending.contains(.records) {
      bytes.put(checksum(offset..<offset + 20, seed), at: offset + 20)
    }
    guard (136...RecordHeader.longest).contains(header), header % 8 == 0, offset + header <= end
    else { return 8 }
    let next = header + (stored + 7) & ~7
    let isWhole = offset + next <= end
    if isWhole, mending.contains(.payloads) {
      mendPayload(at: offset, from: offset + header, length: stored)
    }
    if mending.contains(.records) {
      let last = offset + header - 4
      bytes.put(checksum(offset..<last, seed), at: last)
    }
    return isWhole ? next : 8
  }

  private mutating func mendPayload(at offset: Int, from start: Int, length: Int) {
    let stored = checksum(start..<start + length)
    bytes.put(stored, at: offset + 32)
    let raw = Int(bytes.u32(offset + 24))
    guard let codec = Codec(rawValue: bytes[offset + 11]) else { return }
    guard codec != .stored else { return bytes.put(stored, at: offset + 28) }
    guard raw <= 1 << 20 else { return }
    var output = [UInt8](repeating: 0, count: raw)
    let isWhole = bytes.withUnsafeBytes { all in
      output.withUnsafeMutableBytes { output in
        let payload = UnsafeRawBufferPointer(rebasing: all[start..<start + length])
        return (try? PayloadDecoder.decode(payload, codec, to: output)) != nil
      }
    }
    if isWhole { bytes.put(output.withUnsafeBytes(CRC32C.of), at: offset + 28) }
  }

  // MARK: Footer

  /// Where the footer begins, if there is one that could.
  private var footerOffset: Int? {
    guard bytes.count >= SegmentHeader.fixedLength + FooterTrailer.length,
      bytes.u64(trailerOffset) == FooterTrailer.magic
    else { return nil }
    let offset = bytes.u64(trailerOffset + 40)
    return offset <= UInt64(trailerOffset) ? Int(offset) : nil
  }

  private var bodyLength: Int? {
    guard let start = footerOffset else { return nil }
    let length = bytes.u64(trailerOffset + 48)
    guard length <= UInt64(trailerOffset - start) else { return nil }
    return Int(length)
  }

  /// The table takes what its body needs; the body whatever is left.
  private mutating func mendTrailer() {
    guard let start = footerOffset else { return }
    let room = trailerOffset - start
    var body = room & ~7
    while body > 0, body + Self.tableLength(body) > room { body -= 8 }
    bytes.put(UInt64(body), at: trailerOffset + 48)
    bytes.replaceSubrange(trailerOffset + 16..<trailerOffset + 32, with: bytes[24..<40])
    bytes.put(salt, at: trailerOffset + 32)
  }

  private static func tableLength(_ body: Int) -> Int {
    let blocks = (body + FooterTrailer.blockLength - 1) / FooterTrailer.blockLength
    return (4 * blocks + 7) & ~7
  }

  private mutating func mendFooter() {
    guard let start = footerOffset, let length = bodyLength,
      start + length + Self.tableLength(length) == trailerOffset
    else { return }
    let salt = bytes.u64(trailerOffset + 32)
    let copy = 112 * Int(bytes.u32(trailerOffset + 56))
    if mending.contains(.heads), copy + SegmentHeader.copyLength <= length {
      bytes.put(checksum(start + copy..<start + copy + 60), at: start + copy + 60)
      let list = start + copy + SegmentHeader.copyLength
      mendList(at: list, count: bytes.u32(start + copy + 56))
    }
    let table = start + length
    for (number, block) in stride(from: 0, to: length, by: FooterTrailer.blockLength).enumerated() {
      let end = start + min(block + FooterTrailer.blockLength, length)
      let sum = checksum(start + block..<end, (salt, UInt64(start + block)))
      bytes.put(sum, at: table + 4 * number)
    }
    bytes.put(checksum(table..<trailerOffset, (salt, UInt64(table))), at: trailerOffset + 120)
    bytes.put(checksum(trailerOffset..<trailerOffset + 124), at: trailerOffset + 124)
  }

  private mutating func rebuildFooter(at end: Int) {
    let end = end & ~7
    guard end >= recordsStart else { return }
    let copy = Array(bytes[..<SegmentHeader.copyLength])
    guard let found = try? SegmentHeader.decodeCopy(copy.span.bytes, id: id) else { return }
    var header = found.header
    if found.replaced > 0 {
      let list = Array(bytes[SegmentHeader.fixedLength..<recordsStart])
      guard
        let replaced = try? SegmentHeader.decodeReplaced(
          list.span.bytes, count: found.replaced, salt: salt)
      else { return }
      header.replaced = replaced
    }
    var footer = FooterBuilder()
    Records.forEach(in: bytes, from: recordsStart, to: end, salt: salt) { header, offset in
      if !footer.isFull(adding: 1) { footer.add(header, at: UInt64(offset)) }
    }
    bytes = bytes[..<end] + footer.encoded(header: header, footerOffset: UInt64(end))
  }

  private func checksum(_ range: Range<Int>, _ seed: (UInt64, UInt64)? = nil) -> UInt32 {
    var checksum = seed.map { CRC32C(seed: $0.0, $0.1) } ?? CRC32C()
    bytes.withUnsafeBytes { checksum.add(UnsafeRawBufferPointer(rebasing: $0[range])) }
    return checksum.value
  }
}
