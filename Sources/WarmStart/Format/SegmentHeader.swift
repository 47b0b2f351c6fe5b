// The first bytes of a segment.
//
// The header stands twice, one copy behind the other: without the salt no record of a log could be
// told from noise, so a single damaged place must not take both.

/// What a segment says of itself.
package struct SegmentHeader: Equatable, Sendable {
  package var id: SegmentID
  /// Seeds the checksums of everything in the segment, so that bytes of another never pass.
  package var salt: UInt64
  /// Nanoseconds since 1970.
  package var creation: UInt64
  /// The segments that this one, a compaction's output, takes the place of.
  package var replaced: [SegmentID] = []
  /// Features that a program must know to write the segment's records anew; this version knows none,
  /// so a segment that has any is read but never compacted.
  package var writeFeatures: UInt32 = 0

  /// Bytes of one copy.
  package static let copyLength = 64
  /// Bytes before the list of replaced segments, or before the records if there is none.
  package static let fixedLength = 2 * copyLength

  package static let magic: [UInt8] = [
    0x89, 0x57, 0x53, 0x53, 0x45, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0x00, 0x01,
  ]

  /// Where the first record begins.
  package var recordsStart: UInt64 { UInt64(Self.recordsStart(replaced: replaced.count)) }

  static func recordsStart(replaced count: Int) -> Int {
    fixedLength + (count == 0 ? 0 : (16 * count + 4).aligned(to: 8))
  }

  package init(id: SegmentID, salt: UInt64, creation: UInt64, replaced: [SegmentID] = []) {
    precondition(replaced.count <= FormatLimits.replaced)
    self.id = id
    self.salt = salt
    self.creation = creation
    self.replaced = replaced
  }

  /// The bytes up to the first record.
  package func encoded() -> [UInt8] {
    let copy = encodedCopy()
    return copy + copy + encodedReplaced()
  }

  func encodedCopy() -> [UInt8] {
    var bytes = Self.magic
    bytes.append(littleEndian: FormatLimits.version)
    bytes.append(littleEndian: UInt16(0))
    bytes.append(littleEndian: UInt32(0))  // features needed for reading
    bytes.append(littleEndian: writeFeatures)
    bytes.append(littleEndian: id.creation)
    bytes.append(littleEndian: id.random)
    bytes.append(littleEndian: salt)
    bytes.append(littleEndian: creation)
    bytes.append(littleEndian: UInt32(replaced.count))
    bytes.append(littleEndian: bytes.withUnsafeBytes(CRC32C.of))
    assert(bytes.count == Self.copyLength)
    return bytes
  }

  func encodedReplaced() -> [UInt8] {
    guard !replaced.isEmpty else { return [] }
    var bytes: [UInt8] = []
    for id in replaced {
      bytes.append(littleEndian: id.creation)
      bytes.append(littleEndian: id.random)
    }
    var checksum = CRC32C(seed: salt, UInt64(Self.fixedLength))
    bytes.withUnsafeBytes { checksum.add($0) }
    bytes.append(littleEndian: checksum.value)
    bytes.pad(toMultipleOf: 8)
    return bytes
  }

  /// What one copy says, without the list of replaced segments, of which it gives the count.
  package static func decodeCopy(
    _ bytes: RawSpan, id: SegmentID
  ) throws(FormatError) -> (header: SegmentHeader, replaced: Int) {
    guard bytes.byteCount >= copyLength else { throw .malformed("segment header cut short") }
    for (offset, byte) in magic.enumerated() where bytes.u8(offset) != byte {
      throw .malformed("segment header without its magic number")
    }
    var checksum = CRC32C()
    bytes.checksum(0..<60, into: &checksum)
    guard checksum.value == bytes.u32(60) else { throw .malformed("segment header checksum") }
    // The version and the feature bits come before everything else: later formats keep only these.
    guard bytes.u16(12) == FormatLimits.version, bytes.u32(16) == 0 else {
      throw .laterFormat(version: bytes.u16(12), features: bytes.u32(16))
    }
    var header = SegmentHeader(
      id: SegmentID(creation: bytes.u64(24), random: bytes.u64(32)), salt: bytes.u64(40),
      creation: bytes.u64(48))
    header.writeFeatures = bytes.u32(20)
    guard header.id == id else { throw .malformed("segment header of another segment") }
    let count = Int(bytes.u32(56))
    guard bytes.u16(14) == 0, count <= FormatLimits.replaced else {
      throw .malformed("segment header out of limits")
    }
    return (header, count)
  }

  /// The list of `count` replaced segments, from the bytes that follow the two copies.
  package static func decodeReplaced(
    _ bytes: RawSpan, count: Int, salt: UInt64
  ) throws(FormatError) -> [SegmentID] {
    let length = 16 * count
    guard bytes.byteCount >= (length + 4).aligned(to: 8) else {
      throw .malformed("list of replaced segments cut short")
    }
    var checksum = CRC32C(seed: salt, UInt64(fixedLength))
    bytes.checksum(0..<length, into: &checksum)
    guard checksum.value == bytes.u32(length),
      bytes.isZero(length + 4..<(length + 4).aligned(to: 8))
    else { throw .malformed("list of replaced segments checksum") }
    return (0..<count).map {
      SegmentID(creation: bytes.u64(16 * $0), random: bytes.u64(16 * $0 + 8))
    }
  }
}

/// Why bytes are not what they should be.
package enum FormatError: Error, Hashable, Sendable {
  /// Not what any writer of this format would have written.
  case malformed(String)
  /// Written by a later version, in a way that this one cannot read.
  case laterFormat(version: UInt16, features: UInt32)
}
