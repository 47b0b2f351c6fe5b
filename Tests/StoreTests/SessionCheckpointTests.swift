// When a session writes a checkpoint, and what a failure changes.

import Glibc
import Synchronization
import TestSupport
import Testing
import WarmStart

@Suite struct SessionCheckpointTests {
  private let bench = Bench()

  private func session(
    _ store: WarmStartStore, label: String? = nil,
    interval: UInt64 = Session.defaultCheckpointInterval
  ) -> Session {
    Session(
      store: store, key: key(1), label: label, checkpointInterval: interval, host: bench.host())
  }

  // MARK: Rate limit

  @Test(arguments: [nil, 5, .nan, .infinity, -.infinity] as [Double?])
  func theFirstCallAlwaysWrites(_ objective: Double?) throws {
    let store = try bench.open()
    #expect(session(store).checkpoint(payload(1), objective: objective))
    #expect(try store.entries(for: key(1)).count == 1)
  }

  @Test func whatDoesNotImproveIsWrittenOnceInTwoSeconds() throws {
    let store = try bench.open()
    let session = session(store)
    #expect(session.checkpoint(payload(0), objective: 5))
    #expect(!session.checkpoint(payload(1), objective: 5))
    #expect(!session.checkpoint(payload(2), objective: 6))
    #expect(!session.checkpoint(payload(3)))
    #expect(!session.checkpoint(payload(4), objective: .nan))
    bench.clock.advance(seconds: 1.9)
    #expect(!session.checkpoint(payload(5), objective: 6))
    bench.clock.advance(seconds: 0.1)
    #expect(session.checkpoint(payload(6), objective: 6))
    #expect(!session.checkpoint(payload(7), objective: 6))
    bench.clock.advance(seconds: 2)
    #expect(session.checkpoint(payload(8)))
    #expect(try store.entries(for: key(1)).map(\.payload) == [8, 6, 0].map { payload($0) })
    #expect(session.lastError == nil)
  }

  @Test func whatImprovesIsWrittenAtOnce() throws {
    let store = try bench.open()
    let session = session(store)
    for number in 0..<10 {
      #expect(session.checkpoint(payload(number), objective: Double(-number)))
    }
    #expect(try store.entries(for: key(1)).count == 10)
  }

  @Test func anImprovementMustBeMoreThanATrifle() throws {
    let session = session(try bench.open())
    #expect(session.checkpoint(payload(0), objective: 1))
    #expect(!session.checkpoint(payload(1), objective: 1 - 5e-13))
    #expect(!session.checkpoint(payload(2), objective: 1 - 0.99e-12))
    #expect(session.checkpoint(payload(3), objective: 1 - 1.01e-12))
  }

  @Test func aWorseCheckpointDoesNotBecomeTheBest() throws {
    let session = session(try bench.open())
    #expect(session.checkpoint(payload(0), objective: 1))
    bench.clock.advance(seconds: 2)
    #expect(session.checkpoint(payload(1), objective: 9))
    #expect(!session.checkpoint(payload(2), objective: 5))
    #expect(session.checkpoint(payload(3), objective: 0))
  }

  @Test func anImprovementStartsTheIntervalAnew() throws {
    let session = session(try bench.open())
    #expect(session.checkpoint(payload(0), objective: 5))
    bench.clock.advance(seconds: 1.5)
    #expect(session.checkpoint(payload(1), objective: 4))
    bench.clock.advance(seconds: 1.5)
    #expect(!session.checkpoint(payload(2), objective: 4))
    bench.clock.advance(seconds: 0.5)
    #expect(session.checkpoint(payload(3), objective: 4))
  }

  @Test func theBestIsTheSessionsOwn() throws {
    let store = try bench.open()
    #expect(session(store).checkpoint(payload(0), objective: -100))
    let session = session(store)
    #expect(session.checkpoint(payload(1), objective: 7))
    #expect(session.checkpoint(payload(2), objective: 6))
  }

  @Test func theCalendarClockHasNoSayInTheInterval() throws {
    let session = session(try bench.open())
    #expect(session.checkpoint(payload(0), objective: 5))
    bench.clock.set(wall: bench.clock.now + 3_600_000_000_000)
    #expect(!session.checkpoint(payload(1), objective: 5))
    bench.clock.set(wall: 0)
    bench.clock.advance(seconds: 2)
    #expect(session.checkpoint(payload(2), objective: 5))
  }

