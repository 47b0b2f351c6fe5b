// Compaction: segments that nobody writes any more are merged into new ones without what is dead.
//
// One compactor at a time, which the lock file sees to. It holds the engine's state lock only to ask
// what is dead, a few hundred records at a time; no save and no lookup waits while it reads, writes or
// syncs. A crash between any two steps leaves either the old segments or the new one in force: the new
// one says which it replaces, and the next compaction clears those away.

internal import Glibc
internal import Logging

/// What a compaction did.
public struct CompactionReport: Hashable, Sendable {
  /// Segments that were merged or found empty.
  public internal(set) var mergedSegments = 0
  /// Bytes of their files.
  public internal(set) var mergedBytes: UInt64 = 0
  /// Records that were copied, and the bytes of the segments they were copied to.
  public internal(set) var copiedRecords = 0
  /// See ``copiedRecords``.
  public internal(set) var copiedBytes: UInt64 = 0
  /// Damaged places that were met.
  public internal(set) var damage: [Damage] = []
  /// Where segments with damage lie now, from the store's directory on.
  public internal(set) var quarantined: [String] = []

  /// Nothing of anything.
  public init() {}
}

/// One run of the compactor, with the lock held. For one thread.
final class Compactor {
  /// What a compaction is told from outside.
  struct Control {
    /// Bytes a second that are read at most; 0 for as fast as it goes.
    var pace: UInt64 = 0
    /// Whether to leave off where it is.
    var isCancelled: @Sendable () -> Bool = { false }
    /// Hears of the bytes read.
    var progress: (UInt64) -> Void = { _ in }
  }

  /// Why a compaction ended before it was done.
  enum Stop: Error {
    case cancelled
    case failed(StoreError)
  }

  let engine: Engine
  let control: Control
  private(set) var report = CompactionReport()
  private let lockFile: any File
  private var started: UInt64
  private var readBytes: UInt64 = 0

  static let lockName = "compaction.lock"
  static let quarantine = "quarantine"

  /// Takes the lock; nil if another compactor is at it, in this or another process.
  init?(_ engine: Engine, _ control: Control) throws(StoreError) {
    self.engine = engine
    self.control = control
    started = engine.host.monotonicClock()
    do throws(FileError) {
      lockFile = try Self.openLockFile(engine)
      guard try lockFile.tryLock(.exclusive) else { return nil }
    } catch { throw .file(error) }
  }

  /// Gives up the lock.
  func finish() { try? lockFile.unlock() }

  private static func openLockFile(_ engine: Engine) throws(FileError) -> any File {
    while true {
      do throws(FileError) { return try engine.directory.open(lockName) } catch {
        guard error.errno == ENOENT else { throw error }
      }
      do throws(FileError) {
        return try engine.directory.create(lockName, permissions: engine.options.permissions)
      } catch {
        // Another process made it meanwhile.
        guard error.errno == EEXIST else { throw error }
      }
    }
  }

  // MARK: What an earlier one left

  /// Clears away what a compaction left that did not come to its end: its temporary files, and segments
  /// that a published one replaced.
  func clearAway() throws(Stop) {
    let engine = engine
    let (temporaries, headless) = try withCatalog { catalog in
      (catalog.temporaries, catalog.headless.sorted())
    }
    for name in temporaries { unlinkUnlessLocked(name) }
    for id in headless { unlinkUnlessLocked(SegmentName(id: id, phase: .log)) }
    let names = try attempt { () throws(FileError) in
      try engine.directory.list(limit: Catalog.nameLimit).compactMap { SegmentName($0) }
    }
    let left = try withCatalog { catalog in catalog.replacedButPresent(among: names) }
    guard !left.isEmpty else { return }
    // The name of what replaced them must be there to stay, before they go.
    try attempt { () throws(FileError) in
      try engine.directory.sync()
      for name in left.sorted(by: { $0.id < $1.id }) { try unlinkIfPresent(name.description) }
      try engine.directory.sync()
    }
  }

  /// A creator that finds its file gone, once it has the lock, starts over.
  private func unlinkUnlessLocked(_ name: SegmentName) {
    let directory = engine.directory
    guard let file = try? directory.open(name.description),
      (try? file.tryLock(.exclusive)) == true
    else { return }
    try? directory.unlink(name.description)
  }

