// Many threads at once, and what they tell.

import Foundation
import Synchronization

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
final class Notes<Element: Sendable>: Sendable {
  private let state = Mutex<[Element]>([])

  func add(_ element: Element) { state.withLock { $0.append(element) } }
  var all: [Element] { state.withLock { $0 } }
}
