// Whether somebody set the calendar clock.
//
// Stamps follow the calendar clock, and a process knows only those that it has seen. If the clock goes
// back, one that another process gave out meanwhile may lie ahead of it. A clock that went forward may
// have gone further, and back from there, since it was looked at last.

struct ClockWatch {
  private var wall: UInt64
  private var monotonic: UInt64
  private var mustRefresh = false
  private var graceEnd: UInt64 = 0

  /// More than passes between a look at the one clock and a look at the other, as a rule; nanoseconds.
  private static let jitter: UInt64 = 100_000
  /// Longer than a save is under way, as a rule; nanoseconds.
  private static let grace: UInt64 = 5_000_000_000

  init(wall: UInt64, monotonic: UInt64) {
    self.wall = wall
    self.monotonic = monotonic
  }

  /// The calendar time. Notes whether its clock has gone by more or less than the time that passed since the
  /// last look. (A machine that slept looks so, too; that costs refreshes.)
  mutating func look(at host: Host) -> UInt64 {
    var now = (wall: host.wallClock(), monotonic: host.monotonicClock())
    // The process may have been halted between the two: a second look is seldom hit as well.
    if wasSet(now.wall, now.monotonic) { now = (host.wallClock(), host.monotonicClock()) }
    if wasSet(now.wall, now.monotonic) {
      mustRefresh = true
      graceEnd = now.monotonic + Self.grace
    }
    (wall, monotonic) = now
    return now.wall
  }

  /// Whether others may have stamps that lie ahead of the clock.
  var isInDoubt: Bool { mustRefresh || monotonic < graceEnd }

  /// Everything that others had written was read.
  mutating func refreshed() { mustRefresh = false }

  private func wasSet(_ wall: UInt64, _ monotonic: UInt64) -> Bool {
    guard wall >= self.wall else { return true }
    let (gone, passed) = (wall - self.wall, monotonic - min(self.monotonic, monotonic))
    return gone + Self.jitter < passed || passed + Self.jitter < gone
  }
}
