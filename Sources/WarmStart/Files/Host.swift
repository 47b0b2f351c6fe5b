// Everything the engine takes from outside: files, time, randomness, threads, waiting and waking.

internal import CWarmStart
internal import Glibc

/// The world a store lives in. Tests hand in one of their own, in which a seed decides everything.
package struct Host: Sendable {
  package var files: any FileSystem
  /// Nanoseconds since 1970, as the system's calendar clock says; may jump.
  package var wallClock: @Sendable () -> UInt64
  /// Nanoseconds since some moment; never goes back.
  package var monotonicClock: @Sendable () -> UInt64
  /// Both clocks as they were at the last tick, which costs less; nil if there are no such.
  package var coarseClocks: (@Sendable () -> (wall: UInt64, monotonic: UInt64))?
  /// Sixty-four random bits.
  package var random: @Sendable () -> UInt64
  package var threads: any Threads
  /// Halts the thread that calls for this many nanoseconds, or a little longer.
  package var sleep: @Sendable (UInt64) -> Void
  /// Identifies the running program where no producer is named.
  package var executable: @Sendable () -> ExecutableIdentity?
  /// For the names of runs.
  package var processID: @Sendable () -> Int32

  package init(
    files: any FileSystem,
    wallClock: @escaping @Sendable () -> UInt64,
    monotonicClock: @escaping @Sendable () -> UInt64,
    coarseClocks: (@Sendable () -> (wall: UInt64, monotonic: UInt64))? = nil,
    random: @escaping @Sendable () -> UInt64,
    threads: any Threads,
    executable: @escaping @Sendable () -> ExecutableIdentity?,
    processID: @escaping @Sendable () -> Int32 = { ProcessID.current },
    sleep: @escaping @Sendable (UInt64) -> Void = Host.halt
  ) {
    self.files = files
    self.wallClock = wallClock
    self.monotonicClock = monotonicClock
    self.coarseClocks = coarseClocks
    self.random = random
    self.threads = threads
    self.executable = executable
    self.processID = processID
    self.sleep = sleep
  }

  /// The operating system.
  package static let system = Host(
    files: POSIXFileSystem(),
    wallClock: { nanoseconds(CLOCK_REALTIME) },
    monotonicClock: { nanoseconds(CLOCK_MONOTONIC) },
    coarseClocks: { (nanoseconds(CLOCK_REALTIME_COARSE), nanoseconds(CLOCK_MONOTONIC_COARSE)) },
    random: {
      var word: UInt64 = 0
      let result = withUnsafeMutableBytes(of: &word) { ws_random_bytes($0.baseAddress, $0.count) }
      precondition(result == 0, "getrandom(2) failed with errno \(-result)")
      return word
    },
    threads: POSIXThreads(),
    executable: { ExecutableIdentity.ofThisProcess() })

  /// Halts the thread for this many nanoseconds.
  @Sendable package static func halt(_ nanoseconds: UInt64) {
    var left = timespec(
      tv_sec: Int(nanoseconds / 1_000_000_000), tv_nsec: Int(nanoseconds % 1_000_000_000))
    var rest = timespec()
    while nanosleep(&left, &rest) != 0, errno == EINTR { left = rest }
  }

  private static func nanoseconds(_ clock: clockid_t) -> UInt64 {
    var time = timespec()
    clock_gettime(clock, &time)
    return nanoseconds(seconds: Int64(time.tv_sec), nanoseconds: Int64(time.tv_nsec))
  }

  /// Nanoseconds since 1970. A time before that counts as 1970, and one beyond 64 bits as the last
  /// there is.
  package static func nanoseconds(seconds: Int64, nanoseconds: Int64) -> UInt64 {
    guard seconds >= 0 else { return 0 }
    let (product, hasOverflowed) = UInt64(seconds).multipliedReportingOverflow(by: 1_000_000_000)
    return hasOverflowed ? .max : product + min(UInt64(max(nanoseconds, 0)), .max - product)
  }
}

/// What tells one build of a program from another.
package struct ExecutableIdentity: Hashable, Sendable {
  package var path: String
  package var size: UInt64
  package var modifiedNanoseconds: Int64

  package init(path: String, size: UInt64, modifiedNanoseconds: Int64) {
    self.path = path
    self.size = size
    self.modifiedNanoseconds = modifiedNanoseconds
  }

  package static func ofThisProcess() -> ExecutableIdentity? {
    var buffer = [UInt8](repeating: 0, count: 4096)
    let length = buffer.withUnsafeMutableBytes {
      readlink("/proc/self/exe", $0.baseAddress!.assumingMemoryBound(to: CChar.self), $0.count)
    }
    let number = ws_open_at(AT_FDCWD, "/proc/self/exe", O_RDONLY, 0)
    guard length > 0, number >= 0 else { return nil }
    defer { close(number) }
    var status = ws_status()
    guard ws_status_of(number, &status) == 0 else { return nil }
    return ExecutableIdentity(
      path: String(decoding: buffer[..<length], as: UTF8.self), size: status.size,
      modifiedNanoseconds: status.modified_nanoseconds)
  }
}
