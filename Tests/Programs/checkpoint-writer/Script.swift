// What one run of the program does, step by step.

import WarmStart

/// The steps of a run; all of it follows from the seed and the number of the run.
package struct Script: Sendable {
  package enum Step: Hashable, Sendable {
    /// Saved by the store.
    case save(Write)
    /// Saved by the session of the key.
    case session(Write)
    /// Saved together.
    case batch([Write])
    /// The key is removed. The number stands in the order of the writes.
    case remove(key: Int, number: UInt64)
    /// The key is looked up by its session, which notes its use.
    case load(key: Int)
  }

  package let steps: [Step]

  /// The script of a run with so many steps.
  package init(seed: UInt64, run: UInt64, steps count: Int) {
    var random = SplitMix(seed, run << 40)
    var number = run << 32
    func write() -> Write {
      number += 1
      return Write(seed: seed, number: number)
    }
    steps = (0..<count).map { _ in
      switch Int.random(in: 0..<20, using: &random) {
      case 0..<8: return .save(write())
      case 8..<15: return .session(write())
      case 15, 16: return .batch((0..<Int.random(in: 2...5, using: &random)).map { _ in write() })
      case 17:
        number += 1
        return .remove(key: Int.random(in: 0..<Write.keys, using: &random), number: number)
      default: return .load(key: Int.random(in: 0..<Write.keys, using: &random))
      }
    }
  }
}
