// Which checkpoints of a session are worth a write, and what became of those that were accepted.
//
// Knows nothing of the store: what writes in the background tells it what became of a save, and must
// never be the last to hold a store that waits for the very same thread to end.

internal import Logging

/// The rate limit of one session, and its last error. Safe from several threads.
final class CheckpointTurns: @unchecked Sendable {
  /// Nanoseconds between two checkpoints that are no better than the best.
  private let interval: UInt64
  private let logger: Logger?
  private let name: String
  private let lock: any Lock
  // Guarded by lock.
  private var written = Turn()
  private var underWay: [UInt64: Turn] = [:]
  private var generation = ForkGeneration.current
  private var turnsTaken: UInt64 = 0
  private var error: StoreError?
  /// Something that was accepted has been lost since the last call.
  private var hasLost = false

  /// An objective must be lower than the best by more than this to be written at once.
  private static let improvement = 1e-12

  /// `name` is the session's, for the log.
  init(interval: UInt64, logger: Logger?, name: String, threads: any Threads) {
    self.interval = interval
    self.logger = logger
    self.name = name
    lock = threads.makeLock()
  }

  var lastError: StoreError? { lock.withLock { error } }

  func note(_ failure: StoreError) {
    lock.withLock { error = failure }
    logger?.error("\(name): \(failure)")
  }

  /// The best objective and the latest time of the checkpoints that were written, or are about to be.
  private struct Turn {
    var best: Double?
    var time: UInt64?

    mutating func add(_ other: Turn) {
      best = [best, other.best].compactMap { $0 }.min()
      time = [time, other.time].compactMap { $0 }.max()
    }
  }

  /// The number of the turn, if a checkpoint at `now` (monotonic, nanoseconds) is worth a write. The turn
  /// is taken before the write, so that of two threads with the same news one writes.
  func take(_ objective: Double?, at now: UInt64) -> UInt64? {
    lock.withLock {
      if generation != ForkGeneration.current {
        // Turns of threads that the parent has and this child has not.
        underWay = [:]
        generation = ForkGeneration.current
      }
      if hasLost {
        hasLost = false
        return nil
      }
      var last = written
      for turn in underWay.values { last.add(turn) }
      let improves = objective.map { $0 < (last.best ?? .infinity) - Self.improvement } ?? false
      let due = last.time.map { now - min($0, now) >= interval } ?? true
      guard improves || due else { return nil }
      turnsTaken += 1
      underWay[turnsTaken] = Turn(best: objective, time: now)
      return turnsTaken
    }
  }

  /// A turn counts for good only if it wrote; otherwise it is given back.
  func end(_ number: UInt64, hasWritten: Bool) {
    lock.withLock { endWithLock(number, hasWritten: hasWritten) }
  }

  private func endWithLock(_ number: UInt64, hasWritten: Bool) {
    guard let turn = underWay.removeValue(forKey: number), hasWritten else { return }
    written.add(turn)
  }

  /// What became of a checkpoint that was accepted. One that was superseded leaves the turn to its
  /// successor.
  func end(_ number: UInt64, _ outcome: BackgroundWriter.Outcome) {
    var hasWritten = false
    if case .written = outcome { hasWritten = true }
    if case .failed(let error) = outcome { note(error) }
    lock.withLock {
      endWithLock(number, hasWritten: hasWritten)
      if case .failed = outcome { hasLost = true }
    }
  }
}
