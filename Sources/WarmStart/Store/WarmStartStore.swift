// The public face of a store directory.

internal import Logging
internal import Synchronization

/// A directory of checkpoints, shared by any number of processes of one machine.
///
/// Every writing store appends to a file of its own; no process ever waits for another to save. A
/// lookup finds everything that any process had saved before the lookup began.
///
/// Safe from several threads. In the child of a fork the store goes on with a file of its own.
public final class WarmStartStore: @unchecked Sendable {
  /// The directory, from the root: the store stays where it is when the process changes its own.
  public let path: String
  /// Whether the store was opened read-only: then everything that saves or removes throws
  /// ``StoreError/readOnly(path:)``.
  public let isReadOnly: Bool
  /// Whose finals this store takes for finals.
  public let producer: String

  private let host: Host
  private let options: EngineOptions
  private let backgroundMemory: Int
  // Made once: to make it takes a reference to the producer that all threads would count.
  private let resume: Engine.Question
  private let access: Engine.Access
  private let lock: any Lock
  // Guarded by lock.
  private var current: Engine?
  private var background: BackgroundWriter?
  private var generation: UInt32
  private var isClosed = false {
    didSet { settledIn.store(0, ordering: .releasing) }
  }
  /// One more than the generation of the process in which the engine, and what writes for it, change no more until
  /// the store is closed; 0 if there is none. Then they are read without the lock.
  private let settledIn = Atomic<UInt64>(0)
  // The engine then, without counting a reference to it: it is there for as long as the store is, and whoever calls the
  // store has that.
  private var settledEngine: Unmanaged<Engine>?

  /// Where warnings go.
  var logger: Logger? { options.logger }

  /// Opens the store in a directory, which is made if it is missing, with those above it; their names are
  /// on stable storage when it returns. Nothing else is written before the first save.
  ///
  /// Throws ``StoreError/file(_:)`` if the directory cannot be made, listed or read, or a segment cannot;
  /// ``StoreError/laterFormat(path:version:)`` if it holds a segment of a later format;
  /// ``StoreError/textTooLong(what:bytes:limit:)`` if the producer is over 256 bytes.
  public static func open(
    at path: String, options: StoreOptions = StoreOptions()
  ) throws(StoreError) -> WarmStartStore {
    try WarmStartStore(path: path, options: options, access: .createIfMissing, host: .system)
  }

  /// Opens a store for reading only: nothing is written and nothing created, not even a lookup noted.
  ///
  /// Throws ``StoreError/file(_:)`` if there is no such directory, ``StoreError/notAStore(path:)`` if it
  /// holds files and none of them is a segment; and what ``open(at:options:)`` throws.
  public static func openReadOnly(
    at path: String, options: StoreOptions = StoreOptions()
  ) throws(StoreError) -> WarmStartStore {
    try WarmStartStore(path: path, options: options, access: .readOnly, host: .system)
  }

  package init(
    path: String, options: StoreOptions, access: Engine.Access, host: Host
  ) throws(StoreError) {
    self.path = try StoreError.wrapping { () throws(FileError) in
      try WorkingDirectory.absolute(path)
    }
    self.host = host
    lock = host.threads.makeLock()
    self.access = access
    self.options = options.engineOptions(host: host)
    backgroundMemory = options.backgroundMemory
    resume = .resume(producer: self.options.producer)
    isReadOnly = access.isReadOnly
    producer = self.options.producer
    guard producer.utf8.count <= FormatLimits.producer else {
      throw .textTooLong(
        what: "producer", bytes: producer.utf8.count, limit: FormatLimits.producer)
    }
    generation = ForkGeneration.current
    current = try Engine(path: self.path, host: host, options: self.options, access: access)
  }

  deinit {
    guard generation == ForkGeneration.current else { return leaveToParent() }
    try? background?.close()
    try? current?.close()
  }

  /// The engine of this process. The child of a fork gets a new one: the parent's was copied in
  /// whatever state it was, and its files are closed.
  package func engine() throws(StoreError) -> Engine {
    try lock.withLock { () throws(StoreError) in try engineWithLock() }
  }

