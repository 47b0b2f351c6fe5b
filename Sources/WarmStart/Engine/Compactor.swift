// Compaction: segments that nobody writes any more are merged into new ones without what is dead.
//
// One compactor at a time, which the lock file sees to; it may merge several groups of segments at once. It
// holds the engine's state lock only to ask what is dead, a few hundred records at a time; no save and no
// lookup waits while it copies, writes or syncs. A crash between any two steps leaves either the old segments or the new one in force: the new
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
  /// The segments with records that were written.
  var writtenSegments = 0
  /// Keys that were left out because they had expired, or for the size budget.
  public internal(set) var evictedKeys = 0
  /// Damaged places that were met.
  public internal(set) var damage: [Damage] = []
  /// Where segments with damage lie now, from the store's directory on.
  public internal(set) var quarantined: [String] = []

  /// Nothing of anything.
  public init() {}

  /// Whether there are fewer segments since, or they take notably less space.
  func hasGained(since earlier: CompactionReport) -> Bool {
    let merged = mergedBytes - earlier.mergedBytes
    let copied = copiedBytes - earlier.copiedBytes
    return mergedSegments - earlier.mergedSegments > writtenSegments - earlier.writtenSegments
      || merged > 0 && copied + merged / 64 < merged
  }
}

/// One run of the compactor, with the lock held.
final class Compactor: @unchecked Sendable {
  /// What a compaction is told from outside.
  struct Control {
    /// Bytes a second that are read at most; 0 for as fast as it goes.
    var pace: UInt64 = 0
    /// Hears of the bytes read.
    var progress: (UInt64) -> Void = { _ in }
    /// Nanoseconds to rest after so many of work; asked after every read.
    var rest: (UInt64) -> UInt64 = { _ in 0 }
    /// Whether a merge under way is to be given up.
    var isCancelled: () -> Bool = { false }
  }

  let engine: Engine
  let control: Control
  let lockFile: any File
  /// Held by a merge while it decides what is dead, and by one that takes effect: what one has decided on
  /// does not go away amid another's decision.
  let turn: any Lock
  private let started: UInt64
  private let lock: any Lock
  // Guarded by lock.
  private var soFar = CompactionReport()
  private var lastRest: UInt64
  private var readBytes: UInt64 = 0
  /// Records whose stored payloads are damaged, and what they hold is not.
  private var restorable: Set<Catalog.Spot> = []

  static let lockName = "compaction.lock"
  static let quarantine = "quarantine"

  /// Takes the lock; nil if another compactor is at it, in this or another process.
  init?(_ engine: Engine, _ control: Control) throws(StoreError) {
    self.engine = engine
    self.control = control
    started = engine.host.monotonicClock()
    lastRest = started
    lock = engine.host.threads.makeLock()
    turn = engine.host.threads.makeLock()
    do throws(FileError) {
      lockFile = try Self.openLockFile(engine)
      guard try lockFile.tryLock(.exclusive) else { return nil }
      // Somebody deleted it between the two, and others take another one.
      guard try lockFile.linkCount() > 0 else { return nil }
    } catch { throw .file(error) }
  }

  /// What has been done so far.
  var report: CompactionReport { lock.withLock { soFar } }

  /// Gives up the lock.
  func finish() { try? lockFile.unlock() }

