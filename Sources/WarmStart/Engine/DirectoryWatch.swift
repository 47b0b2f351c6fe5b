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

  init(_ directory: any Directory, _ host: Host) throws(FileError) {
    modified = try directory.modificationTime()
    wall = host.wallClock()
    now = host.monotonicClock()
  }
}

struct DirectoryWatch {
  private var modified: Int64?
  private var firstSeen: UInt64 = 0
  private var settles = false
  private var settled = false
  private var lastWall: UInt64 = 0
  private var lastNow: UInt64 = 0
  private var wentBack = false

  /// Longer than a tick of the kernel's coarse clock (10 ms at its slowest), nanoseconds.
  private static let tick: UInt64 = 20_000_000
  /// More than passes between a look at the one clock and a look at the other, as a rule.
  private static let jitter: UInt64 = 1_000_000
  /// For file systems that keep whole seconds.
  private static let coarseTick: UInt64 = 2_100_000_000

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
