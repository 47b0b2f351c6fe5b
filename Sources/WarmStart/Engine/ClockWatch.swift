// Whether somebody set the calendar clock back.
//
// Stamps follow the calendar clock, and a process knows only those that it has seen. If the clock goes
// back, one that another process gave out meanwhile may lie ahead of it.

struct ClockWatch {
  private var wall: UInt64
  private var monotonic: UInt64

  /// More than passes between a look at the one clock and a look at the other, as a rule; nanoseconds.
  private static let jitter: UInt64 = 100_000

  init(wall: UInt64, monotonic: UInt64) {
    self.wall = wall
    self.monotonic = monotonic
  }

  /// The calendar time, and whether its clock has gone back, or stayed behind, since the last look.
  mutating func look(at host: Host) -> (wall: UInt64, wentBack: Bool) {
    var now = (wall: host.wallClock(), monotonic: host.monotonicClock())
    // The process may have been halted between the two: a second look is seldom hit as well.
    if wentBack(now.wall, now.monotonic) { now = (host.wallClock(), host.monotonicClock()) }
    defer { (wall, monotonic) = now }
    return (now.wall, wentBack(now.wall, now.monotonic))
  }

  private func wentBack(_ wall: UInt64, _ monotonic: UInt64) -> Bool {
    guard wall >= self.wall else { return true }
    return wall - self.wall + Self.jitter < monotonic - min(self.monotonic, monotonic)
  }
}
