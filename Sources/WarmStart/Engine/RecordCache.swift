// Records that were asked for lately, as they were restored: one that is asked for again costs no read.

internal import CWarmStart
internal import Synchronization

/// A bounded cache of restored records by their keys and places. A record never changes, and no other record of this
/// process ever has its place; so one that is here is right for as long as the index names it. What a failing
/// disk may still take back must not be put here. Threads may look together, while none changes it.
///
/// Once it is full, a record goes in only if it was asked for before, not long ago: keys that are asked for at random,
/// of many more than there is room for, push nothing out, and cost nothing.
///
/// Second chance: F. J. Corbató, "A paging experiment with the Multics system", 1969. Admission by a memory of what was
/// asked for: G. Einziger, R. Friedman and B. Manes, "TinyLFU: a highly efficient cache admission policy", 2017, of
/// which this is the "doorkeeper".
final class RecordCache {
  private let limit: Int
  // By the hash of the key, so that it is found while the index is still looking; linear probing. Memory by hand: it is
  // looked at without counting a reference.
  private var slots: UnsafeMutablePointer<Slot>
  private var mask: Int
  private var count = 0
  private var hand = 0
  private var bytes = 0
  // Places that were asked for and are not here: by their hash its other half, of the last one that had the hash.
  private var asked: UnsafeMutablePointer<UInt32>
  private var askedMask: Int
  /// The texts of the record that was read last: a run writes many.
  private(set) var texts = RecordTexts()

  private let hint = TableHint<Slot>()

  private struct Slot {
    var hash: UInt64
    var record: Unmanaged<ReadRecord>?

    static let empty = Slot(hash: 0, record: nil)
  }

  private static let leastSlots = 16

  /// For at most `limit` bytes.
  init(limit: Int) {
    self.limit = limit
    mask = Self.leastSlots - 1
    slots = Self.filled(Self.leastSlots, with: .empty)
    askedMask = Self.leastSlots - 1
    asked = Self.filled(Self.leastSlots, with: 0)
    hint.set(slots, mask: mask)
  }

  deinit {
    removeAll()
    slots.deallocate()
    asked.deallocate()
  }

  private static func filled<Element>(
    _ count: Int, with element: Element
  ) -> UnsafeMutablePointer<Element> {
    let memory = UnsafeMutablePointer<Element>.allocate(capacity: count)
    memory.initialize(repeating: element, count: count)
    return memory
  }

  /// The record of a key at a place, if it is here. Several threads may ask at once.
  func record(hash: UInt64, at spot: Catalog.Spot) -> ReadRecord? {
    guard let at = slot(hash, spot), let found = slots[at].record else { return nil }
    let record = found.takeUnretainedValue()
    record.wasUsed.store(true, ordering: .relaxed)
    return record
  }

  /// Has the processor fetch where a search for the key of a hash begins. Any thread may ask for it at any time.
  func prefetch(_ hash: UInt64) { hint.prefetch(hash) }

  /// Has it fetch the record that the search comes to first. Several threads may ask at once.
  func prefetchRecord(_ hash: UInt64) {
    if let record = slots[Int(truncatingIfNeeded: hash) & mask].record {
      ws_prefetch(record.toOpaque())
    }
  }

  /// Bytes that a record takes of which the texts share the memory of those `known` when it was read; nil if that is more
  /// than a quarter of the room, so that it is not kept. Any thread may ask at any time.
  func cost(of record: ReadRecord, sharing known: RecordTexts) -> Int? {
    let header = record.header
    let cost =
      Self.overhead + Self.bytes(ofArray: record.payload.count)
      + (header.runID.hasSameBytes(as: known.runID) ? 0 : Self.bytes(ofText: header.runID))
      + (header.producer.hasSameBytes(as: known.producer) ? 0 : Self.bytes(ofText: header.producer))
      + Self.bytes(ofText: header.label)
    return cost <= limit / 4 && cost <= Int(UInt32.max) ? cost : nil
  }

  /// Whether a record of this cost should be put here. Notes that it was asked for, so that the next time it should.
  /// Several threads may ask at once.
  func admits(_ spot: Catalog.Spot, cost: Int) -> Bool {
    if bytes + cost <= limit { return true }
    let hash = Self.hash(spot)
    let at = asked + Int(truncatingIfNeeded: hash) & askedMask
    let rest = UInt32(truncatingIfNeeded: hash >> 32)
    if ws_shared_load(at) == rest { return true }
    ws_shared_store(at, rest)
    return false
  }

  /// Has the processor fetch what is needed to tell, while the record is read.
  func prefetchAdmission(_ spot: Catalog.Spot) {
    ws_prefetch(asked + Int(truncatingIfNeeded: Self.hash(spot)) & askedMask)
  }

