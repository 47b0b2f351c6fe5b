// What counts of every key. Pure memory: nothing but what a replay of the records gives.

/// The index of a store. An object: as a value each question to one that a class has would retain and release
/// all of its parts. Several threads may ask and ``noteLookup(row:at:)`` at once, while none does anything else.
package final class Index {
  // Whoever has an index sees to it that one thread at a time changes it, and no change calls out of this file: asking
  // the run time for each of them whether anything else is under way took a tenth of a save.

  // A key whose one record fills every slot, as most do, takes a row with the place of that and nothing more; for the
  // others it says that the place is absent, and why.
  private let table: KeyTable
  @exclusivity(unchecked) private var packing: PlacePacking
  @exclusivity(unchecked) private var states: [Int: KeyState] = [:]

  @exclusivity(unchecked) private var originNumbers: [SegmentID: UInt32] = [:]
  @exclusivity(unchecked) private var origins: [SegmentID] = []
  @exclusivity(unchecked) private var producerNumbers: [ExactText: UInt32] = [:]
  @exclusivity(unchecked) package private(set) var producers: [String] = []

  /// Bytes of records that fill a slot, by the number of their segment. Those numbers are given out in turn.
  @exclusivity(unchecked) private var liveBytes: [UInt64] = []
  /// Keys that have an entry.
  @exclusivity(unchecked) package private(set) var liveKeys = 0

  /// When a key was used: seconds since 1970, 0 for never.
  package struct Use: Sendable {
    package internal(set) var saved: UInt32 = 0
    package internal(set) var lookedUp: UInt32 = 0
    /// When it was looked up as far as a mark tells.
    package internal(set) var marked: UInt32 = 0
  }

  package init() {
    table = KeyTable()
    packing = PlacePacking()
  }

  /// A copy, which goes its own way.
  package init(_ other: Index) {
    table = KeyTable(copying: other.table)
    packing = PlacePacking(copying: other.packing)
    states = other.states
    originNumbers = other.originNumbers
    origins = other.origins
    producerNumbers = other.producerNumbers
    producers = other.producers
    liveBytes = other.liveBytes
    liveKeys = other.liveKeys
  }

  package var order: EntryOrder { EntryOrder(origins: origins) }

  /// Makes room for this many more keys.
  package func reserve(_ more: Int) {
    guard table.count + more > table.capacity else { return }
    // Asked for a few at a time, it must not copy everything each time.
    table.reserve(max(table.count + more, 2 * table.capacity))
  }

  // MARK: Names by number

  package func originNumber(_ id: SegmentID) -> UInt32 {
    // Mostly it is that of the log being written.
    if let last = origins.last, last == id { return UInt32(origins.count - 1) }
    if let number = originNumbers[id] { return number }
    let number = UInt32(origins.count)
    originNumbers[id] = number
    origins.append(id)
    return number
  }

  /// The number of a producer, a new one if it had none; nil when there are too many (2^24).
  package func producerNumber(_ name: String) -> UInt32? {
    // Mostly there is one.
    if let first = producers.first, first.hasSameBytes(as: name) { return 0 }
    if let number = producerNumbers[ExactText(name)] { return number }
    guard producers.count < 1 << 24 - 1 else { return nil }
    let number = UInt32(producers.count)
    producerNumbers[ExactText(name)] = number
    producers.append(name)
    return number
  }

  package func knownProducerNumber(_ name: String) -> UInt32? { producerNumbers[ExactText(name)] }

  // MARK: Changes

  /// Takes an entry into account that was written at `saved`, seconds since 1970.
  package func insert(_ key: Fingerprint, _ place: Place, saved: UInt32) {
    let number = table.insert(key)
    let present = table.row(number).pointee.place
    let newest = max(self.saved(number), saved)
    switch present.absence {
    case .empty:
      liveKeys += 1
      credit(place)
      put(place, number, saved: newest)
    case .elsewhere:
      setSaved(number, newest)
      insertElsewhere(number, place)
    case nil:
      let former = packing.unpack(present)
      if supersedes(place, former) {
        debit(former)
        credit(place)
        put(place, number, saved: newest)
      } else {
        moveElsewhere(number)
        setSaved(number, newest)
        insertElsewhere(number, place)
      }
    }
  }

  /// Whether the new place takes every slot from the only one there is.
  private func supersedes(_ place: Place, _ present: Place) -> Bool {
    if place.isSameRecord(as: present) { return true }
    let order = order
    guard order.isNewer(place, than: present), order.isBetter(place, than: present) else {
      return false
    }
    return !present.isFinal || place.isFinal && place.producer == present.producer
  }

  private func insertElsewhere(_ number: Int, _ place: Place) {
    guard place.stamp > states[number]!.removedThrough else { return }
    let order = order
    replaceState(number) { $0.refill(adding: place, order: order) }
  }

  /// Everything of the key up to a stamp is gone. Gives whether records that no slot points at, and
  /// that the index has forgotten, may count again: then the key must be replayed.
  package func remove(_ key: Fingerprint, through stamp: UInt64) -> Bool {
    let number = table.insert(key)
    if !isElsewhere(number) { moveElsewhere(number) }
    guard stamp > states[number]!.removedThrough else { return false }
    let order = order
    var removed = false
    replaceState(number) { state in
      state.removedThrough = stamp
      let kept = state.places.map(\.place).filter { $0.stamp > stamp }
      removed = kept.count < state.places.count
      state.refill(from: kept, order: order)
    }
    return removed && !states[number]!.places.isEmpty
  }

  /// From here on ``noteLookup(row:at:)`` may be called, while none of the others is.
  package func noteLookups() { table.lookedUp.make(capacity: table.capacity) }

  /// Whether it may be.
  package var notesLookups: Bool { table.lookedUp.isThere }

  /// Notes that the key of a row was looked up, at `time`, seconds since 1970. Several threads may do that at once, while
  /// none does anything else but to look.
  package func noteLookup(row number: Int, at time: UInt32) {
    precondition(notesLookups && number < table.count)
    table.lookedUp.raise(number, to: time)
  }

  /// Takes an access mark into account: the key was looked up at `time`, seconds since 1970.
  package func insertMark(_ key: Fingerprint, at time: UInt32) {
    let number = table.insert(key)
    noteLookups()
    noteLookup(row: number, at: time)
    table.marked.make(capacity: table.capacity)
    table.marked.raise(number, to: time)
  }

  /// Forgets what fills the slots of a key, before they are filled anew from all records.
  package func forget(_ key: Fingerprint) {
    guard let number = table.number(of: key) else { return }
    let place = table.row(number).pointee.place
    switch place.absence {
    case .empty: break
    case .elsewhere: replaceState(number) { $0.places = [] }
    case nil:
      debit(packing.unpack(place))
      liveKeys -= 1
      setAbsent(number, .empty, saved: saved(number))
    }
  }

  /// Forgets the removals of a key, before they are taken into account anew.
  package func forgetRemoval(_ key: Fingerprint) {
    guard let number = table.number(of: key), isElsewhere(number) else { return }
    states[number]!.removedThrough = 0
  }

  // MARK: Questions

  /// The places that fill the slots of a key, and the slots of each.
  package func places(of key: Fingerprint) -> [SlottedPlace] {
    guard let number = table.number(of: key) else { return [] }
    return places(row: number)
  }

  /// Bytes of records in a segment that fill a slot.
  package func liveBytes(of segment: UInt32) -> UInt64 {
    segment < liveBytes.count ? liveBytes[Int(segment)] : 0
  }

  /// The same of every segment that has any, by their numbers.
  package var liveBytesBySegment: [UInt32: UInt64] {
    var all: [UInt32: UInt64] = [:]
    for (segment, bytes) in liveBytes.enumerated() where bytes > 0 { all[UInt32(segment)] = bytes }
    return all
  }

  /// The stamp of the key's newest removal; 0 if there was none.
  package func removedThrough(_ key: Fingerprint) -> UInt64 {
    guard let number = table.number(of: key), isElsewhere(number) else { return 0 }
    return states[number]!.removedThrough
  }

  /// The same of the key of a row.
  func removedThrough(row number: Int) -> UInt64 {
    isElsewhere(number) ? states[number]!.removedThrough : 0
  }

  /// When the key was last used.
  package func lastUse(of key: Fingerprint) -> Use? {
    table.number(of: key).map { lastUse(row: $0) }
  }

  /// Has the processor fetch where a search for the key of a hash begins. Any thread may ask for it at any time.
  func prefetch(_ hash: UInt64) { table.prefetch(hash) }

  /// The row of a key: for several questions about it one search. It is its own for ever.
  package func row(ofKnown key: Fingerprint) -> Int? { table.number(of: key) }

  /// The same, for who has its ``Fingerprint/tableHash``.
  func row(ofKnown key: Fingerprint, hash: UInt64) -> Int? { table.number(of: key, hash: hash) }

  /// The same of the key of a row.
  package func lastUse(row number: Int) -> Use {
    Use(saved: saved(number), lookedUp: table.lookedUp[number], marked: table.marked[number])
  }

  /// Every key that has an entry, and its places, in the order of arrival.
  package func forEachKey(_ body: (Fingerprint, [SlottedPlace]) -> Void) {
    for number in 0..<table.count {
      let places = places(row: number)
      if !places.isEmpty { body(table.row(number).pointee.key, places) }
    }
  }

  /// Keys so far, those without an entry included: more come behind these only.
  package var rows: Int { table.count }

  /// Of the given rows every key that has an entry, its places, and when it was last used.
  package func forEachKey(
    inRows rows: some Sequence<Int>,
    _ body: (Int, Fingerprint, [SlottedPlace], Use) -> Void
  ) {
    for number in rows {
      let places = places(row: number)
      guard !places.isEmpty else { continue }
      body(number, table.row(number).pointee.key, places, lastUse(row: number))
    }
  }

  /// The same of the key of a row.
  package func places(row number: Int) -> [SlottedPlace] {
    let place = table.row(number).pointee.place
    switch place.absence {
    case .empty: return []
    case .elsewhere: return states[number]!.places
    case nil: return [Self.slotted(packing.unpack(place))]
    }
  }

  /// The place that fills every slot of the key of a row; nil if several do, or none.
  func onlyPlace(row number: Int) -> SlottedPlace? {
    let place = table.row(number).pointee.place
    return place.absence == nil ? Self.slotted(packing.unpack(place)) : nil
  }

  private static func slotted(_ place: Place) -> SlottedPlace {
    SlottedPlace(place: place, slots: place.isFinal ? [.best, .latest, .final] : [.best, .latest])
  }

  // MARK: Rows

  private func isElsewhere(_ number: Int) -> Bool {
    table.row(number).pointee.place.absence == .elsewhere
  }

  /// The place fills every slot of the row.
  private func put(_ place: Place, _ number: Int, saved: UInt32) {
    guard let compact = packing.pack(place) else {
      keepElsewhere(number, [place])
      return setAbsent(number, .elsewhere, saved: saved)
    }
    table.row(number).pointee.place = compact
    setSaved(number, saved)
  }

  private func setAbsent(_ number: Int, _ why: CompactPlace.Absence, saved: UInt32) {
    table.row(number).pointee.place = CompactPlace(why, stamp: UInt64(saved) * Self.second)
    setSaved(number, saved)
  }

  private func moveElsewhere(_ number: Int) {
    let place = table.row(number).pointee.place
    keepElsewhere(number, place.absence == nil ? [packing.unpack(place)] : [])
    setAbsent(number, .elsewhere, saved: saved(number))
  }

  private func keepElsewhere(_ number: Int, _ places: [Place]) {
    var state = KeyState()
    state.refill(from: places, order: order)
    states[number] = state
  }

  // MARK: When a key was saved

  private static let second: UInt64 = 1_000_000_000

  /// Mostly the second of the stamp, and then it takes no memory.
  private func saved(_ number: Int) -> UInt32 {
    seconds(of: table.row(number).pointee.place) ^ table.savedApart[number]
  }

  private func setSaved(_ number: Int, _ saved: UInt32) {
    let apart = seconds(of: table.row(number).pointee.place) ^ saved
    if apart != 0 { table.savedApart.make(capacity: table.capacity) }
    if table.savedApart.isThere { table.savedApart.set(number, to: apart) }
  }

  private func seconds(of place: CompactPlace) -> UInt32 {
    UInt32(clamping: place.stamp / Self.second)
  }

  // MARK: Places elsewhere

  private func replaceState(_ number: Int, _ change: (inout KeyState) -> Void) {
    var state = states[number]!
    let hadEntry = !state.places.isEmpty
    for place in state.places { debit(place.place) }
    change(&state)
    for place in state.places { credit(place.place) }
    liveKeys += (state.places.isEmpty ? 0 : 1) - (hadEntry ? 1 : 0)
    states[number] = state
  }

  private func credit(_ place: Place) {
    let segment = Int(place.segment)
    while liveBytes.count <= segment { liveBytes.append(0) }
    liveBytes[segment] += UInt64(place.recordLength)
  }

  private func debit(_ place: Place) {
    liveBytes[Int(place.segment)] -= UInt64(place.recordLength)
  }
}
