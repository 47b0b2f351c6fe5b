// What a compaction asks of the catalog: which segments are closed, and which records must be kept.
//
// Only what is on stable storage makes anything dead; else a power cut could take both.

extension Catalog {
  /// Segments that nobody writes any more and that may be merged.
  var closedSegments: [Segment] {
    segments.values.filter { !isOwn($0) && !$0.isLive && $0.header.writeFeatures == 0 }
      .sorted { $0.id < $1.id }
  }

  /// The figures of the closed segments, if these keys are left out. What the index has not taken in counts as
  /// kept. `alsoFull` counts the one that is about to be sealed.
  func figures(
    without evictions: Evictions = Evictions(), alsoFull: Bool = false
  ) -> [SegmentFigures] {
    let closed = closedSegments + (alsoFull ? [beingSealed].compactMap(\.self) : [])
    let oldest = segments.values.map(\.oldestStamp).sorted()
    let unread = Set(deferred.segments.map(\.id))
    return closed.map { segment in
      if unread.contains(segment.id) {
        return SegmentFigures(
          id: segment.id, fileBytes: segment.fileBytes, keptBytes: segment.fileBytes,
          recordCount: segment.recordCount, isDamaged: damagedSegments.contains(segment.id))
      }
      // Older than this there is nothing in the others.
      let others = hasUnknownSegments ? 0 : oldest.first { $0 != segment.oldestStamp } ?? .max
      return figures(
        of: segment, needsRemovals: others <= segment.newestStamp,
        evicted: evictions.bytes[segment.number, default: 0])
    }
  }

  private func figures(
    of segment: Segment, needsRemovals: Bool, evicted: UInt64
  ) -> SegmentFigures {
    let filling = index.liveBytes(of: segment.number)
    let live = filling - min(evicted, filling)
    var notes = UInt64(segment.markCount * RecordHeader.length(texts: 0))
    if needsRemovals { notes += UInt64(segment.removalCount * RecordHeader.length(texts: 64)) }
    var size = max(segment.fileBytes, segment.tail)
    if segment === beingSealed { size += UInt64(segment.recordCount * Self.footerBytes) }
    let dead = segment.recordBytes - min(live + notes, segment.recordBytes)
    // What of the records is kept needs a footer, which shrinks with them; a log has none yet.
    let part = Double(live + notes) / Double(max(segment.recordBytes, 1))
    let footer =
      segment.phase == .log
      ? segment.recordCount * Self.footerBytes : Int(clamping: size - segment.tail)
    let kept = segment.tail - dead + UInt64(min(part, 1) * Double(footer))
    return SegmentFigures(
      id: segment.id, fileBytes: size, keptBytes: live + notes == 0 ? 0 : kept,
      recordCount: segment.recordCount, isDamaged: damagedSegments.contains(segment.id),
      holdsEvicted: evicted > 0)
  }

  /// Bytes of a footer for each record, as a rule.
  private static let footerBytes = 160

  /// Whether a key was neither saved nor looked up for longer than the time to live.
  func isExpired(_ key: Fingerprint, at now: UInt64) -> Bool {
    guard let use = index.lastUse(of: key) else { return false }
    return isExpired(use, at: now)
  }

  /// The same of a key that was last used so.
  func isExpired(_ use: Index.Use, at now: UInt64) -> Bool {
    isExpired(lastUse: max(use.saved, use.lookedUp), at: now)
  }

  /// The same of a key that was last used so many seconds after 1970.
  func isExpired(lastUse: UInt32, at now: UInt64) -> Bool {
    let last = UInt64(lastUse) * 1_000_000_000
    // What cannot be read may tell of a later use.
    guard skippedBecause == nil else { return false }
    // Of a machine without a clock, or before its clock was set: it tells nothing of the age.
    guard options.timeToLive > 0, last >= Self.earliest else { return false }
    return last < now && now - last > options.timeToLive + 1_000_000_000
  }

  /// The year 2001, nanoseconds since 1970: no use of a store was before.
  private static let earliest: UInt64 = 1_000_000_000_000_000_000

  /// Segments that a compaction replaced and that are still there.
  func replacedButPresent(among names: [SegmentName]) -> [SegmentName] {
    names.filter { name in
      name.phase != .temporary && segments.values.contains { $0.header.replaced.contains(name.id) }
    }
  }

