// A removal must stay for as long as anything that it covers may be left.

extension Merge {
  /// A removal that may be needed.
  private struct Doubt {
    var key: Fingerprint
    var stamp: UInt64
    /// Where it is; nil if it is yet to be written.
    var found: (record: Catalog.Candidate, victim: Int)?
  }

  private func keep(_ doubt: Doubt) {
    if let (record, victim) = doubt.found {
      keep(record, victim)
    } else {
      ownRemovals.append((doubt.key, doubt.stamp))
    }
  }

  /// Keeps those removals, and makes those of what is left out, of which a segment outside the merge may
  /// hold something older.
  func judgeRemovals() throws(StoreError) {
    let engine = compactor.engine
    guard engine.options.compactionFlaw != .removalDroppedEarly else { return }
    var doubts: [Doubt] = []
    engine.stateLock.withLock {
      for (record, victim) in removals {
        switch engine.catalog.verdict(ofRemoval: record, view) {
        case .keep: keep(record, victim)
        case .drop: break
        case .keepIfOlderOutside:
          doubts.append(Doubt(key: record.key, stamp: record.stamp, found: (record, victim)))
        }
      }
    }
    doubts += view.leftOut.sorted().map { Doubt(key: $0, stamp: view.evicted[$0]!) }
      .filter { $0.stamp >= view.oldestOutside }
    guard let newest = doubts.map(\.stamp).max() else { return }
    guard let outside = try sealedOutside(olderThan: newest) else {
      doubts.forEach(keep)
      return
    }
    for id in outside where !doubts.isEmpty {
      // One at a time: there may be more of them than files can be open.
      let footer = try compactor.engine.withFreshCatalog {
        catalog throws(StoreError) -> OpenSegment? in
        guard let segment = catalog.segments[id] else { return nil }
        return try catalog.opened(segment)
      }?.footer()
      doubts.removeAll { doubt in
        let older = footer?.entries(of: doubt.key).contains {
          $0.stamp <= doubt.stamp && RecordKind(rawValue: $0.kind)?.isEntry ?? true
        }
        guard older ?? true else { return false }
        keep(doubt)
        return true
      }
    }
  }

  /// The segments outside the merge that hold anything so old; nil if they are not all sealed, or if
  /// nobody knows what some hold.
  private func sealedOutside(olderThan stamp: UInt64) throws(StoreError) -> [SegmentID]? {
    // What is set aside comes back if the disk forgets that: it counts as outside.
    let gone = Set(victims.filter { !$0.isDamaged }.map(\.source.number))
    return try compactor.engine.withFreshCatalog { catalog -> [SegmentID]? in
      guard !catalog.hasUnknownSegments else { return nil }
      let outside = catalog.segments.values.filter {
        !gone.contains($0.number) && $0.oldestStamp <= stamp
      }
      guard outside.allSatisfy({ $0.phase == .sealed }) else { return nil }
      return outside.map(\.id).sorted()
    }
  }
}
