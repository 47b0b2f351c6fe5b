// Compressing payloads: which codec, and the blocks.

internal import CLZ4

/// A payload as it goes to disk.
package struct EncodedPayload {
  package var codec: Codec
  package var storedLength: Int
  package var rawChecksum: UInt32
  package var storedChecksum: UInt32
}

/// Compresses payloads. Keeps its working memory; not for two threads at once.
package final class PayloadEncoder {
  private let assistant: Assistant?
  private let block = BlockEncoder()
  // What a second thread works with; made when a payload is long enough for one.
  private var otherBlock: BlockEncoder?
  private var trial: [UInt8]
  /// What the last trial chose, and what the payload that it was made on became.
  private var lastChoice = Choice()

  // A sample must be long enough to show repetition and short against the payload.
  private static let sampleLength = 2048
  private static let smallest = 64
  // The payloads of a fit are alike: what did best on one serves for so many after it, for twice as many each time
  // that it does best again, unless one of them shrinks less by an eighth.
  // Even, so that of two fits in turns not always the same one chooses.
  private static let shortestLife = 16
  private static let longestLife = 128
  private static let tolerance = 1.125

  private struct Choice {
    var codec: Codec = .stored
    var ratio = 1.0
    var uses = 0
    var life = shortestLife

    var isOver: Bool { uses >= life }
  }

  // To wake a thread takes some 50 us; four blocks take a millisecond.
  private static let blocksForTwo = 4

  /// With an assistant long payloads are compressed on two threads, the caller's and its.
  package init(_ assistant: Assistant? = nil) {
    self.assistant = assistant
    trial = Array(repeating: 0, count: Int(LZ4_compressBound(CInt(Self.sampleLength))))
  }

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
    guard lastChoice.codec != .stored, !lastChoice.isOver,
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
    let before = lastChoice
    lastChoice = Choice()
    guard let codec = choose(payload), let length = compress(payload, codec, to: output) else {
      return nil
    }
    lastChoice = Choice(codec: codec, ratio: Double(length) / Double(payload.count))
    if before.isOver, before.codec == codec {
      lastChoice.life = min(2 * before.life, Self.longestLife)
    }
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
    let shuffledLength = block.withShuffled(sample, trialLength)
    if plain <= shuffledLength { return plain <= worthwhile ? .lz4 : nil }
    return shuffledLength <= worthwhile ? .shuffledLZ4 : nil
  }

  private func trialLength(_ sample: UnsafeRawBufferPointer) -> Int {
    trial.withUnsafeMutableBytes { block.compress(sample, .lz4, to: $0) ?? sample.count }
  }

  /// The stored length, or nil if it is not a sixteenth below the raw one.
  private func compress(
    _ payload: UnsafeRawBufferPointer, _ codec: Codec, to output: UnsafeMutableRawBufferPointer
  ) -> Int? {
    let blocks = (payload.count + Codec.blockLength - 1) / Codec.blockLength
    let length: Int?
    switch blocks {
    case 1:
      let room = UnsafeMutableRawBufferPointer(
        rebasing: output[..<min(payload.count, output.count)])
      length = block.compress(payload, codec, to: room)
    case Self.blocksForTwo... where assistant != nil:
      length = compressByTwo(payload, codec, blocks, to: output)
    default:
      let part = BlockPart(blocks: 0..<blocks, payload: payload, codec: codec, output: output)
      length = 4 * blocks + part.compress(with: block, at: 4 * blocks)
    }
    let limit = payload.count - payload.count / 16
    return length.flatMap { $0 <= limit ? $0 : nil }
  }

  /// Each of two threads takes one half of the blocks.
  private func compressByTwo(
    _ payload: UnsafeRawBufferPointer, _ codec: Codec, _ blocks: Int,
    to output: UnsafeMutableRawBufferPointer
  ) -> Int {
    let middle = blocks / 2
    let first = BlockPart(blocks: 0..<middle, payload: payload, codec: codec, output: output)
    let second = BlockPart(blocks: middle..<blocks, payload: payload, codec: codec, output: output)
    let table = 4 * blocks
    // Behind the most that the first can take.
    let secondStart = table + middle * Codec.blockLength
    let other = otherBlock ?? BlockEncoder()
    otherBlock = other
    let lengthOfSecond = Result()
    let work: @Sendable () -> Void = {
      lengthOfSecond.value = second.compress(with: other, at: secondStart)
    }
    var end = table
    assistant?.share(work) { end += first.compress(with: block, at: table) }
    output.baseAddress!.advanced(by: end).copyMemory(
      from: output.baseAddress!.advanced(by: secondStart), byteCount: lengthOfSecond.value)
    return end + lengthOfSecond.value
  }

  /// Written by the one thread before the other knows that it is done.
  private final class Result: @unchecked Sendable { var value = 0 }
}

