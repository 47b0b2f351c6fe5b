// What a run of the tests may be told from outside.

import Glibc

/// A number from the environment.
public func setting(_ name: String, default value: Int) -> Int {
  getenv(name).flatMap { Int(String(cString: $0)) } ?? value
}

/// All numbers below `count`; or, if `WARMSTART_EVERY` is set, each nth, for the sanitizers, under
/// which every one takes too long. An odd number still meets every bit of a byte.
public func everyNumber(below count: Int) -> StrideTo<Int> {
  let step = max(1, setting("WARMSTART_EVERY", default: 1))
  if step > 1 { print("only every \(step)th of \(count)") }
  return stride(from: 0, to: count, by: step)
}