  private func engineWithLock() throws(StoreError) -> Engine {
    guard !isClosed else { throw .closed(path: path) }
    if generation != ForkGeneration.current {
      leaveToParent()
      (current, background) = (nil, nil)
      generation = ForkGeneration.current
    }
    if let current { return current }
    let engine = try Engine(path: path, host: host, options: options, access: access)
    current = engine
    return engine
  }

  /// In the child of a fork the parent's parts are never released: their memory may be half changed, and
  /// the child has no thread of the parent's.
  private func leaveToParent() {
    if let current { _ = Unmanaged.passRetained(current) }
    if let background { _ = Unmanaged.passRetained(background) }
  }

  private var process: UInt64 { UInt64(ForkGeneration.current) + 1 }

  /// The engine, and what writes for it in the background if this store does.
  private func parts() throws(StoreError) -> (engine: Engine, background: BackgroundWriter?) {
    if settledIn.load(ordering: .acquiring) == process, let current { return (current, background) }
    return try lock.withLock { () throws(StoreError) in
      let engine = try engineWithLock()
      if background == nil, writesInBackground {
        background = BackgroundWriter(engine: engine, host: host, limit: backgroundMemory)
      }
      // Others may be reading it already.
      if settledIn.load(ordering: .relaxed) != process {
        settledEngine = .passUnretained(engine)
        settledIn.store(process, ordering: .releasing)
      }
      return (engine, background)
    }
  }

  /// The engine, once everything accepted has been written, so that what it says holds for that too.
  func drainedEngine() throws(StoreError) -> Engine {
    let (engine, background) = try parts()
    background?.drain()
    return engine
  }

  private var writesInBackground: Bool { options.durability == .background && !isReadOnly }

  // MARK: Saving

  /// Saves an entry under a fresh run id, which is returned. What is durable when it returns is what
  /// ``StoreOptions/durability`` says; a final is on stable storage in any case, and what was accepted
  /// before it, too, or the next ``flush()`` or ``close()`` tells that it is lost.
  ///
  /// Throws if the payload or a text is over its limit, the store is closed or read-only, or the disk
  /// refuses; then nothing is acknowledged, and everything saved before is as it was. With
  /// ``Durability/background`` it also throws, once, if a checkpoint that was saved earlier could not be
  /// written.
  ///
  /// - Parameters:
  ///   - payload: at most ``StoreOptions/payloadLimit`` bytes.
  ///   - key: what it is saved under.
  ///   - kind: checkpoint or final.
  ///   - objective: the criterion, lower is better; one that is not finite is stored as none.
  ///   - iteration: the fit's own count.
  ///   - label: at most 128 bytes of UTF-8, for people; an empty one is none.
  @discardableResult
  public func save(
    _ payload: [UInt8], for key: Fingerprint, kind: EntryKind = .checkpoint,
    objective: Double? = nil, iteration: UInt64? = nil, label: String? = nil
  ) throws(StoreError) -> RunID {
    let run = freshRunID()
    try save(
      payload, for: key, kind: kind, objective: objective, iteration: iteration, label: label,
      run: run)
    return run
  }

  /// Saves an entry of the given run. What is durable when it returns, and what it throws, is as for
  /// ``save(_:for:kind:objective:iteration:label:)``.
  public func save(
    _ payload: [UInt8], for key: Fingerprint, kind: EntryKind = .checkpoint,
    objective: Double? = nil, iteration: UInt64? = nil, label: String? = nil, run: RunID
  ) throws(StoreError) {
    var failure: StoreError?
    payload.withUnsafeBytes { bytes in
      do throws(StoreError) {
        try save(
          bytes, for: key, kind: kind, objective: objective, iteration: iteration, label: label,
          run: run)
      } catch { failure = error }
    }
    if let failure { throw failure }
  }

