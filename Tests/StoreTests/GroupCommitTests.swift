// Threads that save at the same moment share a sync.

import Glibc
import TestSupport
import Testing
import WarmStart

@Suite struct GroupCommitTests {
  private let bench = Bench()
  private let files = FaultyFiles()
  private let gate = Gate()
  private let threads = WatchedThreads()

  private func open(_ change: (inout StoreOptions) -> Void = { _ in }) throws -> WarmStartStore {
    var host = bench.host(files)
    host.threads = threads
    let store = try bench.open(host: host, change)
    // So that the segment is there.
    try store.save(payload(99), for: key(99))
    return store
  }

  /// One thread is held up in its sync until the others wait behind it; then all go on. Gives what became
  /// of each save, by thread.
  private func saveTogether(
    _ store: WarmStartStore, others: Int,
    bytes: @escaping @Sendable (Int) -> [UInt8] = { payload($0) },
    fault: @escaping @Sendable () -> Int32? = { nil }
  ) -> [Int: StoreError?] {
    let outcomes = Notes<(Int, StoreError?)>()
    let (gate, threads) = (gate, threads)
    gate.shut()
    files.failSyncs {
      gate.pass()
      return fault()
    }
    onThreads(others + 2) { thread in
      // The last one is no saver: it opens the gate.
      if thread == others + 1 {
        threads.waitUntilWaiting(others)
        return gate.open()
      }
      if thread > 0 { gate.waitForSomebody() }
      do throws(StoreError) {
        try store.save(bytes(thread), for: key(thread))
        outcomes.add((thread, nil))
      } catch { outcomes.add((thread, error)) }
    }
    return Dictionary(uniqueKeysWithValues: outcomes.all)
  }

