// Byte shuffling for arrays of 8-byte numbers: all first bytes, then all second bytes, and so on.
// Numbers of like size share their high bytes, so that LZ4 finds runs where it found none before.
// What remains behind the last whole number keeps its place. The transposition of bytes is that of
// the "shuffle" filter of HDF5 and Blosc.

package enum Shuffle {
  /// A half of what is shuffled: the first four bytes of every number, or the other four and what is behind the last
  /// whole number.
  enum Half {
    case first
    case second
  }

  /// `output` has the length of `input`.
  package static func forward(
    _ input: UnsafeRawBufferPointer, to output: UnsafeMutableRawBufferPointer
  ) {
    precondition(input.count == output.count)
    transpose(input, bytes: 0..<8, to: output)
    copyTail(input, to: output)
  }

  /// Puts one half of what `forward` makes to `output`, which has its length.
  static func forward(
    _ input: UnsafeRawBufferPointer, _ half: Half, to output: UnsafeMutableRawBufferPointer
  ) {
    let middle = input.count / 8 * 4
    switch half {
    case .first:
      precondition(output.count == middle)
      transpose(input, bytes: 0..<4, to: output)
    case .second:
      precondition(output.count == input.count - middle)
      transpose(input, bytes: 4..<8, to: output)
      copyTail(input, to: output)
    }
  }

  // Inlined, so that each range of bytes has a loop without a branch.
  @inline(__always) private static func transpose(
    _ input: UnsafeRawBufferPointer, bytes: Range<Int>, to output: UnsafeMutableRawBufferPointer
  ) {
    let count = input.count / 8
    guard count > 0 else { return }
    let source = input.baseAddress!
    let target = output.baseAddress!.assumingMemoryBound(to: UInt8.self)
    for index in 0..<count {
      let word = UInt64(
        littleEndian: source.loadUnaligned(fromByteOffset: 8 * index, as: UInt64.self))
      for byte in bytes {
        target[(byte &- bytes.lowerBound) &* count &+ index] =
          UInt8(truncatingIfNeeded: word &>> UInt64(8 &* byte))
      }
    }
  }

  /// What is behind the last whole number ends the output as well.
  private static func copyTail(
    _ input: UnsafeRawBufferPointer, to output: UnsafeMutableRawBufferPointer
  ) {
    let tail = input.count % 8
    guard tail > 0 else { return }
    UnsafeMutableRawBufferPointer(rebasing: output[(output.count - tail)...]).copyMemory(
      from: UnsafeRawBufferPointer(rebasing: input[(input.count - tail)...]))
  }

  /// Undoes `forward`.
  package static func backward(
    _ input: UnsafeRawBufferPointer, to output: UnsafeMutableRawBufferPointer
  ) {
    precondition(input.count == output.count)
    let count = input.count / 8
    guard count > 0 else { return output.copyMemory(from: input) }
    let source = input.baseAddress!.assumingMemoryBound(to: UInt8.self)
    let target = output.baseAddress!
    for index in 0..<count {
      var word: UInt64 = 0
      for byte in 0..<8 {
        word |= UInt64(source[byte &* count &+ index]) &<< UInt64(8 &* byte)
      }
      target.storeBytes(of: word.littleEndian, toByteOffset: 8 * index, as: UInt64.self)
    }
    for offset in 8 * count..<input.count { output[offset] = input[offset] }
  }
}