  /// Saves bytes that the caller keeps valid during the call. What is durable when it returns, and what it
  /// throws, is as for ``save(_:for:kind:objective:iteration:label:)``.
  public func save(
    _ payload: UnsafeRawBufferPointer, for key: Fingerprint, kind: EntryKind = .checkpoint,
    objective: Double? = nil, iteration: UInt64? = nil, label: String? = nil, run: RunID
  ) throws(StoreError) {
    let draft = draft(kind, key, objective, iteration, run, label)
    let (engine, background) = try parts()
    if let background {
      if kind == .checkpoint { return try background.accept(draft, payload: payload) }
      background.drain()
    }
    try engine.append(draft, payload: payload, durability: durability(of: kind))
  }

  /// Saves a checkpoint of a session. Gives whether it is written; if not, it was accepted to be written
  /// in the background, and `ended` will hear, on another thread, what became of it.
  func save(
    _ payload: UnsafeRawBufferPointer, for key: Fingerprint, objective: Double?,
    iteration: UInt64?, label: String?, run: RunID,
    ended: @escaping @Sendable (BackgroundWriter.Outcome) -> Void
  ) throws(StoreError) -> Bool {
    let draft = draft(.checkpoint, key, objective, iteration, run, label)
    let (engine, background) = try parts()
    if let background {
      try background.accept(draft, payload: payload, session: ended)
      return false
    }
    try engine.append(draft, payload: payload, durability: options.durability)
    return true
  }

  private func draft(
    _ kind: EntryKind, _ key: Fingerprint, _ objective: Double?, _ iteration: UInt64?,
    _ run: RunID, _ label: String?
  ) -> Draft {
    Draft(
      kind: kind.recordKind, key: key, objective: objective, iteration: iteration,
      runID: run.description, producer: producer, label: label ?? "")
  }

  /// Saves many entries with one write and one sync for all of them (one for every 4 MiB or 4096
  /// entries, if there are more). All are on stable storage when it returns; with ``Durability/buffered``
  /// and no final among them, with the kernel.
  ///
  /// Throws if any is over a limit, and then nothing is written; or if the disk refuses, and then none is
  /// acknowledged, but some may be found.
  public func save(_ entries: [NewEntry]) throws(StoreError) {
    let batch = entries.map { entry in
      PendingRecord(
        draft(
          entry.kind, entry.key, entry.objective, entry.iteration, entry.run ?? freshRunID(),
          entry.label), entry.payload)
    }
    let durability = entries.contains { $0.kind == .final } ? .synced : options.durability
    try drainedEngine().append(batch, durability: durability)
  }

  /// Removes everything of a key that is in the store now. It is gone for good once this returns: the
  /// removal is on stable storage, or with ``Durability/buffered`` with the kernel, as a save is. The
  /// space comes back with a compaction. To remove a key that is not there is no error.
  ///
  /// Throws if the disk refuses, or cannot read what may be newer; then the key may still be there.
  public func remove(_ key: Fingerprint) throws(StoreError) {
    let draft = Draft(kind: .removal, key: key, producer: producer)
    let empty = UnsafeRawBufferPointer(start: nil, count: 0)
    try drainedEngine().append(draft, payload: empty, durability: options.durability)
  }

  private func durability(of kind: EntryKind) -> Durability {
    kind == .final ? .synced : options.durability
  }

  /// A new run id: process id, time and random bits. Nothing is written.
  public func freshRunID() -> RunID {
    RunID(process: host.processID(), nanoseconds: host.wallClock(), random: host.random())
  }

  // MARK: Looking up

  /// What a fit of this key goes on from: the newest final of this store's producer if there is one,
  /// otherwise the best of all entries, other producers' finals included. Nil if there is nothing.
  ///
  /// Finds everything that any process had written before it was called. Never writes and never syncs; that
  /// it counts as use of the key is noted in memory. A damaged entry is reported to the log and the next
  /// best returned.
  ///
  /// Throws if the disk cannot read the directory or the entry, the payload is over
  /// ``StoreOptions/payloadLimit``, or the store is closed.
  public func lookup(_ key: Fingerprint) throws(StoreError) -> WarmStartEntry? {
    try lookup(key, resume)
  }

  /// The newest entry of either kind: for seeds from near matches, where objectives of different fits
  /// cannot be compared. Nil if there is nothing. Otherwise as ``lookup(_:)``.
  public func lookupLatest(_ key: Fingerprint) throws(StoreError) -> WarmStartEntry? {
    try lookup(key, .latest)
  }

