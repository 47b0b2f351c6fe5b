// What the catalog knows of stamps. Those that a save is given must be larger than all that are there, in whatever
// process they were given out, and however the clock was set.

internal import Logging

extension Catalog {
  /// Whether somebody may have given out a stamp of `now` or later, as far as is known without a look.
  func mayBeBehind(_ now: UInt64) -> Bool {
    now <= max(lastStamp, forgottenStamp) || clockWatch.isInDoubt
  }

  /// After a refresh. Stamps that no record on disk has any more, because all that had them were removed or
  /// evicted, mean nothing: who opened the store since knows of none, and goes by the clock.
  func forgetStampsThatAreGone() {
    guard !hasUnknownSegments else { return }
    let last = segments.values.reduce(0) { max($0, $1.newestStamp) }
    guard last < lastStamp else { return }
    // What is gone must not come back with a power cut, beside what was saved with a smaller one.
    do throws(FileError) { try directory.sync() } catch {
      // Going on from the far stamp is right, too, but for stores opened since.
      options.logger?.warning("stamps ahead of the clock are kept: \(error)")
      return
    }
    forgottenStamp = max(forgottenStamp, lastStamp)
    lastStamp = last
  }
}
