// A save that begins a log where the budget is used up, and evictions at the wrong moment.

import Glibc
import Synchronization
import TestSupport
import Testing
import WarmStart

@Suite struct RoomTests {
  private let bench = Bench()

  private final class Sleeps: Sendable {
    let count = Atomic(0)
  }

  private func bytes() -> Int {
    listing(bench.path).filter { $0.hasSuffix(".seg") }
      .reduce(0) { $0 + contents("\(bench.path)/\($1)").count }
  }

  /// Keys of 4 KiB each in sealed segments.
  private func fill(_ keys: Range<Int>) throws {
    let store = try bench.open { $0.segmentLimit = 64 << 10 }
    for number in keys {
      bench.clock.advance(seconds: 1)
      try store.save(noise(number, count: 4096), for: key(number))
    }
    try store.close()
  }

  @Test func aSaveDoesNotWaitForAThreadThatCannotBeStarted() throws {
    try fill(0..<60)
    let sleeps = Sleeps()
    var host = bench.host()
    host.threads = NoThreads()
    host.sleep = { _ in sleeps.count.add(1, ordering: .relaxed) }
    let store = try bench.open(host: host) {
      $0.compactsByItself = true
      $0.sizeBudget = 128 << 10
    }
    try store.save(payload(1), for: key(100))
    #expect(try store.lookup(key(100))?.payload == payload(1))
    #expect(sleeps.count.load(ordering: .relaxed) < 10)
  }

  @Test func aSaveDoesNotWaitForLongForACompactorThatMakesNoHeadway() throws {
    try fill(0..<60)
    let before = bytes()
    let lock = bench.path + "/compaction.lock"
    let descriptor = open(lock, O_RDWR | O_CREAT, 0o600)
    #expect(flock(descriptor, LOCK_EX) == 0)
    let sleeps = Sleeps()
    var host = bench.host()
    host.sleep = { _ in sleeps.count.add(1, ordering: .relaxed) }
    let options: (inout StoreOptions) -> Void = {
      $0.compactsByItself = true
      $0.sizeBudget = 128 << 10
    }
    let store = try bench.open(host: host, options)
    try store.save(payload(1), for: key(100))
    // A second, in looks of two milliseconds.
    #expect((400..<1000).contains(sleeps.count.load(ordering: .relaxed)))
    #expect(bytes() == before)
    close(descriptor)
    try store.close()
    // Once the other is gone there is room.
    let next = try bench.open(host: bench.host(), options)
    try next.save(payload(2), for: key(101))
    #expect(bytes() <= 128 << 10)
    #expect(try next.lookup(key(100)) != nil && next.lookup(key(0)) == nil)
  }

  @Test func theLogsOfLivingWritersAreNotChargedToTheBudget() throws {
    try fill(0..<20)
    let living = try bench.open()
    try living.save(noise(1, count: 150_000), for: key(200))
    let report = try bench.open { $0.sizeBudget = 128 << 10 }.compact()
    #expect(report.evictedKeys == 0)
    #expect(try bench.open(.readOnly).keys.count == 21)
  }

  @Test func aKeyThatIsUsedWhileTheCompactionRunsStays() throws {
    try fill(0..<60)
    let store = try bench.open {
      $0.segmentLimit = 64 << 10
      $0.sizeBudget = 128 << 10
    }
    // Something is kept of every segment.
    for number in stride(from: 0, to: 60, by: 4) { _ = try store.lookup(key(number)) }
    let oldest = key(1)
    var control = Engine.CompactionControl()
    var hasLooked = false
    control.progress = { _, _ in
      guard !hasLooked else { return }
      hasLooked = true
      _ = try? store.lookup(oldest)
    }
    let report = try store.engine().compact(control)
    #expect(hasLooked && report.evictedKeys > 20)
    #expect(try store.lookup(oldest)?.payload == noise(1, count: 4096))
    #expect(try store.lookup(key(2)) == nil)
  }

  @Test func theBudgetIsKeptWhereWhatMustGoLiesEverywhere() throws {
    try fill(0..<300)
    let reader = try bench.open()
    bench.clock.advance(seconds: 10)
    // Three of four are used.
    for number in 0..<300 where number % 4 != 0 { _ = try reader.lookup(key(number)) }
    try reader.close()
    bench.clock.advance(seconds: 10)
    let budget = bytes() - 20_000
    let store = try bench.open {
      $0.compactsByItself = true
      $0.sizeBudget = UInt64(budget)
    }
    try store.save(payload(1), for: key(500))
    try store.engine().waitForUpkeep()
    #expect(bytes() <= budget)
    // And those that were used are there, but for what footers take.
    let used = (0..<300).filter { $0 % 4 != 0 }
    #expect(try used.filter { try store.lookup(key($0)) == nil }.count <= 5)
  }

  @Test func aMarkStaysWhileANewerOneMayBeLost() throws {
    let day = 86_400.0
    let first = try bench.open()
    try first.save(payload(1), for: key(1))
    try first.close()
    bench.clock.advance(seconds: 20 * day)
    let second = try bench.open()
    _ = try second.lookup(key(1))
    try second.save(payload(2), for: key(2))
    try second.close()
    bench.clock.advance(seconds: 9 * day)
    // Its log is not synced, and goes with a power cut.
    let living = try bench.open { $0.durability = .buffered }
    _ = try living.lookup(key(1))
    try living.save(payload(3), for: key(3))
    try bench.open().compact()
    let log = try #require(listing(bench.path).first { $0.hasSuffix(".log") })
    unlink("\(bench.path)/\(log)")
    bench.clock.advance(seconds: 16 * day)
    #expect(try bench.open().lookup(key(1))?.payload == payload(1))
  }

  @Test func whatHasExpiredCountsAsDead() throws {
    try fill(0..<5)
    bench.clock.advance(seconds: 31 * 86_400)
    let statistics = try bench.open().statistics
    #expect(statistics.keys == 0 && statistics.liveBytes == 0 && statistics.deadBytes > 20_000)
  }
}
