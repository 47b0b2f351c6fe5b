// Finds the records of a segment by reading it from front to back, payloads skipped.
//
// This is how a log is read, and a sealed segment whose footer is damaged. It decides nothing about
// what a bad place means; see Replay.

/// A record found in its place.
package struct FoundRecord: Sendable {
  package var header: RecordHeader
  package var offset: UInt64
  package var length: UInt64

  package var end: UInt64 { offset + length }
}

/// Reads headers through a window over the file.
final class SegmentScanner {
  let file: any File
  let salt: UInt64
  /// Nothing at or behind this offset is read.
  let end: UInt64
  private let window: UnsafeMutableRawBufferPointer
  private let shared: ReadWindow?
  private var windowStart: UInt64 = 0
  private var windowLength = 0

  private static let windowLength = 64 << 10
  /// What is read where a jump over a payload led: headers are short.
  private static let jumpLength = 4 << 10

  /// With `shared`, everything is read through that window over the file, for one who reads the payloads too.
  init(file: any File, salt: UInt64, end: UInt64, shared: ReadWindow? = nil) {
    self.file = file
    self.salt = salt
    self.end = end
    self.shared = shared
    window = .allocate(byteCount: shared == nil ? Self.windowLength : 0, alignment: 16)
  }

  deinit { window.deallocate() }

  /// What stands where a record could begin.
  enum Look {
    /// A record, with its header.
    case record(FoundRecord)
    /// A record of an optional kind that this version does not know, to be skipped.
    case unknown(length: UInt64, syncedBytes: UInt64)
    /// An intact header that says impossible things, about a record of this length.
    case impossible(length: UInt64, why: String)
    /// A record that reaches beyond the end: in a log that grows, one that is being written.
    case beyond
    /// No record.
    case nothing
  }

  /// What stands at `offset`.
  func look(at offset: UInt64) throws(FileError) -> Look {
    guard let head = try bytes(RecordHeader.prefixLength, at: offset),
      let prefix = RecordHeader.decodePrefix(head.bytes, offset: offset, salt: salt)
    else { return .nothing }
    guard offset + UInt64(prefix.recordLength) <= end else { return .beyond }
    guard let whole = try bytes(prefix.headerLength, at: offset),
      RecordHeader.isIntact(whole.bytes, offset: offset, salt: salt),
      RecordHeader.syncedBytes(whole.bytes) <= offset
    else { return .nothing }
    let length = UInt64(prefix.recordLength)
    do throws(FormatError) {
      let header = try RecordHeader.decode(whole.bytes, offset: offset, salt: salt)
      return .record(FoundRecord(header: header, offset: offset, length: length))
    } catch {
      if prefix.kind >= 0x80 {
        return .unknown(length: length, syncedBytes: RecordHeader.syncedBytes(whole.bytes))
      }
      guard case .malformed(let why) = error else { return .nothing }
      return .impossible(length: length, why: why)
    }
  }

  /// The next offset, from `start` on, at which an intact header stands.
  func nextHeader(from start: UInt64) throws(FileError) -> UInt64? {
    var offset = start
    let step = 8 as UInt64
    while offset + UInt64(RecordHeader.prefixLength) <= end {
      let count = Int(min(UInt64(Self.windowLength), end - offset)) & ~7
      guard count >= RecordHeader.prefixLength, let piece = try bytes(count, at: offset) else {
        return nil
      }
      var candidates: [UInt64] = []
      for at in stride(from: 0, through: count - RecordHeader.prefixLength, by: 8)
      where piece.loadUnaligned(fromByteOffset: at, as: UInt32.self)
        == RecordHeader.magic.littleEndian
      {
        candidates.append(offset + UInt64(at))
      }
      for candidate in candidates {
        switch try look(at: candidate) {
        case .nothing, .beyond: continue
        default: return candidate
        }
      }
      offset += UInt64(count - RecordHeader.prefixLength) + step
      // Terabytes of holes cost an attacker nothing.
      if candidates.isEmpty, piece.bytes.isZero(0..<count) {
        offset = max(offset, min(file.nextData(from: offset), end) & ~7)
      }
    }
    return nil
  }

  /// Whether there are only zeros from `start` to the end.
  func isZero(from start: UInt64) throws(FileError) -> Bool {
    var offset = start
    while offset < end {
      let count = Int(min(UInt64(Self.windowLength), end - offset))
      guard let piece = try bytes(count, at: offset) else { return true }
      guard piece.bytes.isZero(0..<count) else { return false }
      offset += UInt64(count)
      offset = max(offset, min(file.nextData(from: offset), end))
    }
    return true
  }

  /// Whether the stored payload of a record passes its checksum.
  func payloadIsIntact(_ record: some ReplayedRecord) throws(FileError) -> Bool {
    var offset = record.offset + UInt64(record.headerLength)
    var left = record.storedLength
    var checksum = CRC32C()
    while left > 0 {
      let count = min(left, Self.windowLength)
      guard let piece = try bytes(count, at: offset) else { return false }
      checksum.add(piece)
      offset += UInt64(count)
      left -= count
    }
    return checksum.value == record.storedChecksum
  }

  /// Reads anew what was read before.
  func forget() {
    windowLength = 0
    shared?.forget()
  }

  /// `count` bytes at `offset`, valid until the next call; nil where the file ends before.
  func bytes(_ count: Int, at offset: UInt64) throws(FileError) -> UnsafeRawBufferPointer? {
    precondition(count <= Self.windowLength)
    guard offset + UInt64(count) <= end else { return nil }
    if let shared { return try shared.bytes(count, at: offset) }
    let windowEnd = windowStart + UInt64(windowLength)
    if offset < windowStart || offset + UInt64(count) > windowEnd {
      let goesOn = offset >= windowStart && offset <= windowEnd
      let length = max(count, goesOn ? Self.windowLength : Self.jumpLength)
      let room = UnsafeMutableRawBufferPointer(
        rebasing: window[..<Int(min(UInt64(length), end - offset))])
      windowLength = 0
      windowLength = try file.read(into: room, at: offset, orOnly: count)
      windowStart = offset
      guard windowLength >= count else { return nil }
    }
    let at = Int(offset - windowStart)
    return UnsafeRawBufferPointer(rebasing: window[at..<at + count])
  }
}
