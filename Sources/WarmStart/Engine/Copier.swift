// Copies records from one segment: stored payloads and their checksums as they are, after checking.

/// Reads records of one file through a window, checks them, and hands them on.
final class Copier {
  /// Why a record was not copied.
  enum Failure: Error {
    case stop(Compactor.Stop)
    /// It is not what was written: which part.
    case damaged(String)
  }

  private let compactor: Compactor
  private let file: any File
  private let header: SegmentHeader
  /// Of a sealed segment: its footer has copies of the headers.
  private let sealedID: SegmentID?
  /// Whether the footer's copy of a header was needed, and of which.
  private(set) var usedSpare = false
  /// See ``usedSpare``.
  private(set) var spareAt: UInt64 = 0

  private let window: UnsafeMutableRawBufferPointer
  private var windowStart: UInt64 = 0
  private var windowCount = 0

  private static let windowLength = 1 << 20

  init(_ compactor: Compactor, _ file: any File, _ header: SegmentHeader, _ sealedID: SegmentID?) {
    self.compactor = compactor
    self.file = file
    self.header = header
    self.sealedID = sealedID
    window = .allocate(byteCount: Self.windowLength, alignment: 16)
  }

  deinit { window.deallocate() }

  /// Copies a record; without an output only checks it.
  func copy(_ record: Merge.Kept, to output: MergeOutput?) throws(Failure) {
    let whole = record.headerLength + record.storedLength
    // Of a record alone no more is read than it is long.
    let ahead = output == nil ? min(whole, Self.windowLength) : Self.windowLength
    let bytes = try bytes(record.headerLength, at: record.offset, reading: ahead)
    let decoded = try decode(bytes, record)
    guard decoded.storedLength == record.storedLength, decoded.key == record.key else {
      throw .damaged("record of another key")
    }
    try give { () throws(FileError) in try output?.begin(decoded) }
    var checksum = CRC32C()
    var at = record.offset + UInt64(record.headerLength)
    var left = record.storedLength
    while left > 0 {
      let piece = try self.bytes(min(left, Self.windowLength), at: at, reading: ahead, orLess: true)
      checksum.add(piece)
      try give { () throws(FileError) in try output?.append(piece) }
      at += UInt64(piece.count)
      left -= piece.count
    }
    guard checksum.value == decoded.storedChecksum else { throw .damaged("payload checksum") }
    try give { () throws(FileError) in try output?.end() }
  }

  private func decode(
    _ bytes: UnsafeRawBufferPointer, _ record: Merge.Kept
  ) throws(Failure) -> RecordHeader {
    do throws(FormatError) {
      return try RecordHeader.decode(bytes.bytes, offset: record.offset, salt: header.salt)
    } catch {
      guard let sealedID,
        let spare = SegmentReader(file: file, id: sealedID)
          .spareHeader(at: record.offset, key: record.key)
      else { throw .damaged("record header") }
      if !usedSpare { spareAt = record.offset }
      usedSpare = true
      return spare
    }
  }

  /// `count` bytes at `offset`, or as many of them as are in the window; `reading` are read at once.
  private func bytes(
    _ count: Int, at offset: UInt64, reading ahead: Int, orLess: Bool = false
  ) throws(Failure) -> UnsafeRawBufferPointer {
    let isInside = offset >= windowStart && offset < windowStart + UInt64(windowCount)
    let available = isInside ? windowCount - Int(offset - windowStart) : 0
    if available < count, !orLess || available == 0 {
      do throws(FileError) {
        windowCount = try file.read(
          into: UnsafeMutableRawBufferPointer(rebasing: window[..<max(ahead, count)]), at: offset)
      } catch { throw .stop(.failed(.file(error))) }
      windowStart = offset
      do throws(Compactor.Stop) { try compactor.took(windowCount) } catch { throw .stop(error) }
    }
    let start = Int(offset - windowStart)
    let got = min(count, windowCount - start)
    guard got == count || orLess && got > 0 else {
      throw .damaged("the file ends within the record")
    }
    return UnsafeRawBufferPointer(rebasing: window[start..<start + got])
  }

  private func give(_ body: () throws(FileError) -> Void) throws(Failure) {
    do throws(FileError) { try body() } catch { throw .stop(.failed(.file(error))) }
  }
}
