// Saves of several threads that want stable storage at the same moment share one turn at the disk.
//
// Whoever finds nobody at the disk goes there with all that waits; who comes meanwhile waits, and goes
// with the next turn. So no save waits for more than two syncs: the one under way, and its own. Each
// is woken by itself, and only when it is done or when it is its turn to lead.

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
      /// It is this one's turn to lead.
      case leading
      case done(StoreError?)
    }

    fileprivate init(_ signal: any Signal) { self.signal = signal }
  }

  private let lock: any Lock
  private let queue: Queue

  private final class Queue: @unchecked Sendable {
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
        while case .waiting = ticket.state { ticket.signal.wait() }
        if case .done(let failure) = ticket.state {
          ticket.state = .idle
          if let failure { throw failure }
          return nil
        }
      }
      queue.isLed = true
      ticket.state = .idle
      defer { queue.frames = [] }
      return queue.frames
    }
    guard let batch else { return }
    let failures = turn(batch)
    lock.withLock {
      // The next leader first: the disk is what everybody waits for.
      if let next = queue.frames.first?.ticket {
        next.state = .leading
        next.signal.wakeAll()
      } else {
        queue.isLed = false
      }
      for (other, failure) in zip(batch, failures) where other !== frame {
        other.ticket.state = .done(failure)
        other.ticket.signal.wakeAll()
      }
    }
    if let own = batch.firstIndex(where: { $0 === frame }), let failure = failures[own] {
      throw failure
    }
  }
}
