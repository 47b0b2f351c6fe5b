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

  /// Whether the calendar clock has gone back, or stayed behind, since the last look.
  mutating func wentBack(wall: UInt64, monotonic: UInt64) -> Bool {
    defer { (self.wall, self.monotonic) = (wall, monotonic) }
    guard wall >= self.wall else { return true }
    return wall - self.wall + Self.jitter < monotonic - min(self.monotonic, monotonic)
  }
}
