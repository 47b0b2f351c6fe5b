// Several descriptors of one directory, so that threads look at it without waiting for each other.

internal import CWarmStart
internal import Glibc
internal import Synchronization

/// A descriptor of a directory for each thread, of which a few may share one. The system counts who is using an open file
/// at the moment: two threads that look at the same one again and again take a tenth longer than with one each.
final class ThreadDescriptors: @unchecked Sendable {
  private let first: Descriptor
  // By the numbers of threads. On a line of the processor's cache of their own, since every lookup comes here.
  private let numbers: UnsafeMutablePointer<Atomic<Int32>>
  private let lock = ThreadLock()
  // Guarded by lock.
  private var others: [Descriptor] = []
  private var hasFirst = false

  private static let most = 8
  /// More threads than there are processors do not look at once.
  private static let count = min(most, max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))))
  private static let none: Int32 = -1

  /// The first thread that asks has this one, and where there should be no more all have.
  init(_ first: Descriptor) {
    self.first = first
    numbers = UnsafeMutableRawPointer.allocate(byteCount: 64, alignment: 64)
      .bindMemory(to: Atomic<Int32>.self, capacity: Self.most)
    for at in 0..<Self.most { (numbers + at).initialize(to: Atomic(Self.none)) }
  }

  deinit { numbers.deallocate() }

  /// The descriptor of the thread that calls.
  var number: Int32 {
    let own = numbers + Int(ws_thread_number()) % Self.count
    let number = own.pointee.load(ordering: .acquiring)
    return number != Self.none ? number : choose(own)
  }

  @inline(never)
  private func choose(_ own: UnsafeMutablePointer<Atomic<Int32>>) -> Int32 {
    lock.withLock {
      let present = own.pointee.load(ordering: .relaxed)
      if present != Self.none { return present }
      let number = hasFirst ? open() ?? first.number : first.number
      hasFirst = true
      own.pointee.store(number, ordering: .releasing)
      return number
    }
  }

  /// One more; nil where descriptors are scarce: others need them more.
  private func open() -> Int32? {
    let number = ws_descriptor_open(first.number, ".", O_RDONLY | O_DIRECTORY, 0)
    guard number >= 0 else { return nil }
    let descriptor = Descriptor(number)
    var limit = rlimit()
    guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0,
      rlim_t(number) < limit.rlim_cur / 4 * 3
    else { return nil }
    others.append(descriptor)
    return number
  }
}
