// Saves that are accepted and written by a thread of the store's own.

import Glibc
import Synchronization
import TestSupport
import Testing
import WarmStart

@Suite struct BackgroundTests {
  private let bench = Bench()
  private let files = FaultyFiles()
  private let gate = Gate()

  /// A store whose syncs wait while the gate is shut.
  private func open(memory: Int = 64 << 20) throws -> WarmStartStore {
    let gate = gate
    files.failSyncs {
      gate.pass()
      return nil
    }
    return try bench.open(host: bench.host(files)) {
      $0.durability = .background
      $0.backgroundMemory = memory
    }
  }

  private func session(_ store: WarmStartStore, _ number: Int = 1) -> Session {
    Session(
      store: store, key: key(number), label: nil, checkpointInterval: 0, host: bench.host())
  }

  // MARK: The end

  /// A flush vouches for what was accepted before it, or for what took its place since.
  @Test func aFlushWaitsForWhatTookThePlaceOfWhatItWaitsFor() throws {
    let threads = WatchedThreads()
    var host = bench.host(files)
    host.threads = threads
    let store = try bench.open(host: host) { $0.durability = .background }
    try store.save(payload(0), for: key(9), kind: .final)
    let session = Session(
      store: store, key: key(1), label: nil, checkpointInterval: 0, host: bench.host())
    let gate = gate
    files.failSyncs {
      gate.pass()
      return nil
    }
    gate.shut()
    session.checkpoint(payload(1), objective: -1)
    gate.waitForSomebody()
    session.checkpoint(payload(2), objective: -2)
    let before = threads.waits
    let hasFlushed = Mutex(false)
    let flusher = try POSIXThreads().start {
      try! store.flush()
      hasFlushed.withLock { $0 = true }
    }
    threads.waitUntilWaiting(1)
    session.checkpoint(payload(3), objective: -3)
    let beforeWork = Gate()
    beforeWork.shut()
    threads.holdFirstThread(at: beforeWork)
    gate.open()
    beforeWork.waitForSomebody()
    // It looks again once the first is written: it goes on waiting, or is done.
    while threads.waits < before + 2, !hasFlushed.withLock({ $0 }) { sched_yield() }
    #expect(!hasFlushed.withLock { $0 })
    beforeWork.open()
    flusher.join()
    #expect(try store.lookupBest(key(1))?.payload == payload(3))
    try store.close()
  }

  /// The thread that writes must not be the last to hold the store.
  @Test(.timeLimit(.minutes(20)))
  func aStoreThatIsDroppedWhileItWritesClosesItself() throws {
    for turn in 0..<300 {
      var store: WarmStartStore? = try open()
      var session: Session? = session(store!)
      for number in 0..<3 {
        session!.checkpoint(payload(turn + number), objective: -Double(number))
      }
      for _ in 0..<(turn % 40) * 20 { sched_yield() }
      (session, store) = (nil, nil)
    }
    // A log that is locked still, or was left as a log, was never closed.
    let logs = listing(bench.path).filter { $0.hasSuffix(".log") }
    #expect(logs.isEmpty)
  }

  @Test(.timeLimit(.minutes(20)))
  func whatIsSavedWhileTheStoreClosesIsWrittenOrRefused() throws {
    let store = try open(memory: 8 << 10)
    gate.shut()
    for number in 1...2 { try store.save(payload(number, count: 4000), for: key(number)) }
    let outcome = Mutex<Bool?>(nil)
    // Waits for memory, which there is once the others are written.
    let saver = try POSIXThreads().start {
      let wasTaken = (try? store.save(payload(3, count: 4000), for: key(3))) != nil
      outcome.withLock { $0 = wasTaken }
    }
    let closer = try POSIXThreads().start { try? store.close() }
    while (try? store.engine()) != nil, outcome.withLock({ $0 }) == nil { sched_yield() }
    gate.open()
    saver.join()
    closer.join()
    let found = try bench.open().lookup(key(3))
    #expect((found != nil) == outcome.withLock { $0 })
    #expect(try bench.open().lookup(key(2)) != nil)
  }

