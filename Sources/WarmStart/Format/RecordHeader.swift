// The header of a record: everything about the record but its payload.
//
//   prefix 24 bytes | fixed part | run id, producer, label | zeros | checksum
//
// The prefix has a checksum of its own and gives all lengths, so that no length is used before a
// checksum over it has passed. Both checksums are seeded with the segment's salt and the record's
// offset: bytes of another segment, or of another place, are never taken for a record.

/// What a record is.
package enum RecordKind: UInt8, Sendable {
  case checkpoint = 1
  case final = 2
  /// Everything of its key that is not newer is gone.
  case removal = 3
  /// Its key was looked up at the write time.
  case accessMark = 4

  package var isEntry: Bool { self == .checkpoint || self == .final }
}

/// Texts of a record that was decoded before: one that is decoded after it shares those that are the same.
package struct RecordTexts: Sendable {
  var runID = ""
  var producer = ""

  package init() {}
  init(_ header: RecordHeader) { (runID, producer) = (header.runID, header.producer) }

  func areThose(of header: RecordHeader) -> Bool {
    runID.hasSameBytes(as: header.runID) && producer.hasSameBytes(as: header.producer)
  }
}

/// Where a record was first written. Copies carry it along, so that no copy changes an order.
package struct Origin: Hashable, Comparable, Sendable {
  package var segment: SegmentID
  /// Counts the records of that segment, from 0.
  package var number: UInt32

  package init(segment: SegmentID, number: UInt32) {
    self.segment = segment
    self.number = number
  }

  package static func < (left: Origin, right: Origin) -> Bool {
    (left.segment, left.number) < (right.segment, right.number)
  }
}

package struct RecordHeader: Equatable, Sendable {
  package var kind: RecordKind
  package var codec: Codec = .stored
  /// Nanoseconds since 1970, strictly increasing over what its writer had seen.
  package var stamp: UInt64
  /// Nanoseconds since 1970, as the clock said.
  package var writeTime: UInt64
  package var origin: Origin
  package var key: Fingerprint
  /// Never NaN or infinite.
  package var objective: Double?
  package var iteration: UInt64?
  /// Empty for removals and access marks, as all three texts may be.
  package var runID: String = ""
  package var producer: String = ""
  package var label: String = ""
  /// Counts the records of this segment, from 0.
  package var number: UInt32
  /// Bytes of the payload before and after compression.
  package var rawLength: Int = 0
  package var storedLength: Int = 0
  /// CRC32C of the payload before and after compression, both carried along by every copy.
  package var rawChecksum: UInt32 = 0
  package var storedChecksum: UInt32 = 0
  /// Bytes of this segment that were known to be on stable storage when the record was written.
  package var syncedBytes: UInt64 = 0

  package init(
    kind: RecordKind, stamp: UInt64, writeTime: UInt64, origin: Origin, key: Fingerprint,
    number: UInt32
  ) {
    self.kind = kind
    self.stamp = stamp
    self.writeTime = writeTime
    self.origin = origin
    self.key = key
    self.number = number
  }

  /// Whether every byte of the two would be the same.
  package func isIdentical(to other: RecordHeader) -> Bool {
    self == other && runID.hasSameBytes(as: other.runID)
      && producer.hasSameBytes(as: other.producer) && label.hasSameBytes(as: other.label)
  }

  package static let prefixLength = 24
  package static let fixedLength = 132
  package static let magic: UInt32 = 0x6345_5257  // "WREc"
  package static let longest = length(
    texts: FormatLimits.runID + FormatLimits.producer + FormatLimits.label)

  static func length(texts: Int) -> Int { (fixedLength + texts + 4).aligned(to: 8) }

  /// Bytes of this header.
  package var length: Int {
    Self.length(texts: runID.utf8.count + producer.utf8.count + label.utf8.count)
  }

  /// Bytes of the whole record: header, stored payload, zeros up to a multiple of 8.
  package var recordLength: Int { length + storedLength.aligned(to: 8) }
}

/// Lengths of a record, from its first 24 bytes.
package struct RecordPrefix: Equatable, Sendable {
  package var headerLength: Int
  package var storedLength: Int
  package var kind: UInt8

  package var recordLength: Int { headerLength + storedLength.aligned(to: 8) }
}

private enum Flag {
  static let objective: UInt16 = 1
  static let iteration: UInt16 = 2
  static let known: UInt16 = objective | iteration
}

