// Several descriptors of one directory, so that threads look at it without waiting for each other.

internal import CWarmStart
internal import Glibc

/// A descriptor of a directory for each thread, of which a few may share one. The system counts who is using an open file
/// at the moment: two threads that look at the same one again and again take half as long again as with one each.
final class ThreadDescriptors: @unchecked Sendable {
  private let first: Descriptor
  // By the numbers of threads. On a line of the processor's cache of its own, since every lookup comes here.
  private let numbers: UnsafeMutablePointer<UInt32>
  private let lock = ThreadLock()
  // Guarded by lock.
  private var others: [Descriptor] = []

  private static let count = 8
  private static let none = UInt32.max

  /// The first thread that asks has this one, and if there can be no more, all.
  init(_ first: Descriptor) {
    self.first = first
    numbers = UnsafeMutableRawPointer.allocate(byteCount: 64, alignment: 64)
      .bindMemory(to: UInt32.self, capacity: Self.count)
    numbers.initialize(repeating: Self.none, count: Self.count)
  }

  deinit { numbers.deallocate() }

  /// The descriptor of the thread that calls.
  var number: Int32 {
    let own = numbers + Int(ws_thread_number()) % Self.count
    let number = ws_shared_load(own)
    return number != Self.none ? Int32(bitPattern: number) : open(own)
  }

  @inline(never)
  private func open(_ own: UnsafeMutablePointer<UInt32>) -> Int32 {
    lock.withLock {
      let present = ws_shared_load(own)
      if present != Self.none { return Int32(bitPattern: present) }
      let isFirst = (0..<Self.count).allSatisfy { ws_shared_load(numbers + $0) == Self.none }
      var number = first.number
      if !isFirst {
        let opened = ws_descriptor_open(first.number, ".", O_RDONLY | O_DIRECTORY, 0)
        if opened >= 0 {
          others.append(Descriptor(opened))
          number = opened
        }
      }
      ws_shared_store(own, UInt32(bitPattern: number))
      return number
    }
  }
}
