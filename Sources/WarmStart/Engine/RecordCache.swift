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
  /// The texts of the record before: a run writes many.
  private var runID = ""
  private var producer = ""

  private struct Slot {
    var spot: Catalog.Spot
    var record: ReadRecord?
    /// Bytes that it takes, about: texts that several share are counted with the first of them.
    var cost: Int
    var wasUsed = false
  }

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
    guard limit > 0, numbers[spot] == nil else { return }
    let header = record.header
    let isOfSameRun = header.runID.hasSameBytes(as: runID)
    let isOfSameProducer = header.producer.hasSameBytes(as: producer)
    let shared =
      (isOfSameRun ? Self.bytes(ofText: runID) : 0)
      + (isOfSameProducer ? Self.bytes(ofText: producer) : 0)
    let texts =
      Self.bytes(ofText: header.runID) + Self.bytes(ofText: header.producer)
      + Self.bytes(ofText: header.label)
    let cost = Self.overhead + Self.bytes(ofArray: record.payload.count) + texts - shared
    guard cost <= limit / 4 else { return }
    if !isOfSameRun { runID = header.runID }
    if !isOfSameProducer { producer = header.producer }
    let record = shared > 0 ? ReadRecord(record, runID: runID, producer: producer) : record
    while bytes + cost > limit { giveUpOne() }
    bytes += cost
    let slot = Slot(spot: spot, record: record, cost: cost)
    if let number = free.popLast() {
      slots[number] = slot
      numbers[spot] = number
    } else {
      numbers[spot] = slots.count
      slots.append(slot)
    }
  }

  /// What a record takes beside its payload and its texts: the object, its slot, and its share of a dictionary that
  /// is three quarters to three eighths full; bytes.
  private static let overhead =
    bytes(ofBlock: 16 + MemoryLayout<RecordHeader>.stride + 8) + MemoryLayout<Slot>.stride
    + 2 * (MemoryLayout<Catalog.Spot>.stride + 8)

  /// Of an array or a long text, which begin with 32 bytes of their own.
  private static func bytes(ofArray count: Int) -> Int { bytes(ofBlock: 32 + count) }
  /// Short ones have no memory of their own.
  private static func bytes(ofText text: String) -> Int {
    text.utf8.count <= 15 ? 0 : bytes(ofArray: text.utf8.count + 1)
  }
  /// As malloc gives them out.
  private static func bytes(ofBlock count: Int) -> Int { (count + 8).aligned(to: 16) }

  private mutating func giveUpOne() {
    while true {
      hand = hand + 1 < slots.count ? hand + 1 : 0
      guard slots[hand].record != nil else { continue }
      if slots[hand].wasUsed {
        slots[hand].wasUsed = false
        continue
      }
      bytes -= slots[hand].cost
      numbers[slots[hand].spot] = nil
      slots[hand].record = nil
      free.append(hand)
      return
    }
  }
}