  @Test(arguments: [1, 7, 31]) func noThreadWaitsForMoreThanTwoSyncs(others: Int) throws {
    let store = try open()
    let before = files.syncCount
    let outcomes = saveTogether(store, others: others)
    #expect(outcomes.count == others + 1 && outcomes.values.allSatisfy { $0 == nil })
    // The one that was under way, and one for all that came meanwhile.
    #expect(files.syncCount - before == 2)
    #expect(files.unsyncedFiles == 0)
    let found = try bench.open()
    for thread in 0...others { #expect(try found.lookup(key(thread))?.payload == payload(thread)) }
  }

  /// One saves while another waits; the first saves again, if it is told to, when the other is about to take its turn.
  /// Gives how many syncs that took.
  private func saveAgain(
    _ store: WarmStartStore, isTold: Bool, secondsAYield: Double = 0
  ) -> Int {
    let before = files.syncCount
    let (gate, threads, clock) = (gate, threads, bench.clock)
    let again = Gate()
    again.shut()
    gate.shut()
    // A turn takes a second, of which an eighth is longer than anybody waits.
    files.failSyncs {
      gate.pass()
      clock.advance(seconds: 1)
      return nil
    }
    threads.onYield { threads, count in
      clock.advance(seconds: secondsAYield)
      guard isTold, count == 0 else { return }
      again.open()
      threads.waitUntilWaiting(1)
    }
    let failures = Notes<String>()
    onThreads(3) { thread in
      do throws(StoreError) {
        switch thread {
        case 0:
          try store.save(payload(0), for: key(0))
          again.pass()
          try store.save(payload(1), for: key(0))
        case 1:
          gate.waitForSomebody()
          try store.save(payload(2), for: key(1))
          again.open()
        default:
          threads.waitUntilWaiting(1)
          gate.open()
        }
      } catch { failures.add("\(error)") }
    }
    #expect(failures.all == [])
    files.failSyncs(nil)
    return files.syncCount - before
  }

  @Test func whoComesBackInAMomentGoesWithTheNextTurn() throws {
    let store = try open()
    #expect(saveAgain(store, isTold: true) == 2)
    #expect(try store.lookupLatest(key(0))?.payload == payload(1))
    #expect(try store.lookup(key(1))?.payload == payload(2))
  }

  @Test func whoDoesNotComeBackIsNotWaitedForLong() throws {
    let store = try open()
    #expect(saveAgain(store, isTold: false) == 3)
    // The clock stands still meanwhile: the looks are counted.
    #expect((1...1000).contains(threads.yields))
    // And a thread that saves alone waits for nobody.
    try store.save(payload(3), for: key(1))
    threads.onYield(nil)
    for number in 0..<5 { try store.save(payload(number), for: key(1)) }
    #expect(threads.yields == 0)
  }

  @Test func nobodyIsWaitedForLongerThanAnEighthOfATurn() throws {
    let store = try open()
    #expect(saveAgain(store, isTold: false, secondsAYield: 150e-6) == 3)
    // 0.2 ms at most.
    #expect(threads.yields == 2)
  }

  @Test func whereNobodyComesBackThatIsTriedMoreAndMoreRarely() throws {
    let store = try open()
    let waited = (0..<12).map { _ in
      _ = saveAgain(store, isTold: false)
      return threads.yields > 0
    }
    #expect(waited.enumerated().filter(\.element).map(\.offset) == [0, 2, 5, 10])
    #expect(saveAgain(store, isTold: true) == 3)
    for number in 0..<8 {
      _ = saveAgain(store, isTold: true)
      if threads.yields > 0 { return }
      #expect(number < 7)
    }
  }

  @Test func aSharedSyncThatFailsCostsNobodyASave() throws {
    let store = try open()
    let failing = Countdown(1)
    let outcomes = saveTogether(store, others: 7, fault: { failing.next() ? EIO : nil })
    #expect(outcomes.count == 8 && outcomes.values.allSatisfy { $0 == nil })
    #expect(files.unsyncedFiles <= 1)
    try store.close()
    let found = try bench.open()
    for thread in 0...7 { #expect(try found.lookup(key(thread))?.payload == payload(thread)) }
    #expect(try found.engine().verify(.payloads).damage.isEmpty)
  }

  @Test func everybodyHearsOfASharedSyncThatFailsForGood() throws {
    let store = try open()
    let outcomes = saveTogether(store, others: 7, fault: { EIO })
    #expect(outcomes.count == 8)
    for outcome in outcomes.values {
      guard case .file(let error)? = outcome else {
        Issue.record("acknowledged")
        continue
      }
      #expect(error.operation == .sync && error.errno == EIO)
    }
    files.failSyncs(nil)
    try store.save(payload(1), for: key(50))
    #expect(try store.lookup(key(50))?.payload == payload(1))
    #expect(try store.lookup(key(99))?.payload == payload(99))
  }

  @Test func oneSaveThatDoesNotFitFailsAlone() throws {
    let store = try open()
    files.failWrites { $0.count > 50_000 && isRecord($0, .checkpoint) ? ENOSPC : nil }
    let outcomes = saveTogether(
      store, others: 4, bytes: { $0 == 2 ? noise(2, count: 60_000) : payload($0) })
    #expect(outcomes.count == 5)
    #expect(outcomes.filter { $0.value != nil }.keys.sorted() == [2])
    #expect(try bench.open().keys == [0, 1, 3, 4, 99].map { key($0) })
  }

  @Test func aTurnThatFillsASegmentGoesOnInTheNext() throws {
    let store = try open { $0.segmentLimit = 64 << 10 }
    let outcomes = saveTogether(store, others: 16, bytes: { noise($0, count: 10_000) })
    #expect(outcomes.count == 17 && outcomes.values.allSatisfy { $0 == nil })
    #expect(files.unsyncedFiles == 0)
    #expect(listing(bench.path).count >= 3)
    let found = try bench.open()
    for thread in 0..<17 {
      #expect(try found.lookup(key(thread))?.payload == noise(thread, count: 10_000))
    }
  }
}
