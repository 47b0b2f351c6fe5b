// Byte shuffling for arrays of 8-byte numbers: all first bytes, then all second bytes, and so on.
// Numbers of like size share their high bytes, so that LZ4 finds runs where it found none before.
// What remains behind the last whole number keeps its place. The transposition of bytes is that of
// the "shuffle" filter of HDF5 and Blosc.

package enum Shuffle {
  /// `output` has the length of `input`.
  package static func forward(
    _ input: UnsafeRawBufferPointer, to output: UnsafeMutableRawBufferPointer
  ) {
    precondition(input.count == output.count)
    let count = input.count / 8
    guard count > 0 else { return output.copyMemory(from: input) }
    let source = input.baseAddress!
    let target = output.baseAddress!.assumingMemoryBound(to: UInt8.self)
    for index in 0..<count {
      let word = UInt64(
        littleEndian: source.loadUnaligned(fromByteOffset: 8 * index, as: UInt64.self))
      for byte in 0..<8 {
        target[byte &* count &+ index] = UInt8(truncatingIfNeeded: word &>> UInt64(8 &* byte))
      }
    }
    for offset in 8 * count..<input.count { target[offset] = input[offset] }
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