  /// The entry of either kind with the lowest objective, or the newest if none has one. Nil if there is
  /// nothing. Otherwise as ``lookup(_:)``.
  public func lookupBest(_ key: Fingerprint) throws(StoreError) -> WarmStartEntry? {
    try lookup(key, .best)
  }

  private func lookup(
    _ key: Fingerprint, _ question: Engine.Question
  ) throws(StoreError) -> WarmStartEntry? {
    if settledIn.load(ordering: .acquiring) == process, background == nil, let settledEngine {
      return try settledEngine._withUnsafeGuaranteedRef { engine in
        Result { () throws(StoreError) in try written(engine, key, question) }
      }.get()
    }
    let (engine, background) = try parts()
    guard let background else { return try written(engine, key, question) }
    for _ in 0..<Self.patience {
      let waiting = background.entries(of: key)
      let found = try written(engine, key, question)
      if waiting.isEmpty { return found }
      // What was written meanwhile may be found or not.
      if background.stillWait(waiting) { return choose(waiting.map(\.entry), found, question) }
    }
    background.drain()
    return try written(engine, key, question)
  }

  /// Looks before a lookup waits for the background to come to rest.
  private static let patience = 8

  private func written(
    _ engine: Engine, _ key: Fingerprint, _ question: Engine.Question
  ) throws(StoreError) -> WarmStartEntry? {
    try engine.lookup(key, question, countsAsUse: true)
      .map { WarmStartEntry($0.record, askedBy: producer) }
  }

  /// Which of the entries that wait, and of the one that is written, answers the question. What waits is
  /// newer.
  private func choose(
    _ waiting: [WarmStartEntry], _ found: WarmStartEntry?, _ question: Engine.Question
  ) -> WarmStartEntry? {
    if question == .latest { return waiting.last }
    if let found, found.kind == .final, case .resume = question { return found }
    let inOrder = (found.map { [$0] } ?? []) + waiting
    return inOrder.dropFirst().reduce(inOrder[0]) { best, entry in
      EntryOrder.isBetter(entry.objective, than: best.objective) ?? true ? entry : best
    }
  }

  // MARK: The end

  /// Returns once everything accepted so far is on stable storage. For the thread that handles
  /// SIGTERM, say.
  ///
  /// Throws, once, if something that was accepted may be lost: a sync failed, the log was deleted, or a
  /// checkpoint could not be written in the background. The store goes on after that.
  public func flush() throws(StoreError) {
    let (engine, background) = try parts()
    var failure: StoreError?
    try engine.withoutWaitsForRoom { () throws(StoreError) in
      do throws(StoreError) { try background?.flush() } catch { failure = error }
      try engine.flush()
    }
    if let failure { throw failure }
  }

  /// Puts everything on stable storage, seals the segment, merges a few MiB of small segments if there are
  /// many (not with ``StoreOptions/compactsByItself`` off), and ends the use of the store: every later
  /// call throws ``StoreError/closed(path:)``. Closing twice is no error. A store that nobody refers to
  /// any more closes itself; at the end of a process nobody does that for it, and then the next open has
  /// a little more to read.
  ///
  /// Throws what ``flush()`` throws. The store is closed all the same.
  public func close() throws(StoreError) {
    let isUnusedInChild = lock.withLock {
      guard generation != ForkGeneration.current, !isClosed else { return false }
      isClosed = true
      return true
    }
    // The child of a fork that never used the store has nothing to put away.
    if isUnusedInChild { return }
    let engine: Engine
    let background: BackgroundWriter?
    do throws(StoreError) { (engine, background) = try parts() } catch {
      guard case .closed = error else { throw error }
      // Another thread may be at it: what it has not put on stable storage yet is waited for.
      let (current, background) = lock.withLock {
        generation == ForkGeneration.current ? (self.current, self.background) : (nil, nil)
      }
      background?.drain()
      try? current?.close()
      return
    }
    lock.withLock { isClosed = true }
    var failure: StoreError?
    do throws(StoreError) { try background?.close() } catch { failure = error }
    try engine.close()
    if let failure { throw failure }
  }
}