extension RecordHeader {
  /// Writes the header to the start of `bytes`, for the given place. Gives its length.
  @discardableResult
  package func encode(to bytes: UnsafeMutableRawBufferPointer, offset: UInt64, salt: UInt64) -> Int
  {
    let length = length
    precondition(bytes.count >= length && offset % 8 == 0)
    bytes.put(Self.magic, at: 0)
    bytes.put(UInt32(storedLength), at: 4)
    bytes.put(UInt16(length), at: 8)
    bytes.put(kind.rawValue, at: 10)
    bytes.put(codec.rawValue, at: 11)
    let flags = (objective == nil ? 0 : Flag.objective) | (iteration == nil ? 0 : Flag.iteration)
    bytes.put(flags, at: 12)
    bytes.put(UInt8(runID.utf8.count), at: 14)
    bytes.put(UInt8(label.utf8.count), at: 15)
    bytes.put(UInt16(producer.utf8.count), at: 16)
    bytes.put(UInt16(0), at: 18)
    bytes.put(Self.checksum(bytes, 0..<20, offset: offset, salt: salt), at: 20)
    bytes.put(UInt32(rawLength), at: 24)
    bytes.put(rawChecksum, at: 28)
    bytes.put(storedChecksum, at: 32)
    bytes.put(number, at: 36)
    bytes.put(stamp, at: 40)
    bytes.put(writeTime, at: 48)
    bytes.put(syncedBytes, at: 56)
    bytes.put(key, at: 64)
    bytes.put(objective?.bitPattern ?? 0, at: 96)
    bytes.put(iteration ?? 0, at: 104)
    bytes.put(origin.segment.creation, at: 112)
    bytes.put(origin.segment.random, at: 120)
    bytes.put(origin.number, at: 128)
    var at = Self.fixedLength
    for text in [runID, producer, label] {
      bytes.put(text, at: at)
      at += text.utf8.count
    }
    bytes.zero(at..<length - 4)
    bytes.put(Self.checksum(bytes, 0..<length - 4, offset: offset, salt: salt), at: length - 4)
    return length
  }

  private static func checksum(
    _ bytes: UnsafeMutableRawBufferPointer, _ range: Range<Int>, offset: UInt64, salt: UInt64
  ) -> UInt32 {
    var checksum = CRC32C(seed: salt, offset)
    checksum.add(UnsafeRawBufferPointer(rebasing: bytes[range]))
    return checksum.value
  }

  /// The lengths of the record at `offset`; nil if no record begins there.
  package static func decodePrefix(_ bytes: RawSpan, offset: UInt64, salt: UInt64) -> RecordPrefix?
  {
    guard bytes.byteCount >= prefixLength, bytes.u32(0) == magic else { return nil }
    var checksum = CRC32C(seed: salt, offset)
    bytes.checksum(0..<20, into: &checksum)
    guard checksum.value == bytes.u32(20) else { return nil }
    let prefix = RecordPrefix(
      headerLength: Int(bytes.u16(8)), storedLength: Int(bytes.u32(4)), kind: bytes.u8(10))
    guard prefix.headerLength % 8 == 0,
      (length(texts: 0)...longest).contains(prefix.headerLength),
      prefix.storedLength <= FormatLimits.payload
    else { return nil }
    return prefix
  }

  /// Whether the whole header at `offset`, of which `decodePrefix` gave the length, is intact.
  package static func isIntact(_ bytes: RawSpan, offset: UInt64, salt: UInt64) -> Bool {
    var checksum = CRC32C(seed: salt, offset)
    bytes.checksum(0..<bytes.byteCount - 4, into: &checksum)
    return checksum.value == bytes.u32(bytes.byteCount - 4)
  }

