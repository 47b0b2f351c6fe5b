// What keeps a store small while it is used: a thread that merges segments when that is worth it.
//
// It is started by whoever begins a log and finds something to do, or is one of those who look whether large
// segments, of which little is read as a rule, are wasteful; and ends when there is nothing more.
// It rests as long as it works, with a low priority, unless the store grows faster than it follows. It
// never takes the append lock, so that a save may wait for it.

internal import Logging

/// The thread of one engine.
final class Upkeep: @unchecked Sendable {
  // Its owner; the thread holds it for as long as it runs.
  private unowned let engine: Engine
  private let policy: UpkeepPolicy
  private let lock: any Lock
  // Guarded by lock.
  private var thread: (any RunningThread)?
  private var isRunning = false
  private var isCompacting = false
  private var mustEnd = false
  private var mayFinishMerge = false
  /// A merge came to its end although the thread was to end.
  private var hasFinishedMerge = false
  /// There is a save that waits for the thread, or soon may.
  private var isHurried = false
  private var isInHaste = false
  /// The last run came to nothing: an error, or nothing could be merged.
  private var isInVain = false

  /// Nanoseconds of the longest rest.
  private static let longestRest: UInt64 = 10_000_000
  /// Merges of one run, more than any store needs.
  private static let mostMerges = 4096

  init(_ engine: Engine, _ policy: UpkeepPolicy) {
    self.engine = engine
    self.policy = policy
    lock = engine.host.threads.makeLock()
  }

  // MARK: From outside

  /// Starts the thread unless it runs. Gives whether it does.
  @discardableResult
  func start(isHurried: Bool = false) -> Bool {
    while true {
      let ended: (any RunningThread)? = lock.withLock {
        self.isHurried = self.isHurried || isHurried
        guard !isRunning else { return nil }
        defer { thread = nil }
        return thread
      }
      ended?.join()
      if let runs = startUnlessThere() { return runs }
    }
  }

  /// Gives whether it runs; nil if one has ended meanwhile, which must be joined first.
  private func startUnlessThere() -> Bool? {
    lock.withLock {
      guard !mustEnd, !isRunning else { return isRunning }
      guard thread == nil else { return nil }
      do throws(ThreadError) {
        isRunning = true
        thread = try engine.host.threads.start { [self, engine] in
          withExtendedLifetime(engine) { run() }
        }
      } catch {
        isRunning = false
        isInVain = true
        engine.options.logger?.warning("no thread for compaction: errno \(error.errno)")
      }
      return isRunning
    }
  }

  /// Nobody waits for it any more.
  func relax() { lock.withLock { isHurried = false } }

  /// Whether the thread has the compaction to itself, however long its merges take.
  var isAtWork: Bool { lock.withLock { isCompacting } }

  /// Whether the last run came to nothing, so that it is no use to wait for another.
  var hasGivenUp: Bool { lock.withLock { !isRunning && (isInVain || mustEnd) } }

  /// Returns once the thread, if it runs, has come to its end by itself.
  func wait() {
    let thread = lock.withLock {
      defer { self.thread = nil }
      return self.thread
    }
    thread?.join()
  }

  /// Ends the thread, after a merge under way if that is a small one, and for good. Gives whether there
  /// was one.
  func end() -> Bool {
    let thread = lock.withLock {
      mustEnd = true
      defer { self.thread = nil }
      return self.thread
    }
    thread?.join()
    return lock.withLock { hasFinishedMerge }
  }

  // MARK: The thread

  private func run() {
    engine.host.threads.lowerPriority()
    // Of another process that is at it something may be expected.
    var isInVain = false
    var failure: StoreError?
    do throws(StoreError) {
      if let merged = try work() { isInVain = merged == 0 }
    } catch { (isInVain, failure) = (true, error) }
    lock.withLock {
      if let failure, !mustEnd {
        engine.options.logger?.warning("compaction put off: \(failure)")
      }
      self.isInVain = isInVain
      (isRunning, isCompacting) = (false, false)
    }
  }

  private var control: Compactor.Control {
    var control = Compactor.Control()
    control.rest = { [self] worked in
      lock.withLock { isHurried || isInHaste || mustEnd ? 0 : min(worked, Self.longestRest) }
    }
    control.isCancelled = { [self] in lock.withLock { mustEnd && !mayFinishMerge } }
    return control
  }

  /// Lets the index take in everything, with rests; false if the thread is to end before.
  private func knowsAll() throws(StoreError) -> Bool {
    let host = engine.host
    while !lock.withLock({ mustEnd }) {
      let begun = host.monotonicClock()
      guard try engine.bringInNext() else { return true }
      let now = host.monotonicClock()
      let rest = control.rest(now - min(now, begun))
      if rest > 0 { host.sleep(rest) }
    }
    return false
  }

  /// Merges while that is worth it. Gives how many merges there were; nil if another process is at it.
  private func work() throws(StoreError) -> Int? {
    // Before the compaction is this thread's: others may go on with theirs meanwhile.
    guard try knowsAll() else { return 0 }
    guard let compactor = try Compactor(engine, control) else { return nil }
    lock.withLock { isCompacting = true }
    defer { compactor.finish() }
    try compactor.clearAway()
    var merged = 0
    while merged < Self.mostMerges, let next = try engine.nextMerge(policy) {
      let mayGoOn = lock.withLock {
        isInHaste = policy.isInHaste(next.plan, budget: engine.options.segmentBudget)
        mayFinishMerge = policy.mayMergeAtClose(next.group, of: next.plan)
        return !mustEnd
      }
      guard mayGoOn else { break }
      let before = compactor.report
      try compactor.merge(next.group.map(\.id), evicting: next.evictions)
      lock.withLock { hasFinishedMerge = mustEnd }
      guard compactor.report.hasGained(since: before) else { break }
      merged += 1
    }
    if merged > 0 { compactor.keepReserve() }
    return merged
  }
}
