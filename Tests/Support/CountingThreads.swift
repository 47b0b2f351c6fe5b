// How many threads are started.

import Synchronization
package import WarmStart

/// The threads of the operating system, counted.
package final class CountingThreads: Threads {
  private let count = Atomic(0)

  package init() {}

  /// Threads that were started so far.
  package var started: Int { count.load(ordering: .relaxed) }

  package func makeLock() -> any Lock { POSIXThreads().makeLock() }
  package func start(
    _ body: @escaping @Sendable () -> Void
  ) throws(ThreadError) -> any RunningThread {
    count.add(1, ordering: .relaxed)
    return try POSIXThreads().start(body)
  }
}
