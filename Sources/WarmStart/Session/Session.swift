// One fit in flight.

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
  /// Which fit this is, for people; nil for none.
  public let label: String?
  /// Nanoseconds between two checkpoints that are no better than the best; 2 seconds unless set.
  public let checkpointInterval: UInt64

  private let monotonicClock: @Sendable () -> UInt64
  private let turns: CheckpointTurns
  private let lock: any Lock
  // Guarded by lock.
  private var preloaded: WarmStartEntry?

  /// Two seconds, in nanoseconds.
  public static let defaultCheckpointInterval: UInt64 = 2_000_000_000

  /// A session for one fit, under a fresh run id. Nothing is read or written.
  ///
  /// - Parameters:
  ///   - store: where the entries go.
  ///   - key: what everything is saved under.
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
    runID =
      store?.freshRunID()
      ?? RunID(process: host.processID(), nanoseconds: host.wallClock(), random: host.random())
    turns = CheckpointTurns(
      interval: checkpointInterval, logger: store?.logger,
      name: Self.describe(runID, label: label, key: key), threads: host.threads)
  }

  /// The run, the label and the beginning of the key.
  public var description: String { Self.describe(runID, label: label, key: key) }

  private static func describe(_ run: RunID, label: String?, key: Fingerprint) -> String {
    "session \(run) of \(label.map { "“\($0)”, " } ?? "")key \(key.description.prefix(12))…"
  }

  /// What went wrong last, in any method of the session; nil if nothing has. It stays after a later
  /// success.
  public var lastError: StoreError? { turns.lastError }

  // MARK: Starting

  /// Stashes an entry to start from, such as the result of another fold of the same model. It takes
  /// the place of one stashed before; nothing on disk changes.
  public func preload(_ entry: WarmStartEntry) { lock.withLock { preloaded = entry } }

  /// Something to start from: the preloaded entry if there is one, once; after that, and otherwise,
  /// what the store's ``WarmStartStore/lookup(_:)`` gives, from any run. Nil if there is nothing, or if
  /// the disk refuses: then ``lastError`` tells.
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
      turns.note(error)
      return nil
    }
  }

  // MARK: Saving

  /// Saves where the fit stands, if that is worth it: always if the objective is lower than the
  /// session's best so far by more than 1e-12, otherwise at most once in ``checkpointInterval``. The
  /// first call always writes.
  ///
  /// Gives whether it wrote; what is durable then is what ``StoreOptions/durability`` says: on stable
  /// storage, with the kernel, or accepted. A checkpoint that comes too soon gives false, too. A failed
  /// write leaves the best and the interval as they were. With ``Durability/background`` a write may fail
  /// after the call: then ``lastError`` tells, the best and the interval are again those of what was
  /// written, and the next call returns false and takes nothing.
  @discardableResult
  public func checkpoint(
    _ payload: [UInt8], objective: Double? = nil, iteration: UInt64? = nil
  ) -> Bool {
    payload.withUnsafeBytes { checkpoint($0, objective: objective, iteration: iteration) }
  }

  /// As ``checkpoint(_:objective:iteration:)-([UInt8],_,_)``, of numbers, eight bytes each, little-endian.
  @discardableResult
  public func checkpoint(
    numbers: [Double], objective: Double? = nil, iteration: UInt64? = nil
  ) -> Bool {
    numbers.withUnsafeBytes { checkpoint($0, objective: objective, iteration: iteration) }
  }

  /// As ``checkpoint(_:objective:iteration:)-([UInt8],_,_)``, of bytes that the caller keeps valid during
  /// the call.
  @discardableResult
  public func checkpoint(
    _ payload: UnsafeRawBufferPointer, objective: Double? = nil, iteration: UInt64? = nil
  ) -> Bool {
    guard let store else { return false }
    let objective = objective.flatMap { $0.isFinite ? $0 : nil }
    guard let turn = turns.take(objective, at: monotonicClock()) else { return false }
    do throws(StoreError) {
      let isWritten = try store.save(
        payload, for: key, objective: objective, iteration: iteration, label: label, run: runID
      ) { [turns] outcome in turns.end(turn, outcome) }
      if isWritten { turns.end(turn, hasWritten: true) }
      return true
    } catch {
      turns.end(turn, hasWritten: false)
      turns.note(error)
      return false
    }
  }

  /// Saves the result of the fit, at once, as a final entry, whatever the interval. Gives whether it wrote:
  /// then it is on stable storage, and nothing that the store accepted before waits any more. If not,
  /// ``lastError`` tells why. May be called again.
  @discardableResult
  public func finalize(
    _ payload: [UInt8], objective: Double? = nil, iteration: UInt64? = nil
  ) -> Bool {
    payload.withUnsafeBytes { finalize($0, objective: objective, iteration: iteration) }
  }

  /// As ``finalize(_:objective:iteration:)-([UInt8],_,_)``, of numbers, eight bytes each, little-endian.
  @discardableResult
  public func finalize(
    numbers: [Double], objective: Double? = nil, iteration: UInt64? = nil
  ) -> Bool {
    numbers.withUnsafeBytes { finalize($0, objective: objective, iteration: iteration) }
  }

  /// As ``finalize(_:objective:iteration:)-([UInt8],_,_)``, of bytes that the caller keeps valid during
  /// the call.
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
      turns.note(error)
      return false
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
