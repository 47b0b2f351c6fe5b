// Records that were asked for lately, as they were restored: one that is asked for again costs no read.

/// A bounded cache of restored records by their places. A record never changes, and no other record of this
/// process ever has its place; so one that is here is right for as long as the index names it. What a failing
/// disk may still take back must not be put here. Not for several threads.
///
/// Second chance: F. J. Corbató, "A paging experiment with the Multics system", 1969.
struct RecordCache {
  private let limit: Int
  private var numbers: [Catalog.Spot: Int] = [:]
  private var slots: [Slot] = []
  private var free: [Int] = []
  private var hand = 0
  private var bytes = 0

  private struct Slot {
    var spot: Catalog.Spot
    var record: ReadRecord?
    var wasUsed = false
  }

  /// What a record takes beside its payload, about; bytes.
  private static let overhead = 512

  /// For at most `limit` bytes.
  init(limit: Int) { self.limit = limit }

  /// The record at the place, if it is here.
  mutating func record(at spot: Catalog.Spot) -> ReadRecord? {
    guard !numbers.isEmpty, let number = numbers[spot] else { return nil }
    slots[number].wasUsed = true
    return slots[number].record
  }

  /// Keeps a record, and gives up others for it. One that would take more than a quarter of the room is not kept.
  mutating func insert(_ record: ReadRecord, at spot: Catalog.Spot) {
    let cost = Self.cost(record)
    guard cost <= limit / 4, numbers[spot] == nil else { return }
    while bytes + cost > limit { giveUpOne() }
    bytes += cost
    let slot = Slot(spot: spot, record: record)
    if let number = free.popLast() {
      slots[number] = slot
      numbers[spot] = number
    } else {
      numbers[spot] = slots.count
      slots.append(slot)
    }
  }

  private static func cost(_ record: ReadRecord) -> Int {
    record.payload.count + record.header.length + overhead
  }

  private mutating func giveUpOne() {
    while true {
      hand = hand + 1 < slots.count ? hand + 1 : 0
      guard let record = slots[hand].record else { continue }
      if slots[hand].wasUsed {
        slots[hand].wasUsed = false
        continue
      }
      bytes -= Self.cost(record)
      numbers[slots[hand].spot] = nil
      slots[hand].record = nil
      free.append(hand)
      return
    }
  }
}
