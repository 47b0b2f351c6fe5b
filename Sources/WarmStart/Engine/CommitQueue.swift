// Saves of several threads that want stable storage at the same moment share one turn at the disk.
//
// Whoever finds nobody at the disk goes there with all that waits; who comes meanwhile waits, and goes
// with the next turn. So no save waits for more than two syncs: the one under way, and its own. Each
// is woken by itself, and only when it is done or when somebody must lead the next turn; if another comes by
// before that one is awake, that other leads.
//
// Who was woken by a turn is about to come back, as a rule, and would miss the next one by a few microseconds: of four
// threads two would go each time. So who leads gives the processor away for a moment, until as many wait as took part in
// the turn before or came meanwhile, but for no longer than an eighth of a turn. Where they do not come, since they compute
// between two saves, or where others keep the processor, that is found out, and done rarely.

/// What waits for its turn at the disk.
final class CommitQueue: Sendable {
  /// One save in the queue. Belongs to a ``Frame`` and is used again with it.
  final class Ticket: @unchecked Sendable {
    fileprivate let signal: any Signal
    // Guarded by the queue's lock.
    fileprivate var state = State.idle

    fileprivate enum State {
      case idle
      case waiting
      /// It is to lead unless somebody does.
      case called
      case done(StoreError?)
    }

    fileprivate init(_ signal: any Signal) { self.signal = signal }

    /// Whether there is something to do for the one who waits.
    fileprivate func mustGoOn(_ queue: Queue) -> Bool {
      switch state {
      case .idle, .done: true
      case .waiting: false
      case .called: !queue.isLed
      }
    }
  }

  private let lock: any Lock
  private let queue: Queue

  fileprivate final class Queue: @unchecked Sendable {
    // Guarded by the lock.
    var frames: [Frame] = []
    var isLed = false
    /// How many took part in the last turn or came while it was under way.
    var expected = 1
    /// How long the last turn took, nanoseconds.
    var duration: UInt64 = 0
    // For how many turns nobody waits for those who may come, and for how many it was at the last time.
    private var rest = 0
    private var lastRest = 0

    /// With so many a turn begins at once: each has an eighth of what it takes, at most.
    private static let enough = 8
    private static let longestRest = 64

    /// Whether those are there who are about to come.
    var isComplete: Bool { frames.count >= min(expected, Self.enough) }

    func takeAll() -> [Frame] {
      defer { frames = [] }
      return frames
    }

    /// Whether this turn is one of those that wait for nobody; counts it.
    func rests() -> Bool {
      guard rest > 0 else { return false }
      rest -= 1
      return true
    }

    /// Waiting brought all that were expected, in time, or it did not: then it is tried more and more rarely.
    func learn(wasWorthIt: Bool) {
      lastRest = wasWorthIt ? 0 : min(Self.longestRest, max(1, 2 * lastRest))
      rest = lastRest
    }
  }

  private let threads: any Threads
  private let clock: @Sendable () -> UInt64

  /// `clock` is nanoseconds since some moment.
  init(threads: any Threads, clock: @escaping @Sendable () -> UInt64) {
    lock = threads.makeLock()
    queue = Queue()
    self.threads = threads
    self.clock = clock
  }

  /// A turn is put off for no longer, nanoseconds, and by no more looks.
  private static let patience: UInt64 = 200_000
  private static let looks = 1000

  func makeTicket() -> Ticket { Ticket(lock.makeSignal()) }

  /// Returns once the frame is committed. `turn` is called, on one of the threads that wait, with all
  /// the frames of a turn; it gives what became of each.
  func commit(_ frame: Frame, _ turn: ([Frame]) -> [StoreError?]) throws(StoreError) {
    let ticket = frame.ticket
    let leads = try lock.withLock { () throws(StoreError) -> Bool in
      queue.frames.append(frame)
      if queue.isLed {
        ticket.state = .waiting
        while !ticket.mustGoOn(queue) { ticket.signal.wait() }
        if case .done(let failure) = ticket.state {
          ticket.state = .idle
          if let failure { throw failure }
          return false
        }
      }
      queue.isLed = true
      // Who was called to lead has nothing to do any more.
      for other in queue.frames { other.ticket.state = .waiting }
      ticket.state = .idle
      return true
    }
    guard leads else { return }
    let batch = gather()
    let begin = clock()
    let failures = turn(batch)
    let duration = clock() - begin
    let next = lock.withLock { () -> Ticket? in
      queue.isLed = false
      queue.expected = batch.count + queue.frames.count
      queue.duration = duration
      for (other, failure) in zip(batch, failures) where other !== frame {
        other.ticket.state = .done(failure)
      }
      let next = queue.frames.first?.ticket
      next?.state = .called
      return next
    }
    // Without the lock, which is the first thing that they take. The next leader first: the disk is what
    // everybody waits for.
    next?.signal.wakeAll()
    for other in batch where other !== frame { other.ticket.signal.wakeAll() }
    if let own = batch.firstIndex(where: { $0 === frame }), let failure = failures[own] {
      throw failure
    }
  }

  /// All that wait, once those are there who are about to come.
  private func gather() -> [Frame] {
    let atOnce = lock.withLock { () -> [Frame]? in
      queue.isComplete || queue.rests() ? queue.takeAll() : nil
    }
    if let atOnce { return atOnce }
    let end = clock() + lock.withLock { min(queue.duration / 8, Self.patience) }
    for look in 1...Self.looks {
      threads.yield()
      let isLate = look == Self.looks || clock() >= end
      let batch = lock.withLock { () -> [Frame]? in
        guard isLate || queue.isComplete else { return nil }
        queue.learn(wasWorthIt: !isLate)
        return queue.takeAll()
      }
      if let batch { return batch }
    }
    return []
  }
}
