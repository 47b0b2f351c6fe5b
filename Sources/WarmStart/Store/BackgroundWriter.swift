// Saves that are accepted now and written soon, by a thread of the store's own.
//
// Accepting copies the payload and returns; the thread compresses, writes and syncs whatever has come
// together meanwhile. The payloads that wait have a bound, at which accepting waits for the disk. Of one
// session no more than two checkpoints wait: the best and the newest.

/// The saves of one store that are accepted and not written yet.
final class BackgroundWriter: @unchecked Sendable {
  /// What became of an accepted save.
  enum Outcome: Sendable {
    /// It is on stable storage.
    case written
    /// A newer one of the same session took its place before it was written.
    case superseded
    /// It is lost.
    case failed(StoreError)
  }

  /// One accepted save.
  private struct Waiting {
    var draft: Draft
    var memory: PayloadMemory
    /// Counts the saves that were accepted.
    var number: UInt64
    /// The first of those whose place it has taken, or itself: who waits for that one waits for this.
    var covers: UInt64
    /// Nanoseconds since 1970.
    var time: UInt64
    /// Whether it is a session's: then newer checkpoints of its run take the place of older ones.
    var isOfSession: Bool
    var ended: @Sendable (Outcome) -> Void

    func isSameSession(as other: Waiting) -> Bool {
      isOfSession && other.isOfSession && draft.key == other.draft.key
        && draft.runID == other.draft.runID
    }
  }

  private let engine: Engine
  private let host: Host
  /// Bytes that payloads may take while they wait, spare memory included.
  private let limit: Int

  private let lock: any Lock
  private let changed: any Signal
  // Guarded by lock.
  private var queue: [Waiting] = []
  private var underWay: [Waiting] = []
  /// Memory of saves that were written: warm, and so many times faster to copy into than fresh one.
  private var spare: [PayloadMemory] = []
  private var bytesHeld = 0
  private var accepted: UInt64 = 0
  private var thread: (any RunningThread)?
  private var mustEnd = false
  /// How many times something was lost, of how many of them a flush has told, and the last of them.
  private var losses = 0
  private var lossesTold = 0
  private var lost: StoreError?
  /// What was lost of saves that no session hears of.
  private var untold: StoreError?

  private static let spareLimit = 3

  init(engine: Engine, host: Host, limit: Int) {
    self.engine = engine
    self.host = host
    self.limit = limit
    lock = host.threads.makeLock()
    changed = lock.makeSignal()
  }

  // MARK: Accepting

  /// Takes a copy of the payload and returns. A session hears, on another thread, what became of it.
  ///
  /// Throws what is wrong with the save itself, and, once, that an earlier one of no session was lost.
  func accept(
    _ draft: Draft, payload: UnsafeRawBufferPointer,
    session ended: (@Sendable (Outcome) -> Void)? = nil
  ) throws(StoreError) {
    try engine.check(draft, payload: payload.count)
    if ended == nil { try throwUntold() }
    guard PayloadMemory.bytes(for: payload.count) <= limit else {
      // Larger than all that may wait: so it does not.
      drain()
      try engine.append(draft, payload: payload, durability: .synced)
      ended?(.written)
      return
    }
    let memory = takeMemory(payload.count)
    memory.fill(payload)
    var superseded: [Waiting] = []
    var failure: StoreError?
    lock.withLock {
      guard !mustEnd else {
        keep(memory)
        changed.wakeAll()
        failure = .closed(path: engine.path)
        return
      }
      accepted += 1
      var new = Waiting(
        draft: draft, memory: memory, number: accepted, covers: accepted, time: host.wallClock(),
        isOfSession: ended != nil,
        ended: ended ?? { _ in })
      superseded = supersede(by: new)
      new.covers = superseded.reduce(new.covers) { min($0, $1.covers) }
      queue.append(new)
      for old in superseded { keep(old.memory) }
      failure = startThread()
      changed.wakeAll()
    }
    for old in superseded { old.ended(.superseded) }
    if let failure { throw failure }
  }

  private func throwUntold() throws(StoreError) {
    let failure = lock.withLock {
      defer { untold = nil }
      return untold
    }
    if let failure { throw failure }
  }

  /// Takes out those of the same session that the new one makes needless: all that are no better than it,
  /// and of the others all but the best. With the lock.
  private func supersede(by new: Waiting) -> [Waiting] {
    guard new.isOfSession else { return [] }
    let best = queue.indices.filter { queue[$0].isSameSession(as: new) }
      .min { isBetter(queue[$0], than: queue[$1]) }
    guard let best else { return [] }
    let kept = isBetter(queue[best], than: new) ? best : nil
    var superseded: [Waiting] = []
    var rest: [Waiting] = []
    for (index, waiting) in queue.enumerated() {
      if waiting.isSameSession(as: new), index != kept {
        superseded.append(waiting)
      } else {
        rest.append(waiting)
      }
    }
    queue = rest
    return superseded
  }

  private func isBetter(_ left: Waiting, than right: Waiting) -> Bool {
    EntryOrder.isBetter(left.draft.objective, than: right.draft.objective)
      ?? (left.number > right.number)
  }

