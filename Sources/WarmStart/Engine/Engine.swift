// The engine: what ties files, segments and the index together.
//
// Three locks. Saves that want stable storage wait in the commit queue for one another; its lock is held
// for no more than looking at the queue. The append lock is held while a frame is placed and written, so
// that one thread at a time appends. The state lock guards the catalog and is held only for work in memory and for the
// reads of a refresh, of which a whole footer is the largest; and, where stamps ahead of the clock prove to be gone, for
// one sync of the directory. Lookups that find nothing changed take a part of it together, and wait for nothing while
// they have that; see Engine+Glance.swift. It is taken inside the append lock, never the other way round. Nobody
// holds either while a save waits for its sync; only the change from one segment to the next syncs
// with the append lock held. It waits for the thread that seals the one before, and so do those who must know what
// became of that: see Engine+Sealing.swift.

internal import Synchronization

/// One open store directory.
package final class Engine: @unchecked Sendable {
  package let path: String
  package let options: EngineOptions
  package let isReadOnly: Bool
  let host: Host
  let directory: any Directory
  let stateLock: any Lock
  // Guarded by stateLock.
  let catalog: Catalog
  /// The catalog's. By itself, since what is reached through two objects is counted by each who asks it.
  let index: Index
  @exclusivity(unchecked) var pendingMarks: [Fingerprint: UInt64] = [:] {
    didSet { hasPendingMarks.store(!pendingMarks.isEmpty, ordering: .relaxed) }
  }
  @exclusivity(unchecked) private var spareFrames: [Frame] = []
  let recordCache: RecordCache

  /// Whether there are pending marks: a save looks without the lock.
  let hasPendingMarks = Atomic(false)

  /// Flushes that are waited for: no save waits for room in the budget meanwhile.
  let pendingFlushes = Atomic(0)

  let commitQueue: CommitQueue
  /// Compresses a half of long payloads, and packs a part of large batches.
  let assistant: Assistant
  /// What merges segments without being asked; nil if nothing does. Set once, when the store is opened.
  private(set) var upkeep: Upkeep?

  let appendLock: any Lock
  // Guarded by appendLock.
  @exclusivity(unchecked) var writer: SegmentWriter?
  /// What another thread seals.
  var sealing: Sealing?
  /// What became of the last log that was full; nil before the first.
  var lastEnd: EndOfLog?
  /// The logs that the one being written has succeeded.
  var predecessors = Predecessors()
  var isClosed = false
  /// What was accepted and may be lost, for flush and close to tell.
  var losses = Losses()
  /// Whether this process has begun a log.
  var hasBegunLog = false
  /// Bytes of the logs that this process has ended.
  var endedLogBytes: UInt64 = 0
  /// When it was last seen that the log has its name, by the monotonic clock.
  var lastLookAtLog: UInt64 = 0

  /// Opens a directory. `create` makes it if it is missing.
  package init(
    path: String, host: Host, options: EngineOptions, access: Access
  ) throws(StoreError) {
    self.path = path
    self.host = host
    stateLock = host.threads.makeLock()
    appendLock = host.threads.makeLock()
    commitQueue = CommitQueue(threads: host.threads, clock: host.monotonicClock)
    assistant = Assistant(host.threads)
    self.options = options
    recordCache = RecordCache(limit: options.cacheBytes)
    isReadOnly = access.isReadOnly
    do throws(FileError) {
      directory =
        access == .createIfMissing
        ? try host.files.createDirectory(path, permissions: options.permissions)
        : try host.files.openDirectory(path)
    } catch { throw .file(error) }
    catalog = Catalog(directory: directory, host: host, options: options, isReadOnly: isReadOnly)
    index = catalog.index
    try catalog.load(strict: access != .verifying)
    if access != .createIfMissing, catalog.segments.isEmpty, try holdsOnlyForeignFiles() {
      throw .notAStore(path: path)
    }
    if !isReadOnly { upkeep = options.upkeep.map { Upkeep(self, $0) } }
  }

  // A store is closed before; this is for whoever has an engine alone. (A thread that seals has it, too, so that there is
  // none here.)
  deinit { assistant.end() }

  /// How a directory is opened.
  package enum Access: Sendable {
    /// Nothing is written and nothing created.
    case readOnly
    /// The same, and a segment that cannot be read is no reason not to look at the others.
    case verifying
    /// For writing; the directory must be there.
    case existing
    /// For writing; the directory is made if it is missing.
    case createIfMissing

    var isReadOnly: Bool { self == .readOnly || self == .verifying }
  }

  /// An empty directory is an empty store; one that has files, none of them a segment, is none.
  private func holdsOnlyForeignFiles() throws(StoreError) -> Bool {
    do throws(FileError) {
      let names = try directory.list(limit: Catalog.nameLimit)
      // A store whose every segment was compacted away has these still.
      if names.contains(Compactor.lockName) || names.contains(Compactor.quarantine) { return false }
      // One whose every segment is damaged, or cannot be read, is a store all the same.
      if !catalog.headerless.isEmpty || catalog.skippedBecause != nil { return false }
      return names.contains { SegmentName($0) == nil }
    } catch { throw .file(error) }
  }

  /// Runs `body` with the catalog, after a refresh for all keys. With `strict` it throws if a segment cannot be
  /// read; otherwise one that others have added since the store was opened is left out then.
  func withFreshCatalog<Value>(
    strict: Bool = false, _ body: (Catalog) throws(StoreError) -> Value
  ) throws(StoreError) -> Value {
    while try bringInNext() {}
    return try stateLock.withLock { () throws(StoreError) in
      try catalog.refreshForAllKeys()
      if strict, let why = catalog.skippedBecause { throw .file(why) }
      return try body(catalog)
    }
  }

  /// The index knows one more segment from here on; false if it knows all. So lookups wait for one footer, and not
  /// for all.
  func bringInNext() throws(StoreError) -> Bool {
    try stateLock.withLock { () throws(StoreError) in try catalog.bringInNextByItself() }
  }

  // MARK: Frames

  /// Runs `body` with memory to put records together in.
  func withFrame<Value>(_ body: (Frame) throws(StoreError) -> Value) throws(StoreError) -> Value {
    let spare = stateLock.withLock { spareFrames.popLast() }
    let frame = spare ?? Frame(commitQueue.makeTicket(), assistant)
    defer {
      frame.reset()
      stateLock.withLock {
        // As many as threads save at once; of those that hold much memory only a few.
        if spareFrames.count < (frame.isLarge ? 2 : 32) { spareFrames.append(frame) }
      }
    }
    return try body(frame)
  }
}