  // MARK: Acceptance

  @Test func whatIsAcceptedIsFoundByTheSameStoreBeforeItIsWritten() throws {
    let store = try open()
    gate.shut()
    let session = session(store)
    #expect(session.checkpoint(payload(1), objective: 5, iteration: 1))
    #expect(session.checkpoint(payload(2), objective: 7, iteration: 2))
    let best = try #require(try store.lookupBest(key(1)))
    #expect(best.payload == payload(1) && best.objective == 5 && best.iteration == 1)
    #expect(best.kind == .checkpoint && best.runID == session.runID && best.key == key(1))
    #expect(best.producer == store.producer)
    #expect(try store.lookupLatest(key(1))?.payload == payload(2))
    #expect(try store.lookup(key(1))?.payload == payload(1))
    #expect(try store.lookup(key(2)) == nil)
    gate.open()
    try store.flush()
    #expect(try bench.open().lookup(key(1))?.payload == payload(1))
    #expect(try bench.open().lookupLatest(key(1))?.payload == payload(2))
  }

  @Test func whatWaitsAndWhatIsWrittenAreOneStore() throws {
    let store = try open()
    try store.save(payload(1), for: key(1), objective: 3)
    try store.save(payload(2), for: key(2), objective: 3, label: "two")
    try store.flush()
    bench.clock.advance(seconds: 1)
    gate.shut()
    try store.save(payload(3), for: key(1), objective: 4)
    try store.save(payload(4), for: key(2), objective: 2)
    #expect(try store.lookupBest(key(1))?.payload == payload(1))
    #expect(try store.lookupLatest(key(1))?.payload == payload(3))
    #expect(try store.lookupBest(key(2))?.payload == payload(4))
    // Of two that are equal the newer counts.
    try store.save(payload(5), for: key(1), objective: 3)
    #expect(try store.lookupBest(key(1))?.payload == payload(5))
    gate.open()
    #expect(try store.keys == [key(1), key(2)])
    #expect(try store.entries(for: key(1)).map(\.payload) == [5, 3, 1].map { payload($0) })
    #expect(try store.lookupBest(key(1))?.payload == payload(5))
  }

  @Test func whatWaitsIsTheNewestThoughTheClockWentBack() throws {
    let store = try open()
    try store.save(payload(1), for: key(1), objective: 3)
    try store.flush()
    bench.clock.set(wall: bench.clock.now - 3_600_000_000_000)
    gate.shut()
    try store.save(payload(2), for: key(1), objective: 3)
    #expect(try store.lookupLatest(key(1))?.payload == payload(2))
    #expect(try store.lookupBest(key(1))?.payload == payload(2))
    gate.open()
    try store.flush()
    #expect(try store.lookupLatest(key(1))?.payload == payload(2))
  }

  @Test func aFinalOfTheProducerIsResumedThoughABetterCheckpointWaits() throws {
    let store = try open()
    try store.save(payload(1), for: key(1), kind: .final, objective: 3)
    gate.shut()
    try store.save(payload(2), for: key(1), objective: 1)
    #expect(try store.lookup(key(1))?.payload == payload(1))
    #expect(try store.lookupBest(key(1))?.payload == payload(2))
    gate.open()
  }

  @Test func aNewerCheckpointTakesThePlaceOfAWaitingOneButNeverOfTheBest() throws {
    let store = try open()
    gate.shut()
    let first = session(store)
    let second = session(store, 2)
    // The first is under way; what follows waits.
    #expect(first.checkpoint(payload(0), objective: 9))
    gate.waitForSomebody()
    for (number, objective) in [(1, 7.0), (2, 5), (3, 8), (4, 6), (5, 5.5)] {
      #expect(first.checkpoint(payload(number), objective: objective))
      #expect(second.checkpoint(payload(10 + number), objective: -objective))
    }
    gate.open()
    try store.flush()
    let kept = try store.entries(for: key(1)).map(\.payload)
    #expect(kept == [5, 2, 0].map { payload($0) })
    #expect(try store.entries(for: key(2)).map(\.payload) == [15, 13].map { payload($0) })
    #expect(first.lastError == nil)
  }

