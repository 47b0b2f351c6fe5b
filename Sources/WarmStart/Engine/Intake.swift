// Entries from elsewhere, older than their writing, held against what a key has.

/// The slots of one key, as they would be with entries from elsewhere.
///
/// Of two with the same stamp the store's counts as the newer, and of two from elsewhere the one added
/// later. Written in that order, what was taken then fills its slots in truth, and whoever asks again with the same
/// entries finds that none of the others would fill one.
package struct Intake {
  package let key: Fingerprint
  /// The stamps of those entries of the store that fill a slot.
  package private(set) var stamps: Set<UInt64> = []
  /// When the key was last looked up, as far as a mark tells: seconds since 1970, 0 for never.
  package private(set) var markedSeconds: UInt32 = 0

  // The slots of this key alone: the rules are in one place.
  private var index = Index()
  private var added = 0

  private static let store: UInt32 = 0
  private static let elsewhere: UInt32 = 1
  /// Before every segment that there can be.
  private static let origin = SegmentID(creation: 0, random: 0)

  /// A key of which a store has nothing.
  package init(_ key: Fingerprint) { self.key = key }

  /// Adds an entry from elsewhere, which has a stamp.
  package mutating func add(_ draft: Draft) {
    // A copy of this one may have the same.
    if !isKnownUniquelyReferenced(&index) { index = Index(index) }
    precondition(draft.key == key && draft.kind.isEntry, "an entry of this key")
    guard let stamp = draft.stamp else { preconditionFailure("an entry with a stamp") }
    let number = added
    added += 1
    // With too many producers to number it could not be written either.
    guard let producer = index.producerNumber(draft.producer) else { return }
    let place = Place(
      stamp: stamp, objective: draft.objective.flatMap { $0.isFinite ? $0 : nil },
      segment: Self.elsewhere, offset: 8 * UInt64(number), storedLength: 0,
      headerLength: RecordHeader.length(texts: 0), isFinal: draft.kind == .final,
      producer: producer, originSegment: index.originNumber(Self.origin),
      originNumber: UInt32(number))
    index.insert(key, place, saved: UInt32(clamping: draft.writeTime / 1_000_000_000))
  }

  /// Which of the added entries fill a slot: their numbers, in the order in which they were added.
  package var arrivals: [Int] {
    index.places(of: key).filter { $0.place.segment == Self.elsewhere }
      .map { Int($0.place.offset / 8) }.sorted()
  }

  /// Nothing up to this stamp counts.
  fileprivate mutating func remove(through stamp: UInt64) {
    if stamp > 0 { _ = index.remove(key, through: stamp) }
  }

  /// Adds what the store has.
  fileprivate mutating func add(_ place: Place, of catalog: Catalog) {
    let order = catalog.index.order
    guard
      let producer = index.producerNumber(catalog.index.producers[Int(place.producer)])
    else { return }
    stamps.insert(place.stamp)
    index.insert(
      key,
      Place(
        stamp: place.stamp, objective: place.objective, segment: Self.store, offset: place.offset,
        storedLength: place.storedLength, headerLength: place.headerLength,
        isFinal: place.isFinal, producer: producer,
        originSegment: index.originNumber(order.origins[Int(place.originSegment)]),
        originNumber: place.originNumber), saved: 0)
  }

  fileprivate mutating func note(marked seconds: UInt32) { markedSeconds = seconds }
}

extension Engine {
  /// What a key has, for entries from elsewhere to be held against. They were saved or looked up last at
  /// `lastUse`, nanoseconds since 1970: a key that nobody used for longer than the time to live takes none.
  package func intake(of key: Fingerprint, lastUse: UInt64) throws(StoreError) -> Intake {
    try stateLock.withLock { () throws(StoreError) in
      try catalog.untilPresent { catalog throws(Catalog.Interruption) in
        try catalog.requireSettled(key)
        var intake = Intake(key)
        let places = catalog.index.places(of: key).map(\.place)
        intake.remove(through: catalog.index.removedThrough(key))
        intake.note(marked: catalog.index.lastUse(of: key)?.marked ?? 0)
        guard places.isEmpty || isExpired(key) else {
          for place in places { intake.add(place, of: catalog) }
          return intake
        }
        // What has expired is gone, and with it whatever is older.
        intake.remove(through: places.map(\.stamp).max() ?? 0)
        let seconds = UInt32(clamping: lastUse / 1_000_000_000)
        if catalog.isExpired(lastUse: seconds, at: host.wallClock()) {
          intake.remove(through: FormatLimits.stamp)
        }
        return intake
      }
    }
  }

  /// Whether the key has an entry with this stamp that fills a slot, can be read, and is the same in the
  /// eyes of `isSame`. One that proves damaged is reported and set aside, as by a lookup.
  package func holds(
    _ key: Fingerprint, stamp: UInt64, where isSame: (ReadRecord) -> Bool
  ) throws(StoreError) -> Bool {
    var others: [Place] = []
    while true {
      let answer = try lookup(key, countsAsUse: false) { row in
        catalog.index.places(row: row).first { candidate in
          candidate.place.stamp == stamp
            && !others.contains { $0.isSameRecord(as: candidate.place) }
        }
      }
      guard let answer else { return false }
      if isSame(answer.record) { return true }
      others.append(answer.place)
    }
  }

  /// Puts on stable storage what is in the logs of others, of writers that died above all: whoever left
  /// something out because it was there may rely on it from here on.
  package func syncLogsOfOthers() throws(StoreError) {
    appendLock.withLock { finishSealing() }
    let logs = try stateLock.withLock { () throws(StoreError) in
      try catalog.untilPresent { catalog in
        catalog.segments.values.filter { $0.phase == .log && !catalog.isOwn($0) }.map(\.id).sorted()
      }
    }
    for id in logs {
      // One that is gone by now was sealed, or merged into another, and so synced.
      guard let (_, file) = try open(segmentOf: id) else { continue }
      do throws(FileError) { try file.syncData() } catch { throw .file(error) }
    }
  }
}