  /// Without a thread nothing would ever be written: then the save is taken back. With the lock.
  private func startThread() -> StoreError? {
    guard thread == nil else { return nil }
    do throws(ThreadError) {
      thread = try host.threads.start { [self] in run() }
      return nil
    } catch {
      keep(queue.removeLast().memory)
      return .file(FileError(.startThread, path: engine.path, errno: error.errno))
    }
  }

  // MARK: Memory

  /// Memory for a payload, spare or fresh, once the bound has room for it.
  private func takeMemory(_ count: Int) -> PayloadMemory {
    lock.withLock {
      while true {
        if let index = spare.lastIndex(where: { $0.fits(count) }) { return spare.remove(at: index) }
        while !spare.isEmpty, bytesHeld + PayloadMemory.bytes(for: count) > limit {
          bytesHeld -= spare.removeFirst().bytes
        }
        if bytesHeld + PayloadMemory.bytes(for: count) <= limit { break }
        changed.wait()
      }
      let memory = PayloadMemory(count)
      bytesHeld += memory.bytes
      return memory
    }
  }

  /// With the lock.
  private func keep(_ memory: PayloadMemory) {
    if spare.count < Self.spareLimit {
      spare.append(memory)
    } else {
      bytesHeld -= memory.bytes
    }
  }

  // MARK: Writing

  private func run() {
    while let batch = nextBatch() {
      let outcomes = write(batch)
      // Sessions hear of it before those who wait for the writing do.
      for (waiting, outcome) in zip(batch, outcomes) { waiting.ended(outcome) }
      lock.withLock {
        for (waiting, outcome) in zip(batch, outcomes) {
          keep(waiting.memory)
          guard case .failed(let error) = outcome else { continue }
          lost = error
          losses += 1
          if !waiting.isOfSession { untold = error }
        }
        underWay = []
        changed.wakeAll()
      }
    }
  }

  private func nextBatch() -> [Waiting]? {
    lock.withLock {
      while queue.isEmpty, !mustEnd { changed.wait() }
      guard !queue.isEmpty else { return nil }
      underWay = queue
      queue = []
      return underWay
    }
  }

  private func write(_ batch: [Waiting]) -> [Outcome] {
    do throws(StoreError) {
      try engine.append(
        batch.map { PendingRecord($0.draft, $0.memory.content) }, durability: .synced)
      return batch.map { _ in .written }
    } catch {
      // One that is too large for what the disk has left takes nobody else down with it.
      return batch.count == 1 ? [.failed(error)] : batch.flatMap { write([$0]) }
    }
  }

  // MARK: Waiting for the end

  /// Returns once everything accepted so far, or what has taken its place, has been written or lost.
  func drain() {
    lock.withLock {
      // Not for what others hand in meanwhile, or this might never end: of what is under way nothing takes
      // the place.
      let last = accepted
      while (underWay + queue).contains(where: { $0.covers <= last }) { changed.wait() }
    }
  }

  /// As ``drain()``. Throws if something was lost that no flush before this one has told of: of several
  /// at once every one does.
  func flush() throws(StoreError) {
    let told = lock.withLock { lossesTold }
    drain()
    let failure = lock.withLock {
      untold = nil
      lossesTold = losses
      return losses > told ? lost : nil
    }
    if let failure { throw failure }
  }

  /// Writes what waits and ends the thread. Nothing may be accepted any more.
  func close() throws(StoreError) {
    let thread = lock.withLock {
      mustEnd = true
      changed.wakeAll()
      defer { self.thread = nil }
      return self.thread
    }
    thread?.join()
    try flush()
  }

  // MARK: Looking

  /// An entry that waits. What waits will be newer than everything that is written by then.
  struct WaitingEntry {
    var entry: WarmStartEntry
    fileprivate var number: UInt64
  }

  /// The entries of a key that wait, in the order in which they were accepted.
  func entries(of key: Fingerprint) -> [WaitingEntry] {
    lock.withLock {
      guard !queue.isEmpty || !underWay.isEmpty else { return [] }
      return (underWay + queue).filter { $0.draft.key == key }.map {
        WaitingEntry(
          entry: WarmStartEntry($0.draft, payload: Array($0.memory.content), written: $0.time),
          number: $0.number)
      }
    }
  }

  /// Whether all of these still wait: none has been written, lost or superseded meanwhile.
  func stillWait(_ entries: [WaitingEntry]) -> Bool {
    lock.withLock {
      let waiting = Set((underWay + queue).map(\.number))
      return entries.allSatisfy { waiting.contains($0.number) }
    }
  }
}

/// Memory for one payload, used again for the next.
private final class PayloadMemory: @unchecked Sendable {
  private let memory: UnsafeMutableRawBufferPointer
  private var count = 0

  /// Pages are what memory comes in.
  static func bytes(for count: Int) -> Int { max(count, 1).aligned(to: 4096) }

  init(_ count: Int) { memory = .allocate(byteCount: Self.bytes(for: count), alignment: 4096) }
  deinit { memory.deallocate() }

  var bytes: Int { memory.count }
  var content: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: memory[..<count]) }

  /// Whether it serves for so many bytes without wasting most of it.
  func fits(_ count: Int) -> Bool {
    memory.count >= count && memory.count <= max(4 * Self.bytes(for: count), 64 << 10)
  }

  func fill(_ payload: UnsafeRawBufferPointer) {
    count = payload.count
    memory.copyMemory(from: payload)
  }
}
