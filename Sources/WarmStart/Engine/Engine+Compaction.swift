// Compaction as somebody asks for it: everything that is worth merging is merged.

internal import Logging

extension Engine {
  /// How a compaction is to go.
  package struct CompactionControl {
    /// Bytes a second that are read at most; 0 for as fast as it goes.
    package var pace: UInt64 = 0
    /// Hears of the bytes done and of all bytes.
    package var progress: (UInt64, UInt64) -> Void = { _, _ in }

    package init() {}
  }

  /// Merges every segment that nobody writes any more and that wastes space or is small, without what has
  /// expired, and without what the size budget has no room for. What was saved by this store before is
  /// sealed first, so that it takes part.
  ///
  /// Waits for another compactor of the same directory. A crash, or an error, at any moment leaves
  /// everything that counts as it was.
  package func compact(
    _ control: CompactionControl = CompactionControl()
  ) throws(StoreError) -> CompactionReport {
    guard !isReadOnly else { throw .readOnly(path: path) }
    try appendLock.withLock { () throws(StoreError) in
      guard !isClosed else { throw .closed(path: path) }
      finishSealing()
      sealWriter()
    }
    let total = try everything().plan.everything().joined().reduce(0) { $0 + $1.fileBytes }
    let compactor = try waitForCompactor(
      Compactor.Control(
        pace: control.pace, progress: { control.progress(min($0, total), total) }))
    defer { compactor.finish() }
    try compactor.clearAway()
    var failures: [StoreError] = []
    do throws(StoreError) { try compactor.quarantineAllUnread() } catch { failures.append(error) }
    // What a removal covers goes first; then the removal may go too, and outputs may be merged again.
    for _ in 0..<Self.mostPasses {
      let (before, evictions) = try everything()
      let groups = before.everything()
      failures += compactor.mergeAll(
        groups.map { $0.map(\.id) }, evicting: evictions,
        atOnce: mergesAtOnce(groups, of: before, evictions))
      guard failures.isEmpty, try plan().promisesMore(than: before) else { break }
    }
    compactor.keepReserve()
    if let first = failures.first { throw first }
    return compactor.report
  }

  /// Each merge needs the space of an output, and has all its files open. A key that goes is left out by one
  /// merge, and known to be gone by the next.
  private func mergesAtOnce(
    _ groups: [[SegmentFigures]], of plan: CompactionPlan, _ evictions: Evictions
  ) -> Int {
    let room = options.segmentBudget - min(options.segmentBudget, plan.fileBytes)
    let hasRoom = room / 2 > options.segmentLimit
    let hasFiles = groups.allSatisfy { 2 * $0.count <= CompactionPlan.mostVictims }
    return evictions.keys.isEmpty && hasRoom && hasFiles ? 2 : 1
  }

  /// More than a directory of any size needs.
  private static let mostPasses = 8

  /// What a compaction would merge: how many segments, bytes of their files, and bytes of what would be
  /// left of them, as far as the index tells.
  package struct CompactionForecast: Sendable {
    package var segments = 0
    package var bytes: UInt64 = 0
    package var bytesAfter: UInt64 = 0
    package var evictedKeys = 0
  }

  /// What ``compact(_:)`` would do; nothing is changed.
  package func compactionForecast() throws(StoreError) -> CompactionForecast {
    var forecast = CompactionForecast()
    let (plan, evictions) = try everything()
    for segment in plan.everything().joined() {
      forecast.segments += 1
      forecast.bytes += segment.fileBytes
      forecast.bytesAfter += segment.keptBytes
    }
    forecast.evictedKeys = evictions.keys.count
    return forecast
  }

  /// The figures once everything is left out that has expired, and whatever else the budget has no room
  /// for, beside the logs of living writers.
  private func everything() throws(StoreError) -> (plan: CompactionPlan, evictions: Evictions) {
    try planEvicting(downTo: options.segmentBudget, worthwhile: 0)
  }

  func plan(without evictions: Evictions = Evictions()) throws(StoreError) -> CompactionPlan {
    try withFreshCatalog { catalog in
      CompactionPlan(
        closed: catalog.figures(without: evictions), outputLimit: options.segmentLimit)
    }
  }

  func waitForCompactor(
    _ control: Compactor.Control
  ) throws(StoreError) -> Compactor {
    for _ in 0..<Self.longestWait {
      if let compactor = try Compactor(self, control) { return compactor }
      host.sleep(Self.nap)
    }
    throw .unreadableDirectory(
      path: path, why: "another compaction has been running for ten minutes")
  }

  /// Nanoseconds between two looks whether another compactor is done, and how many there are.
  private static let nap: UInt64 = 10_000_000
  private static let longestWait = 60_000
}
