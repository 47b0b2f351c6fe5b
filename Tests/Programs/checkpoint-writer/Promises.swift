// What many writers were promised, in memory that all processes of a test share: a reader takes a
// sample before it looks up, and must find at least that.

import Glibc
import Synchronization
import WarmStart

/// A mapped file of atomic numbers, a row of eight for each writer and one for the test.
package final class Promises: @unchecked Sendable {
  private let memory: UnsafeMutablePointer<Atomic<UInt64>>
  private let byteCount: Int
  /// How many writers there are; the number of the test's row.
  package let writers: Int

  /// Maps the file, which is made if it is missing; pages of zeros mean nothing promised yet.
  package init(path: String, writers: Int) {
    self.writers = writers
    byteCount = (writers + 1) * 64
    let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
    guard descriptor >= 0, ftruncate(descriptor, off_t(byteCount)) == 0,
      let address = mmap(nil, byteCount, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0),
      address != MAP_FAILED
    else { preconditionFailure("cannot map \(path)") }
    close(descriptor)
    memory = address.bindMemory(to: Atomic<UInt64>.self, capacity: byteCount / 8)
  }

  deinit { munmap(memory, byteCount) }

  package enum Field: Int, Sendable {
    /// The index of the last acknowledged write to the writer's own key, and one.
    case ownIndex
    /// The lowest acknowledged objective of its own key, as `code(_:)`.
    case ownBest
    /// The lowest acknowledged objective it wrote to the shared key.
    case sharedBest
    /// When its last acknowledged write to the shared key had begun, nanoseconds.
    case sharedBegun
    /// In the row of the test: whether the readers are to end.
    case stop
    /// In the row of the test: how often each of two readers has looked up.
    case firstLookups
    case secondLookups
  }

  package func get(_ row: Int, _ field: Field) -> UInt64 {
    memory[row * 8 + field.rawValue].load(ordering: .sequentiallyConsistent)
  }

  package func set(_ row: Int, _ field: Field, _ value: UInt64) {
    memory[row * 8 + field.rawValue].store(value, ordering: .sequentiallyConsistent)
  }

  /// A positive objective as a number that grows as the objective falls; 0 is none.
  package static func code(_ objective: Double) -> UInt64 { ~objective.bitPattern }
}