  /// Keeps a record that was admitted, and gives up others for it: those of its key that are not among the places that
  /// the index names, at once.
  func insert(_ record: ReadRecord, at spot: Catalog.Spot, cost: Int, named: [SlottedPlace]) {
    func isNamed(_ spot: Catalog.Spot) -> Bool {
      named.contains { Catalog.Spot($0.place) == spot }
    }
    let hash = record.header.key.tableHash
    guard isNamed(spot), slot(hash, spot) == nil else { return }
    if !texts.areThose(of: record.header) { texts = RecordTexts(record.header) }
    while let outdated = slot(hash, where: { !isNamed($0.spot) }) { giveUp(outdated) }
    while bytes + cost > limit { giveUpOne() }
    if 4 * (count + 1) > 3 * (mask + 1) { grow() }
    bytes += cost
    count += 1
    record.spot = spot
    record.cost = UInt32(cost)
    // It may lie right before the hand.
    record.wasUsed.store(true, ordering: .relaxed)
    enter(Slot(hash: hash, record: .passRetained(record)))
  }

  /// Forgets everything.
  func removeAll() {
    for at in 0...mask { slots[at].record?.release() }
    slots.deallocate()
    mask = Self.leastSlots - 1
    slots = Self.filled(Self.leastSlots, with: .empty)
    hint.set(slots, mask: mask)
    (count, bytes, hand, texts) = (0, 0, 0, RecordTexts())
  }

  // MARK: What it takes

  /// What a record takes beside its payload and its texts: the object, its share of a table that is three
  /// quarters to three eighths full, and that of what is remembered of others; bytes.
  private static let overhead =
    bytes(ofBlock: 16 + MemoryLayout<RecordHeader>.stride + 8 + 32)
    + 2 * MemoryLayout<Slot>.stride + 2 * MemoryLayout<UInt32>.stride

  /// Of an array or a long text, which begin with 32 bytes of their own.
  private static func bytes(ofArray count: Int) -> Int { bytes(ofBlock: 32 + count) }
  /// Short ones have no memory of their own.
  private static func bytes(ofText text: String) -> Int {
    text.utf8.count <= 15 ? 0 : bytes(ofArray: text.utf8.count + 1)
  }
  /// As malloc gives them out.
  private static func bytes(ofBlock count: Int) -> Int { (count + 8).aligned(to: 16) }

  // MARK: The table

  // Whoever makes up places that fall together is remembered worse, no more: the hash need not be hard to foresee.
  private static func hash(_ spot: Catalog.Spot) -> UInt64 {
    let product = (spot.offset / 8 ^ UInt64(spot.segment) << 32)
      .multipliedFullWidth(by: 0x9e37_79b9_7f4a_7c15)
    return product.high ^ product.low
  }

  private func slot(_ hash: UInt64, _ spot: Catalog.Spot) -> Int? {
    slot(hash) { $0.spot == spot }
  }

  // Of one key there are few: those that the index named when one of them last came in. Of other keys with its hash there
  // are, as a rule, none.
  @inline(__always)
  private func slot(_ hash: UInt64, where isRight: (ReadRecord) -> Bool) -> Int? {
    var at = Int(truncatingIfNeeded: hash) & mask
    while let record = slots[at].record {
      if slots[at].hash == hash, record._withUnsafeGuaranteedRef(isRight) { return at }
      at = (at + 1) & mask
    }
    return nil
  }

  private func enter(_ slot: Slot) {
    var at = Int(truncatingIfNeeded: slot.hash) & mask
    while slots[at].record != nil { at = (at + 1) & mask }
    slots[at] = slot
  }

  private func grow() {
    let (old, size) = (slots, mask + 1)
    mask = 2 * size - 1
    slots = Self.filled(2 * size, with: .empty)
    hint.set(slots, mask: mask)
    for at in 0..<size where old[at].record != nil { enter(old[at]) }
    old.deallocate()
    hand = 0
    // About as many are remembered as there are records.
    asked.deallocate()
    askedMask = size - 1
    asked = Self.filled(size, with: 0)
  }

  private func giveUpOne() {
    while true {
      hand = (hand + 1) & mask
      guard let record = slots[hand].record else { continue }
      let isDue = record._withUnsafeGuaranteedRef {
        !$0.wasUsed.exchange(false, ordering: .relaxed)
      }
      if isDue { return giveUp(hand) }
    }
  }

  private func giveUp(_ number: Int) {
    guard let record = slots[number].record else { return }
    bytes -= record._withUnsafeGuaranteedRef { Int($0.cost) }
    count -= 1
    remove(number)
    record.release()
  }

  /// Takes a slot out, and moves up those behind it that would not be found any more.
  private func remove(_ number: Int) {
    var hole = number
    var at = (hole + 1) & mask
    while slots[at].record != nil {
      let home = Int(truncatingIfNeeded: slots[at].hash) & mask
      if (at - home) & mask >= (at - hole) & mask {
        slots[hole] = slots[at]
        hole = at
      }
      at = (at + 1) & mask
    }
    slots[hole] = .empty
  }
}
