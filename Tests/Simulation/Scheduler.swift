// Who runs. Threads are real ones, but exactly one runs at a time: it has the baton, and hands it on at
// points where the dice say so, or where it cannot go on.
//
// Locks and signals exist only here: a thread that waits for one is not chosen. All of this state is
// touched by the thread with the baton alone, so nothing else guards it.

import WarmStart

/// One thread of the simulation.
final class SimulatedThread: @unchecked Sendable {
  let number: Int
  /// Whether what it does now must not write.
  var isReading = false
  fileprivate var waitsFor: Wait = .nothing
  fileprivate var hasEnded = false

  // The baton itself needs a real lock.
  private let lock: any Lock
  private let signal: any Signal
  private var hasBaton = false

  fileprivate enum Wait {
    case nothing
    case lock(SimulatedLock)
    case signal(SimulatedSignal, seen: Int)
    case end(SimulatedThread)
  }

  init(number: Int) {
    self.number = number
    lock = ThreadLock()
    signal = lock.makeSignal()
  }

  fileprivate var canRun: Bool {
    if hasEnded { return false }
    switch waitsFor {
    case .nothing: return true
    case .lock(let lock): return lock.holder == nil
    case .signal(let signal, let seen): return signal.wakes != seen
    case .end(let thread): return thread.hasEnded
    }
  }

  fileprivate func takeBaton() {
    lock.withLock {
      while !hasBaton { signal.wait() }
      hasBaton = false
    }
  }

  fileprivate func giveBaton() {
    lock.withLock {
      hasBaton = true
      signal.wakeAll()
    }
  }
}

/// Chooses who runs, by the dice.
final class Scheduler: @unchecked Sendable {
  private let dice: Dice
  /// At a point where a switch is possible, one happens once in so many times.
  private let switchesOnceIn: Int
  private(set) var current: SimulatedThread
  private var threads: [SimulatedThread]
  private var started = 0
  /// While above 0 nobody else runs.
  var undisturbed = 0
  private(set) var switches = 0
  /// Hears of a deadlock, and does not return.
  var onDeadlock: (String) -> Never = { preconditionFailure($0) }

  init(dice: Dice, switchesOnceIn: Int) {
    self.dice = dice
    self.switchesOnceIn = switchesOnceIn
    current = SimulatedThread(number: 0)
    threads = [current]
  }

  /// Here another thread may go on.
  func point() {
    guard threads.count > 1, undisturbed == 0, dice.once(in: switchesOnceIn) else { return }
    handOn()
  }

  /// Here another thread goes on, if there is one that can.
  func yield() {
    if threads.count > 1, undisturbed == 0 { handOn() }
  }

  /// Returns when `current` is the thread that called, and it can run.
  private func handOn() {
    let me = current
    let next = choose()
    if next === me { return }
    switches += 1
    current = next
    next.giveBaton()
    me.takeBaton()
  }

  private func choose() -> SimulatedThread {
    let ready = threads.filter(\.canRun)
    guard !ready.isEmpty else {
      onDeadlock("deadlock: \(threads.count) threads wait, and none can go on")
    }
    return ready[ready.count == 1 ? 0 : dice.below(ready.count)]
  }

  fileprivate func wait(_ what: SimulatedThread.Wait) {
    let me = current
    me.waitsFor = what
    if undisturbed > 0, !me.canRun { onDeadlock("deadlock: an audit waits for a lock") }
    if undisturbed == 0 { handOn() }
    me.waitsFor = .nothing
  }

  func start(_ body: @escaping @Sendable () -> Void) throws(ThreadError) -> any RunningThread {
    started += 1
    let thread = SimulatedThread(number: started)
    // What the body refers to must be let go while this thread still has the baton.
    let task = Task(body)
    let real = try POSIXThreads().start {
      thread.takeBaton()
      task.run()
      self.end(thread)
    }
    threads.append(thread)
    point()
    return Running(thread: thread, real: real, scheduler: self)
  }

  private func end(_ thread: SimulatedThread) {
    thread.hasEnded = true
    threads.removeAll { $0 === thread }
    current = choose()
    current.giveBaton()
  }

  private final class Task: @unchecked Sendable {
    private var body: (@Sendable () -> Void)?
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    func run() {
      body?()
      body = nil
    }
  }

  private final class Running: RunningThread, @unchecked Sendable {
    let thread: SimulatedThread
    let real: any RunningThread
    let scheduler: Scheduler
    private var isJoined = false

    init(thread: SimulatedThread, real: any RunningThread, scheduler: Scheduler) {
      self.thread = thread
      self.real = real
      self.scheduler = scheduler
    }

    func join() {
      if !thread.hasEnded { scheduler.wait(.end(thread)) }
      isJoined = true
      real.join()
    }

    // Nobody joins the threads of a process that was killed.
    deinit { if thread.hasEnded, !isJoined { real.join() } }
  }
}

/// Threads, locks and signals whose order the dice decide.
struct SimulatedThreads: Threads {
  let scheduler: Scheduler

  func makeLock() -> any Lock { SimulatedLock(scheduler) }
  func yield() { scheduler.point() }
  func start(_ body: @escaping @Sendable () -> Void) throws(ThreadError) -> any RunningThread {
    try scheduler.start(body)
  }
}

final class SimulatedLock: Lock, @unchecked Sendable {
  fileprivate let scheduler: Scheduler
  fileprivate var holder: SimulatedThread?

  init(_ scheduler: Scheduler) { self.scheduler = scheduler }

  func acquire() {
    scheduler.point()
    precondition(holder !== scheduler.current, "a lock is not recursive")
    while holder != nil { scheduler.wait(.lock(self)) }
    holder = scheduler.current
  }

  func release() {
    precondition(holder === scheduler.current, "only who has a lock can give it up")
    holder = nil
  }

  // Whoever has a part gives it up before another thread has its turn.
  func tryAcquireShared() -> Bool { holder == nil }

  func makeSignal() -> any Signal { SimulatedSignal(self) }
}

final class SimulatedSignal: Signal, @unchecked Sendable {
  private let lock: SimulatedLock
  fileprivate var wakes = 0

  init(_ lock: SimulatedLock) { self.lock = lock }

  func wait() {
    lock.release()
    lock.scheduler.wait(.signal(self, seen: wakes))
    lock.acquire()
  }

  func wakeAll() { wakes += 1 }
}
