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

  /// Something accepted until now may be lost.
  mutating func note(_ error: FileError) {
    count += 1
    last = error
    untoldThrough = accepted
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
