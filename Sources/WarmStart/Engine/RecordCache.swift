// Records that were asked for lately, as they were restored: one that is asked for again costs no read.

/// A bounded cache of restored records by their places. A record never changes, and no other record of this
/// process ever has its place; so one that is here is right for as long as the index names it. What a failing
/// disk may still take back must not be put here. Not for several threads.
///
/// Once it is full, a record goes in only if it was asked for before, not long ago: keys that are asked for at random,
/// of many more than there is room for, push nothing out, and cost nothing.
///
/// Second chance: F. J. Corbató, "A paging experiment with the Multics system", 1969. Admission by a memory of what was
/// asked for: G. Einziger, R. Friedman and B. Manes, "TinyLFU: a highly efficient cache admission policy", 2017, of
/// which this is the "doorkeeper".
struct RecordCache {
  private let limit: Int
  // By the hash of the place, with linear probing: the number of the slot and one more; 0 is empty. A power of two.
  private var table: [UInt32] = []
  private var slots: [Slot] = []
  private var free: [Int] = []
  private var hand = 0
  private var bytes = 0
  // Places that were asked for and are not here: by their hash its other half, of the last one that had the hash.
  private var asked: [UInt32] = []
  /// The texts of the record that was read last: a run writes many.
  private(set) var texts = RecordTexts()

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
    guard let number = number(of: spot) else { return nil }
    slots[number].wasUsed = true
    return slots[number].record
  }

  /// Keeps a record, of which the texts share the memory of those `known` when it was read, and gives up others for
  /// it. One that would take more than a quarter of the room is not kept.
  mutating func insert(
    _ record: ReadRecord, at spot: Catalog.Spot, sharing known: RecordTexts
  ) {
    let header = record.header
    let sharesRun = header.runID.hasSameBytes(as: known.runID)
    let sharesProducer = header.producer.hasSameBytes(as: known.producer)
    if !sharesRun || !sharesProducer { texts = RecordTexts(header) }
    let own =
      (sharesRun ? 0 : Self.bytes(ofText: header.runID))
      + (sharesProducer ? 0 : Self.bytes(ofText: header.producer))
      + Self.bytes(ofText: header.label)
    let cost = Self.overhead + Self.bytes(ofArray: record.payload.count) + own
    guard cost <= limit / 4 else { return }
    if bytes + cost > limit, !wasAskedFor(spot) { return }
    guard number(of: spot) == nil else { return }
    while bytes + cost > limit { giveUpOne() }
    bytes += cost
    let slot = Slot(spot: spot, record: record, cost: cost)
    if let number = free.popLast() {
      slots[number] = slot
      enter(number)
    } else {
      slots.append(slot)
      if 4 * slots.count > 3 * table.count { growTable() } else { enter(slots.count - 1) }
    }
  }

  // MARK: What it takes

  /// What a record takes beside its payload and its texts: the object, its slot, its share of a table that is three
  /// quarters to three eighths full, and that of what is remembered of others; bytes.
  private static let overhead =
    bytes(ofBlock: 16 + MemoryLayout<RecordHeader>.stride + 8) + MemoryLayout<Slot>.stride
    + 3 * MemoryLayout<UInt32>.stride

  /// Of an array or a long text, which begin with 32 bytes of their own.
  private static func bytes(ofArray count: Int) -> Int { bytes(ofBlock: 32 + count) }
  /// Short ones have no memory of their own.
  private static func bytes(ofText text: String) -> Int {
    text.utf8.count <= 15 ? 0 : bytes(ofArray: text.utf8.count + 1)
  }
  /// As malloc gives them out.
  private static func bytes(ofBlock count: Int) -> Int { (count + 8).aligned(to: 16) }

  // MARK: Who may come in, and who goes

  /// Whether the place was asked for before, not longer ago than about as many others as there are slots. Notes that
  /// it was.
  private mutating func wasAskedFor(_ spot: Catalog.Spot) -> Bool {
    if 2 * asked.count <= slots.count {
      var size = 16
      while 2 * size <= slots.count { size *= 2 }
      asked = Array(repeating: 0, count: size)
    }
    let hash = Self.hash(spot)
    let at = Int(truncatingIfNeeded: hash) & (asked.count - 1)
    let rest = UInt32(truncatingIfNeeded: hash >> 32)
    defer { asked[at] = rest }
    return asked[at] == rest
  }

  private mutating func giveUpOne() {
    while true {
      hand = hand + 1 < slots.count ? hand + 1 : 0
      guard slots[hand].record != nil else { continue }
      if slots[hand].wasUsed {
        slots[hand].wasUsed = false
        continue
      }
      bytes -= slots[hand].cost
      remove(hand)
      slots[hand].record = nil
      free.append(hand)
      return
    }
  }

  // MARK: The table

  // Whoever makes up places that fall together makes lookups look at more slots, no more: the hash need not be hard to
  // foresee.
  private static func hash(_ spot: Catalog.Spot) -> UInt64 {
    let product = (spot.offset / 8 ^ UInt64(spot.segment) << 32)
      .multipliedFullWidth(by: 0x9e37_79b9_7f4a_7c15)
    return product.high ^ product.low
  }

  private func number(of spot: Catalog.Spot) -> Int? {
    guard !table.isEmpty else { return nil }
    var at = Int(truncatingIfNeeded: Self.hash(spot)) & (table.count - 1)
    while table[at] != 0 {
      let number = Int(table[at]) - 1
      if slots[number].spot == spot { return number }
      at = (at + 1) & (table.count - 1)
    }
    return nil
  }

  private mutating func enter(_ number: Int) {
    var at = Int(truncatingIfNeeded: Self.hash(slots[number].spot)) & (table.count - 1)
    while table[at] != 0 { at = (at + 1) & (table.count - 1) }
    table[at] = UInt32(number + 1)
  }

  private mutating func growTable() {
    table = Array(repeating: 0, count: max(16, 2 * table.count))
    for number in slots.indices where slots[number].record != nil { enter(number) }
  }

  /// Takes a slot out, and moves up those behind it that would not be found any more.
  private mutating func remove(_ number: Int) {
    let mask = table.count - 1
    var hole = Int(truncatingIfNeeded: Self.hash(slots[number].spot)) & mask
    while table[hole] != UInt32(number + 1) { hole = (hole + 1) & mask }
    var at = (hole + 1) & mask
    while table[at] != 0 {
      let home = Int(truncatingIfNeeded: Self.hash(slots[Int(table[at]) - 1].spot)) & mask
      if (at - home) & mask >= (at - hole) & mask {
        table[hole] = table[at]
        hole = at
      }
      at = (at + 1) & mask
    }
    table[hole] = 0
  }
}
