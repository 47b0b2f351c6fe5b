// A second thread for work that is worth two.

/// A thread that does a part of its owner's work whenever there is some, one part at a time, and sleeps in
/// between. It is started by the first part, with the priority of whoever brings that. Its owner has to end it.
///
/// It stays because a new thread begins on the processor of its maker, and often had to wait there until the
/// maker's part was done; one that is woken goes to a processor that is idle.
package final class Assistant: @unchecked Sendable {
  private let threads: any Threads
  private let lock: any Lock
  private let changed: any Signal
  // Guarded by lock.
  private var job: (@Sendable () -> Void)?
  private var isBusy = false
  private var given = 0
  private var done = 0
  private var thread: (any RunningThread)?
  private var hasEnded = false

  package init(_ threads: any Threads) {
    self.threads = threads
    lock = threads.makeLock()
    changed = lock.makeSignal()
  }

  /// Calls both and returns when both are done: `theirs` on the assistant's thread if that is free, otherwise
  /// after `ours`.
  package func share(_ theirs: @escaping @Sendable () -> Void, _ ours: () -> Void) {
    let number = lock.withLock { give(theirs) }
    ours()
    guard let number else { return theirs() }
    let hasBegun = lock.withLock {
      // Asleep still, since every processor has other work: it need not be woken for that any more.
      if given == number, job != nil {
        job = nil
        isBusy = false
        done = number
        return false
      }
      while done < number { changed.wait() }
      return true
    }
    if !hasBegun { theirs() }
  }

  /// Ends the thread, after a part under way. From here on the owner does everything.
  package func end() {
    let thread = lock.withLock {
      hasEnded = true
      changed.wakeAll()
      defer { self.thread = nil }
      return self.thread
    }
    thread?.join()
  }

  // MARK: With the lock

  /// The number of the part; nil if the thread is at another, or there is none.
  private func give(_ work: @escaping @Sendable () -> Void) -> Int? {
    guard !isBusy, !hasEnded else { return nil }
    if thread == nil { thread = try? threads.start { [self] in run() } }
    guard thread != nil else { return nil }
    isBusy = true
    given += 1
    job = work
    changed.wakeAll()
    return given
  }

  // MARK: The thread

  private func run() {
    while runNext() {
      lock.withLock {
        isBusy = false
        done = given
        changed.wakeAll()
      }
    }
  }

  /// What the part had is let go of before anybody hears that it is done: it may be the last to have it.
  private func runNext() -> Bool {
    guard let job = next() else { return false }
    job()
    return true
  }

  private func next() -> (@Sendable () -> Void)? {
    lock.withLock {
      while job == nil, !hasEnded { changed.wait() }
      defer { job = nil }
      return job
    }
  }
}
