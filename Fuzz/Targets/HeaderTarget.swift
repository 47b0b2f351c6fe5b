// Headers. What decodes was written by somebody who encodes so; and every byte counts.

import WarmStart

enum HeaderTarget {
  /// A byte that says what it is and whether its checksums are mended, the salt, the offset, the header.
  static func run(_ bytes: [UInt8]) throws(Finding) {
    var input = Input(bytes)
    let what = input.byte()
    let salt = input.number(UInt64.self)
    let offset = UInt64(input.number(UInt32.self)) * 8
    let header = input.all()
    if what & 1 == 0 {
      try record(what & 2 == 0 ? header : mended(header, offset, salt), offset, salt)
    } else {
      try segment(header, isMended: what & 2 != 0)
    }
  }

  private static func mended(_ header: [UInt8], _ offset: UInt64, _ salt: UInt64) -> [UInt8] {
    var bytes = header
    for end in [20, Int(bytes.count >= 10 ? bytes.u16(8) : 0) - 4]
    where end >= 20 && end + 4 <= bytes.count {
      var checksum = CRC32C(seed: salt, offset)
      bytes.withUnsafeBytes { checksum.add(UnsafeRawBufferPointer(rebasing: $0[..<end])) }
      bytes.put(checksum.value, at: end)
    }
    return bytes
  }

  private static func record(
    _ bytes: [UInt8], _ offset: UInt64, _ salt: UInt64
  ) throws(Finding) {
    guard let prefix = RecordHeader.decodePrefix(bytes.span.bytes, offset: offset, salt: salt)
    else { return }
    guard bytes.count >= prefix.headerLength else { return }
    let exact = Array(bytes[..<prefix.headerLength])
    let header: RecordHeader
    do throws(FormatError) {
      header = try RecordHeader.decode(exact.span.bytes, offset: offset, salt: salt)
    } catch { return }
    try require(
      RecordHeader.isIntact(exact.span.bytes, offset: offset, salt: salt), "decoded, not intact")
    try require(header.length == prefix.headerLength, "length \(header.length) is not the prefix's")
    try require(header.recordLength == prefix.recordLength, "record length is not the prefix's")
    var encoded = [UInt8](repeating: 0xa5, count: header.length)
    encoded.withUnsafeMutableBytes { _ = header.encode(to: $0, offset: offset, salt: salt) }
    try require(encoded == exact, "a record header is encoded otherwise than it was decoded from")
  }

  private static func segment(_ bytes: [UInt8], isMended: Bool) throws(Finding) {
    guard bytes.count >= SegmentHeader.fixedLength else { return }
    let bytes =
      isMended ? Mender.mend(bytes, .heads, isSealed: false) : bytes
    let id = SegmentID(creation: bytes.u64(24), random: bytes.u64(32))
    var header: SegmentHeader
    let count: Int
    do throws(FormatError) {
      (header, count) = try SegmentHeader.decodeCopy(bytes.span.bytes, id: id)
      if count > 0 {
        header.replaced = try SegmentHeader.decodeReplaced(
          bytes.span.bytes.extracting(SegmentHeader.fixedLength..<bytes.count), count: count,
          salt: header.salt)
      }
    } catch { return }
    let encoded = header.encoded()
    try require(header.replaced.count == count, "\(header.replaced.count) of \(count) are listed")
    try require(encoded.count == header.recordsStart, "the first record begins elsewhere")
    try require(
      encoded[..<SegmentHeader.copyLength] == bytes[..<SegmentHeader.copyLength],
      "a segment header is encoded otherwise than it was decoded from")
    try require(
      encoded[SegmentHeader.fixedLength...] == bytes[SegmentHeader.fixedLength..<encoded.count],
      "a list of segments is encoded otherwise than it was decoded from")
  }
}
