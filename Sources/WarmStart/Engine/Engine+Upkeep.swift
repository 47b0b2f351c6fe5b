// When this process merges segments without anybody having asked.

internal import Logging
internal import Synchronization

extension Engine {
  /// What is to be merged next.
  struct NextMerge {
    var group: [SegmentFigures]
    var plan: CompactionPlan
    var evictions = Evictions()
  }

  /// What is worth a merge now; nil if nothing is. Over seven eighths of the budget room is made for one
  /// more segment: first of what is dead, then by eviction.
  func nextMerge(_ policy: UpkeepPolicy) throws(StoreError) -> NextMerge? {
    let plan = try plan()
    let mark = options.segmentBudget / 8 * 7
    if options.segmentBudget < .max, plan.fileBytes > mark {
      // Where there is no more room, a merge that gains little is better than none.
      let isFull = plan.fileBytes > options.segmentBudget / 16 * 15
      let fewest = isFull ? UpkeepPolicy.fewestGainInNeed : UpkeepPolicy.fewestGain
      let (evicting, evictions) = try planEvicting(
        downTo: mark - min(mark, options.segmentLimit), worthwhile: fewest)
      if let group = policy.mostWasteful(evicting, worthwhile: fewest) {
        return NextMerge(group: group, plan: evicting, evictions: evictions)
      }
    }
    return policy.next(plan).map { NextMerge(group: $0, plan: plan) }
  }

  /// A log is about to be begun: wakes the compactor if it has something to do, and waits for it if the
  /// store is over its budget, or is known to grow faster than it is compacted. With the append lock, which the
  /// compactor does not need.
  ///
  /// So every writer adds to a store within its budget no more than one segment. A save never fails for
  /// want of room in the budget: after a while it goes on.
  func makeRoomForLog() {
    guard let upkeep, let policy = options.upkeep else { return }
    let isToLook =
      stateLock.withLock { !catalog.deferred.isEmpty } && host.random() % policy.lookers == 0
    var turn = 0
    var least = (bytes: UInt64.max, turn: 0)
    while turn < Self.longestWaitForRoom {
      let (plan, isKnown) = stateLock.withLock {
        // Others fill the budget as well. Where they cannot be read, their sizes have to do.
        let isKnown = (try? refreshForPlan()) != nil
        let plan = CompactionPlan(
          closed: catalog.figures(), outputLimit: options.segmentLimit,
          leavingBytes: catalog.leavingBytes)
        return (plan, isKnown)
      }
      // What was replaced takes its space until its files are gone, which syncs of the directory can delay.
      let bytes = plan.fileBytes + plan.leavingBytes
      let isOver = bytes > options.segmentBudget
      let isBehind = isKnown && turn < Self.longestWaitForWaste && policy.isBehind(plan)
      guard isOver || isBehind else {
        if turn == 0, isKnown, isWorthAMerge(plan, policy) || isToLook { upkeep.start() }
        return upkeep.relax()
      }
      // To wait is in vain where there is no headway. A merge of one's own may need seconds for a sync.
      if bytes < least.bytes { least = (bytes, turn) }
      let isStill = turn - least.turn > Self.longestStandstill && !upkeep.isAtWork
      if turn > 0, upkeep.hasGivenUp || isStill { break }
      // Whoever wants everything on stable storage may be about to be killed.
      if pendingFlushes.load(ordering: .relaxed) > 0 { break }
      upkeep.start(isHurried: true)
      host.sleep(Self.waitForRoom)
      turn += 1
    }
    upkeep.relax()
    if turn > Self.longestStandstill {
      options.logger?.warning("the store in \(path) stays over its budget")
    }
  }

  /// Runs `body`, which waits for saves, while none of them waits for room in the budget.
  package func withoutWaitsForRoom<Value>(
    _ body: () throws(StoreError) -> Value
  ) throws(StoreError) -> Value {
    pendingFlushes.wrappingAdd(1, ordering: .relaxed)
    defer { pendingFlushes.wrappingSubtract(1, ordering: .relaxed) }
    return try body()
  }

  /// Takes in what others finished before, as far as it matters to whether a merge is worth it. With the state lock,
  /// and the append lock or a store that is closed.
  ///
  /// To learn what all the large segments waste takes a second for millions of keys. A process that adds little need not;
  /// one that leaves a large segment has to. Where records are few, or large, it is little beside what may be wasted.
  func refreshForPlan() throws(StoreError) {
    let unread = catalog.deferred.extent
    let isLittle = unread.records <= max(Self.fewRecords, Int(clamping: unread.bytes >> 16))
    if isLittle || 2 * endedLogBytes > options.segmentLimit {
      return try catalog.refreshForAllKeys()
    }
    try catalog.refresh()
    // What could not be filled anew seems to be waste.
    if let why = catalog.unsettledBecause, !catalog.unsettleable.isEmpty { throw why }
  }

  /// So many are read in some ten milliseconds.
  private static let fewRecords = 16_384

  /// Returns once the store has sealed what is full, and merged what is worth it now.
  package func waitForUpkeep() {
    appendLock.withLock { finishSealing() }
    upkeep?.wait()
  }

  func isWorthAMerge(_ plan: CompactionPlan, _ policy: UpkeepPolicy) -> Bool {
    plan.fileBytes > options.segmentBudget / 8 * 7 || policy.next(plan) != nil
  }

  /// Nanoseconds between two looks, and how many there are: half a minute where the budget is at stake
  /// and this process or another gets on, a fifth of a second for waste alone.
  private static let waitForRoom: UInt64 = 2_000_000
  private static let longestWaitForRoom = 15_000
  /// Looks that find nothing changed, and no merge of one's own under way: a second of them.
  private static let longestStandstill = 500
  private static let longestWaitForWaste = 100

  /// After the last log was sealed: one small merge, so that many short fits leave few segments.
  func mergeAtClose() {
    guard let policy = options.upkeep, !isReadOnly else { return }
    do throws(StoreError) {
      let known = try stateLock.withLock { () throws(StoreError) in
        try refreshForPlan()
        return CompactionPlan(
          closed: catalog.figures(), outputLimit: options.segmentLimit,
          leavingBytes: catalog.leavingBytes)
      }
      // One that was killed may have left something to clear away, though nothing is to be merged.
      guard known.leavingBytes > 0 || isWorthAMerge(known, policy),
        let compactor = try Compactor(self, .init())
      else {
        return
      }
      defer { compactor.finish() }
      try compactor.clearAway()
      guard let next = try nextMerge(policy), let group = policy.part(next.group, of: next.plan)
      else { return }
      try compactor.merge(group.map(\.id), evicting: next.evictions)
      compactor.keepReserve()
    } catch { options.logger?.warning("compaction put off: \(error)") }
  }
}
