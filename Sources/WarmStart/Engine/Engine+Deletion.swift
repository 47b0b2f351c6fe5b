// What happens when somebody deletes the log that this process writes.
//
// Records that are appended to a file without a name are found by nobody. Each save would have to
// ask whether the name is still there, which is one more system call than a save costs; so that is
// found out by the next look at the directory, by flush, when the segment is sealed, and by a save
// at the latest after `interval`. Then the log is given up, the next save starts another, and flush
// or close tells, once, that what was saved to it is lost. A directory that was deleted is not made
// anew: that is for whoever opens the store again.

internal import Glibc
internal import Logging
internal import Synchronization

extension Engine {
  /// Nanoseconds between two looks at the log of a process that does nothing but save.
  private static let interval: UInt64 = 10_000_000_000

  /// Before a save: gives up the log if it is known to be gone, or if it is time to look and it is.
  /// With the append lock held.
  func giveUpLogIfGone() {
    let now = host.monotonicClock()
    guard let writer else {
      // A log that is about to be made is there.
      lastLookAtLog = now
      return
    }
    if now - min(now, lastLookAtLog) >= Self.interval { return giveUpLogUnlessThere() }
    if catalog.ownIsGone.load(ordering: .acquiring) { giveUp(writer) }
  }

  /// Looks whether the log still has a name, and gives it up if it has none. With the append lock
  /// held.
  func giveUpLogUnlessThere() {
    guard let writer else { return }
    lastLookAtLog = host.monotonicClock()
    let hasNoName = (try? writer.file.linkCount()) == 0
    if hasNoName || catalog.ownIsGone.load(ordering: .acquiring) { giveUp(writer) }
  }

  private func giveUp(_ gone: SegmentWriter) {
    writer = nil
    gone.release()
    stateLock.withLock { catalog.endOwn() }
    noteLoss(FileError(.sync, path: gone.file.path, errno: ENOENT))
  }

  /// The log had no name any more when it was to be sealed, or before: the next flush or close
  /// tells.
  func noteLoss(_ error: FileError) {
    losses.note(error)
    options.logger?.error("\(error)")
  }
}
