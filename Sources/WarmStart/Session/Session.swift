// One fit in flight.

internal import Logging

/// One fit in flight: what it starts from, and what it leaves behind.
///
/// A fit opens a session for its key, asks it for something to start from, hands it checkpoints while
/// it runs and its result when it ends. No method throws: a fit must not die of its cache. What failed
/// is logged and kept in ``lastError``. Safe from several threads.
public final class Session: @unchecked Sendable, CustomStringConvertible {
  /// The key that everything is saved under.
  public let key: Fingerprint
  /// Names this run; all of the session's entries carry it.
  public let runID: RunID
  /// Where the entries go; nil behind a ``LazyStore`` that turned itself off.
  public let store: WarmStartStore?
  /// Which fit this is, for people.
  public let label: String?
  /// Nanoseconds between two checkpoints that are no better than the best; 2 seconds unless set.
  public let checkpointInterval: UInt64

  private let monotonicClock: @Sendable () -> UInt64
  private let logger: Logger?
  private let lock: any Lock
  // Guarded by lock.
  private var preloaded: WarmStartEntry?
  private var written = Turn()
  private var underWay: [UInt64: Turn] = [:]
  private var generation = ForkGeneration.current
  private var turnsTaken: UInt64 = 0
  private var error: StoreError?
  /// Something that was accepted has been lost since the last call.
  private var hasLost = false

  /// An objective must be lower than the best by more than this to be written at once.
  private static let improvement = 1e-12
  /// Two seconds, in nanoseconds.
  public static let defaultCheckpointInterval: UInt64 = 2_000_000_000

  /// A session for one fit, under a fresh run id.
  ///
  /// - Parameters:
  ///   - label: at most 128 bytes of UTF-8; a longer one makes every save fail.
  ///   - checkpointInterval: nanoseconds between checkpoints that do not improve.
  public convenience init(
    store: WarmStartStore, key: Fingerprint, label: String? = nil,
    checkpointInterval: UInt64 = Session.defaultCheckpointInterval
  ) {
    self.init(
      store: store, key: key, label: label, checkpointInterval: checkpointInterval, host: .system)
  }

  package init(
    store: WarmStartStore?, key: Fingerprint, label: String?,
    checkpointInterval: UInt64 = Session.defaultCheckpointInterval, host: Host
  ) {
    self.store = store
    self.key = key
    self.label = label
    self.checkpointInterval = checkpointInterval
    monotonicClock = host.monotonicClock
    lock = host.threads.makeLock()
    logger = store?.logger
    runID =
      store?.freshRunID()
      ?? RunID(process: host.processID(), nanoseconds: host.wallClock(), random: host.random())
  }

  /// The run, the label and the beginning of the key.
  public var description: String {
    "session \(runID) of \(label.map { "“\($0)”, " } ?? "")key \(key.description.prefix(12))…"
  }

  /// What went wrong last; nil if nothing has.
  public var lastError: StoreError? { lock.withLock { error } }

  // MARK: Starting

  /// Stashes an entry to start from, such as the result of another fold of the same model. It takes
  /// the place of one stashed before; nothing on disk changes.
  public func preload(_ entry: WarmStartEntry) { lock.withLock { preloaded = entry } }

  /// Something to start from: the preloaded entry if there is one, once; after that, and otherwise,
  /// what the store's ``WarmStartStore/lookup(_:)`` gives, from any run.
  public func tryLoad() -> WarmStartEntry? { tryLoadWithSource()?.entry }

  /// As ``tryLoad()``, and where it came from, so that a seed is never taken for a finished fit.
  public func tryLoadWithSource() -> LoadedEntry? {
    let seed = lock.withLock {
      defer { preloaded = nil }
      return preloaded
    }
    return seed.map { LoadedEntry(entry: $0, source: .preloaded) } ?? exact()
  }

  /// As ``tryLoad()``, but the preloaded entry stays for the next call.
  public func peekLoad() -> WarmStartEntry? { peekLoadWithSource()?.entry }

  /// As ``tryLoadWithSource()``, but the preloaded entry stays for the next call.
  public func peekLoadWithSource() -> LoadedEntry? {
    let seed = lock.withLock { preloaded }
    return seed.map { LoadedEntry(entry: $0, source: .preloaded) } ?? exact()
  }

  private func exact() -> LoadedEntry? {
    guard let store else { return nil }
    do throws(StoreError) {
      return try store.lookup(key).map { LoadedEntry(entry: $0, source: .exact) }
    } catch {
      note(error)
      return nil
    }
  }

  // MARK: Saving

  /// Saves where the fit stands, if that is worth it: always if the objective is lower than the
  /// session's best so far by more than 1e-12, otherwise at most once in ``checkpointInterval``. The
  /// first call always writes.
  ///
  /// Gives whether it wrote; what is durable then is what ``StoreOptions/durability`` says. A failed
  /// write leaves the best and the interval as they were. With ``Durability/background`` a write may fail
  /// after the call: then ``lastError`` tells, the best and the interval are again those of what was
  /// written, and the next call returns false and takes nothing.
  @discardableResult
  public func checkpoint(
    _ payload: [UInt8], objective: Double? = nil, iteration: UInt64? = nil
  ) -> Bool {
    payload.withUnsafeBytes { checkpoint($0, objective: objective, iteration: iteration) }
  }

