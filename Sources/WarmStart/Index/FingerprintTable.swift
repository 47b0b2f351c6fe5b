// From a fingerprint to a dense number.
//
// An open-addressing table with linear probing: eight bytes a slot, of which half are the top of the
// hash, so that a miss rarely touches a key. A key is a SHA-256 as a rule, but may be made by hand, or
// by an enemy, so that its words are mixed with a seed. Numbers are given out in the order of
// arrival and never taken back.

package struct FingerprintTable: Sendable {
  // number + 1 below, the top half of the hash above; 0 is empty.
  private var slots: [UInt64]
  private var mask: Int
  private var bound: Int
  package private(set) var keys: [Fingerprint] = []

  /// Numbers are 31 bits.
  package static let limit = 1 << 31 - 2

  package init() {
    slots = Array(repeating: 0, count: 16)
    mask = 15
    bound = 12
  }

  /// Of this process alone, so that nobody can make up keys that all fall into one place.
  private static let seed = (UInt64.random(in: 0 ... .max), UInt64.random(in: 0 ... .max) | 1)

  private static func hash(_ key: Fingerprint) -> UInt64 {
    let first = (key.words.0 ^ seed.0).multipliedFullWidth(by: seed.1 ^ key.words.1)
    let mixed = (first.high ^ first.low ^ key.words.2).multipliedFullWidth(by: seed.1 ^ key.words.3)
    return mixed.high ^ mixed.low
  }

  /// The number of a key, or nil.
  package func number(of key: Fingerprint) -> Int? {
    let hash = Self.hash(key)
    var at = Int(truncatingIfNeeded: hash) & mask
    while slots[at] != 0 {
      if slots[at] >> 32 == hash >> 32 {
        let number = Int(slots[at] & 0xffff_ffff) - 1
        if keys[number] == key { return number }
      }
      at = (at + 1) & mask
    }
    return nil
  }

  /// The number of a key, a new one if it had none.
  package mutating func insert(_ key: Fingerprint) -> (number: Int, isNew: Bool) {
    if let number = number(of: key) { return (number, false) }
    precondition(keys.count < Self.limit)
    if keys.count == bound { grow(to: slots.count * 2) }
    keys.append(key)
    place(keys.count - 1, Self.hash(key))
    return (keys.count - 1, true)
  }

  /// Makes room for this many keys in all.
  package mutating func reserve(_ count: Int) {
    keys.reserveCapacity(count)
    var size = slots.count
    while size * 3 / 4 < count { size *= 2 }
    if size > slots.count { grow(to: size) }
  }

  private mutating func place(_ number: Int, _ hash: UInt64) {
    var at = Int(truncatingIfNeeded: hash) & mask
    while slots[at] != 0 { at = (at + 1) & mask }
    slots[at] = (hash & ~0xffff_ffff) | UInt64(number + 1)
  }

  private mutating func grow(to size: Int) {
    slots = Array(repeating: 0, count: size)
    mask = size - 1
    bound = size / 4 * 3
    for (number, key) in keys.enumerated() { place(number, Self.hash(key)) }
  }
}