  /// A record that may be copied.
  struct Candidate {
    var kind: RecordKind
    var key: Fingerprint
    var stamp: UInt64
    var writeSeconds: UInt32
    var offset: UInt64
    var headerLength: Int
    var storedLength: Int
  }

  /// What a merge knew when it began.
  struct MergeView {
    /// Numbers of the segments that are merged.
    var victims: Set<UInt32>
    /// How far each segment had come, bytes. What is behind that may not be on stable storage yet.
    var ends: [UInt32: UInt64] = [:]
    /// Keys of which something is not on stable storage, and what fills their slots without that.
    var unstable: [Fingerprint: [Place]] = [:]
    /// No segment outside the merge holds anything older than this.
    var oldestOutside: UInt64
    /// Keys whose newest mark is kept already.
    var marked: Set<Fingerprint> = []
    /// Keys of which everything is kept, since what counts of them does not stay where it is.
    var restless: Set<Fingerprint> = []
    /// Keys of which records were kept without knowing whether they are dead.
    var unknown: Set<Fingerprint> = []
    /// Keys that are left out: everything of them up to the stamp. Those that have expired join in.
    var evicted: [Fingerprint: Evictions.Use] = [:]
    /// Those of which the merge has an entry.
    var leftOut: Set<Fingerprint> = []
    /// How many records had been set aside.
    var setAsideCount: Int
    /// Nanoseconds since 1970 when it began: what has expired by then is left out.
    var now: UInt64
  }

  /// What becomes of an entry or an access mark in a merge.
  enum Verdict {
    case keep
    /// It is dead, as long as these count.
    case drop([Place])
  }

  /// What becomes of an entry or an access mark. Once dead, always dead: the verdict holds however the
  /// store goes on.
  func verdict(_ record: Candidate, in segment: UInt32, _ view: inout MergeView) -> Verdict {
    let key = record.key
    let places = index.places(of: key).map(\.place)
    if let through = evictedThrough(key, places, &view) {
      guard record.kind.isEntry, record.stamp > through else {
        if record.kind.isEntry { view.leftOut.insert(key) }
        return .drop([])
      }
      // Saved since: what made it dead may be left out.
      return .keep
    }
    guard record.kind.isEntry else {
      // A newer one may be gone after a power cut.
      if view.unstable[key] != nil { return .keep }
      let isNewest = !places.isEmpty && index.lastUse(of: key)?.marked == record.writeSeconds
      return isNewest && view.marked.insert(key).inserted ? .keep : .drop([])
    }
    let isHere = { (place: Place) in place.segment == segment && place.offset == record.offset }
    if places.contains(where: isHere) { return .keep }
    if isUnreadable(record.offset, in: segment) { return .drop([]) }
    let stable = view.unstable[key]
    if stable?.contains(where: isHere) ?? false { return .keep }
    if isUnknown(key, places, view) {
      view.unknown.insert(key)
      return .keep
    }
    return .drop(stable ?? places)
  }

  /// The stamp up to which a key is left out; nil if it is not. Once decided it stays.
  private func evictedThrough(
    _ key: Fingerprint, _ places: [Place], _ view: inout MergeView
  ) -> UInt64? {
    if let use = view.evicted[key] { return use.newestStamp }
    guard isExpired(key, at: view.now), let use = use(of: key), !places.isEmpty else { return nil }
    view.evicted[key] = use
    return use.newestStamp
  }

  /// When a key was used last, as far as that is known now; nil if nothing is known of it.
  private func use(of key: Fingerprint) -> Evictions.Use? {
    index.lastUse(of: key).map {
      Evictions.Use(
        newestStamp: index.places(of: key).reduce(0) { max($0, $1.place.stamp) },
        saved: $0.saved, lookedUp: $0.lookedUp)
    }
  }

  /// Whether nobody has saved or looked up the key since, as far as everything can be read.
  func isUnused(_ key: Fingerprint, since use: Evictions.Use) -> Bool {
    skippedBecause == nil && self.use(of: key) == use
  }

  /// Whether what counts of a key came after the merge began, or cannot be told.
  private func isUnknown(_ key: Fingerprint, _ places: [Place], _ view: MergeView) -> Bool {
    hasChanged(key) || view.restless.contains(key)
      || places.contains { $0.offset >= view.ends[$0.segment] ?? 0 }
  }

