import CLZ4
import Glibc
import TestSupport
import Testing

import WarmStart

@Suite struct LZ4JoiningTests {
  private func compress(_ raw: [UInt8]) -> [UInt8] {
    var block = [UInt8](repeating: 0, count: Int(LZ4_compressBound(CInt(raw.count))))
    let length = raw.withUnsafeBytes { raw in
      block.withUnsafeMutableBytes {
        LZ4_compress_default(
          raw.baseAddress!.assumingMemoryBound(to: CChar.self),
          $0.baseAddress!.assumingMemoryBound(to: CChar.self), CInt(raw.count), CInt($0.count))
      }
    }
    return Array(block[..<Int(length)])
  }

  private func decompress(_ block: [UInt8], length: Int) throws -> [UInt8] {
    var raw = [UInt8](repeating: 0, count: length)
    try block.withUnsafeBytes { block in
      try raw.withUnsafeMutableBytes { try PayloadDecoder.decode(block, .lz4, to: $0) }
    }
    return raw
  }

  /// Both blocks in memory that ends with the second, `gap` bytes apart.
  private func join(_ first: [UInt8], _ second: [UInt8], gap: Int = 0) -> [UInt8]? {
    var memory = first + [UInt8](repeating: 0xee, count: gap) + second
    let length = memory.withUnsafeMutableBytes {
      LZ4Joining.join($0, first: first.count, second: second.count, at: first.count + gap)
    }
    return length.map { Array(memory[..<$0]) }
  }

  /// Literals in every number around those at which their count takes one byte more, with and without matches.
  @Test func literalsOfEveryCountMeet() throws {
    let counts = [0, 1, 2, 7, 9, 10, 13, 14, 15, 16, 250, 268, 269, 270, 271, 524, 525, 526, 1000]
    let match = [UInt8](repeating: 9, count: 100)
    for before in counts {
      for after in counts {
        let (end, begin) = (
          Payloads.noise(before + 5, seed: 3), Payloads.noise(after + 1, seed: 4)
        )
        for (left, right) in [
          (end, begin), (match + end, begin), (end, begin + match), (match + end, begin + match),
        ] {
          let (first, second) = (compress(left), compress(right))
          for gap in [0, 1, 300] {
            let joined = try #require(join(first, second, gap: gap))
            #expect(joined.count <= first.count + second.count)
            #expect(try decompress(joined, length: left.count + right.count) == left + right)
          }
        }
      }
    }
  }

  @Test func blocksOfEveryKindBecomeOne() throws {
    let random = SeededRandom(seed: 11)
    for _ in 0..<400 {
      let parts = (0..<2).map { _ in
        let length = Int(random.next() % 70_000) + 1
        switch random.next() % 4 {
        case 0: return Payloads.noise(length, seed: random.next())
        case 1: return [UInt8](repeating: 5, count: length)
        case 2: return Array(Payloads.walk(length / 8 + 1, seed: random.next())[..<length])
        default: return Array(Payloads.sparse(length / 8 + 1, seed: random.next())[..<length])
        }
      }
      let joined = try #require(join(compress(parts[0]), compress(parts[1])))
      let raw = parts[0] + parts[1]
      #expect(try decompress(joined, length: raw.count) == raw)
    }
  }

  /// What is no block is never joined to anything, and nothing outside of it is read.
  @Test func whatIsCutShortIsNotJoined() {
    let second = compress(Array(Payloads.sparse(100)))
    #expect(join([0xf0], second) == nil)
    #expect(join([0xf0, 255, 255], second) == nil)
    #expect(join([0x10], second) == nil)
    #expect(join([0x1f, 1, 1, 0, 255], second) == nil)
    #expect(join([0x00, 1], second) == nil)
    #expect(join(second, [0xf0, 255]) == nil)
    #expect(join(second, [0x50, 1]) == nil)
  }
}
