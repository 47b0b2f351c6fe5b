// Many threads at once, and what they tell.

import Foundation
import Synchronization
import WarmStart

/// Runs `body` on as many threads at once, with the number of each; returns when all have ended.
func onThreads(_ count: Int, _ body: @escaping @Sendable (Int) -> Void) {
  let ended = DispatchSemaphore(value: 0)
  for number in 0..<count {
    Thread.detachNewThread {
      body(number)
      ended.signal()
    }
  }
  for _ in 0..<count { ended.wait() }
}

/// Notes what threads tell.
final class Notes<Element: Sendable>: @unchecked Sendable {
  // Not a Mutex, in which the thread sanitizer sees races that are none.
  private let lock = ThreadLock()
  private var notes: [Element] = []

  func add(_ element: Element) { lock.withLock { notes.append(element) } }
  var all: [Element] { lock.withLock { notes } }
  func removeAll() { lock.withLock { notes = [] } }
}

/// Up or not, whichever thread asks.
final class Flag: Sendable {
  private let state: Atomic<Bool>

  init(isUp: Bool = false) { state = Atomic(isUp) }

  var isUp: Bool { state.load(ordering: .acquiring) }
  func raise() { state.store(true, ordering: .releasing) }
  /// Gives whether it was up.
  @discardableResult
  func lower() -> Bool { state.exchange(false, ordering: .acquiringAndReleasing) }
}
