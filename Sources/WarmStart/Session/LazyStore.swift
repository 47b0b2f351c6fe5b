// A store that may fail to open without anybody noticing.

internal import Logging

/// A directory and options, opened on first use; copies share the one outcome.
///
/// For fits that work with or without a cache. If the file system refuses, the store turns itself off
/// for good and says so once in the log; every session behind it then loads nothing but what was preloaded
/// into it, and returns false.
public struct LazyStore: Sendable {
  /// The directory, as it was given.
  public let path: String
  private let outcome: Outcome

  private final class Outcome: @unchecked Sendable {
    let path: String
    let options: StoreOptions
    let host: Host
    private let lock: any Lock
    private var opened: Result<WarmStartStore, StoreError>?

    init(path: String, options: StoreOptions, host: Host) {
      self.path = path
      self.options = options
      self.host = host
      lock = host.threads.makeLock()
    }

    /// The store, if somebody has opened it; if not, nobody will.
    func close() -> WarmStartStore? {
      lock.withLock {
        if let opened { return try? opened.get() }
        opened = .failure(.closed(path: path))
        return nil
      }
    }

    func get() -> Result<WarmStartStore, StoreError> {
      lock.withLock {
        if let opened { return opened }
        let result: Result<WarmStartStore, StoreError>
        do throws(StoreError) {
          result = .success(
            try WarmStartStore(path: path, options: options, access: .createIfMissing, host: host))
        } catch {
          result = .failure(error)
          options.logger?.warning("the store is turned off: \(error)")
        }
        opened = result
        return result
      }
    }
  }

  /// A store in a directory that is made and opened on first use; nothing is touched before.
  public init(path: String, options: StoreOptions = StoreOptions()) {
    self.init(path: path, options: options, host: .system)
  }

  package init(path: String, options: StoreOptions, host: Host) {
    self.path = path
    outcome = Outcome(path: path, options: options, host: host)
  }

  /// The store, opened by the first who asks; nil if it turned itself off.
  public var store: WarmStartStore? { try? outcome.get().get() }

  /// Why the store is off; nil if it is not. Opens it if nobody has yet.
  public var error: StoreError? {
    if case .failure(let error) = outcome.get() { return error }
    return nil
  }

  /// Closes the store if it was opened, so that everything is on stable storage; see
  /// ``WarmStartStore/close()``. What fails is logged. Sessions behind it, and behind its copies, save
  /// nothing after that, and it is not opened again.
  public func close() {
    guard let store = outcome.close() else { return }
    do throws(StoreError) { try store.close() } catch {
      outcome.options.logger?.error("closing the store: \(error)")
    }
  }

  /// A session for one fit, under a fresh run id. Opens the store if nobody has yet; never fails.
  ///
  /// - Parameters:
  ///   - key: what everything is saved under.
  ///   - label: at most 128 bytes of UTF-8, for people.
  ///   - checkpointInterval: nanoseconds between checkpoints that do not improve.
  public func session(
    for key: Fingerprint, label: String? = nil,
    checkpointInterval: UInt64 = Session.defaultCheckpointInterval
  ) -> Session {
    Session(
      store: store, key: key, label: label, checkpointInterval: checkpointInterval,
      host: outcome.host)
  }
}
