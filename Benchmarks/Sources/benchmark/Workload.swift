// The data that is written: the same for every store, from one generator.

import CLZ4Bare
import WarmStart

/// xorshift64*.
struct Generator {
  private var state: UInt64

  init(seed: UInt64 = 42) { state = seed }

  mutating func next() -> UInt64 {
    state ^= state >> 12
    state ^= state << 25
    state ^= state >> 27
    return state &* 2_685_821_657_736_338_717
  }
}

/// Payloads as sparse fits save them: half of the numbers are zero, the others have three decimals.
struct Payloads {
  private let payloads: [[UInt8]]

  /// Payloads of `bytes` bytes, a multiple of 8: a mebibyte of them in all, at least 4, at most 1024.
  init(bytes: Int) {
    var generator = Generator()
    let count = min(max((1 << 20) / bytes, 4), 1024)
    payloads = (0..<count).map { _ in
      let values = (0..<bytes / 8).map { _ -> Double in
        if generator.next() >> 63 == 1 { return 0 }
        let uniform = Double(generator.next() >> 11) * 0x1p-53
        return ((uniform * 20 - 10) * 1000).rounded(.toNearestOrAwayFromZero) / 1000
      }
      return values.withUnsafeBytes { Array($0) }
    }
  }

  subscript(index: Int) -> [UInt8] { payloads[index % payloads.count] }
  /// How many there are before they come again.
  var count: Int { payloads.count }

  /// Bytes that LZ4 by itself makes of the payloads of those records.
  func compressedBytes(of records: Range<Int>) -> Int {
    let lengths = payloads.map { payload in
      let bound = LZ4_compressBound(Int32(payload.count))
      return withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(bound)) { target in
        payload.withUnsafeBytes {
          Int(
            LZ4_compress_default(
              $0.baseAddress!.assumingMemoryBound(to: CChar.self), target.baseAddress!,
              Int32($0.count), bound))
        }
      }
    }
    return records.reduce(0) { $0 + lengths[$1 % lengths.count] }
  }
}

/// The i-th key: four words of splitmix64.
func key(_ index: Int) -> Fingerprint {
  func word(_ number: Int) -> UInt64 {
    var z = UInt64(4 * index + number + 1) &* 0x9e37_79b9_7f4a_7c15
    z = (z ^ z >> 30) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ z >> 27) &* 0x94d0_49bb_1331_11eb
    return (z ^ z >> 31).littleEndian
  }
  // Without an array: this is within what is timed.
  return withUnsafeBytes(of: (word(0), word(1), word(2), word(3))) { Fingerprint(bytes: $0)! }
}