  private func unlinkIfPresent(_ name: String) throws(FileError) {
    do throws(FileError) { try engine.directory.unlink(name) } catch {
      guard error.errno == ENOENT else { throw error }
    }
  }

  // MARK: Merging

  /// Merges segments into one that has what must be kept of them. Gives whether the files take less
  /// space, or are fewer, than before.
  @discardableResult
  func merge(_ figures: [SegmentFigures]) throws(Stop) -> Bool {
    try merge(figures.map(\.id))
  }

  private func merge(_ ids: [SegmentID]) throws(Stop) -> Bool {
    // Each turn takes damaged records out of the running, so that this ends.
    for _ in 0..<Catalog.attempts {
      let merge = try Merge(self, ids)
      guard !merge.victims.isEmpty else { return false }
      let output: MergeOutput?
      do throws(Merge.Outcome) {
        try merge.select()
        output = try merge.copy()
      } catch {
        switch error {
        case .stop(let stop): throw stop
        case .damaged(let records):
          for record in records { try setAside(record) }
          continue
        case .tooMany: return try mergeHalves(ids)
        }
      }
      return try publish(merge, output)
    }
    throw .failed(
      .unreadableDirectory(path: engine.path, why: "too many damaged records in one segment"))
  }

  /// One segment always fits into one.
  private func mergeHalves(_ ids: [SegmentID]) throws(Stop) -> Bool {
    guard ids.count > 1 else { return false }
    let half = ids.count / 2
    let first = try merge(Array(ids[..<half]))
    let second = try merge(Array(ids[half...]))
    return first || second
  }

  private func setAside(_ record: Merge.DamagedRecord) throws(Stop) {
    try withCatalog { catalog throws(StoreError) in
      try catalog.setAside(record.place, key: record.key, what: record.what)
    }
  }

  private func publish(_ merge: Merge, _ output: MergeOutput?) throws(Stop) -> Bool {
    let directory = engine.directory
    let damaged = merge.victims.filter(\.isDamaged)
    do throws(FileError) {
      try output?.publish()
      for victim in damaged {
        report.quarantined.append(
          try directory.setAside(
            victim.name, into: Self.quarantine, permissions: engine.options.permissions))
      }
      for victim in merge.victims where !victim.isDamaged { try unlinkIfPresent(victim.name) }
      try directory.sync()
      // It is of no use once what it replaced is gone for good.
      if let output, output.recordCount == 0 { try unlinkIfPresent(output.name) }
    } catch {
      output?.discard()
      throw .failed(.file(error))
    }
    let before = merge.victims.reduce(0) { $0 + $1.fileBytes }
    let after = output.map { $0.recordCount == 0 ? 0 : $0.length } ?? 0
    report.mergedSegments += merge.victims.count
    report.mergedBytes += before
    report.copiedRecords += output?.recordCount ?? 0
    report.copiedBytes += after
    report.damage += try withCatalog { catalog in
      catalog.damage.filter { found in damaged.contains { $0.name == found.segment } }
    }
    return after + before / 8 < before || merge.victims.count > 1
  }

  // MARK: Helpers

  /// Runs `body` with the catalog as it is, fresh.
  func withCatalog<Value>(
    _ body: (Catalog) throws(StoreError) -> Value
  ) throws(Stop) -> Value {
    do throws(StoreError) {
      return try engine.stateLock.withLock { () throws(StoreError) in
        try engine.catalog.refreshForAllKeys()
        return try body(engine.catalog)
      }
    } catch { throw .failed(error) }
  }

  func attempt<Value>(_ body: () throws(FileError) -> Value) throws(Stop) -> Value {
    do throws(FileError) { return try body() } catch { throw .failed(.file(error)) }
  }

  /// Bytes were read: waits if that was faster than it should be.
  func took(_ bytes: Int) throws(Stop) {
    readBytes += UInt64(bytes)
    control.progress(readBytes)
    if control.isCancelled() { throw .cancelled }
    guard control.pace > 0 else { return }
    let due = UInt64(Double(readBytes) / Double(control.pace) * 1e9)
    while true {
      let passed = engine.host.monotonicClock() - started
      guard passed < due else { return }
      // In short naps, so that a store that closes need not wait.
      engine.host.sleep(min(due - passed, 20_000_000))
      if control.isCancelled() { throw .cancelled }
    }
  }
}
