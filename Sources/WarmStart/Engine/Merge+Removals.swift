// A removal must stay for as long as anything that it covers may be left.

extension Merge {
  /// Keeps those removals of which a segment outside the merge may hold something older.
  func judgeRemovals() throws(StoreError) {
    var doubts: [(record: Catalog.Candidate, victim: Int)] = []
    let engine = compactor.engine
    engine.stateLock.withLock {
      for (record, victim) in removals where engine.options.compactionFlaw != .removalDroppedEarly {
        switch engine.catalog.verdict(ofRemoval: record, view) {
        case .keep: keep(record, victim)
        case .drop: break
        case .keepIfOlderOutside: doubts.append((record, victim))
        }
      }
    }
    guard let newest = doubts.map(\.record.stamp).max() else { return }
    guard let outside = try sealedOutside(olderThan: newest) else {
      for (record, victim) in doubts { keep(record, victim) }
      return
    }
    for id in outside where !doubts.isEmpty {
      // One at a time: there may be more of them than files can be open.
      let footer = try compactor.engine.withFreshCatalog {
        catalog throws(StoreError) -> OpenSegment? in
        guard let segment = catalog.segments[id] else { return nil }
        return try catalog.opened(segment)
      }?.footer()
      doubts.removeAll { record, victim in
        let older = footer?.entries(of: record.key).contains {
          $0.stamp <= record.stamp && RecordKind(rawValue: $0.kind)?.isEntry ?? true
        }
        guard older ?? true else { return false }
        keep(record, victim)
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