  @Test func theIntervalIsAnOption() throws {
    let store = try bench.open()
    let always = session(store, interval: 0)
    for number in 0..<5 { #expect(always.checkpoint(payload(number), objective: 1)) }
    let once = session(store, interval: .max)
    #expect(once.checkpoint(payload(0), objective: 1))
    bench.clock.advance(seconds: 1e6)
    #expect(!once.checkpoint(payload(1), objective: 1))
  }

  @Test func aResultIsWrittenAtOnceWhateverTheInterval() throws {
    let store = try bench.open()
    let session = session(store)
    #expect(session.checkpoint(payload(0), objective: 1))
    for number in 1..<4 { #expect(session.finalize(payload(number), objective: 9)) }
    let entries = try store.entries(for: key(1))
    #expect(entries.count == 4)
    #expect(entries.allSatisfy { $0.runID == session.runID })
    #expect(entries.filter { $0.kind == .final }.count == 3)
  }

  // MARK: Failures

  @Test func aFailedWriteLeavesIntervalAndBestAsTheyWere() throws {
    let store = try bench.open { $0.payloadLimit = 100 }
    let long = [UInt8](repeating: 0, count: 101)
    let session = session(store)
    let error = StoreError.payloadTooLong(bytes: 101, limit: 100)
    // The first call writes, also after one that failed.
    #expect(!session.checkpoint(long, objective: 1))
    #expect(session.lastError == error)
    #expect(session.checkpoint(payload(1)))
    #expect(!session.checkpoint(payload(2)))
    #expect(session.checkpoint(payload(2), objective: 5))
    #expect(!session.checkpoint(long, objective: 1))
    // 1 was never written, so 3 improves.
    #expect(session.checkpoint(payload(3), objective: 3))
    bench.clock.advance(seconds: 2)
    #expect(!session.checkpoint(long, objective: 9))
    #expect(session.checkpoint(payload(4), objective: 9))
    #expect(!session.finalize(long))
    #expect(session.finalize(payload(5)))
    #expect(session.lastError == error)
    #expect(try store.entries(for: key(1)).count == 5)
  }

  @Test func aFullDiskFailsTheCallAndNotTheFit() throws {
    let files = FaultyFiles()
    let session = session(try bench.open(host: bench.host(files)))
    #expect(session.checkpoint(payload(0), objective: 5))
    files.failWrites { _ in ENOSPC }
    #expect(!session.checkpoint(payload(1), objective: 4))
    #expect(!session.finalize(payload(1), objective: 4))
    guard case .file(let error) = session.lastError else {
      Issue.record("lastError is \(String(describing: session.lastError))")
      return
    }
    #expect(error.errno == ENOSPC)
    #expect(session.tryLoad()?.payload == payload(0))
    files.failWrites(nil)
    #expect(session.checkpoint(payload(2), objective: 4))
    #expect(session.finalize(payload(3), objective: 4))
    #expect(session.tryLoad()?.payload == payload(3))
  }

  @Test func aLabelOverTheLimitFailsEverySaveAndNothingElse() throws {
    let store = try bench.open()
    try store.save(payload(1), for: key(1))
    let session = session(store, label: String(repeating: "x", count: 129))
    #expect(!session.checkpoint(payload(2)))
    #expect(!session.finalize(payload(2)))
    #expect(session.lastError == .textTooLong(what: "label", bytes: 129, limit: 128))
    #expect(session.tryLoad()?.payload == payload(1))
  }

  @Test func aClosedStoreAndAReadOnlyOneFailQuietly() throws {
    let store = try bench.open()
    try store.save(payload(1), for: key(1))
    let session = session(store)
    try store.close()
    #expect(!session.checkpoint(payload(2)))
    #expect(!session.finalize(payload(2)))
    #expect(session.tryLoad() == nil)
    #expect(session.peekLoadWithSource() == nil)
    #expect(session.lastError == .closed(path: bench.path))
    let reader = self.session(try bench.open(.readOnly))
    #expect(reader.tryLoad()?.payload == payload(1))
    #expect(!reader.checkpoint(payload(2)))
    #expect(reader.lastError == .readOnly(path: bench.path))
  }

  /// Two threads claim their turns, then both writes fail: the best is what it was before either.
  @Test func twoFailuresAtOnceLeaveIntervalAndBestAsTheyWere() throws {
    let files = FaultyFiles()
    let clockReads = Atomic<Int>(0)
    let store = try bench.open(host: bench.host(files))
    var host = bench.host()
    let clock = bench.clock
    host.monotonicClock = {
      clockReads.add(1, ordering: .sequentiallyConsistent)
      return clock.uptime
    }
    let session = Session(store: store, key: key(1), label: nil, host: host)
    #expect(session.checkpoint(payload(0), objective: 10))
    let before = clockReads.load(ordering: .sequentiallyConsistent)
    files.failWrites { _ in
      // The first write does not fail before the other thread has had time for its turn.
      while clockReads.load(ordering: .sequentiallyConsistent) < before + 2 { usleep(100) }
      usleep(20_000)
      return ENOSPC
    }
    onThreads(2) { number in
      if number == 1 {
        while clockReads.load(ordering: .sequentiallyConsistent) == before { usleep(100) }
      }
      #expect(!session.checkpoint(payload(number), objective: number == 0 ? 5 : 3))
    }
    files.failWrites(nil)
    #expect(session.checkpoint(payload(3), objective: 9))
    #expect(try store.lookup(key(1))?.objective == 9)
  }

  @Test func manyThreadsShareASession() throws {
    let store = try bench.open { $0.durability = .buffered }
    let session = session(store)
    let written = Notes<Double>()
    onThreads(8) { number in
      for step in 0..<200 {
        let objective = Double(1000 - step * 4) - Double(number) / 10
        if session.checkpoint(payload(step), objective: objective) { written.add(objective) }
        if step % 50 == 0 { _ = session.peekLoad() }
      }
    }
    let entries = try store.entries(for: key(1))
    #expect(entries.compactMap(\.objective).sorted() == written.all.sorted())
    // Whatever the order, the best of all was an improvement when it came.
    #expect(written.all.min() == Double(1000 - 199 * 4) - 0.7)
    #expect(Set(written.all).count == written.all.count)
    #expect(session.lastError == nil)
    #expect(session.finalize(payload(1)))
  }
}
