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

/// A payload as it goes to disk.
package struct EncodedPayload {
  package var codec: Codec
  package var storedLength: Int
  package var rawChecksum: UInt32
  package var storedChecksum: UInt32
}

/// Compresses payloads. Keeps its working memory; not for two threads at once.
package final class PayloadEncoder {
  private let state: UnsafeMutableRawPointer
  private var shuffled: [UInt8] = []
  private var trial: [UInt8]
  /// What the last trial chose, and what the payload that it was made on became.
  private var lastChoice = Choice()

  // A sample must be long enough to show repetition and short against the payload.
  private static let sampleLength = 2048
  private static let smallest = 64
  // The payloads of a fit are alike: what did best on one serves for so many after it, unless one of
  // them shrinks less by an eighth.
  private static let choiceLife = 15
  private static let tolerance = 1.125

  private struct Choice {
    var codec: Codec = .stored
    var ratio = 1.0
    var uses = 0
  }

  package init() {
    state = .allocate(byteCount: Int(LZ4_sizeofState()), alignment: 16)
    trial = Array(repeating: 0, count: Int(LZ4_compressBound(CInt(Self.sampleLength))))
  }

  deinit { state.deallocate() }

  /// The most bytes that `encode` writes for a payload of this length.
  package static func bound(_ length: Int) -> Int {
    let blocks = (length + Codec.blockLength - 1) / Codec.blockLength
    return length + 4 * blocks
  }

  /// Writes `payload` to the start of `output`, of at least `bound` bytes, compressed where that
  /// saves a sixteenth or more.
  package func encode(
    _ payload: UnsafeRawBufferPointer, to output: UnsafeMutableRawBufferPointer
  ) -> EncodedPayload {
    let rawChecksum = CRC32C.of(payload)
    if let (codec, length) = encodeAsBefore(payload, to: output) ?? encodeAnew(payload, to: output)
    {
      let stored = UnsafeRawBufferPointer(rebasing: output[..<length])
      return EncodedPayload(
        codec: codec, storedLength: length, rawChecksum: rawChecksum,
        storedChecksum: CRC32C.of(stored))
    }
    output.copyMemory(from: payload)
    return EncodedPayload(
      codec: .stored, storedLength: payload.count, rawChecksum: rawChecksum,
      storedChecksum: rawChecksum)
  }

  /// With the codec of the payload before; nil if it is time to choose anew.
  private func encodeAsBefore(
    _ payload: UnsafeRawBufferPointer, to output: UnsafeMutableRawBufferPointer
  ) -> (Codec, Int)? {
    guard lastChoice.codec != .stored, lastChoice.uses < Self.choiceLife,
      payload.count >= Self.smallest,
      let length = compress(payload, lastChoice.codec, to: output),
      Double(length) <= lastChoice.ratio * Self.tolerance * Double(payload.count)
    else { return nil }
    lastChoice.uses += 1
    return (lastChoice.codec, length)
  }

  private func encodeAnew(
    _ payload: UnsafeRawBufferPointer, to output: UnsafeMutableRawBufferPointer
  ) -> (Codec, Int)? {
    lastChoice = Choice()
    guard let codec = choose(payload), let length = compress(payload, codec, to: output) else {
      return nil
    }
    lastChoice = Choice(codec: codec, ratio: Double(length) / Double(payload.count))
    return (codec, length)
  }

  /// What does best on a sample from the middle; nil if nothing saves a sixteenth of it.
  private func choose(_ payload: UnsafeRawBufferPointer) -> Codec? {
    guard payload.count >= Self.smallest else { return nil }
    let length = min(payload.count, Self.sampleLength)
    let start = (payload.count - length) / 2 & ~7
    let sample = UnsafeRawBufferPointer(rebasing: payload[start..<start + length])
    let worthwhile = length - length / 16
    let plain = trialLength(sample)
    let shuffledLength = withShuffled(sample, trialLength)
    if plain <= shuffledLength { return plain <= worthwhile ? .lz4 : nil }
    return shuffledLength <= worthwhile ? .shuffledLZ4 : nil
  }

  private func trialLength(_ sample: UnsafeRawBufferPointer) -> Int {
    trial.withUnsafeMutableBytes { compressBlock(sample, to: $0) ?? sample.count }
  }

  /// The stored length, or nil if it is not a sixteenth below the raw one.
  private func compress(
    _ payload: UnsafeRawBufferPointer, _ codec: Codec, to output: UnsafeMutableRawBufferPointer
  ) -> Int? {
    let limit = payload.count - payload.count / 16
    let blocks = (payload.count + Codec.blockLength - 1) / Codec.blockLength
    var at = blocks == 1 ? 0 : 4 * blocks
    for index in 0..<blocks {
      let start = index * Codec.blockLength
      let end = min(start + Codec.blockLength, payload.count)
      let block = UnsafeRawBufferPointer(rebasing: payload[start..<end])
      let room = UnsafeMutableRawBufferPointer(
        rebasing: output[at..<min(at + block.count, output.count)])
      let length =
        codec == .lz4
        ? compressBlock(block, to: room) : withShuffled(block) { compressBlock($0, to: room) }
      if blocks == 1 {
        guard let length, length <= limit else { return nil }
        return length
      }
      if let length, length < block.count {
        output.put(UInt32(length), at: 4 * index)
        at += length
      } else {
        room.copyMemory(from: block)
        output.put(UInt32(block.count) | Codec.storedBlock, at: 4 * index)
        at += block.count
      }
    }
    return at <= limit ? at : nil
  }

  private func compressBlock(
    _ block: UnsafeRawBufferPointer, to output: UnsafeMutableRawBufferPointer
  ) -> Int? {
    let length = LZ4_compress_fast_extState(
      state, block.baseAddress!.assumingMemoryBound(to: CChar.self),
      output.baseAddress!.assumingMemoryBound(to: CChar.self), CInt(block.count),
      CInt(output.count), 1)
    return length > 0 ? Int(length) : nil
  }

  private func withShuffled<Result>(
    _ block: UnsafeRawBufferPointer, _ body: (UnsafeRawBufferPointer) -> Result
  ) -> Result {
    if shuffled.count < block.count {
      shuffled = Array(repeating: 0, count: block.count.aligned(to: 4096))
    }
    return shuffled.withUnsafeMutableBytes { buffer in
      let target = UnsafeMutableRawBufferPointer(rebasing: buffer[..<block.count])
      Shuffle.forward(block, to: target)
      return body(UnsafeRawBufferPointer(target))
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