  /// The header at `offset`, from exactly its bytes. Texts that are the same as the given ones share their memory.
  package static func decode(
    _ bytes: RawSpan, offset: UInt64, salt: UInt64, sharing known: RecordTexts = RecordTexts()
  ) throws(FormatError) -> RecordHeader {
    guard let prefix = decodePrefix(bytes, offset: offset, salt: salt),
      prefix.headerLength == bytes.byteCount
    else { throw .malformed("record prefix") }
    guard isIntact(bytes, offset: offset, salt: salt) else {
      throw .malformed("record header checksum")
    }
    guard let kind = RecordKind(rawValue: prefix.kind) else {
      throw .malformed("unknown record kind \(prefix.kind)")
    }
    guard let codec = Codec(rawValue: bytes.u8(11)) else {
      throw .malformed("unknown codec \(bytes.u8(11))")
    }
    let flags = bytes.u16(12)
    guard flags & ~Flag.known == 0, bytes.u16(18) == 0 else {
      throw .malformed("reserved bits of a record header")
    }
    var header = RecordHeader(
      kind: kind, stamp: bytes.u64(40), writeTime: bytes.u64(48),
      origin: Origin(
        segment: SegmentID(creation: bytes.u64(112), random: bytes.u64(120)),
        number: bytes.u32(128)),
      key: bytes.fingerprint(64), number: bytes.u32(36))
    header.codec = codec
    if flags & Flag.objective != 0 { header.objective = Double(bitPattern: bytes.u64(96)) }
    if flags & Flag.iteration != 0 { header.iteration = bytes.u64(104) }
    header.rawLength = Int(bytes.u32(24))
    header.storedLength = prefix.storedLength
    header.rawChecksum = bytes.u32(28)
    header.storedChecksum = bytes.u32(32)
    header.syncedBytes = bytes.u64(56)
    guard header.syncedBytes <= offset else { throw .malformed("synced beyond its own place") }
    guard flags & Flag.objective != 0 || bytes.u64(96) == 0,
      flags & Flag.iteration != 0 || bytes.u64(104) == 0
    else { throw .malformed("a value without its flag") }
    try header.decodeTexts(bytes, sharing: known)
    let isRunIDKnown = !known.runID.isEmpty && header.runID.hasSameBytes(as: known.runID)
    try header.check(isRunIDKnown: isRunIDKnown)
    return header
  }

  private mutating func decodeTexts(
    _ bytes: RawSpan, sharing known: RecordTexts
  ) throws(FormatError) {
    let producerStart = Self.fixedLength + Int(bytes.u8(14))
    let labelStart = producerStart + Int(bytes.u16(16))
    let end = labelStart + Int(bytes.u8(15))
    guard bytes.byteCount == Self.length(texts: end - Self.fixedLength) else {
      throw .malformed("lengths of a record header")
    }
    guard let runID = bytes.text(Self.fixedLength..<producerStart, sharing: known.runID),
      let producer = bytes.text(producerStart..<labelStart, sharing: known.producer),
      let label = bytes.text(labelStart..<end, sharing: "")
    else { throw .malformed("text is not UTF-8") }
    guard bytes.isZero(end..<bytes.byteCount - 4) else { throw .malformed("header padding") }
    (self.runID, self.producer, self.label) = (runID, producer, label)
  }

  /// What an intact header, of whatever kind, says of how far its segment was on stable storage.
  static func syncedBytes(_ bytes: RawSpan) -> UInt64 { bytes.u64(56) }

  /// Refuses what no writer of this format writes. `isRunIDKnown` if the run id has passed before.
  package func check(isRunIDKnown: Bool = false) throws(FormatError) {
    guard stamp > 0, stamp < FormatLimits.stamp else { throw .malformed("stamp out of range") }
    guard producer.utf8.count <= FormatLimits.producer, label.utf8.count <= FormatLimits.label
    else {
      throw .malformed("text too long")
    }
    if let objective, !objective.isFinite { throw .malformed("objective is not finite") }
    guard rawLength <= FormatLimits.payload, storedLength <= rawLength,
      FormatLimits.plausible(raw: rawLength, stored: storedLength)
    else { throw .malformed("payload length") }
    if codec == .stored, storedLength != rawLength || storedChecksum != rawChecksum {
      throw .malformed("stored payload with two lengths or checksums")
    }
    guard rawLength > 0 || codec == .stored else { throw .malformed("empty payload with a codec") }
    guard storedLength > 0 || rawLength == 0 else { throw .malformed("payload of nothing") }
    if kind.isEntry {
      guard isRunIDKnown || RunID(runID) != nil else { throw .malformed("run id") }
    } else {
      guard runID.isEmpty || RunID(runID) != nil else { throw .malformed("run id") }
      guard rawLength == 0, rawChecksum == 0 else { throw .malformed("\(kind) with a payload") }
    }
  }
}

extension RawSpan {
  func fingerprint(_ offset: Int) -> Fingerprint {
    Fingerprint(
      words: (
        u64(offset).byteSwapped, u64(offset + 8).byteSwapped, u64(offset + 16).byteSwapped,
        u64(offset + 24).byteSwapped
      ))
  }
}

extension UnsafeMutableRawBufferPointer {
  func put(_ key: Fingerprint, at offset: Int) {
    put(key.words.0.byteSwapped, at: offset)
    put(key.words.1.byteSwapped, at: offset + 8)
    put(key.words.2.byteSwapped, at: offset + 16)
    put(key.words.3.byteSwapped, at: offset + 24)
  }
}
