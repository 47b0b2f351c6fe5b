// When the keys of a table were used, beside its rows: many stores note nothing of one kind or another, and then it takes
// no memory.

internal import CWarmStart

/// A number for each row of a table, 0 until it is set. Several threads may look and ``raise(_:to:)`` at once, while none
/// does anything else.
struct UseColumn: ~Copyable {
  private var numbers = MemoryTable<UInt32>(capacity: 1)
  /// Whether any row has a number of its own.
  private(set) var isThere = false

  init() {}

  /// A copy of the first `count` numbers.
  init(copying other: borrowing UseColumn, count: Int, capacity: Int) {
    guard other.isThere else { return }
    numbers = MemoryTable(repeating: 0, count: capacity)
    numbers.base.update(from: other.numbers.base, count: count)
    isThere = true
  }

  /// Makes a number for each of so many rows.
  mutating func make(capacity: Int) {
    guard !isThere else { return }
    numbers = MemoryTable(repeating: 0, count: capacity)
    isThere = true
  }

  /// The table has room for more rows.
  mutating func grow(to capacity: Int) {
    guard isThere else { return }
    let present = numbers.capacity
    numbers.grow(to: capacity)
    (numbers.base + present).initialize(repeating: 0, count: capacity - present)
  }

  subscript(row: Int) -> UInt32 { isThere ? ws_shared_load(numbers.base + row) : 0 }

  /// Of a column that is there.
  func set(_ row: Int, to number: UInt32) { ws_shared_store(numbers.base + row, number) }

  /// Makes it the number, unless it is that or more. Of a column that is there.
  func raise(_ row: Int, to number: UInt32) { ws_shared_raise(numbers.base + row, number) }
}
