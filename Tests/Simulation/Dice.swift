// Every decision of a simulation is a throw of these dice, so that a seed says everything.

/// Numbers from a seed: splitmix64.
package final class Dice: @unchecked Sendable {
  private var state: UInt64
  private var bytes: ArraySlice<UInt8>
  /// Whether there were bytes, and all of them were used.
  package private(set) var isUsedUp = false

  /// Decisions from bytes, which somebody mutates: each takes one of them, or as many as its bound has.
  /// Mere noise, and what is decided once they are used up, comes from a seed that is always the same.
  package init(bytes: ArraySlice<UInt8>) {
    self.bytes = bytes
    state = 0
  }

  package init(_ seed: UInt64) {
    bytes = []
    state = seed &* 0x9e37_79b9_7f4a_7c15 &+ 0x1234_5678_9abc_def1
  }

  /// Sixty-four bits.
  package func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    return mixed(state)
  }

  /// A number below the bound.
  package func below(_ bound: Int) -> Int {
    Int((decision(below: bound) ?? next()) % UInt64(bound))
  }

  /// From the bytes, if there are any left.
  private func decision(below bound: Int) -> UInt64? {
    var word: UInt64 = 0
    var rest = bound - 1
    guard !bytes.isEmpty else { return nil }
    while rest > 0, let byte = bytes.popFirst() {
      word = word << 8 | UInt64(byte)
      rest >>= 8
    }
    isUsedUp = bytes.isEmpty
    return word
  }

  package func within(_ range: ClosedRange<Int>) -> Int {
    range.lowerBound + below(range.count)
  }

  /// Yes, once in so many throws on average; never for 0.
  package func once(in turns: Int) -> Bool { turns > 0 && below(turns) == 0 }

  package func pick<Element>(_ elements: [Element]) -> Element { elements[below(elements.count)] }
}

/// Bits that look like noise and follow from these.
package func mixed(_ bits: UInt64) -> UInt64 {
  var word = bits
  word = (word ^ (word >> 30)) &* 0xbf58_476d_1ce4_e5b9
  word = (word ^ (word >> 27)) &* 0x94d0_49bb_1331_11eb
  return word ^ (word >> 31)
}