  @Test func savesOfNoSessionAreAllWritten() throws {
    let store = try open()
    gate.shut()
    for number in 0..<20 { try store.save(payload(number), for: key(1)) }
    gate.open()
    #expect(try store.entries(for: key(1)).count == 20)
  }

  @Test func whatIsTooLongIsRefusedAtOnce() throws {
    let store = try bench.open {
      $0.durability = .background
      $0.payloadLimit = 100
    }
    #expect(throws: StoreError.payloadTooLong(bytes: 101, limit: 100)) {
      try store.save(noise(1, count: 101), for: key(1))
    }
    #expect(throws: StoreError.self) {
      try store.save([], for: key(1), label: String(repeating: "x", count: 129))
    }
    #expect(try store.keys.isEmpty)
  }

  // MARK: Waiting for the disk

  @Test func flushFinalAndCloseWait() throws {
    let store = try open()
    let session = session(store)
    #expect(session.checkpoint(payload(1), objective: 5))
    try store.flush()
    #expect(files.unsyncedFiles == 0)
    #expect(session.checkpoint(payload(2), objective: 4))
    #expect(session.finalize(payload(3), objective: 3))
    #expect(files.unsyncedFiles == 0)
    let others = try bench.open()
    #expect(try others.entries(for: key(1)).map(\.payload) == [3, 2, 1].map { payload($0) })
    #expect(session.checkpoint(payload(4), objective: 2))
    try store.close()
    #expect(files.unsyncedFiles == 0)
    #expect(listing(bench.path).allSatisfy { $0.hasSuffix(".seg") })
    #expect(try others.lookupLatest(key(1))?.payload == payload(4))
    #expect(!session.checkpoint(payload(5), objective: 1))
    #expect(session.lastError == .closed(path: bench.path))
  }

  @Test func aStoreThatNobodyHasAnyMoreWritesWhatWaits() throws {
    var store: WarmStartStore? = try open()
    for number in 0..<5 { try store!.save(payload(number), for: key(number)) }
    store = nil
    #expect(try bench.open().keys.count == 5)
  }

  @Test func aRemovalTakesWhatWaitsWithIt() throws {
    let store = try open()
    try store.save(payload(1), for: key(1))
    try store.remove(key(1))
    #expect(try store.lookup(key(1)) == nil)
    try store.flush()
    #expect(try store.keys.isEmpty)
  }

  @Test func noMoreWaitsThanTheBoundAllows() throws {
    let (count, length) = (30, 32 << 10)
    let store = try open(memory: 4 * length)
    let begun = Atomic(0)
    let most = Atomic(0)
    let written = Atomic(0)
    let gate = gate
    // At each sync: so many saves have returned, and so many are on the disk.
    files.failSyncs {
      gate.pass()
      most.max(
        begun.load(ordering: .relaxed) - written.load(ordering: .relaxed), ordering: .relaxed)
      written.store(begun.load(ordering: .relaxed), ordering: .relaxed)
      return nil
    }
    for number in 0..<count {
      try store.save(noise(number, count: length), for: key(number))
      begun.add(1, ordering: .relaxed)
    }
    try store.flush()
    #expect(try store.keys.count == count)
    #expect(most.load(ordering: .relaxed) <= 5)
  }

  @Test func aPayloadBeyondTheBoundIsWrittenWithoutWaiting() throws {
    let store = try open(memory: 16 << 10)
    #expect(session(store).checkpoint(noise(1, count: 100_000), objective: 1))
    #expect(files.unsyncedFiles == 0)
    #expect(try bench.open().lookup(key(1))?.payload == noise(1, count: 100_000))
  }

  // MARK: Failure

  @Test func aFailureIsToldAndTakesTheBestBackToWhatWasWritten() throws {
    let store = try open()
    let session = Session(store: store, key: key(1), label: nil, host: bench.host())
    #expect(session.checkpoint(payload(1), objective: 5))
    try store.flush()
    files.failWrites { _ in ENOSPC }
    #expect(session.checkpoint(payload(2), objective: 4))
    #expect(throws: StoreError.self) { try store.flush() }
    guard case .file(let error)? = session.lastError else {
      Issue.record("no error")
      return
    }
    #expect(error.errno == ENOSPC && error.operation == .write)
    #expect(try store.lookup(key(1))?.payload == payload(1))
    files.failWrites(nil)
    // Told once; then what is no better than the lost one, but than the written one, is written.
    #expect(!session.checkpoint(payload(3), objective: 4.5))
    #expect(session.checkpoint(payload(4), objective: 4.5))
    try store.flush()
    #expect(try store.lookup(key(1))?.payload == payload(4))
    #expect(try store.entries(for: key(1)).map(\.payload) == [4, 1].map { payload($0) })
  }

  @Test func aFinalIsWrittenThoughACheckpointWasLost() throws {
    let store = try open()
    let session = session(store)
    files.failWrites { isRecord($0, .checkpoint) ? EIO : nil }
    #expect(session.checkpoint(payload(1), objective: 5))
    #expect(session.finalize(payload(2), objective: 4))
    #expect(session.lastError != nil)
    #expect(try bench.open().lookup(key(1))?.payload == payload(2))
    #expect(throws: StoreError.self) { try store.close() }
  }

  @Test func everyFlushThatWaitedHearsOfALoss() throws {
    var host = bench.host(files)
    let threads = WatchedThreads()
    host.threads = threads
    let store = try bench.open(host: host) { $0.durability = .background }
    let gate = gate
    gate.shut()
    files.failWrites { _ in
      gate.pass()
      return ENOSPC
    }
    try store.save(payload(1), for: key(1))
    gate.waitForSomebody()
    let failures = Notes<StoreError>()
    onThreads(3) { thread in
      if thread == 2 {
        threads.waitUntilWaiting(2)
        return gate.open()
      }
      do throws(StoreError) { try store.flush() } catch { failures.add(error) }
    }
    #expect(failures.all.count == 2)
    files.failWrites(nil)
    try store.flush()
  }

  @Test func theNextSaveTellsOfOneThatWasLost() throws {
    let store = try open()
    files.failWrites { _ in ENOSPC }
    try store.save(payload(1), for: key(1))
    // Waits, so that what was lost is known to be.
    #expect(try store.keys.isEmpty)
    files.failWrites(nil)
    #expect(throws: StoreError.self) { try store.save(payload(2), for: key(1)) }
    try store.save(payload(3), for: key(1))
    // Not everything accepted is on stable storage.
    #expect(throws: StoreError.self) { try store.flush() }
    try store.flush()
    #expect(try store.entries(for: key(1)).map(\.payload) == [payload(3)])
  }

  @Test func oneSaveThatDoesNotFitTakesNoOtherDown() throws {
    let store = try open()
    gate.shut()
    try store.save(payload(0), for: key(0))
    gate.waitForSomebody()
    files.failWrites { $0.count > 50_000 ? ENOSPC : nil }
    try store.save(payload(1), for: key(1))
    try store.save(noise(2, count: 60_000), for: key(2))
    try store.save(payload(3), for: key(3))
    gate.open()
    #expect(throws: StoreError.self) { try store.flush() }
    #expect(try store.keys == [key(0), key(1), key(3)])
  }

  @Test func manyThreadsSaveAndLookUpAtOnce() throws {
    let store = try open(memory: 256 << 10)
    let wrong = Notes<String>()
    onThreads(8) { thread in
      let session = Session(
        store: store, key: key(thread), label: nil, checkpointInterval: 0, host: .system)
      for number in 0..<50 {
        let payload = noise(100 * thread + number, count: 8000)
        if !session.checkpoint(payload, objective: Double(-number)) { wrong.add("not accepted") }
        if (try? store.lookup(key(thread)))??.payload != payload { wrong.add("not found") }
      }
    }
    #expect(wrong.all.isEmpty)
    try store.close()
    let reopened = try bench.open()
    for thread in 0..<8 {
      #expect(try reopened.lookup(key(thread))?.payload == noise(100 * thread + 49, count: 8000))
    }
  }
}
