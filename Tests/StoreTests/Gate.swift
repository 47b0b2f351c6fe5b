// Holds threads up where a test wants them, and knows when they wait.

import Glibc
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
  private let begun = Mutex(0)
  private let first = Mutex(FirstThread())
  private let atYield = Mutex<(count: Int, body: (@Sendable (WatchedThreads, Int) -> Void)?)>(
    (0, nil))

  /// The first thread that was started, and its locks.
  private struct FirstThread {
    var thread: pthread_t?
    var ownLock: ObjectIdentifier?
    var last: ObjectIdentifier?
    var gate: Gate?
  }

  init() { changed = lock.makeSignal() }

  /// How many times anybody began to wait.
  var waits: Int { begun.withLock { $0 } }

  /// Calls `body` whenever a thread lets others go first, with how often that was before. It is handed these threads: if
  /// it had them of its own, nobody would ever let go of either.
  func onYield(_ body: (@Sendable (WatchedThreads, Int) -> Void)?) {
    atYield.withLock { $0 = (0, body) }
  }
  /// How often any did since.
  var yields: Int { atYield.withLock { $0.count } }

  func yield() {
    let (count, body) = atYield.withLock { state in
      defer { state.count += 1 }
      return state
    }
    body?(self, count)
    threads.yield()
  }

  func makeLock() -> any Lock { WatchedLock(threads.makeLock(), self) }

  func start(
    _ body: @escaping @Sendable () -> Void
  ) throws(ThreadError) -> any RunningThread {
    try threads.start {
      self.first.withLock { if $0.thread == nil { $0.thread = pthread_self() } }
      body()
    }
  }

  /// From here on the first thread that was started passes the gate before it takes another lock than its first
  /// after that one: when it has chosen its work, and before it begins with it.
  func holdFirstThread(at gate: Gate) { first.withLock { $0.gate = gate } }

  fileprivate func willAcquire(_ lock: AnyObject) {
    let gate = first.withLock { first -> Gate? in
      guard let thread = first.thread, pthread_equal(thread, pthread_self()) != 0 else {
        return nil
      }
      let id = ObjectIdentifier(lock)
      if first.ownLock == nil { first.ownLock = id }
      defer { first.last = id }
      return first.last == first.ownLock && id != first.ownLock ? first.gate : nil
    }
    gate?.pass()
  }

  /// Returns once so many wait.
  func waitUntilWaiting(_ count: Int) {
    lock.withLock {
      while waiting.withLock({ $0 }) < count { changed.wait() }
    }
  }

  fileprivate func add(_ more: Int) {
    lock.withLock {
      waiting.withLock { $0 += more }
      if more > 0 { begun.withLock { $0 += more } }
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

  func acquire() {
    threads.willAcquire(self)
    lock.acquire()
  }
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
