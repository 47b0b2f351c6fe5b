// Sealing: what a full segment goes through, on the thread that saves or on one of its own.
//
// A segment's footer is sorted, and what was only handed to the kernel goes to stable storage: of 64 MiB that takes as
// long as thousands of saves. So a large one is sealed by another thread, one at a time, while saves go on in the next.
// Who must know what became of it waits: flush, close, a compaction that was asked for, and a save that promises stable
// storage for what was accepted before.

internal import Logging

/// A segment that a thread of its own seals, which lets go of its file when it is done.
final class Sealing: @unchecked Sendable {
  let id: SegmentID
  /// Whether something in it was accepted that was not known to be on stable storage.
  fileprivate let isAwaited: Bool
  /// What had been accepted when it was full.
  fileprivate let accepted: UInt64
  // Written by the thread, and read once it was joined.
  fileprivate var losses: [FileError] = []
  fileprivate var thread: (any RunningThread)?

  fileprivate init(_ full: SegmentWriter, accepted: UInt64) {
    id = full.header.id
    isAwaited = full.acceptedBytes > full.syncedBytes
    self.accepted = accepted
  }
}

extension Engine {
  // MARK: With the append lock

  /// Seals the segment that is being written. A footer that could not be written is no loss: the log says the same.
  func sealWriter() {
    if let full = takeWriter() { sealNow(full) }
  }

  /// The segment that is being written is not written any more; whoever calls has to seal it.
  func takeWriter() -> SegmentWriter? {
    finishSealing()
    guard let full = writer else { return nil }
    writer = nil
    endedLogBytes += full.tail
    stateLock.withLock { catalog.beginSealing() }
    return full
  }

  func sealNow(_ full: SegmentWriter) {
    for loss in seal(full) { losses.note(loss) }
  }

  /// Seals it on a thread of its own, or at once if there is none.
  func sealAside(_ full: SegmentWriter) {
    let sealing = Sealing(full, accepted: losses.accepted)
    sealing.thread = try? host.threads.start { [self] in
      sealing.losses = seal(full)
    }
    guard sealing.thread != nil else { return sealNow(full) }
    self.sealing = sealing
  }

  /// Whether it is worth a thread, and neither a merge nor the budget needs it sealed before anything is added.
  ///
  /// What is dead by records that are not on stable storage yet must be kept: only between the end of one segment and the
  /// beginning of the next does a merge find that all of them are. And near its budget a store has one segment for each
  /// writer, and no more.
  func maySealAside(_ full: SegmentWriter) -> Bool {
    guard full.tail >= options.sealedAsideFrom else { return false }
    return stateLock.withLock {
      let isKnown = (try? options.upkeep == nil ? catalog.refresh() : refreshForPlan()) != nil
      guard isKnown else { return false }
      let plan = CompactionPlan(
        closed: catalog.figures(alsoFull: true), outputLimit: options.segmentLimit)
      if let policy = options.upkeep, isWorthAMerge(plan, policy) { return false }
      let all = catalog.segments.values.reduce(catalog.leavingBytes) {
        $0 + max($1.fileBytes, $1.tail)
      }
      return options.segmentBudget == .max || all + options.segmentLimit <= options.segmentBudget
    }
  }

  /// Returns once no segment is being sealed, and what was lost is noted.
  func finishSealing() {
    guard let sealing else { return }
    self.sealing = nil
    sealing.thread?.join()
    for loss in sealing.losses { losses.note(loss, through: sealing.accepted) }
  }

  /// The same if something in it was accepted that was not known to be on stable storage.
  func finishSealingUnlessSynced() {
    if sealing?.isAwaited == true { finishSealing() }
  }

  // MARK: On either thread

  /// Gives what of it is lost.
  private func seal(_ full: SegmentWriter) -> [FileError] {
    var lost: [FileError] = []
    do throws(FileError) {
      try full.seal()
      stateLock.withLock { catalog.endSealing(sealed: true) }
      full.release()
    } catch {
      options.logger?.warning("segment left unsealed: \(error)")
      if let loss = leaveUnsealed(full) { lost.append(loss) }
      if error.operation == .rename, error.isStale {
        options.logger?.error("\(error)")
        lost.append(error)
      }
    }
    return lost
  }

  private func leaveUnsealed(_ full: SegmentWriter) -> FileError? {
    let loss = putAway(full)
    stateLock.withLock {
      if full.hasFailedToSync {
        catalog.forgetSealing()
      } else {
        catalog.endSealing(sealed: false)
      }
    }
    return loss
  }

  /// Ends the writing of a segment that keeps its log's name. Gives why what was accepted with the kernel only, and must
  /// still reach the disk, may be lost.
  func putAway(_ writer: SegmentWriter) -> FileError? {
    defer { writer.release() }
    do throws(FileError) { try writer.sync(through: writer.acceptedBytes) } catch { return error }
    return nil
  }
}
