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
    doubts += view.leftOut.sorted().map { Doubt(key: $0, stamp: view.evicted[$0]!.newestStamp) }
      .filter { $0.stamp >= view.oldestOutside }
    guard !doubts.isEmpty, let outside = try others() else { return doubts.forEach(keep) }
    doubts.removeAll { doubt in
      // What is in a log that still grows, or that nobody sealed, is not looked through.
      let isOpen = outside.contains { !$0.isSealed && $0.oldestStamp <= doubt.stamp }
      if isOpen { keep(doubt) }
      return isOpen
    }
    let newest = doubts.reduce(0) { max($0, $1.stamp) }
    for other in outside where other.isSealed && other.oldestStamp <= newest && !doubts.isEmpty {
      // One at a time: there may be more of them than files can be open.
      let footer = try engine.withFreshCatalog { catalog throws(StoreError) -> OpenSegment? in
        guard let segment = catalog.segments[other.id] else { return nil }
        return try catalog.opened(segment)
      }?.footer()
      doubts.removeAll { doubt in
        guard other.oldestStamp <= doubt.stamp else { return false }
        let older = footer?.entries(of: doubt.key).contains {
          $0.stamp <= doubt.stamp && RecordKind(rawValue: $0.kind)?.isEntry ?? true
        }
        guard older ?? true else { return false }
        keep(doubt)
        return true
      }
    }
  }

  private struct Other {
    var id: SegmentID
    var oldestStamp: UInt64
    var isSealed: Bool
  }

  /// The segments outside the merge; nil if nobody knows what some hold.
  private func others() throws(StoreError) -> [Other]? {
    // What is set aside comes back if the disk forgets that: it counts as outside.
    let gone = Set(victims.filter { !$0.isDamaged }.map(\.source.number))
    return try compactor.engine.withFreshCatalog { catalog -> [Other]? in
      guard !catalog.hasUnknownSegments else { return nil }
      return catalog.segments.values.filter { !gone.contains($0.number) }
        .map { Other(id: $0.id, oldestStamp: $0.oldestStamp, isSealed: $0.phase == .sealed) }
        .sorted { $0.id < $1.id }
    }
  }
}
