// Saves of several threads that want stable storage at the same moment share one turn at the disk.
//
// Whoever finds nobody at the disk goes there with all that waits; who comes meanwhile waits, and goes
// with the next turn. So no save waits for more than two syncs: the one under way, and its own. Each
// is woken by itself, and only when it is done or when somebody must lead the next turn; if another comes by
// before that one is awake, that other leads, so that the disk waits for nobody's waking.

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
  }

  init(threads: any Threads) {
    lock = threads.makeLock()
    queue = Queue()
  }

  func makeTicket() -> Ticket { Ticket(lock.makeSignal()) }

  /// Returns once the frame is committed. `turn` is called, on one of the threads that wait, with all
  /// the frames of a turn; it gives what became of each.
  func commit(_ frame: Frame, _ turn: ([Frame]) -> [StoreError?]) throws(StoreError) {
    let ticket = frame.ticket
    let batch: [Frame]? = try lock.withLock { () throws(StoreError) -> [Frame]? in
      queue.frames.append(frame)
      if queue.isLed {
        ticket.state = .waiting
        while !ticket.mustGoOn(queue) { ticket.signal.wait() }
        if case .done(let failure) = ticket.state {
          ticket.state = .idle
          if let failure { throw failure }
          return nil
        }
      }
      queue.isLed = true
      defer { queue.frames = [] }
      // Who was called to lead has nothing to do any more.
      for other in queue.frames { other.ticket.state = .waiting }
      ticket.state = .idle
      return queue.frames
    }
    guard let batch else { return }
    let failures = turn(batch)
    let next = lock.withLock { () -> Ticket? in
      queue.isLed = false
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
}
