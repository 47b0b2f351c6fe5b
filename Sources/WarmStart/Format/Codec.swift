// How payloads are stored.
//
// A compressed payload is cut into blocks of 256 KiB, each compressed for itself, so that large ones
// can be worked on in parallel and memory stays bounded. One block alone is stored as LZ4 made it.
// More are preceded by a table of their stored lengths, four bytes each; the top bit marks a block
// that is stored as it is because it did not shrink.

internal import CLZ4

/// How a payload is stored.
package enum Codec: UInt8, Sendable, CaseIterable {
  /// As it is.
  case stored = 0
  /// LZ4 blocks.
  case lz4 = 1
  /// LZ4 blocks of 8-byte numbers whose first bytes were put together, then the second ones, …
  case shuffledLZ4 = 2

  package static let blockLength = 256 << 10
  static let storedBlock: UInt32 = 1 << 31

  /// For people and scripts.
  package var name: String {
    switch self {
    case .stored: "stored"
    case .lz4: "lz4"
    case .shuffledLZ4: "shuffled-lz4"
    }
  }
}

/// Restores payloads.
package enum PayloadDecoder {
  /// Fills `output`, which has exactly the raw length, from the stored bytes; any lie in them is an
  /// error, and nothing outside of `output` is ever written.
  package static func decode(
    _ stored: UnsafeRawBufferPointer, _ codec: Codec, to output: UnsafeMutableRawBufferPointer
  ) throws(FormatError) {
    guard codec != .stored else {
      guard stored.count == output.count else { throw .malformed("payload length") }
      output.copyMemory(from: stored)
      return
    }
    let blocks = (output.count + Codec.blockLength - 1) / Codec.blockLength
    guard blocks > 0 else { throw .malformed("empty payload with a codec") }
    var at = blocks == 1 ? 0 : 4 * blocks
    guard at <= stored.count else { throw .malformed("block table cut short") }
    for index in 0..<blocks {
      let start = index * Codec.blockLength
      let end = min(start + Codec.blockLength, output.count)
      let target = UnsafeMutableRawBufferPointer(rebasing: output[start..<end])
      var word = UInt32(clamping: stored.count)
      if blocks > 1 {
        word = UInt32(
          littleEndian: stored.loadUnaligned(fromByteOffset: 4 * index, as: UInt32.self))
      }
      let length = Int(word & ~Codec.storedBlock)
      guard length <= stored.count - at else { throw .malformed("block out of bounds") }
      let block = UnsafeRawBufferPointer(rebasing: stored[at..<at + length])
      try decodeBlock(
        block, word & Codec.storedBlock != 0 ? .stored : codec, to: target, scratch: nil)
      at += length
    }
    guard at == stored.count else { throw .malformed("bytes behind the last block") }
  }

  /// Fills `output` from one block. `scratch`, if there is one, has room for a whole block.
  static func decodeBlock(
    _ block: UnsafeRawBufferPointer, _ codec: Codec, to output: UnsafeMutableRawBufferPointer,
    scratch: UnsafeMutableRawBufferPointer?
  ) throws(FormatError) {
    switch codec {
    case .stored:
      guard block.count == output.count else { throw .malformed("stored block length") }
      output.copyMemory(from: block)
    case .lz4:
      try decompress(block, to: output)
    case .shuffledLZ4:
      let own =
        scratch == nil
        ? UnsafeMutableRawBufferPointer.allocate(byteCount: output.count, alignment: 16) : nil
      defer { own?.deallocate() }
      let shuffled = UnsafeMutableRawBufferPointer(rebasing: (scratch ?? own!)[..<output.count])
      try decompress(block, to: shuffled)
      Shuffle.backward(UnsafeRawBufferPointer(shuffled), to: output)
    }
  }

  private static func decompress(
    _ block: UnsafeRawBufferPointer, to output: UnsafeMutableRawBufferPointer
  ) throws(FormatError) {
    guard !block.isEmpty,
      LZ4_decompress_safe(
        block.baseAddress!.assumingMemoryBound(to: CChar.self),
        output.baseAddress!.assumingMemoryBound(to: CChar.self), CInt(block.count),
        CInt(output.count)) == CInt(output.count)
    else { throw .malformed("LZ4 block") }
  }
}
