// What is written: every byte follows from a seed and a number, so that whoever finds an entry can
// tell whether it is what was saved.

import Glibc
package import WarmStart

/// Numbers from a seed: SplitMix64.
package struct SplitMix: RandomNumberGenerator {
  private var state: UInt64

  package init(_ seed: UInt64) { state = seed }

  package mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var word = state
    word = (word ^ (word >> 30)) &* 0xbf58_476d_1ce4_e5b9
    word = (word ^ (word >> 27)) &* 0x94d0_49bb_1331_11eb
    return word ^ (word >> 31)
  }

  /// The generator that belongs to two numbers.
  package init(_ seed: UInt64, _ number: UInt64) {
    var first = SplitMix(seed)
    self.init(first.next() ^ (number &* 0xd6e8_feb8_6659_fd93))
  }
}

/// One entry that somebody writes. `number` is its iteration and names it in all the store.
package struct Write: Hashable, Sendable {
  package let seed: UInt64
  package let number: UInt64
  package let key: Int
  package let kind: EntryKind
  package let objective: Double?
  package let length: Int

  /// How many keys a run of a script writes to.
  package static let keys = 4

  /// Any key, either kind, 1 KiB to 1 MiB: small ones and large ones are equally likely.
  package init(seed: UInt64, number: UInt64) {
    var random = SplitMix(seed, number)
    self.seed = seed
    self.number = number
    key = Int.random(in: 0..<Self.keys, using: &random)
    kind = Int.random(in: 0..<6, using: &random) == 0 ? .final : .checkpoint
    objective =
      Int.random(in: 0..<8, using: &random) == 0
      ? nil : Double.random(in: -1000...1000, using: &random)
    length = Int(exp2(Double.random(in: 10...20, using: &random)))
  }

  /// A checkpoint of 16 KiB of one of many writers: to the writer's own key, or to the key shared by
  /// all, which is the last.
  package init(seed: UInt64, writer: Int, index: Int, to key: Int) {
    self.seed = seed
    number = UInt64(writer) << 32 | UInt64(index)
    self.key = key
    kind = .checkpoint
    var random = SplitMix(seed, number)
    objective = Double.random(in: 1...1000, using: &random)
    length = 16 << 10
  }

  package var label: String { "key \(key)" }

  /// The run of a write that belongs to no session.
  package var run: RunID { RunID("run \(number >> 32), write \(number & 0xffff_ffff)")! }

  /// The fingerprint of a key.
  package static func fingerprint(_ key: Int) -> Fingerprint {
    var fingerprinter = Fingerprinter()
    fingerprinter.absorb(UInt64(key), tag: "key")
    return fingerprinter.finalize()
  }

  /// What is saved. A third is noise, a third shrinks well, a third only when shuffled.
  package var payload: [UInt8] {
    // Plain loops: the tests run in debug builds, too.
    var random = SplitMix(~seed, number)
    var words = [UInt64](repeating: 0, count: (length + 7) / 8)
    words.withUnsafeMutableBufferPointer { words in
      let count = words.count
      var index = 0
      var word = random.next()
      var walk = 1.0
      while index < count {
        // Xorshift.
        word ^= word << 13
        word ^= word >> 7
        word ^= word << 17
        if number % 3 == 0 {
          words[index] = word
        } else if number % 3 == 1 {
          words[index] = word & 0x0f
        } else {
          walk += Double(word >> 40) * 1e-9
          words[index] = walk.bitPattern
        }
        index += 1
      }
    }
    return words.withUnsafeBytes { [UInt8]($0[..<length]) }
  }

  /// What an entry that claims to be this write has wrong; nil if nothing. Run and producer are not
  /// looked at.
  package func discrepancy(_ entry: WarmStartEntry) -> String? {
    if entry.key != Self.fingerprint(key) { return "is of another key" }
    if entry.iteration != number { return "has iteration \(entry.iteration ?? 0)" }
    if entry.objective != objective { return "has objective \(entry.objective ?? .nan)" }
    if entry.label != label { return "has label \(entry.label ?? "none")" }
    if entry.payload.count != length { return "has \(entry.payload.count) bytes" }
    let same = payload.withUnsafeBytes { mine in
      entry.payload.withUnsafeBytes { memcmp(mine.baseAddress!, $0.baseAddress!, length) == 0 }
    }
    return same ? nil : "has other bytes"
  }

  /// Whether this one is found rather than the other, by a lookup for the best.
  package func isBetter(than other: Write) -> Bool {
    switch (objective, other.objective) {
    case (let mine?, let its?) where mine != its: mine < its
    case (_?, nil): true
    case (nil, _?): false
    default: number > other.number
    }
  }
}
