// What was accepted without waiting for the disk, and may be lost.

/// Whom a loss must still be told. Guarded by the engine's append lock.
struct Losses {
  /// Counts what was accepted.
  var accepted: UInt64 = 0
  private var count = 0
  private var last: FileError?
  /// A loss that somebody has still to hear of, who accepted something before this.
  private var untoldThrough: UInt64?

  /// What a flush knows when it begins.
  struct Seen {
    fileprivate var accepted: UInt64
    fileprivate var count: Int
    fileprivate var hasUntold: Bool
  }

  /// Something may be lost of what was accepted until now, or until as much had been as `through` says.
  mutating func note(_ error: FileError, through: UInt64? = nil) {
    count += 1
    last = error
    untoldThrough = max(untoldThrough ?? 0, through ?? accepted)
  }

  func look() -> Seen {
    Seen(accepted: accepted, count: count, hasUntold: untoldThrough != nil)
  }

  /// The loss that a flush which began with `seen` must tell of; nil if there is none. It settles the matter
  /// only for what was accepted before that flush began.
  mutating func tell(since seen: Seen) -> FileError? {
    guard seen.hasUntold || count > seen.count else { return nil }
    if let through = untoldThrough, through <= seen.accepted { untoldThrough = nil }
    return last
  }
}
