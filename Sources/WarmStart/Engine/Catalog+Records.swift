// Records as they come in from segments, and those that prove damaged.

internal import Logging

extension Catalog.Spot {
  init(_ place: Place) { self.init(segment: place.segment, offset: place.offset) }
}

extension Catalog {
  /// Takes one record into account.
  func take(_ header: RecordHeader, at offset: UInt64, in segment: Segment) {
    take(
      kind: header.kind, key: header.key, stamp: header.stamp,
      writeSeconds: UInt32(clamping: header.writeTime / 1_000_000_000), offset: offset, in: segment
    ) {
      place(of: header, at: offset, in: segment.number)
    }
  }

  /// What the index remembers of an entry; nil if there are too many producers.
  func place(of header: RecordHeader, at offset: UInt64, in segment: UInt32) -> Place? {
    guard let producer = index.producerNumber(header.producer) else { return nil }
    return Place(
      stamp: header.stamp, objective: header.objective, segment: segment, offset: offset,
      storedLength: header.storedLength, headerLength: header.length,
      isFinal: header.kind == .final, producer: producer,
      originSegment: index.originNumber(header.origin.segment),
      originNumber: header.origin.number)
  }

  func take(
    kind: RecordKind, key: Fingerprint, stamp: UInt64, writeSeconds: UInt32, offset: UInt64,
    in segment: Segment, place: () -> Place?
  ) {
    lastStamp = max(lastStamp, stamp)
    segment.newestStamp = max(segment.newestStamp, stamp)
    guard !unreadable.contains(Spot(segment: segment.number, offset: offset)) else { return }
    switch kind {
    case .checkpoint, .final:
      guard let place = place() else {
        return report(
          Damage(segment: segment.name, offset: offset, length: 0, what: "too many producers"))
      }
      index.insert(key, place, saved: writeSeconds)
    case .removal:
      doubts &+= 1
      removals[segment.number, default: [:]][offset] = key
      changedSince?.insert(key)
      if index.remove(key, through: stamp) {
        unsettled.insert(key)
        hasUnsettled.insert(key)
      }
    case .accessMark:
      index.insertMark(key, at: writeSeconds)
    }
  }

  /// A record proved damaged: from now on it fills no slot, and what it hid comes forward. `isWhole` says that
  /// all of it was there, so that it is not the torn tail of a log.
  func setAside(
    _ place: Place, key: Fingerprint, what: String, isWhole: Bool
  ) throws(StoreError) {
    noteUnreadable(place, key: key, what: what, isWhole: isWhole)
    try refresh()
  }

  /// The same, but that what it hid comes forward with the next refresh.
  func noteUnreadable(_ place: Place, key: Fingerprint, what: String, isWhole: Bool = false) {
    unreadable.insert(Spot(place))
    setAsideCount += 1
    doubts &+= 1
    changedSince?.insert(key)
    if !isWhole, let segment = segment(place.segment), mayBeTorn(place, segment) {
      // No damage for sure; but what it was stays to be looked at.
      damagedSegments.insert(segment.id)
    } else if let segment = segment(place.segment) {
      report(
        Damage(
          segment: segment.name, offset: place.offset, length: UInt64(place.recordLength),
          what: what, key: key))
    }
    unsettled.insert(key)
  }

  /// Of what nobody attested to be on stable storage, some file systems take the content back when a sync
  /// fails, and so does a power cut on any: then it is the torn tail of a log.
  private func mayBeTorn(_ place: Place, _ segment: Segment) -> Bool {
    segment.phase == .log && (!isOwn(segment) || segment.syncDoubt?.isInDoubt ?? true)
      && place.offset + UInt64(place.recordLength) > segment.syncedBytes
  }

  /// Whether the record there proved damaged.
  func isUnreadable(_ offset: UInt64, in segment: UInt32) -> Bool {
    unreadable.contains(Spot(segment: segment, offset: offset))
  }

  /// Whether there are segments of which nobody knows what they hold.
  var hasUnknownSegments: Bool { !refused.isEmpty || skippedBecause != nil }

  /// Segments with damage that leaves no header intact.
  var unreadSegments: [SegmentName] {
    headerless.values.filter { refused.contains($0.id) }.sorted { $0.id < $1.id }
  }

  /// The segment is left alone from now on.
  func refuse(_ id: SegmentID) { refused.insert(id) }

  /// There is nothing in it, and there never was.
  func noteHeadless(_ id: SegmentID) { headless.insert(id) }

  func report(_ found: Damage) {
    if let id = SegmentName(found.segment)?.id { damagedSegments.insert(id) }
    guard damage.count < Self.damageLimit, !damage.contains(found) else { return }
    damage.append(found)
    options.logger?.warning("damage: \(found)")
  }

  func noteTorn(_ gaps: [ReplayGap], in segment: Segment) {
    guard !gaps.isEmpty else { return }
    tornTails += 1
    options.logger?.debug("torn tail of a crash in \(segment.name) at \(gaps[0].range.lowerBound)")
  }
}
