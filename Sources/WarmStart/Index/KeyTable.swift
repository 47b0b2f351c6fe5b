// What is known of each key in one row of memory, and from a fingerprint to the number of its row.
//
// An open-addressing table with linear probing: eight bytes a slot, of which half are the top of the
// hash, so that a miss rarely touches a key. A key is a SHA-256 as a rule, but may be made by hand, or
// by an enemy, so that its words are mixed with a seed. Numbers are given out in the order of
// arrival and never taken back.
//
// Memory by hand: a row is all that most questions need, so it lies together, and several threads may look at a
// table that none of them changes without counting references to it.

internal import CWarmStart

/// Rows by key. Not safe for several threads, but to look while none changes it.
package final class KeyTable {
  /// One key and what is known of it. 88 bytes.
  package struct Row {
    package let key: Fingerprint
    var place: Place
    var use: Index.Use
  }

  // number + 1 below, the top half of the hash above; 0 is empty.
  private var slots: UnsafeMutablePointer<UInt64>
  private var mask: Int
  // How many rows the slots do for.
  private var bound: Int
  private var rows: UnsafeMutablePointer<Row>
  package private(set) var count = 0
  package private(set) var capacity: Int

  private let hint = TableHint<UInt64>()

  /// Numbers are 31 bits.
  static let limit = 1 << 31 - 2

  private static let leastSlots = 16

  package init() {
    mask = Self.leastSlots - 1
    bound = Self.leastSlots / 4 * 3
    slots = Self.emptySlots(Self.leastSlots)
    capacity = bound
    rows = Self.room(for: bound)
    hint.set(slots, mask: mask)
  }

  /// A copy, which goes its own way.
  init(copying other: KeyTable) {
    (mask, bound, count, capacity) = (other.mask, other.bound, other.count, max(1, other.count))
    slots = Self.room(for: mask + 1)
    slots.initialize(from: other.slots, count: mask + 1)
    rows = Self.room(for: capacity)
    rows.initialize(from: other.rows, count: count)
    hint.set(slots, mask: mask)
  }

  deinit {
    Self.giveBack(slots, mask + 1)
    Self.giveBack(rows, capacity)
  }

  private static func emptySlots(_ count: Int) -> UnsafeMutablePointer<UInt64> {
    let slots: UnsafeMutablePointer<UInt64> = room(for: count)
    slots.initialize(repeating: 0, count: count)
    return slots
  }

  /// The row of a number, where it stays until a row is added or room is made.
  package func row(_ number: Int) -> UnsafeMutablePointer<Row> {
    precondition(number >= 0 && number < count)
    return rows + number
  }

  /// When the key of a row was looked up, by itself: several threads may change that at once, which for Swift would be a
  /// change of the whole row.
  func lookedUp(_ number: Int) -> UnsafeMutablePointer<UInt32> {
    UnsafeMutableRawPointer(row(number)).advanced(by: Self.lookedUpOffset)
      .assumingMemoryBound(to: UInt32.self)
  }

  private static let lookedUpOffset = MemoryLayout<Row>.offset(of: \.use.lookedUp)!

  /// Has the processor fetch where a search for the key of a hash begins. Any thread may ask for it at any time.
  func prefetch(_ hash: UInt64) { hint.prefetch(hash) }

  /// The number of a key, or nil.
  package func number(of key: Fingerprint) -> Int? { number(of: key, hash: key.tableHash) }

  /// The same, for who has hashed it.
  func number(of key: Fingerprint, hash: UInt64) -> Int? {
    var at = Int(truncatingIfNeeded: hash) & mask
    while slots[at] != 0 {
      if slots[at] >> 32 == hash >> 32 {
        let number = Int(slots[at] & 0xffff_ffff) - 1
        if rows[number].key == key { return number }
      }
      at = (at + 1) & mask
    }
    return nil
  }

  /// The number of a key; a new one if it had none, with this place.
  package func insert(_ key: Fingerprint, _ place: @autoclosure () -> Place) -> Int {
    let hash = key.tableHash
    if let number = number(of: key, hash: hash) { return number }
    precondition(count < Self.limit)
    if count == bound { growSlots(to: 2 * (mask + 1)) }
    if count == capacity { growRows(to: 2 * capacity) }
    (rows + count).initialize(to: Row(key: key, place: place(), use: Index.Use()))
    count += 1
    enter(count - 1, hash)
    return count - 1
  }

  /// Makes room for this many keys in all.
  package func reserve(_ total: Int) {
    if total > capacity { growRows(to: total) }
    var size = mask + 1
    while size / 4 * 3 < total { size *= 2 }
    if size > mask + 1 { growSlots(to: size) }
  }

  private func enter(_ number: Int, _ hash: UInt64) {
    var at = Int(truncatingIfNeeded: hash) & mask
    while slots[at] != 0 { at = (at + 1) & mask }
    slots[at] = (hash & ~0xffff_ffff) | UInt64(number + 1)
  }

  private func growSlots(to size: Int) {
    Self.giveBack(slots, mask + 1)
    slots = Self.emptySlots(size)
    mask = size - 1
    bound = size / 4 * 3
    hint.set(slots, mask: mask)
    for number in 0..<count { enter(number, rows[number].key.tableHash) }
  }

  private func growRows(to size: Int) {
    let stride = MemoryLayout<Row>.stride
    rows = ws_table_grow(rows, capacity * stride, size * stride)!
      .bindMemory(to: Row.self, capacity: size)
    capacity = size
  }

  private static func room<Element>(for count: Int) -> UnsafeMutablePointer<Element> {
    ws_table_create(count * MemoryLayout<Element>.stride)!
      .bindMemory(to: Element.self, capacity: count)
  }

  private static func giveBack<Element>(_ memory: UnsafeMutablePointer<Element>, _ count: Int) {
    ws_table_free(memory, count * MemoryLayout<Element>.stride)
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
