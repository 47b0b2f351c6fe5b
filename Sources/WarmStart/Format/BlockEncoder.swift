// Compressing blocks of payloads: one thread's part of the work.

internal import CLZ4

/// Some of the blocks of a payload, for one thread; no other writes to what it writes to.
struct BlockPart: @unchecked Sendable {
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

/// A block that two threads compress, a half each, and that is stored as any other.
struct HalvedBlock: @unchecked Sendable {
  let block: UnsafeRawBufferPointer
  let codec: Codec
  /// As long as the block.
  let room: UnsafeMutableRawBufferPointer

  // What is behind many full blocks may be a few bytes.
  private static let shortest = 4096

  private var isHalved: Bool { block.count >= Self.shortest }
  /// Whole numbers, and of shuffled ones as many of their bytes on either side.
  private var middle: Int { block.count / 8 * 4 }

  /// The stored length of the first half, or of a block that is not worth two threads; nil if it does not shrink.
  func compressFirst(with encoder: BlockEncoder) -> Int? {
    guard isHalved else { return encoder.compress(block, codec, to: room) }
    return encoder.compress(
      block, half: .first, middle, codec,
      to: UnsafeMutableRawBufferPointer(rebasing: room[..<middle]))
  }

  /// The same of the second, which goes behind the most that the first can take.
  func compressSecond(with encoder: BlockEncoder) -> Int? {
    guard isHalved else { return nil }
    return encoder.compress(
      block, half: .second, middle, codec,
      to: UnsafeMutableRawBufferPointer(rebasing: room[middle...]))
  }

  /// Makes one of the two. Gives the stored length, nil if it does not shrink.
  func join(_ first: Int?, _ second: Int?, with encoder: BlockEncoder) -> Int? {
    guard isHalved else { return first }
    if let first, let second,
      let length = LZ4Joining.join(room, first: first, second: second, at: middle)
    {
      return length
    }
    // One half does not shrink; both together may.
    return encoder.compress(block, codec, to: room)
  }

  /// Moves what was made of the block, the `index`th, to its place, and notes it in the table. Gives where the next
  /// one goes.
  func place(
    _ length: Int?, _ index: Int, at start: Int, of output: UnsafeMutableRawBufferPointer
  ) -> Int {
    let shrunk = length.flatMap { $0 < block.count ? $0 : nil }
    output.put(shrunk.map(UInt32.init) ?? UInt32(block.count) | Codec.storedBlock, at: 4 * index)
    let from = shrunk == nil ? block : UnsafeRawBufferPointer(room)
    let count = shrunk ?? block.count
    output.baseAddress!.advanced(by: start).copyMemory(from: from.baseAddress!, byteCount: count)
    return start + count
  }
}

/// Compresses blocks; for one thread at a time.
final class BlockEncoder: @unchecked Sendable {
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

  /// The same of one half of a block, which the other begins behind `middle`.
  func compress(
    _ block: UnsafeRawBufferPointer, half: Shuffle.Half, _ middle: Int, _ codec: Codec,
    to output: UnsafeMutableRawBufferPointer
  ) -> Int? {
    let range = half == .first ? 0..<middle : middle..<block.count
    guard codec == .shuffledLZ4 else {
      return compress(UnsafeRawBufferPointer(rebasing: block[range]), to: output)
    }
    return withShuffled(
      range.count, { Shuffle.forward(block, half, to: $0) }, { compress($0, to: output) })
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
    withShuffled(block.count, { Shuffle.forward(block, to: $0) }, body)
  }

  private func withShuffled<Result>(
    _ length: Int, _ shuffle: (UnsafeMutableRawBufferPointer) -> Void,
    _ body: (UnsafeRawBufferPointer) -> Result
  ) -> Result {
    if shuffled.count < length {
      shuffled = Array(repeating: 0, count: length.aligned(to: 4096))
    }
    return shuffled.withUnsafeMutableBytes { buffer in
      let target = UnsafeMutableRawBufferPointer(rebasing: buffer[..<length])
      shuffle(target)
      return body(UnsafeRawBufferPointer(target))
    }
  }
}
