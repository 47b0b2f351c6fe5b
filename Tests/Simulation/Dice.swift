// Every decision of a simulation is a throw of these dice, so that a seed says everything.

/// Numbers from a seed: splitmix64.
package final class Dice: @unchecked Sendable {
  private var state: UInt64

  package init(_ seed: UInt64) { state = seed &* 0x9e37_79b9_7f4a_7c15 &+ 0x1234_5678_9abc_def1 }

  /// Sixty-four bits.
  package func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    return mixed(state)
  }

  /// A number below the bound.
  package func below(_ bound: Int) -> Int { Int(next() % UInt64(bound)) }

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
