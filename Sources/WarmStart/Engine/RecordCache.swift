// Records that were asked for lately, as they were restored: one that is asked for again costs no read.

internal import CWarmStart
internal import Glibc
internal import Synchronization

/// A bounded cache of restored records by their keys and places. A record never changes, and no other record of this
/// process ever has its place; so one that is here is right for as long as the index names it. What a failing
/// disk may still take back must not be put here. Threads may look together, while none changes it.
///
/// Once it is full, a record goes in only if it was asked for before, not long ago, and only if the next to go was not
/// asked for since it was last in question: keys that are asked for at random, of many more than there is room for, push
/// little out, and cost little.
///
/// Second chance: F. J. Corbató, "A paging experiment with the Multics system", 1969. Admission by a memory of what was
/// asked for, and by a comparison with what would have to go: G. Einziger, R. Friedman and B. Manes, "TinyLFU: a highly
/// efficient cache admission policy", 2017, of which the first is the "doorkeeper".
final class RecordCache {
  private let limit: Int
  // By the hash of the key, so that it is found while the index is still looking; linear probing. Memory by hand: it is
  // looked at without counting a reference.
  @exclusivity(unchecked) private var slots: MemoryTable<Slot>
  private var mask: Int
  private var count = 0
  private let hand = Atomic(0)
  // Changes only while nobody else looks, but may be read at any time.
  private let bytes = Atomic(0)
  // Places that were asked for and were not here then: by their hash its other half, of the last one that had the hash.
  // As many, within bounds, as there is room for small records; the table stays where it is, so that no lock is needed
  // to look.
  private let asked: UnsafeMutablePointer<UInt32>
  private let askedMask: Int
  /// The texts of the record that came in last: a run writes many.
  private(set) var texts = RecordTexts()

  private let hint = TableHint<Slot>()

  private struct Slot: BitwiseCopyable {
    var hash: UInt64
    var record: Unmanaged<ReadRecord>?

    static let empty = Slot(hash: 0, record: nil)
  }

  private static let leastSlots = 16
  private static let smallRecord = 512
  private static let mostAsked = 1 << 22
  /// Slots that may be looked at for one that is asked for, beside those that are by its size.
  private static let leastWalk = 64
  /// Bytes of the smallest records for each slot of a table that is as empty as it gets while it grows.
  private static let leastPerSlot = 128

  /// For at most `limit` bytes.
  init(limit: Int) {
    mask = Self.leastSlots - 1
    slots = MemoryTable(repeating: .empty, count: Self.leastSlots)
    let places = min(max(limit / Self.smallRecord, Self.leastSlots), Self.mostAsked)
    // A power of two, and no more.
    askedMask = (1 << (Int.bitWidth - 1 - places.leadingZeroBitCount)) - 1
    self.limit = max(0, limit - (askedMask + 1) * MemoryLayout<UInt32>.stride)
    asked = ws_table_of_zeros(
      askedMask + 1, MemoryLayout<UInt32>.stride
    ).bindMemory(to: UInt32.self, capacity: askedMask + 1)
    hint.set(slots.base, mask: mask)
  }

  deinit {
    releaseAll()
    free(asked)
  }

  private func releaseAll() {
    for at in 0...mask { slots.base[at].record?.release() }
  }

  /// The record of a key at a place, if it is here. Several threads may ask at once.
  func record(hash: UInt64, at spot: Catalog.Spot) -> ReadRecord? {
    guard let at = slot(hash, spot), let found = slots.base[at].record else { return nil }
    let record = found.takeUnretainedValue()
    record.wasUsed.store(true, ordering: .relaxed)
    return record
  }

  /// Has the processor fetch where a search for the key of a hash begins. Any thread may ask for it at any time.
  func prefetch(_ hash: UInt64) { hint.prefetch(hash) }

  /// Has it fetch the record that the search comes to first, if it is of that key. Several threads may ask at once.
  func prefetchRecord(_ hash: UInt64) {
    let slot = slots.base[Int(truncatingIfNeeded: hash) & mask]
    if slot.hash == hash, let record = slot.record { ws_prefetch(record.toOpaque()) }
  }

