// The same work on many things, on a few threads.

extension Threads {
  /// Calls `body` with each of the items, on so many threads at once at most, the caller's included; returns
  /// when all is done. Where there can be no more threads the caller's does it all. Gives whether others
  /// took part.
  @discardableResult
  func forEach<Item: Sendable>(
    _ items: [Item], atOnce: Int, _ body: @escaping @Sendable (Item) -> Void
  ) -> Bool {
    let queue = Queue(items, makeLock())
    let work: @Sendable () -> Void = {
      while let item = queue.next() { body(item) }
    }
    let others = (1..<max(1, min(atOnce, items.count))).compactMap { _ in try? start(work) }
    work()
    for thread in others { thread.join() }
    return !others.isEmpty
  }
}

/// What is left to be done.
private final class Queue<Item: Sendable>: @unchecked Sendable {
  private let lock: any Lock
  // Guarded by lock.
  private var rest: ArraySlice<Item>

  init(_ items: [Item], _ lock: any Lock) {
    rest = items[...]
    self.lock = lock
  }

  func next() -> Item? { lock.withLock { rest.popFirst() } }
}
