// Which keys go when there is no room for all: those that have expired in any case; then those that were
// never looked up, the one that was saved longest ago first; then those that were not used for longest.

/// Keys that a merge leaves out, and what that gives back.
struct Evictions {
  /// When a key was used last.
  struct Use: Hashable {
    /// Everything of the key up to this stamp goes.
    var newestStamp: UInt64
    /// Seconds since 1970; 0 for never.
    var saved: UInt32
    var lookedUp: UInt32
  }

  var keys: [Fingerprint: Use] = [:]
  /// Bytes of records that fill a slot until then, by the number of their segment.
  var bytes: [UInt32: UInt64] = [:]

  /// Adds a key. Gives the bytes that come back.
  @discardableResult
  mutating func add(
    _ key: Fingerprint, _ places: [SlottedPlace], _ use: Index.Use
  ) -> UInt64 {
    let newest = places.reduce(0) { max($0, $1.place.stamp) }
    let use = Use(newestStamp: newest, saved: use.saved, lookedUp: use.lookedUp)
    guard keys.updateValue(use, forKey: key) == nil else { return 0 }
    var sum: UInt64 = 0
    for place in places.map(\.place) {
      bytes[place.segment, default: 0] += UInt64(place.recordLength)
      sum += UInt64(place.recordLength)
    }
    return sum
  }
}

extension Engine {
  /// The place of a key in the order in which keys go.
  private struct Rank {
    /// Seconds since 1970; 0 if it was never looked up.
    var lastUse: UInt32
    var row: UInt32
    var newestStamp: UInt64
  }

  /// Rows of the index that are looked at with the lock held once.
  private static let rowBatch = 1024

  /// The figures of all closed segments if everything is left out that has expired, and as much more that
  /// no more than `target` bytes would be left. What is dead already comes back first, from those segments
  /// of which at least the part `worthwhile` does.
  func planEvicting(
    downTo target: UInt64, worthwhile: Double
  ) throws(StoreError) -> (plan: CompactionPlan, evictions: Evictions) {
    var evictions = Evictions()
    // Only what the index knows gets a rank.
    try withFreshCatalog { _ in }
    let ranks = rankKeys(&evictions)
    var plan = try plan(without: evictions)
    let reclaimed = plan.closed.filter { $0.wasteShare >= worthwhile }
      .reduce(0) { $0 + $1.wasteBytes }
    guard plan.fileBytes > target, reclaimed < plan.fileBytes - target else {
      return (plan, evictions)
    }
    evict(plan.fileBytes - target - reclaimed, of: ranks, &evictions)
    plan = try self.plan(without: evictions)
    return (plan, evictions)
  }

  /// Puts all keys in order; those that have expired go at once.
  private func rankKeys(_ expired: inout Evictions) -> [Rank] {
    let now = host.wallClock()
    var ranks: [Rank] = []
    let rows = stateLock.withLock { catalog.index.rows }
    for start in stride(from: 0, to: rows, by: Self.rowBatch) {
      stateLock.withLock {
        let end = min(start + Self.rowBatch, rows)
        catalog.index.forEachKey(inRows: start..<end) { row, key, places, use in
          let lastUse = max(use.saved, use.lookedUp)
          if catalog.isExpired(lastUse: lastUse, at: now) { expired.add(key, places, use) }
          ranks.append(
            Rank(
              lastUse: use.lookedUp == 0 ? 0 : lastUse, row: UInt32(row),
              newestStamp: places.reduce(0) { max($0, $1.place.stamp) }))
        }
      }
    }
    ranks.sort { ($0.lastUse, $0.newestStamp, $0.row) < ($1.lastUse, $1.newestStamp, $1.row) }
    return ranks
  }

  /// Adds keys in their order until so many bytes come back, but for those used meanwhile.
  private func evict(_ bytes: UInt64, of ranks: [Rank], _ evictions: inout Evictions) {
    var left = bytes
    for batch in ranks.batches(of: Self.rowBatch) where left > 0 {
      stateLock.withLock {
        let closed = Set(catalog.closedSegments.map(\.number))
        for rank in batch where left > 0 {
          catalog.index.forEachKey(inRows: CollectionOfOne(Int(rank.row))) { _, key, places, use in
            let lastUse = use.lookedUp == 0 ? 0 : max(use.saved, use.lookedUp)
            let newest = places.reduce(0) { max($0, $1.place.stamp) }
            guard lastUse == rank.lastUse, newest == rank.newestStamp,
              // What lies in the logs of living writers comes back with none of these merges.
              places.contains(where: { closed.contains($0.place.segment) })
            else { return }
            left -= min(left, evictions.add(key, places, use))
          }
        }
      }
    }
  }
}