  /// Bytes that a record takes that was read now, of which the texts share the memory of those `known` when it was read; nil
  /// if it should not be put here: if it takes more than a quarter of the room, or if there is no room and it was not asked
  /// for before. If there is no room it is noted that it was asked for. Any thread may ask at any time.
  func cost(
    ofAdmissible record: ReadRecord, at spot: Catalog.Spot, sharing known: RecordTexts
  ) -> Int? {
    let least = Self.overhead + Self.bytes(ofArray: record.payload.count)
    guard least <= limit / 4 else { return nil }
    let present = bytes.load(ordering: .relaxed)
    // Mostly that is all there is to find out.
    if present + least > limit, !wasAskedFor(spot) { return nil }
    let header = record.header
    let cost =
      least
      + (header.runID.hasSameBytes(as: known.runID) ? 0 : Self.bytes(ofText: header.runID))
      + (header.producer.hasSameBytes(as: known.producer) ? 0 : Self.bytes(ofText: header.producer))
      + Self.bytes(ofText: header.label)
    guard cost <= limit / 4, cost <= Int(UInt32.max) else { return nil }
    if present + least <= limit, present + cost > limit, !wasAskedFor(spot) { return nil }
    return cost
  }

  /// Whether the record at a place was asked for not long ago; from here on it was.
  private func wasAskedFor(_ spot: Catalog.Spot) -> Bool {
    let hash = Self.hash(spot)
    let at = asked + Int(truncatingIfNeeded: hash) & askedMask
    let rest = UInt32(truncatingIfNeeded: hash >> 32)
    if ws_shared_load(at) == rest { return true }
    ws_shared_store(at, rest)
    return false
  }

  /// Whether an admissible record of this key and cost should be put here. `named` gives the places of the key that
  /// the index names. Several threads may ask at once.
  func admits(
    _ key: Fingerprint, _ spot: Catalog.Spot, cost: Int, named: () -> [SlottedPlace]
  ) -> Bool {
    var room = limit - bytes.load(ordering: .relaxed)
    guard room < cost else { return true }
    let hash = key.tableHash
    if slot(hash, where: { _ in true }) != nil {
      if slot(hash, spot) != nil { return false }
      // What it takes the place of goes for it.
      room += outdatedBytes(hash, named: named())
    }
    return room >= cost || isWorthMore(than: cost)
  }

  private func outdatedBytes(_ hash: UInt64, named: [SlottedPlace]) -> Int {
    var sum = 0
    var at = Int(truncatingIfNeeded: hash) & mask
    while let record = slots.base[at].record {
      if slots.base[at].hash == hash {
        sum += record._withUnsafeGuaranteedRef { record in
          Self.names(named, record.spot) ? 0 : Int(record.cost)
        }
      }
      at = (at + 1) & mask
    }
    return sum
  }

  private static func names(_ places: [SlottedPlace], _ spot: Catalog.Spot) -> Bool {
    places.contains { Catalog.Spot($0.place) == spot }
  }

  /// Whether the next to go was not asked for since it was last in question. Those that were are passed over, and are worth
  /// no more than others from here on; after as many bytes of them as are asked for, or as many slots as small records
  /// of so many bytes fill, the answer is no, for this time. So whatever is asked for often comes in at last, what is
  /// large sooner.
  private func isWorthMore(than cost: Int) -> Bool {
    var passed = 0
    let start = hand.load(ordering: .relaxed)
    var at = start
    // It lies beside what every lookup reads.
    defer { if at != start { hand.store(at, ordering: .relaxed) } }
    for _ in 0..<Self.leastWalk + cost / Self.leastPerSlot {
      let next = (at + 1) & mask
      if let record = slots.base[next].record {
        let (wasUsed, bytes) = record._withUnsafeGuaranteedRef {
          ($0.wasUsed.exchange(false, ordering: .relaxed), Int($0.cost))
        }
        // Where who makes room begins.
        guard wasUsed else { return true }
        passed += bytes
      }
      at = next
      if passed >= cost { break }
    }
    return false
  }

