// The real file system, under a clock that the test sets and randomness from a seed.

import Synchronization
package import WarmStart

/// Clocks that stand still until the test moves them.
public final class ManualClock: Sendable {
  private let wall: Atomic<UInt64>
  private let monotonic = Atomic<UInt64>(1_000_000_000_000)

  /// Starts at 1700000000 seconds since 1970 unless told otherwise; nanoseconds.
  public init(wall: UInt64 = 1_700_000_000_000_000_000) { self.wall = Atomic(wall) }

  /// Nanoseconds since 1970.
  public var now: UInt64 { wall.load(ordering: .relaxed) }
  /// Nanoseconds since some moment.
  public var uptime: UInt64 { monotonic.load(ordering: .relaxed) }

  /// Both clocks go on by this many seconds.
  public func advance(seconds: Double) {
    let nanoseconds = UInt64(seconds * 1e9)
    wall.add(nanoseconds, ordering: .relaxed)
    monotonic.add(nanoseconds, ordering: .relaxed)
  }

  /// The calendar clock jumps, as when somebody sets it.
  public func set(wall nanoseconds: UInt64) { wall.store(nanoseconds, ordering: .relaxed) }
}

/// Numbers from a seed: xorshift64*.
public final class SeededRandom: @unchecked Sendable {
  // Not a Mutex, in which the thread sanitizer sees races that are none.
  private let lock = ThreadLock()
  private var state: UInt64

  /// The same seed gives the same numbers.
  public init(seed: UInt64) { state = seed &* 0x9e37_79b9_7f4a_7c15 | 1 }

  /// The next number.
  public func next() -> UInt64 {
    lock.withLock {
      state ^= state >> 12
      state ^= state << 25
      state ^= state >> 27
      return state &* 2_685_821_657_736_338_717
    }
  }
}

extension Host {
  /// The real disk, with the given clock.
  package static func test(
    clock: ManualClock, random: SeededRandom = SeededRandom(seed: 1),
    executable: ExecutableIdentity? = ExecutableIdentity(
      path: "/usr/bin/fit", size: 1, modifiedNanoseconds: 1)
  ) -> Host {
    Host(
      files: POSIXFileSystem(), wallClock: { clock.now }, monotonicClock: { clock.uptime },
      random: { random.next() }, threads: POSIXThreads(), executable: { executable })
  }
}
