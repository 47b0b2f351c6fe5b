// Before the last copy of something goes for a better one, the better one is checked.
//
// What was relied on when something was dropped is held against the merge as it came out: it is copied,
// and checked with that, or it is elsewhere and proves intact. Nothing is asked of the index again: it may
// know by then that a record is damaged, and name what has been dropped for its sake.

extension Merge {
  /// Throws what is not intact of all that something was dropped for.
  func verifyWinners() throws(Outcome) {
    var copied: Set<Catalog.Spot> = []
    for victim in victims {
      for record in victim.kept {
        copied.insert(Catalog.Spot(segment: victim.source.number, offset: record.offset))
      }
    }
    var missing: [(key: Fingerprint, place: Place)] = []
    var outside: [UInt32: [(key: Fingerprint, place: Place)]] = [:]
    for (key, places) in winners {
      for place in places {
        let spot = Catalog.Spot(place)
        if !view.victims.contains(place.segment) {
          outside[place.segment, default: []].append((key, place))
        } else if !copied.contains(spot) {
          missing.append((key, place))
        }
      }
    }
    var damaged = missing.map {
      DamagedRecord(place: $0.place, key: $0.key, what: "the record is not there any more")
    }
    var moved: Set<Fingerprint> = []
    do throws(StoreError) {
      for (number, records) in outside.sorted(by: { $0.key < $1.key }) {
        guard let found = try verify(records, in: number) else {
          moved.formUnion(records.map(\.key))
          continue
        }
        damaged += found
      }
    } catch { throw .failed(error) }
    if !damaged.isEmpty { throw .damaged(damaged) }
    if !moved.isEmpty { throw .moved(moved) }
  }

  /// Those of the records that are not intact; nil if the segment has gone: a log may have been succeeded by another, and
  /// what counts of it is there now.
  private func verify(
    _ records: [(key: Fingerprint, place: Place)], in number: UInt32
  ) throws(StoreError) -> [DamagedRecord]? {
    let (source, toVerify) = try compactor.engine.withFreshCatalog {
      catalog throws(StoreError) -> (OpenSegment?, [(key: Fingerprint, place: Place)]) in
      let toVerify = records.filter { catalog.isToBeVerified($0.place) }
      guard !toVerify.isEmpty, let segment = catalog.segment(number) else { return (nil, toVerify) }
      return (try catalog.opened(segment), toVerify)
    }
    guard let source else { return toVerify.isEmpty ? [] : nil }
    let copier = Copier(compactor, source)
    var damaged: [DamagedRecord] = []
    for (key, place) in toVerify.sorted(by: { $0.place.offset < $1.place.offset }) {
      let record = Kept(
        offset: place.offset, headerLength: place.headerLength, storedLength: place.storedLength,
        key: key)
      do throws(Copier.Failure) { try copier.copy(record, to: nil) } catch {
        switch error {
        case .failed(let error): throw error
        case .damaged(let what):
          // Lookups give what comes out of it, whatever the stored bytes are.
          guard copier.canRestore(record) else {
            damaged.append(DamagedRecord(place: place, key: key, what: what))
            continue
          }
        }
      }
      compactor.engine.stateLock.withLock { compactor.engine.catalog.noteVerified(place) }
    }
    return damaged
  }
}
