// Descriptors of the directory: threads that look something up have their own, where there are enough.

import Glibc
import TestSupport
import Testing
import WarmStart

// What waits for a process of its own waits for its turn among all tests, too: minutes, under a sanitizer.
@Suite(.timeLimit(.minutes(60))) struct DescriptorTests {
  /// The descriptors of this process that are open on a directory itself.
  private static func descriptors(of directory: String) -> Int {
    var wanted = stat()
    guard stat(directory, &wanted) == 0 else { return 0 }
    return listing("/proc/self/fd").count { name in
      var status = stat()
      return fstat(Int32(name)!, &status) == 0 && status.st_ino == wanted.st_ino
        && status.st_dev == wanted.st_dev
    }
  }

  /// Calls `body` on so many threads at once, and returns when they are no more.
  private static func onThreads(_ count: Int, _ body: @escaping @Sendable () -> Void) throws {
    let threads = try (0..<count).map { _ in try POSIXThreads().start(body) }
    for thread in threads { thread.join() }
  }

  /// Has many threads look at what another store saves meanwhile. Gives how many did not find it.
  private static func lookUp(_ bench: Bench) throws -> (wrong: Int, descriptors: Int) {
    let writer = try bench.open()
    let reader = try bench.open(.readOnly)
    let wrong = Notes<Int>()
    for round in 1...3 {
      try writer.save(payload(round), for: key(1), iteration: UInt64(round))
      try onThreads(24) { [reader, wrong] in
        if (try? reader.lookupLatest(key(1)))?.iteration != UInt64(round) { wrong.add(round) }
      }
    }
    let descriptors = descriptors(of: bench.path)
    try writer.close()
    try reader.close()
    return (wrong.all.count, descriptors)
  }

  @Test func threadsThatLookAtOnceHaveTheirOwnAndGiveThemBack() async {
    // By itself, since threads are counted through the whole process.
    await #expect(processExitsWith: .success) {
      let bench = Bench()
      let (wrong, descriptors) = try DescriptorTests.lookUp(bench)
      precondition(wrong == 0)
      // The writer's one, and of the reader one for each processor, eight at most.
      precondition(descriptors == 1 + min(8, sysconf(Int32(_SC_NPROCESSORS_ONLN))))
      precondition(DescriptorTests.descriptors(of: bench.path) == 0)
    }
  }

  private static func limitDescriptors() {
    var limit = rlimit()
    getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    limit.rlim_cur = 64
    precondition(setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0)
  }

  @Test func whereDescriptorsAreScarceThreadsShareOne() async {
    await #expect(processExitsWith: .success) {
      let bench = Bench()
      DescriptorTests.limitDescriptors()
      // Whatever was open before, three quarters are.
      while (0..<47).contains(open("/dev/null", O_RDONLY | O_CLOEXEC)) {}
      let (wrong, descriptors) = try DescriptorTests.lookUp(bench)
      precondition(wrong == 0)
      precondition(descriptors == 2)
    }
  }

  @Test func whereThereIsNoneLeftThreadsShareOne() async {
    await #expect(processExitsWith: .success) {
      let bench = Bench()
      let writer = try bench.open()
      try writer.save(payload(1), for: key(1))
      try writer.close()
      let reader = try bench.open(.readOnly)
      // From then on a look finds that nothing has changed, and need not list.
      for _ in 0..<4 {
        _ = try reader.lookup(key(1))
        bench.clock.advance(seconds: 3)
      }
      DescriptorTests.limitDescriptors()
      while open("/dev/null", O_RDONLY | O_CLOEXEC) >= 0 {}
      let wrong = Notes<Int>()
      try DescriptorTests.onThreads(24) { [reader, wrong] in
        if (try? reader.lookup(key(1)))?.payload != payload(1) { wrong.add(1) }
      }
      precondition(wrong.all.isEmpty)
    }
  }
}
