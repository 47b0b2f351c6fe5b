// When a directory must be listed again.
//
// A directory's time has the grain of a clock tick: what changes within the tick of a listing leaves
// no trace. So a listing settles the question only if the directory's time had been known for longer
// than a tick when it was made; until then every look lists again. Both moments are of the monotonic
// clock of this process: the file system's clock may be another machine's.
//
// Once the calendar clock was set back, a time that the directory has had can come again: until that
// moment has passed for the second time every look lists.

/// One look at a directory, and when it was taken.
struct DirectoryLook {
  /// When the directory was last modified: nanoseconds since 1970, by the file system's clock.
  let modified: Int64
  /// Of the calendar clock and of the monotonic one, nanoseconds.
  let wall: UInt64
  let now: UInt64
}

struct DirectoryWatch {
  private var modified: Int64?
  private var firstSeen: UInt64 = 0
  private var settles = false
  private var settled = false
  private var lastWall: UInt64 = 0
  private var lastNow: UInt64 = 0
  private var wentBack = false

  /// Longer than a tick of the kernel's coarse clock (10 ms at its slowest), and than a clock is set back unseen: `jitter`
  /// and a tick; nanoseconds.
  private static let tick: UInt64 = 40_000_000
  /// More than passes between a look at the one clock and a look at the other, as a rule: coarse clocks may tick
  /// between the two.
  private static let jitter: UInt64 = 12_000_000
  /// How long a look at both clocks is good for.
  private static let memory: UInt64 = 1_000_000_000
  /// For file systems that keep whole seconds.
  private static let coarseTick: UInt64 = 2_100_000_000

  /// Whether a look finds what the last listing found, for good. Changes nothing: several threads may ask at once. False
  /// as well where ``mustList(_:)`` has to say.
  func isUnchanged(_ look: DirectoryLook) -> Bool {
    guard settled, look.modified == modified else { return false }
    // Who looked later has looked at the clocks as well.
    guard look.now >= lastNow else { return true }
    // Clocks drift apart: one that is measured against a moment long ago is not known to have been set.
    let passed = look.now - lastNow
    return passed < Self.memory && look.wall >= lastWall
      && look.wall - lastWall + Self.jitter >= passed
  }

  /// What a look says that another thread may have overtaken: whether to list; nil if it must be taken again.
  mutating func mustList(early look: DirectoryLook) -> Bool? {
    // Who looked later, and found that nothing had changed, has looked at the clocks as well.
    if look.now < lastNow { return settled && look.modified == modified ? false : nil }
    // Set back, or read before another thread read it.
    return look.wall < lastWall ? nil : mustList(look)
  }

  /// Whether to list. Looks are to come in the order in which they were taken.
  mutating func mustList(_ look: DirectoryLook) -> Bool {
    let (modified, now, wall) = (look.modified, look.now, look.wall)
    // Or stayed behind: it was set back, and has come as far again. If this process was only halted
    // between the two clocks, that costs a listing.
    let passed = now - min(lastNow, now)
    if wall < lastWall || wall - lastWall + Self.jitter < passed {
      wentBack = wentBack || lastNow > 0
      settled = false
    }
    (lastWall, lastNow) = (wall, now)
    if modified != self.modified {
      self.modified = modified
      firstSeen = now
      settled = false
      settles = false
      return true
    }
    if settled { return false }
    let grain = modified % 1_000_000_000 == 0 ? Self.coarseTick : Self.tick
    let mayComeAgain = wentBack && Int64(clamping: wall) <= modified + Int64(grain)
    settles = now > firstSeen && now - firstSeen > grain && !mayComeAgain
    return true
  }

  /// The listing that `mustList` asked for has been taken in.
  mutating func listed() { settled = settles }

  /// What was seen does not hold any more.
  mutating func invalidate() {
    modified = nil
    settled = false
  }
}
