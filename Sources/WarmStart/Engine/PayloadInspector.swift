// Holds stored payloads against both their checksums, block by block: memory does not grow with them.

/// Inspects payloads of one segment. For one thread.
final class PayloadInspector {
  private let window: ReadWindow
  private let raw: UnsafeMutableRawBufferPointer
  private let scratch: UnsafeMutableRawBufferPointer
  /// Hears of the bytes read.
  private let progress: (Int) -> Void

  /// Bytes of a stored block at most: LZ4 makes a block longer by a 255th where it does not shrink.
  private static let longestBlock = Codec.blockLength + Codec.blockLength / 255 + 16

  init(_ window: ReadWindow, progress: @escaping (Int) -> Void) {
    self.window = window
    raw = .allocate(byteCount: Codec.blockLength, alignment: 16)
    scratch = .allocate(byteCount: Codec.blockLength, alignment: 16)
    self.progress = progress
  }

  deinit {
    raw.deallocate()
    scratch.deallocate()
  }

  /// What is wrong with the payload behind the header, or with the zeros that follow it.
  enum Fault {
    case lost(String)
    /// The stored bytes are as they were, and do not give what was saved.
    case unfaithful(String)
    /// The payload is as it was.
    case harmless(String)
  }

  /// What is wrong with the record at `offset`, whose header is intact; nil if nothing is.
  func fault(of header: RecordHeader, at offset: UInt64) throws(FileError) -> Fault? {
    defer { tell() }
    var stored = Stored(
      offset: offset + UInt64(header.length), left: header.storedLength, checksum: CRC32C())
    let end = stored.offset + UInt64(header.storedLength)
    let rawChecksum = try checksumOfRaw(header, &stored)
    while stored.left > 0 {
      guard try piece(&stored) != nil else { return .lost("the file ends within the record") }
    }
    if stored.checksum.value != header.storedChecksum {
      // Some changes of a compressed payload change nothing of what comes out.
      return rawChecksum == header.rawChecksum
        ? .harmless("stored payload checksum; what it holds is as it was")
        : .lost("stored payload checksum")
    }
    guard let rawChecksum else { return .unfaithful("payload does not decompress") }
    if rawChecksum != header.rawChecksum { return .unfaithful("payload checksum") }
    let padding = Int(end.aligned(to: 8) - end)
    guard padding > 0 else { return nil }
    guard let zeros = try window.bytes(padding, at: end) else {
      return .lost("the file ends within the record")
    }
    return zeros.bytes.isZero(0..<padding) ? nil : .harmless("padding is not zero")
  }

  /// What is still to be read of a stored payload.
  private struct Stored {
    var offset: UInt64
    var left: Int
    var checksum: CRC32C
  }

  /// The next so many bytes, or fewer if no count is given; nil if they are not there.
  private func piece(_ stored: inout Stored, _ count: Int? = nil) throws(FileError)
    -> UnsafeRawBufferPointer?
  {
    let wanted = count ?? min(stored.left, ReadWindow.length)
    guard wanted <= stored.left,
      let bytes = try window.bytes(wanted, at: stored.offset, orLess: count == nil)
    else { return nil }
    tell()
    stored.checksum.add(bytes)
    stored.offset += UInt64(bytes.count)
    stored.left -= bytes.count
    return bytes
  }

  private func tell() {
    let fresh = window.takeFresh()
    if fresh > 0 { progress(fresh) }
  }

  /// The checksum of the payload as it was saved; nil if that cannot be restored.
  private func checksumOfRaw(
    _ header: RecordHeader, _ stored: inout Stored
  ) throws(FileError) -> UInt32? {
    guard header.codec != .stored else {
      guard header.rawLength == header.storedLength else { return nil }
      while stored.left > 0 {
        guard try piece(&stored) != nil else { return nil }
      }
      return stored.checksum.value
    }
    let blocks = (header.rawLength + Codec.blockLength - 1) / Codec.blockLength
    guard blocks > 0, let words = try table(blocks, &stored) else { return nil }
    var checksum = CRC32C()
    var rawLeft = header.rawLength
    for word in words {
      let length = Int(word & ~Codec.storedBlock)
      guard length <= Self.longestBlock, let block = try piece(&stored, length) else { return nil }
      let output = UnsafeMutableRawBufferPointer(rebasing: raw[..<min(rawLeft, raw.count)])
      do throws(FormatError) {
        try PayloadDecoder.decodeBlock(
          block, word & Codec.storedBlock != 0 ? .stored : header.codec, to: output,
          scratch: scratch)
      } catch { return nil }
      checksum.add(UnsafeRawBufferPointer(output))
      rawLeft -= output.count
    }
    return stored.left == 0 ? checksum.value : nil
  }

  /// The stored lengths of the blocks.
  private func table(_ blocks: Int, _ stored: inout Stored) throws(FileError) -> [UInt32]? {
    if blocks == 1 { return [UInt32(clamping: stored.left)] }
    // A payload of 2 GiB has 32 KiB of them.
    guard 4 * blocks <= ReadWindow.length, let table = try piece(&stored, 4 * blocks) else {
      return nil
    }
    return (0..<blocks).map {
      UInt32(littleEndian: table.loadUnaligned(fromByteOffset: 4 * $0, as: UInt32.self))
    }
  }
}
