// One LZ4 block of two that were compressed apart, so that two threads can make it.
//
// A block is a row of sequences: some literals, then a copy of what stood a distance before. The last sequence is
// literals alone. Distances count from where they are used and never reach back into the other block, so the two
// become one when the first's last literals go in front of those that the second begins with.
// (LZ4 block format description, github.com/lz4/lz4, doc/lz4_Block_format.md.)

package enum LZ4Joining {
  /// Makes one block, from the start of `memory` on, of one that stands there and is `first` bytes long, and one of
  /// `second` bytes at `start`, behind it. Gives its length, which is at most that of both; nil if the first is no
  /// block.
  package static func join(
    _ memory: UnsafeMutableRawBufferPointer, first: Int, second: Int, at start: Int
  ) -> Int? {
    precondition(first > 0 && second > 0 && first <= start && start + second <= memory.count)
    let bytes = UnsafeRawBufferPointer(memory)
    guard
      let last = lastLiterals(UnsafeRawBufferPointer(rebasing: bytes[..<first])),
      let next = literals(UnsafeRawBufferPointer(rebasing: bytes[start..<start + second]), at: 0)
    else { return nil }
    let token = bytes[start]
    let count = last.count + next.count
    let literalsStart = last.token + 1 + extensionLength(count)
    let rest = second - next.start
    let restStart = literalsStart + last.count
    // From behind, so that nothing is written over that has yet to be moved.
    let base = memory.baseAddress!
    base.advanced(by: restStart).copyMemory(
      from: base.advanced(by: start + next.start), byteCount: rest)
    base.advanced(by: literalsStart).copyMemory(
      from: base.advanced(by: last.start), byteCount: last.count)
    memory[last.token] = UInt8(min(count, 15)) << 4 | token & 15
    if count >= 15 {
      var left = count - 15
      var at = last.token + 1
      while left >= 255 {
        memory[at] = 255
        at += 1
        left -= 255
      }
      memory[at] = UInt8(left)
    }
    return restStart + rest
  }

  /// The literals of one sequence: where its token is, where they start, and how many there are.
  private struct Literals {
    var token: Int
    var start: Int
    var count: Int
  }

  private static func lastLiterals(_ block: UnsafeRawBufferPointer) -> Literals? {
    var at = 0
    while let found = literals(block, at: at) {
      let end = found.start + found.count
      if end == block.count { return found }
      at = end + 2
      if block[found.token] & 15 == 15 {
        while at < block.count, block[at] == 255 { at += 1 }
        at += 1
      }
    }
    return nil
  }

  /// Nil if they do not lie within the block.
  private static func literals(_ block: UnsafeRawBufferPointer, at token: Int) -> Literals? {
    guard token < block.count else { return nil }
    var count = Int(block[token] >> 4)
    var start = token + 1
    if count == 15 {
      var more: UInt8 = 255
      while more == 255 {
        guard start < block.count else { return nil }
        more = block[start]
        start += 1
        count += Int(more)
      }
    }
    return count <= block.count - start
      ? Literals(token: token, start: start, count: count) : nil
  }

  /// How many bytes behind the token it takes to say how many literals there are.
  private static func extensionLength(_ count: Int) -> Int {
    count < 15 ? 0 : (count - 15) / 255 + 1
  }
}
