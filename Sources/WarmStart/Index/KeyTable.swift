// What is known of each key in one row of memory, and from a fingerprint to the number of its row.
//
// An open-addressing table with linear probing: four bytes a slot, of which what the number of a row leaves are bits of
// the hash, so that a miss rarely touches a key. A key is a SHA-256 as a rule, but may be made by hand, or
// by an enemy, so that its words are mixed with a seed. Numbers are given out in the order of
// arrival and never taken back.
//
// Memory by hand: a row is all that most questions need, so it lies together, and several threads may look at a
// table that none of them changes without counting references to it.

/// Rows by key. Not safe for several threads, but to look while none changes it.
package final class KeyTable {
  /// One key and the record of it that counts. 64 bytes: a line of the processor's cache.
  package struct Row: BitwiseCopyable {
    package let key: Fingerprint
    var place: CompactPlace
  }

  // No change calls out of this file.

  // number + 1 below, as many bits as the table can need, and the top of the hash above; 0 is empty.
  @exclusivity(unchecked) private var slots: MemoryTable<UInt32>
  @exclusivity(unchecked) private var mask: Int
  @exclusivity(unchecked) private var numberBits: UInt32
  // How many rows the slots do for.
  @exclusivity(unchecked) private var bound: Int
  @exclusivity(unchecked) private var rows: MemoryTable<Row>
  @exclusivity(unchecked) package private(set) var count = 0

  // Seconds since 1970. Of a save by how it differs from the stamp of the row, bit by bit.
  @exclusivity(unchecked) var savedApart = UseColumn()
  @exclusivity(unchecked) var lookedUp = UseColumn()
  @exclusivity(unchecked) var marked = UseColumn()

  private let hint = TableHint<UInt32>()

  /// What the slots of the largest table do for.
  static let limit = 3 << 29

  private static let leastSlots = 16

  package init() {
    mask = Self.leastSlots - 1
    numberBits = Self.bits(of: mask)
    bound = Self.bound(of: Self.leastSlots)
    slots = MemoryTable(repeating: 0, count: Self.leastSlots)
    rows = MemoryTable(capacity: bound)
    hint.set(slots.base, mask: mask)
  }

  /// A copy, which goes its own way.
  init(copying other: KeyTable) {
    (mask, numberBits, bound, count) = (other.mask, other.numberBits, other.bound, other.count)
    let capacity = max(1, other.count)
    slots = MemoryTable(copying: other.slots, count: mask + 1, capacity: mask + 1)
    rows = MemoryTable(copying: other.rows, count: other.count, capacity: capacity)
    savedApart = UseColumn(copying: other.savedApart, count: other.count, capacity: capacity)
    lookedUp = UseColumn(copying: other.lookedUp, count: other.count, capacity: capacity)
    marked = UseColumn(copying: other.marked, count: other.count, capacity: capacity)
    hint.set(slots.base, mask: mask)
  }

  private static func bits(of mask: Int) -> UInt32 { UInt32(mask.nonzeroBitCount) }
  private static func bound(of slots: Int) -> Int { slots / 4 * 3 }

  /// Rows that there is room for.
  package var capacity: Int { rows.capacity }

  /// The row of a number, where it stays until a row is added or room is made.
  package func row(_ number: Int) -> UnsafeMutablePointer<Row> {
    precondition(number >= 0 && number < count)
    return rows.base + number
  }

  /// Has the processor fetch where a search for the key of a hash begins. Any thread may ask for it at any time.
  func prefetch(_ hash: UInt64) { hint.prefetch(hash) }

  /// The number of a key, or nil.
  package func number(of key: Fingerprint) -> Int? { number(of: key, hash: key.tableHash) }

  /// The same, for who has hashed it.
  func number(of key: Fingerprint, hash: UInt64) -> Int? {
    let top = UInt32(truncatingIfNeeded: hash >> 32)
    let slots = slots.base
    var at = Int(truncatingIfNeeded: hash) & mask
    while slots[at] != 0 {
      if (slots[at] ^ top) >> numberBits == 0 {
        let number = Int(slots[at] & (1 << numberBits - 1)) - 1
        if rows.base[number].key == key { return number }
      }
      at = (at + 1) & mask
    }
    return nil
  }

  /// The number of a key; a new one, of an empty row, if it had none.
  package func insert(_ key: Fingerprint) -> Int {
    let hash = key.tableHash
    if let number = number(of: key, hash: hash) { return number }
    precondition(count < Self.limit)
    if count == bound { growSlots(to: 2 * (mask + 1)) }
    if count == capacity { growRows(to: 2 * capacity) }
    (rows.base + count).initialize(to: Row(key: key, place: CompactPlace(.empty, stamp: 0)))
    count += 1
    enter(count - 1, hash)
    return count - 1
  }

  /// Makes room for this many keys in all.
  package func reserve(_ total: Int) {
    if total > capacity { growRows(to: total) }
    var size = mask + 1
    while Self.bound(of: size) < total { size *= 2 }
    if size > mask + 1 { growSlots(to: size) }
  }

  private func enter(_ number: Int, _ hash: UInt64) {
    var at = Int(truncatingIfNeeded: hash) & mask
    while slots.base[at] != 0 { at = (at + 1) & mask }
    let top = (UInt32(truncatingIfNeeded: hash >> 32) >> numberBits) << numberBits
    slots.base[at] = top | UInt32(number + 1)
  }

  private func growSlots(to size: Int) {
    // Without its memory while there is more.
    slots = MemoryTable(capacity: 1)
    slots = MemoryTable(repeating: 0, count: size)
    mask = size - 1
    numberBits = Self.bits(of: mask)
    bound = Self.bound(of: size)
    hint.set(slots.base, mask: mask)
    for number in 0..<count { enter(number, rows.base[number].key.tableHash) }
  }

  private func growRows(to size: Int) {
    rows.grow(to: size)
    savedApart.grow(to: size)
    lookedUp.grow(to: size)
    marked.grow(to: size)
  }
}

extension Fingerprint {
  // Of this process alone, so that nobody can make up keys that all fall into one place.
  private static let seed = (UInt64.random(in: 0 ... .max), UInt64.random(in: 0 ... .max) | 1)

  /// For tables in memory: no two processes have the same.
  var tableHash: UInt64 {
    let seed = Self.seed
    let first = (words.0 ^ seed.0).multipliedFullWidth(by: seed.1 ^ words.1)
    let mixed = (first.high ^ first.low ^ words.2).multipliedFullWidth(by: seed.1 ^ words.3)
    return mixed.high ^ mixed.low
  }
}
