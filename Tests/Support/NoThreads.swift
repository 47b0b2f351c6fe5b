// A machine on which no thread can be started.

import Glibc
package import WarmStart

/// Locks of the operating system, and no threads.
package struct NoThreads: Threads {
  package init() {}

  package func makeLock() -> any Lock { POSIXThreads().makeLock() }
  package func start(
    _ body: @escaping @Sendable () -> Void
  ) throws(ThreadError) -> any RunningThread { throw ThreadError(errno: EAGAIN) }
}