  /// As ``checkpoint(_:objective:iteration:)``, of numbers, eight bytes each, little-endian.
  @discardableResult
  public func checkpoint(
    _ payload: [Double], objective: Double? = nil, iteration: UInt64? = nil
  ) -> Bool {
    payload.withUnsafeBytes { checkpoint($0, objective: objective, iteration: iteration) }
  }

  /// As ``checkpoint(_:objective:iteration:)``, of bytes that the caller keeps valid during the call.
  @discardableResult
  public func checkpoint(
    _ payload: UnsafeRawBufferPointer, objective: Double? = nil, iteration: UInt64? = nil
  ) -> Bool {
    guard let store else { return false }
    let objective = objective.flatMap { $0.isFinite ? $0 : nil }
    let now = monotonicClock()
    // The turn is taken before the write, so that of two threads with the same news one writes, and
    // given back if the write fails.
    guard let turn = lock.withLock({ takeTurn(objective, now) }) else { return false }
    do throws(StoreError) {
      let isWritten = try store.save(
        payload, for: key, objective: objective, iteration: iteration, label: label, run: runID
      ) { [weak self] outcome in self?.endTurn(turn, outcome) }
      if isWritten { lock.withLock { endTurn(turn, hasWritten: true) } }
      return true
    } catch {
      lock.withLock { endTurn(turn, hasWritten: false) }
      note(error)
      return false
    }
  }

  /// Saves the result of the fit, at once and onto stable storage, as a final entry. Gives whether it
  /// wrote.
  @discardableResult
  public func finalize(
    _ payload: [UInt8], objective: Double? = nil, iteration: UInt64? = nil
  ) -> Bool {
    payload.withUnsafeBytes { finalize($0, objective: objective, iteration: iteration) }
  }

  /// As ``finalize(_:objective:iteration:)``, of numbers, eight bytes each, little-endian.
  @discardableResult
  public func finalize(
    _ payload: [Double], objective: Double? = nil, iteration: UInt64? = nil
  ) -> Bool {
    payload.withUnsafeBytes { finalize($0, objective: objective, iteration: iteration) }
  }

  /// As ``finalize(_:objective:iteration:)``, of bytes that the caller keeps valid during the call.
  @discardableResult
  public func finalize(
    _ payload: UnsafeRawBufferPointer, objective: Double? = nil, iteration: UInt64? = nil
  ) -> Bool {
    guard let store else { return false }
    do throws(StoreError) {
      try store.save(
        payload, for: key, kind: .final, objective: objective, iteration: iteration, label: label,
        run: runID)
      return true
    } catch {
      note(error)
      return false
    }
  }

  private func note(_ failure: StoreError) {
    lock.withLock { error = failure }
    logger?.error("\(self): \(failure)")
  }

  // MARK: Rate limit, with the lock

  /// The best objective and the latest time of the checkpoints that were written, or are about to be.
  private struct Turn {
    var best: Double?
    var time: UInt64?

    mutating func add(_ other: Turn) {
      best = [best, other.best].compactMap { $0 }.min()
      time = [time, other.time].compactMap { $0 }.max()
    }
  }

  /// The number of the turn, if this is worth a write.
  private func takeTurn(_ objective: Double?, _ now: UInt64) -> UInt64? {
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
    let due = last.time.map { now - min($0, now) >= checkpointInterval } ?? true
    guard improves || due else { return nil }
    turnsTaken += 1
    underWay[turnsTaken] = Turn(best: objective, time: now)
    return turnsTaken
  }

  /// A turn counts for good only if it wrote.
  private func endTurn(_ number: UInt64, hasWritten: Bool) {
    guard let turn = underWay.removeValue(forKey: number), hasWritten else { return }
    written.add(turn)
  }

  /// What became of a checkpoint that was accepted. One that was superseded leaves the turn to its
  /// successor.
  private func endTurn(_ number: UInt64, _ outcome: BackgroundWriter.Outcome) {
    var hasWritten = false
    if case .written = outcome { hasWritten = true }
    if case .failed(let error) = outcome { note(error) }
    lock.withLock {
      endTurn(number, hasWritten: hasWritten)
      if case .failed = outcome { hasLost = true }
    }
  }
}

/// Where something to start from came from.
public enum LoadSource: String, Hashable, Sendable {
  /// A seed that was preloaded: of a near match, to start from and nothing more.
  case preloaded
  /// The store, for this very key.
  case exact
}

/// Something to start from, and where it came from.
public struct LoadedEntry: Hashable, Sendable {
  /// What was saved.
  public var entry: WarmStartEntry
  /// Where it came from.
  public var source: LoadSource

  /// An entry of the given source.
  public init(entry: WarmStartEntry, source: LoadSource) {
    self.entry = entry
    self.source = source
  }
}
