// A mutex and a condition that are made new in the child of a fork, and that the thread sanitizer
// understands.

internal import CWarmStart

/// A mutex. Not recursive.
package final class Lock: @unchecked Sendable {
  fileprivate let handle: OpaquePointer

  package init() { handle = ws_lock_create() }
  deinit { ws_lock_destroy(handle) }

  /// Runs `body` with the lock held.
  package func withLock<Result: ~Copyable, Failure: Error>(
    _ body: () throws(Failure) -> Result
  ) throws(Failure) -> Result {
    ws_lock_acquire(handle)
    defer { ws_lock_release(handle) }
    return try body()
  }
}

/// Lets threads wait for a change of what a ``Lock`` protects. Part of what the engine takes from
/// outside, so that a simulation decides who runs when.
package protocol Signal: AnyObject, Sendable {
  /// Gives up `lock`, which the caller holds, sleeps, and takes it again; may wake for no reason.
  func wait(holding lock: Lock)
  /// Wakes all who wait.
  func wakeAll()
}

/// The signal of ordinary threads.
package final class ThreadSignal: Signal, @unchecked Sendable {
  private let handle: OpaquePointer

  package init() { handle = ws_condition_create() }
  deinit { ws_condition_destroy(handle) }

  package func wait(holding lock: Lock) { ws_condition_wait(handle, lock.handle) }
  package func wakeAll() { ws_condition_wake_all(handle) }
}

/// Counts the forks that lie between this process and the first of its line.
package enum ForkGeneration {
  package static var current: UInt32 { ws_fork_generation() }
}