/// Some of the blocks of a payload, for one thread; no other writes to what it writes to.
private struct BlockPart: @unchecked Sendable {
  let blocks: Range<Int>
  let payload: UnsafeRawBufferPointer
  let codec: Codec
  let output: UnsafeMutableRawBufferPointer

  /// Puts the blocks to `start` of the output and on, and their lengths into its table. Gives how many bytes
  /// they take: not more than the raw ones.
  func compress(with encoder: BlockEncoder, at start: Int) -> Int {
    var at = start
    for index in blocks {
      let first = index * Codec.blockLength
      let end = min(first + Codec.blockLength, payload.count)
      let block = UnsafeRawBufferPointer(rebasing: payload[first..<end])
      let room = UnsafeMutableRawBufferPointer(rebasing: output[at..<at + block.count])
      if let length = encoder.compress(block, codec, to: room), length < block.count {
        output.put(UInt32(length), at: 4 * index)
        at += length
      } else {
        room.copyMemory(from: block)
        output.put(UInt32(block.count) | Codec.storedBlock, at: 4 * index)
        at += block.count
      }
    }
    return at - start
  }
}

/// Compresses blocks; for one thread at a time.
private final class BlockEncoder: @unchecked Sendable {
  private let state = UnsafeMutableRawPointer.allocate(
    byteCount: Int(LZ4_sizeofState()), alignment: 16)
  private let shortStream = LZ4_createStream()
  private var shuffled: [UInt8] = []

  // To clear the table takes as long as to compress some hundred bytes; a stream need not, but takes longer
  // for each byte.
  private static let short = 1024

  deinit {
    state.deallocate()
    LZ4_freeStream(shortStream)
  }

  /// The stored length; nil if it does not fit into `output`.
  func compress(
    _ block: UnsafeRawBufferPointer, _ codec: Codec, to output: UnsafeMutableRawBufferPointer
  ) -> Int? {
    codec == .lz4
      ? compress(block, to: output) : withShuffled(block) { compress($0, to: output) }
  }

  private func compress(
    _ block: UnsafeRawBufferPointer, to output: UnsafeMutableRawBufferPointer
  ) -> Int? {
    let source = block.baseAddress!.assumingMemoryBound(to: CChar.self)
    let target = output.baseAddress!.assumingMemoryBound(to: CChar.self)
    let (count, room) = (CInt(block.count), CInt(output.count))
    let length: CInt
    if block.count <= Self.short, let shortStream {
      LZ4_resetStream_fast(shortStream)
      length = LZ4_compress_fast_continue(shortStream, source, target, count, room, 1)
      // What is left behind by a failure is not to be used.
      if length <= 0 { LZ4_initStream(shortStream, MemoryLayout<LZ4_stream_t>.size) }
    } else {
      length = LZ4_compress_fast_extState(state, source, target, count, room, 1)
    }
    return length > 0 ? Int(length) : nil
  }

  func withShuffled<Result>(
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
