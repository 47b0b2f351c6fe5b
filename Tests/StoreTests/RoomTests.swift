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

  private func sealedBytes() -> Int {
    listing(bench.path).filter { $0.hasSuffix(".seg") }
      .reduce(0) { $0 + contents("\(bench.path)/\($1)").count }
  }

  /// A store of 2 MiB whose merges are held up, once they are in force, before what they replaced goes.
  private final class HeldMerge {
    let budget: UInt64 = 2 << 20
    let gate = Gate()
    var host: Host

    init(_ bench: Bench) {
      let files = FaultyFiles()
      host = bench.host(files)
      gate.shut()
      files.failUnlinks { [gate] _ in
        gate.pass()
        return nil
      }
    }

    func options(_ options: inout StoreOptions) {
      (options.sizeBudget, options.compactsByItself) = (budget, true)
    }
  }

  private func save(_ number: Int, in store: WarmStartStore) throws {
    bench.clock.advance(seconds: 1)
    try store.save(noise(number, count: 4096), for: key(number))
  }

  /// Keys of 4 KiB each in sealed segments.
  private func fill(_ keys: Range<Int>) throws {
    let store = try bench.open { $0.segmentLimit = 64 << 10 }
    for number in keys { try save(number, in: store) }
    try store.close()
  }

  /// What was replaced, and is there still because a compactor was cut short, goes when the next writer is done, though
  /// there is nothing to merge.
  @Test func whatACompactorLeftGoesWithTheNextWriter() throws {
    try fill(0..<60)
    let old = listing(bench.path).filter { $0.hasSuffix(".seg") }
    let files = FaultyFiles()
    files.failUnlinks { _ in EIO }
    let cutShort = try bench.open(host: bench.host(files)) { $0.compactsByItself = false }
    #expect(throws: StoreError.self) { try cutShort.compact() }
    files.failUnlinks(nil)
    try cutShort.close()
    try #require(Set(listing(bench.path)).isSuperset(of: old))
    let store = try bench.open { $0.compactsByItself = true }
    try store.save(payload(1), for: key(100))
    try store.close()
    #expect(Set(listing(bench.path)).isDisjoint(with: old))
    #expect(try bench.open(.readOnly).keys.count == 61)
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
    let before = sealedBytes()
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
    #expect(sealedBytes() == before)
    close(descriptor)
    try store.close()
    // Once the other is gone there is room.
    let next = try bench.open(host: bench.host(), options)
    try next.save(payload(2), for: key(101))
    #expect(sealedBytes() <= 128 << 10)
    #expect(try next.lookup(key(100)) != nil && next.lookup(key(0)) == nil)
  }

  @Test(.timeLimit(.minutes(20))) func theBudgetIsKeptWhereAMergeNeedsSeconds() throws {
    let merge = HeldMerge(bench)
    let turns = Notes<UInt64>()
    let writer = pthread_self()
    let sleep = merge.host.sleep
    merge.host.sleep = { [gate = merge.gate] time in
      guard pthread_equal(writer, pthread_self()) != 0 else { return }
      // Once a merge is held up, ten seconds go by for the save that waits for it.
      if turns.all.reduce(0, +) < 10_000_000_000 {
        gate.waitForSomebody()
        return turns.add(time)
      }
      gate.open()
      sleep(time)
    }
    let store = try bench.open(host: merge.host, merge.options)
    // A store that goes joins its thread.
    defer { merge.gate.open() }
    let most = try merge.budget + 2 * store.engine().options.segmentLimit
    for number in 0..<1000 {
      try save(number, in: store)
      guard number % 10 == 0 else { continue }
      #expect(bench.bytes() <= most, "\(bench.bytes()) of \(most) after \(number)")
    }
    merge.gate.open()
    try store.close()
    #expect(turns.all.reduce(0, +) >= 10_000_000_000)
  }

  @Test(.timeLimit(.minutes(20))) func theBudgetIsKeptWhereWhatWasReplacedGoesLate() throws {
    let merge = HeldMerge(bench)
    let full = try bench.open {
      merge.options(&$0)
      $0.compactsByItself = false
    }
    var number = 0
    while bench.bytes() < merge.budget / 32 * 29 {
      try save(number, in: full)
      number += 1
    }
    try full.close()
    let waits = Notes<UInt64>()
    let writer = pthread_self()
    let sleep = merge.host.sleep
    merge.host.sleep = { [gate = merge.gate] time in
      guard pthread_equal(writer, pthread_self()) != 0 else { return }
      waits.add(time)
      gate.open()
      sleep(time)
    }
    let store = try bench.open(host: merge.host, merge.options)
    defer { merge.gate.open() }
    let most = try merge.budget + 2 * store.engine().options.segmentLimit
    try save(number, in: store)
    merge.gate.waitForSomebody()
    for next in number + 1...number + 200 {
      try save(next, in: store)
      #expect(bench.bytes() <= most, "\(bench.bytes()) of \(most) after \(next)")
    }
    #expect(!waits.all.isEmpty)
    merge.gate.open()
    try store.close()
  }

  @Test(.timeLimit(.minutes(20))) func aFlushDoesNotWaitForTheBudget() throws {
    let merge = HeldMerge(bench)
    let waits = Notes<UInt64>()
    let writers = Notes<pthread_t>()
    let waiting = Gate()
    waiting.shut()
    let sleep = merge.host.sleep
    merge.host.sleep = { time in
      if writers.all.first == pthread_self() {
        waits.add(time)
        waiting.open()
      }
      sleep(time)
    }
    let store = try bench.open(host: merge.host, merge.options)
    defer { merge.gate.open() }
    let writer = try POSIXThreads().start {
      writers.add(pthread_self())
      var number = 0
      // Until it has to wait for room, and no more then.
      while waits.all.isEmpty, number < 1000 {
        _ = try? store.save(noise(number, count: 4096), for: key(number))
        number += 1
      }
      waiting.open()
    }
    waiting.pass()
    #expect(!waits.all.isEmpty)
    try store.flush()
    #expect(waits.all.reduce(0, +) < 1_000_000_000)
    merge.gate.open()
    writer.join()
    try store.close()
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
    let budget = sealedBytes() - 20_000
    let store = try bench.open {
      $0.compactsByItself = true
      $0.sizeBudget = UInt64(budget)
    }
    try store.save(payload(1), for: key(500))
    try store.engine().waitForUpkeep()
    #expect(sealedBytes() <= budget)
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