  private static func openLockFile(_ engine: Engine) throws(FileError) -> any File {
    while true {
      do throws(FileError) { return try engine.directory.openForWriting(lockName) } catch {
        // Somebody else's: without writing there is a lock, and no reserve.
        if error.errno == EACCES { return try engine.directory.open(lockName) }
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

  /// Adds to the report.
  func note(_ change: (inout CompactionReport) -> Void) { lock.withLock { change(&soFar) } }

  // MARK: Merging

  /// Merges segments into one that has what must be kept of them, without the keys that are
  /// evicted. Where a segment cannot be read, or an output is too much for the disk, smaller merges
  /// are tried; the first error is thrown in the end.
  func merge(
    _ ids: [SegmentID], evicting evictions: Evictions = Evictions()
  ) throws(StoreError) {
    do throws(Merge.Outcome) { return try mergeWhole(ids, evictions) } catch {
      switch error {
      case .failed(let error):
        if giveUpReserve(error) { return try merge(ids, evicting: evictions) }
        guard ids.count > 1, error.mayBeOfOneSegment else { throw error }
        var other: StoreError?
        for half in Self.halves(ids) {
          do throws(StoreError) { try merge(half, evicting: evictions) } catch {
            other = other ?? error
          }
        }
        if let other { throw other }
      case .tooMuch:
        guard ids.count > 1 else {
          throw .unreadableDirectory(
            path: engine.path, why: "\(ids[0]) has more than a segment can have")
        }
        for half in Self.halves(ids) { try merge(half, evicting: evictions) }
      case .damaged:
        throw .unreadableDirectory(path: engine.path, why: "its damage keeps growing")
      case .moved:
        throw .unreadableDirectory(path: engine.path, why: "what it holds keeps moving")
      }
    }
  }

  private static func halves(_ ids: [SegmentID]) -> [[SegmentID]] {
    [Array(ids[..<(ids.count / 2)]), Array(ids[(ids.count / 2)...])]
  }

  private func mergeWhole(
    _ ids: [SegmentID], _ evictions: Evictions
  ) throws(Merge.Outcome) {
    // Each turn takes damaged records out of the running, or keys of which others write, so that this ends.
    var restless: Set<Fingerprint> = []
    for turn in 1...Catalog.attempts {
      do throws(Merge.Outcome) {
        guard
          let merge = try self.turn.withLock({ () throws(Merge.Outcome) in
            try begin(ids, evictions, restless: restless)
          })
        else { return }
        let output = try merge.copy()
        do throws(Merge.Outcome) {
          do throws(FileError) { try output?.finish() } catch { throw .failed(.file(error)) }
          try self.turn.withLock { () throws(Merge.Outcome) in
            try merge.checkIsStillRight()
            do throws(FileError) { try publish(merge, output) } catch {
              throw .failed(.file(error))
            }
          }
        } catch {
          output?.discard()
          throw error
        }
        do throws(StoreError) { return try count(merge, output) } catch { throw .failed(error) }
      } catch {
        guard turn < Catalog.attempts else { throw error }
        switch error {
        case .moved(let keys): restless.formUnion(keys)
        case .damaged(let records):
          do throws(StoreError) { try setAside(records) } catch { throw .failed(error) }
        default: throw error
        }
      }
    }
  }

  /// A merge that has decided what it keeps; nil if none of its segments is there to be merged.
  private func begin(
    _ ids: [SegmentID], _ evictions: Evictions, restless: Set<Fingerprint>
  ) throws(Merge.Outcome) -> Merge? {
    let merge: Merge
    do throws(StoreError) {
      merge = try Merge(self, ids, evicting: evictions, restless: restless)
    } catch { throw .failed(error) }
    guard !merge.victims.isEmpty else { return nil }
    try merge.select()
    return merge
  }

  /// Whether a record is to be written anew from what it holds.
  func isToBeRestored(_ place: Place) -> Bool {
    lock.withLock {
      restorable.contains(Catalog.Spot(place))
    }
  }

  /// From the next turn on the record is written anew; its segment is damaged.
  func restore(_ place: Place, key: Fingerprint, of segment: OpenSegment) {
    lock.withLock {
      _ = restorable.insert(Catalog.Spot(place))
    }
    engine.stateLock.withLock {
      engine.catalog.report(
        Damage(
          segment: segment.name, offset: place.offset, length: UInt64(place.recordLength),
          what: "stored payload checksum; what it holds is as it was", key: key,
          effect: .nothingLost))
    }
  }

  private func setAside(_ records: [Merge.DamagedRecord]) throws(StoreError) {
    try engine.withFreshCatalog { catalog throws(StoreError) in
      for record in records {
        catalog.noteUnreadable(record.place, key: record.key, what: record.what)
      }
      try catalog.refresh()
    }
  }

  private func publish(_ merge: Merge, _ output: MergeOutput?) throws(FileError) {
    let directory = engine.directory
    for key in merge.view.leftOut.sorted() {
      engine.options.onEviction?(key, merge.view.evicted[key]!.newestStamp)
    }
    guard try lockFile.linkCount() > 0 else {
      throw FileError(.lock, path: lockFile.path, errno: ENOENT)
    }
    // What is relied on must have its name for good before anything goes.
    if let output { try output.publish() } else { try directory.sync() }
    for victim in merge.victims where victim.isDamaged {
      let name = try directory.setAside(
        victim.source.name, into: Self.quarantine, permissions: engine.options.permissions)
      lock.withLock { soFar.quarantined.append(name) }
    }
    for victim in merge.victims where !victim.isDamaged {
      try unlinkIfPresent(victim.source.name)
    }
    try directory.sync()
    // It is of no use once what it replaced is gone for good.
    if let output, output.recordCount == 0 { try unlinkIfPresent(output.name) }
  }

  private func count(_ merge: Merge, _ output: MergeOutput?) throws(StoreError) {
    let ids = Set(merge.victims.filter(\.isDamaged).map(\.source.id))
    let damage = try engine.withFreshCatalog { catalog in
      catalog.damage.filter { SegmentName($0.segment).map { ids.contains($0.id) } ?? false }
    }
    lock.withLock {
      soFar.mergedSegments += merge.victims.count
      soFar.mergedBytes += merge.victims.reduce(0) { $0 + $1.fileBytes }
      soFar.evictedKeys += merge.view.leftOut.count
      soFar.copiedRecords += output?.recordCount ?? 0
      soFar.writtenSegments += output?.recordCount ?? 0 > 0 ? 1 : 0
      soFar.copiedBytes += output.map { $0.recordCount == 0 ? 0 : $0.length } ?? 0
      soFar.damage += damage
    }
  }

  /// Bytes were read: waits if that was faster than it should be. Throws if the merge is to be given up.
  func took(_ bytes: Int) throws(StoreError) {
    if control.isCancelled() { throw .closed(path: engine.path) }
    let now = engine.host.monotonicClock()
    let rest = lock.withLock {
      readBytes += UInt64(bytes)
      control.progress(readBytes)
      var rest = control.rest(now - min(now, lastRest))
      if control.pace > 0 {
        let due = UInt64(Double(readBytes) / Double(control.pace) * 1e9)
        rest = max(rest, due - min(due, now - started))
      }
      lastRest = now + rest
      return rest
    }
    if rest > 0 { engine.host.sleep(rest) }
  }
}

extension StoreError {
  /// Whether there was no room on the disk, or no more for this user.
  var isWantOfSpace: Bool {
    guard case .file(let error) = self else { return false }
    return [ENOSPC, EDQUOT].contains(error.errno)
  }

  /// Whether a merge of fewer segments may do where this one failed.
  fileprivate var mayBeOfOneSegment: Bool {
    guard case .file(let error) = self else { return false }
    return error.operation == .read && error.isDiskError
      || error.errno == EFBIG || isWantOfSpace
  }
}
