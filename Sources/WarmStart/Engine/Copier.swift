// Copies records from one segment: stored payloads and their checksums as they are, after checking.

/// Reads records of one file through a window, checks them, and hands them on.
final class Copier {
  /// Why a record was not copied.
  enum Failure: Error {
    case failed(StoreError)
    /// It is not what was written: which part.
    case damaged(String)
  }

  private let compactor: Compactor
  private let source: OpenSegment
  /// Where the first header is that is damaged in its place, and was taken from the footer.
  private(set) var spareAt: UInt64?

  private let window: ReadWindow

  init(_ compactor: Compactor, _ source: OpenSegment) {
    self.compactor = compactor
    self.source = source
    window = ReadWindow(source.file)
  }

  /// Copies a record; without an output only checks it.
  func copy(_ record: Merge.Kept, to output: MergeOutput?) throws(Failure) {
    let whole = record.headerLength + record.storedLength
    // Of a record alone no more is read than it is long.
    let ahead = output == nil ? min(whole, ReadWindow.length) : ReadWindow.length
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
      let piece = try self.bytes(min(left, ReadWindow.length), at: at, reading: ahead, orLess: true)
      checksum.add(piece)
      try give { () throws(FileError) in try output?.append(piece) }
      at += UInt64(piece.count)
      left -= piece.count
    }
    guard checksum.value == decoded.storedChecksum else { throw .damaged("payload checksum") }
    try give { () throws(FileError) in try output?.end() }
  }

  /// Whether what the record holds is as it was, although what is stored is not.
  func canRestore(_ record: Merge.Kept) -> Bool {
    do throws(Failure) { try restore(record, to: nil) } catch { return false }
    return true
  }

  /// Copies what a record holds, uncompressed; without an output only checks it.
  func restore(_ record: Merge.Kept, to output: MergeOutput?) throws(Failure) {
    let limit = compactor.engine.options.payloadLimit
    guard record.storedLength <= limit else { throw .damaged("payload over the limit") }
    let bytes: [UInt8]?
    do throws(FileError) {
      bytes = try source.file.read(record.headerLength + record.storedLength, at: record.offset)
    } catch { throw .failed(.file(error)) }
    guard let bytes else { throw .damaged("the file ends within the record") }
    var header = try bytes.withUnsafeBufferPointer { all throws(Failure) in
      try decode(
        UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(all)[..<record.headerLength]),
        record)
    }
    guard header.storedLength == record.storedLength, header.key == record.key,
      header.rawLength <= limit
    else { throw .damaged("record of another key") }
    let payload: [UInt8]
    do throws(SegmentReader.RecordFailure) {
      payload = try bytes.withUnsafeBufferPointer { all throws(SegmentReader.RecordFailure) in
        let all = UnsafeRawBufferPointer(all)
        return try SegmentReader.payload(
          UnsafeRawBufferPointer(rebasing: all[record.headerLength...]), header)
      }
    } catch { throw .damaged("payload checksum") }
    header.codec = .stored
    header.storedLength = payload.count
    header.storedChecksum = header.rawChecksum
    try give { () throws(FileError) in
      try output?.begin(header)
      try payload.withBytesThrowing { all throws(FileError) in try output?.append(all) }
      try output?.end()
    }
  }

  private func decode(
    _ bytes: UnsafeRawBufferPointer, _ record: Merge.Kept
  ) throws(Failure) -> RecordHeader {
    do throws(FormatError) {
      return try RecordHeader.decode(bytes.bytes, offset: record.offset, salt: source.header.salt)
    } catch {
      var spare: RecordHeader?
      do throws(StoreError) {
        if source.isSealed {
          spare = try source.reader.spareHeader(at: record.offset, key: record.key)
        }
      } catch { throw .failed(error) }
      guard let spare else { throw .damaged("record header") }
      spareAt = spareAt ?? record.offset
      return spare
    }
  }

  /// `count` bytes at `offset`, or as many of them as are in the window; `reading` are read at once.
  private func bytes(
    _ count: Int, at offset: UInt64, reading ahead: Int, orLess: Bool = false
  ) throws(Failure) -> UnsafeRawBufferPointer {
    let bytes: UnsafeRawBufferPointer?
    do throws(FileError) {
      bytes = try window.bytes(count, at: offset, ahead: ahead, orLess: orLess)
    } catch { throw .failed(.file(error)) }
    let fresh = window.takeFresh()
    if fresh > 0 {
      do throws(StoreError) { try compactor.took(fresh) } catch { throw .failed(error) }
    }
    guard let bytes else { throw .damaged("the file ends within the record") }
    return bytes
  }

  private func give(_ body: () throws(FileError) -> Void) throws(Failure) {
    do throws(FileError) { try body() } catch { throw .failed(.file(error)) }
  }
}
