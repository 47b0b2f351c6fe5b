// From a fingerprint to a dense number.
//
// An open-addressing table with linear probing: eight bytes a slot, of which half are the top of the
// key, so that a miss rarely touches a key. A key is a SHA-256 as a rule and needs no hashing; words
// are mixed all the same, since keys may be made by hand. Numbers are given out in the order of
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

  private static func hash(_ key: Fingerprint) -> UInt64 {
    let mixed = (key.words.0 ^ key.words.2.byteSwapped) &* 0x9e37_79b9_7f4a_7c15
    return mixed ^ key.words.1 ^ key.words.3
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
