// Mutexes, conditions and threads: part of what the engine takes from outside, so that a simulation
// decides who runs when. The ones of the operating system are made new in the child of a fork, and the
// thread sanitizer understands them.

internal import CWarmStart
internal import Glibc

/// Makes everything that threads need to live together.
package protocol Threads: Sendable {
  func makeLock() -> any Lock
  /// Runs `body` on a thread of its own. Throws an error number if there can be no more threads.
  func start(_ body: @escaping @Sendable () -> Void) throws(ThreadError) -> any RunningThread
  /// From here on the thread that calls gets the processor and the disk after others.
  func lowerPriority()
  /// Lets others have the processor for a moment.
  func yield()
}

extension Threads {
  package func lowerPriority() {}
  package func yield() { sched_yield() }
}

/// No thread could be started: the system's error number.
package struct ThreadError: Error {
  package var errno: Int32

  package init(errno: Int32) { self.errno = errno }
}

/// A thread that was started.
package protocol RunningThread: AnyObject, Sendable {
  /// Returns once the thread has ended. To be called once.
  func join()
}

/// A mutex. Not recursive.
package protocol Lock: AnyObject, Sendable {
  func acquire()
  func release()
  /// Takes part of the lock, together with others that only look at what it protects, if that is to be had at once.
  /// To be given up by ``releaseShared()`` on the same thread before that waits for anything.
  func tryAcquireShared() -> Bool
  func releaseShared()
  /// By who holds the lock: once it is released, others may look together until somebody holds it again.
  func share()
  /// A condition of what this lock protects.
  func makeSignal() -> any Signal
}

extension Lock {
  // Who looks waits for the lock.
  package func tryAcquireShared() -> Bool { false }
  package func releaseShared() {}
  package func share() {}

  /// Runs `body` with the lock held.
  package func withLock<Result: ~Copyable, Failure: Error>(
    _ body: () throws(Failure) -> Result
  ) throws(Failure) -> Result {
    acquire()
    defer { release() }
    return try body()
  }
}

/// Lets threads wait for a change of what a ``Lock`` protects.
package protocol Signal: AnyObject, Sendable {
  /// Gives up the lock, which the caller holds, sleeps, and takes it again; may wake for no reason.
  func wait()
  /// Wakes all who wait.
  func wakeAll()
}

/// The threads of the operating system.
package struct POSIXThreads: Threads {
  package init() {}

  package func makeLock() -> any Lock { ThreadLock() }
  package func lowerPriority() { ws_lower_priority() }

  package func start(
    _ body: @escaping @Sendable () -> Void
  ) throws(ThreadError) -> any RunningThread {
    final class Start {
      let body: @Sendable () -> Void
      init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }
    var thread = pthread_t()
    let start = Unmanaged.passRetained(Start(body))
    // A fitting program's handlers are no business of the store's threads.
    var all = sigset_t()
    var before = sigset_t()
    sigfillset(&all)
    pthread_sigmask(SIG_SETMASK, &all, &before)
    let failed = pthread_create(
      &thread, nil,
      { start in
        Unmanaged<Start>.fromOpaque(start!).takeRetainedValue().body()
        return nil
      }, start.toOpaque())
    pthread_sigmask(SIG_SETMASK, &before, nil)
    guard failed == 0 else {
      start.release()
      throw ThreadError(errno: failed)
    }
    return POSIXThread(thread)
  }
}

private final class POSIXThread: RunningThread {
  private let thread: pthread_t

  init(_ thread: pthread_t) { self.thread = thread }
  func join() { pthread_join(thread, nil) }
}

/// The mutex of ordinary threads.
package final class ThreadLock: Lock, @unchecked Sendable {
  fileprivate let handle: OpaquePointer

  package init() { handle = ws_lock_create() }
  deinit { ws_lock_destroy(handle) }

  package func acquire() { ws_lock_acquire(handle) }
  package func release() { ws_lock_release(handle) }
  package func tryAcquireShared() -> Bool { ws_lock_try_shared(handle) }
  package func releaseShared() { ws_lock_release_shared(handle) }
  package func share() { ws_lock_share(handle) }
  package func makeSignal() -> any Signal { ThreadSignal(self) }
}

/// The condition of ordinary threads.
private final class ThreadSignal: Signal, @unchecked Sendable {
  private let handle: OpaquePointer
  private let lock: ThreadLock

  init(_ lock: ThreadLock) {
    handle = ws_condition_create()
    self.lock = lock
  }
  deinit { ws_condition_destroy(handle) }

  func wait() { ws_condition_wait(handle, lock.handle) }
  func wakeAll() { ws_condition_wake_all(handle) }
}

/// Counts the forks that lie between this process and the first of its line.
package enum ForkGeneration {
  package static var current: UInt32 { ws_fork_generation() }
}