  /// Has the processor fetch what is needed to tell, while the record is read.
  func prefetchAdmission(_ spot: Catalog.Spot) {
    ws_prefetch(asked + Int(truncatingIfNeeded: Self.hash(spot)) & askedMask)
  }

  /// Keeps a record that was admitted, and gives up others for it: those of its key that are not among the places that
  /// the index names, at once.
  func insert(_ record: ReadRecord, at spot: Catalog.Spot, cost: Int, named: [SlottedPlace]) {
    let hash = record.header.key.tableHash
    guard Self.names(named, spot), slot(hash, spot) == nil else { return }
    // Who displaces others was asked for twice, and begins with a second chance: it may lie right before the hand. Who
    // came in while there was room was asked for once.
    let isWanted = bytes.load(ordering: .relaxed) + cost > limit
    if !texts.areThose(of: record.header) { texts = RecordTexts(record.header) }
    while let outdated = slot(hash, where: { !Self.names(named, $0.spot) }) { giveUp(outdated) }
    while bytes.load(ordering: .relaxed) + cost > limit { giveUpOne() }
    if 4 * (count + 1) > 3 * (mask + 1) { grow() }
    bytes.wrappingAdd(cost, ordering: .relaxed)
    count += 1
    record.spot = spot
    record.cost = UInt32(cost)
    record.wasUsed.store(isWanted, ordering: .relaxed)
    enter(Slot(hash: hash, record: .passRetained(record)))
  }

  /// Gives up all records; what was asked for is remembered.
  func removeAll() {
    releaseAll()
    mask = Self.leastSlots - 1
    slots = MemoryTable(repeating: .empty, count: Self.leastSlots)
    hint.set(slots.base, mask: mask)
    hand.store(0, ordering: .relaxed)
    bytes.store(0, ordering: .relaxed)
    (count, texts) = (0, RecordTexts())
  }

  // MARK: What it takes

  /// What a record takes beside its payload and its texts: the object, and its share of a table that is three
  /// quarters to three eighths full; bytes.
  private static let overhead =
    bytes(ofBlock: 16 + MemoryLayout<RecordHeader>.stride + 8 + 32)
    + 2 * MemoryLayout<Slot>.stride

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
    while let record = slots.base[at].record {
      if slots.base[at].hash == hash, record._withUnsafeGuaranteedRef(isRight) { return at }
      at = (at + 1) & mask
    }
    return nil
  }

  private func enter(_ slot: Slot) {
    var at = Int(truncatingIfNeeded: slot.hash) & mask
    while slots.base[at].record != nil { at = (at + 1) & mask }
    slots.base[at] = slot
  }

  private func grow() {
    let size = mask + 1
    var larger = MemoryTable<Slot>(repeating: .empty, count: 2 * size)
    swap(&slots, &larger)
    mask = 2 * size - 1
    hint.set(slots.base, mask: mask)
    for at in 0..<size where larger.base[at].record != nil { enter(larger.base[at]) }
    hand.store(0, ordering: .relaxed)
  }

  private func giveUpOne() {
    while true {
      let at = (hand.load(ordering: .relaxed) + 1) & mask
      hand.store(at, ordering: .relaxed)
      guard let record = slots.base[at].record else { continue }
      let isDue = record._withUnsafeGuaranteedRef {
        !$0.wasUsed.exchange(false, ordering: .relaxed)
      }
      if isDue { return giveUp(at) }
    }
  }

  private func giveUp(_ number: Int) {
    guard let record = slots.base[number].record else { return }
    bytes.wrappingSubtract(record._withUnsafeGuaranteedRef { Int($0.cost) }, ordering: .relaxed)
    count -= 1
    remove(number)
    record.release()
  }

  /// Takes a slot out, and moves up those behind it that would not be found any more.
  private func remove(_ number: Int) {
    var hole = number
    var at = (hole + 1) & mask
    while slots.base[at].record != nil {
      let home = Int(truncatingIfNeeded: slots.base[at].hash) & mask
      if (at - home) & mask >= (at - hole) & mask {
        slots.base[hole] = slots.base[at]
        hole = at
      }
      at = (at + 1) & mask
    }
    slots.base[hole] = .empty
  }
}
