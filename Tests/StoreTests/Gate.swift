// Holds threads up where a test wants them, and knows when they wait.

import Synchronization
import WarmStart

/// Holds up whoever passes while it is shut.
final class Gate: Sendable {
  private let lock = ThreadLock()
  private let changed: any Signal
  private let state = Mutex((isOpen: true, waiting: 0))

  init() { changed = lock.makeSignal() }

  func shut() { state.withLock { $0.isOpen = false } }

  func open() {
    lock.withLock {
      state.withLock { $0.isOpen = true }
      changed.wakeAll()
    }
  }

  func pass() {
    lock.withLock {
      state.withLock { $0.waiting += 1 }
      changed.wakeAll()
      while !state.withLock({ $0.isOpen }) { changed.wait() }
      state.withLock { $0.waiting -= 1 }
    }
  }

  /// Returns once somebody is held up.
  func waitForSomebody() {
    lock.withLock {
      while state.withLock({ $0.waiting }) == 0 { changed.wait() }
    }
  }
}

/// The threads of the operating system, and how many of them wait for a signal.
final class WatchedThreads: Threads {
  private let threads = POSIXThreads()
  fileprivate let lock = ThreadLock()
  private let changed: any Signal
  private let waiting = Mutex(0)

  init() { changed = lock.makeSignal() }

  func makeLock() -> any Lock { WatchedLock(threads.makeLock(), self) }

  func start(
    _ body: @escaping @Sendable () -> Void
  ) throws(ThreadError) -> any RunningThread { try threads.start(body) }

  /// Returns once so many wait.
  func waitUntilWaiting(_ count: Int) {
    lock.withLock {
      while waiting.withLock({ $0 }) < count { changed.wait() }
    }
  }

  fileprivate func add(_ more: Int) {
    lock.withLock {
      waiting.withLock { $0 += more }
      changed.wakeAll()
    }
  }
}

private final class WatchedLock: Lock {
  private let lock: any Lock
  private let threads: WatchedThreads

  init(_ lock: any Lock, _ threads: WatchedThreads) {
    self.lock = lock
    self.threads = threads
  }

  func acquire() { lock.acquire() }
  func release() { lock.release() }
  func makeSignal() -> any Signal { WatchedSignal(lock.makeSignal(), threads) }
}

private final class WatchedSignal: Signal {
  private let signal: any Signal
  private let threads: WatchedThreads

  init(_ signal: any Signal, _ threads: WatchedThreads) {
    self.signal = signal
    self.threads = threads
  }

  func wait() {
    threads.add(1)
    signal.wait()
    threads.add(-1)
  }

  func wakeAll() { signal.wakeAll() }
}
