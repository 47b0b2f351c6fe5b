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

  // To wake a thread takes some 50 us, as long as LZ4 takes for 20 KiB.
  static let lengthForTwo = 128 << 10
  // So many have enough blocks for each of two threads; of fewer each block is halved.
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
    if payload.count < Self.lengthForTwo {
      length = block.compress(
        payload, codec, to: UnsafeMutableRawBufferPointer(rebasing: output[..<payload.count]))
    } else if blocks < Self.blocksForTwo {
      length = compressHalves(payload, codec, blocks, to: output)
    } else {
      length = compressByTwo(payload, codec, blocks, to: output)
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
    let other = other()
    let lengthOfSecond = Result(0)
    var end = table
    share(
      { lengthOfSecond.value = second.compress(with: other, at: secondStart) },
      { end += first.compress(with: block, at: table) })
    output.baseAddress!.advanced(by: end).copyMemory(
      from: output.baseAddress!.advanced(by: secondStart), byteCount: lengthOfSecond.value)
    return end + lengthOfSecond.value
  }

  /// Each of two threads takes one half of every block.
  private func compressHalves(
    _ payload: UnsafeRawBufferPointer, _ codec: Codec, _ blocks: Int,
    to output: UnsafeMutableRawBufferPointer
  ) -> Int? {
    let table = blocks == 1 ? 0 : 4 * blocks
    let parts = (0..<blocks).map { index in
      let start = index * Codec.blockLength
      let end = min(start + Codec.blockLength, payload.count)
      return HalvedBlock(
        block: UnsafeRawBufferPointer(rebasing: payload[start..<end]), codec: codec,
        room: UnsafeMutableRawBufferPointer(rebasing: output[table + start..<table + end]))
    }
    let other = other()
    let seconds = Result<[Int?]>([])
    var firsts: [Int?] = []
    share(
      { seconds.value = parts.map { $0.compressSecond(with: other) } },
      { firsts = parts.map { $0.compressFirst(with: block) } })
    var end = table
    for (index, part) in parts.enumerated() {
      let length = part.join(firsts[index], seconds.value[index], with: block)
      if blocks == 1 { return length }
      end = part.place(length, index, at: end, of: output)
    }
    return end
  }

  private func share(_ theirs: @escaping @Sendable () -> Void, _ ours: () -> Void) {
    if let assistant { return assistant.share(theirs, ours) }
    ours()
    theirs()
  }

  /// What a second thread works with.
  private func other() -> BlockEncoder {
    let other = otherBlock ?? BlockEncoder()
    otherBlock = other
    return other
  }

  /// Written by the one thread before the other knows that it is done.
  private final class Result<Value>: @unchecked Sendable {
    var value: Value
    init(_ value: Value) { self.value = value }
  }
}