  private func hasChanged(_ key: Fingerprint) -> Bool {
    unsettled.contains(key) || unsettleable.contains(key) || changedSince?.contains(key) ?? true
  }

  /// What becomes of a removal.
  enum RemovalVerdict {
    case keep
    case drop
    /// To be kept if a segment outside the merge holds anything of its key that is older.
    case keepIfOlderOutside
  }

  /// What becomes of a removal, once it is known which entries are kept.
  func verdict(ofRemoval record: Candidate, _ view: MergeView) -> RemovalVerdict {
    let key = record.key
    // The one that leaves the key out covers as much.
    if view.leftOut.contains(key), record.stamp <= view.evicted[key]!.newestStamp { return .drop }
    if view.unknown.contains(key) { return .keep }
    let isSettled = view.unstable[key] == nil && !hasChanged(key)
    if isSettled, index.removedThrough(key) > record.stamp { return .drop }
    return record.stamp < view.oldestOutside ? .drop : .keepIfOlderOutside
  }

  /// Removals in logs that are not known to be on stable storage: their keys. The log may not have them
  /// any more, if its writer could not sync it.
  var unsyncedRemovals: Set<Fingerprint> {
    var keys: Set<Fingerprint> = []
    for segment in segments.values where segment.phase == .log {
      for (offset, key) in removals[segment.number] ?? [:] where offset >= segment.syncedBytes {
        keys.insert(key)
      }
    }
    return keys
  }

  /// An entry on stable storage, or a removal.
  struct KnownRecord {
    var header: RecordHeader
    var segment: UInt32
    var offset: UInt64
    /// Whether it is on stable storage.
    var isLasting: Bool
  }

  /// Everything that fills a slot of the keys if of what is not on stable storage nothing counts, or any part: a
  /// power cut may take what is better, and leave the removal of what would do in its place.
  func stableSlots(
    of keys: Set<Fingerprint>, _ records: [KnownRecord]
  ) -> [Fingerprint: [Place]] {
    // For each key up to where it may have been removed.
    var certain: [Fingerprint: UInt64] = [:]
    var possible: [Fingerprint: Set<UInt64>] = [:]
    var places: [Fingerprint: [Place]] = [:]
    for record in records {
      let header = record.header
      if header.kind == .removal {
        if record.isLasting {
          certain[header.key] = max(certain[header.key, default: 0], header.stamp)
        } else {
          possible[header.key, default: []].insert(header.stamp)
        }
      } else if header.kind.isEntry, !isUnreadable(record.offset, in: record.segment),
        let place = place(of: header, at: record.offset, in: record.segment)
      {
        places[header.key, default: []].append(place)
      }
    }
    var slots: [Fingerprint: [Place]] = [:]
    for key in keys {
      let least = certain[key] ?? 0
      let ends = [least] + (possible[key] ?? []).filter { $0 > least }
      slots[key] = slotted(places[key] ?? [], removedThroughAnyOf: ends)
    }
    return slots
  }

  /// What fills a slot if everything up to any one of the stamps was removed.
  private func slotted(_ places: [Place], removedThroughAnyOf ends: [UInt64]) -> [Place] {
    let order = index.order
    var state = KeyState()
    var left = places.sorted { $0.stamp > $1.stamp }[...]
    var filling: [Spot: Place] = [:]
    for end in ends.sorted(by: >) {
      while let place = left.first, place.stamp > end {
        state.refill(adding: place, order: order)
        left.removeFirst()
      }
      for slotted in state.places { filling[Spot(slotted.place)] = slotted.place }
    }
    return filling.values.sorted { ($0.segment, $0.offset) < ($1.segment, $1.offset) }
  }

  /// A segment with its file open, whatever it is called by now; nil if it has gone, as a log does that another succeeds.
  func opened(_ segment: Segment) throws(StoreError) -> OpenSegment? {
    try untilPresent { catalog throws(Interruption) in
      guard catalog.segments[segment.id] === segment else { return nil }
      return OpenSegment(segment, file: try catalog.file(of: segment))
    }
  }

  /// Whether the record has yet to prove intact.
  func isToBeVerified(_ place: Place) -> Bool {
    !verified.contains(Spot(place))
  }

  func noteVerified(_ place: Place) {
    if verified.count >= Self.verifiedLimit { verified = [] }
    verified.insert(Spot(place))
  }

  private static let verifiedLimit = 1 << 18
}
