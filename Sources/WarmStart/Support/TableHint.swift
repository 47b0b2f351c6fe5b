// Memory that is fetched while a system call is under way, before the lock that protects it is had.

internal import CWarmStart
internal import Synchronization

/// Where a hash table in memory begins, for who may not look at it yet. Wrong for a moment while the table grows, and
/// good for nothing but to have the processor fetch what is there.
struct TableHint<Slot>: ~Copyable {
  private let base = Atomic<UInt>(0)
  private let mask = Atomic<Int>(0)

  /// The table has so many slots, one more than `mask`, which is a power of two.
  func set(_ slots: UnsafeMutablePointer<Slot>, mask: Int) {
    base.store(UInt(bitPattern: slots), ordering: .relaxed)
    self.mask.store(mask, ordering: .relaxed)
  }

  /// Has the processor fetch the slot of a hash. Any thread may ask for it at any time.
  func prefetch(_ hash: UInt64) {
    let number = Int(truncatingIfNeeded: hash) & mask.load(ordering: .relaxed)
    let address =
      base.load(ordering: .relaxed) &+ UInt(bitPattern: number &* MemoryLayout<Slot>.stride)
    ws_prefetch(UnsafeRawPointer(bitPattern: address))
  }
}
