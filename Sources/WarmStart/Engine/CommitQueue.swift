// Saves of several threads that want stable storage at the same moment share one turn at the disk.
//
// Whoever finds nobody at the disk goes there with all that waits; who comes meanwhile waits, and goes
// with the next turn. So no save waits for more than two syncs: the one under way, and its own. Each
// is woken by itself, and only when it is done or when somebody must lead the next turn; if another comes by
// before that one is awake, that other leads, so that the disk waits for nobody's waking.
//
// Who was woken by a turn is about to come back, as a rule, and would miss the next one by a few microseconds: of four
// threads two would go each time. So who leads gives the processor away for a moment, until as many wait as took part in
// the turn before or came meanwhile, but for no longer than an eighth of a turn.

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

  /// With so many a turn begins at once: of what it takes, one more would save the others less than an eighth.
  private static let enough = 8
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
    if let batch = take(evenIfFew: false) { return batch }
    let end = clock() + lock.withLock { min(queue.duration / 8, Self.patience) }
    for _ in 0..<Self.looks {
      threads.yield()
      if let batch = take(evenIfFew: clock() >= end) { return batch }
    }
    return take(evenIfFew: true) ?? []
  }

  private func take(evenIfFew: Bool) -> [Frame]? {
    lock.withLock {
      guard evenIfFew || queue.frames.count >= min(queue.expected, Self.enough) else { return nil }
      defer { queue.frames = [] }
      return queue.frames
    }
  }
}
