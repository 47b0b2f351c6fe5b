// A full segment is sealed by a thread of its own, and nobody who relies on it is told too early.

import Glibc
import Synchronization
import TestSupport
import Testing
import WarmStart

@Suite struct SealingTests {
  private let bench = Bench()
  private let files = FaultyFiles()
  private let gate = Gate()
  /// The logs that were to get their final names while sealing was held.
  private let held = Notes<String>()

  private func open(
    _ durability: Durability = .buffered, _ change: (inout StoreOptions) -> Void = { _ in }
  ) throws -> WarmStartStore {
    try bench.openSmall(files, durability) {
      $0.sealedAsideFrom = 0
      change(&$0)
    }
  }

  /// As much as fills a segment, and begins another.
  private func fillOne(_ store: WarmStartStore, from first: Int = 0) throws {
    for number in first..<first + 16 {
      try store.save(noise(number, count: 5000), for: key(number))
    }
  }

  /// From here on whoever seals waits before the log gets its final name.
  private func holdSealing() {
    gate.shut()
    files.failRenames { [gate, held] name in
      if name.hasSuffix(".log") {
        held.add(name)
        gate.pass()
      }
      return nil
    }
  }

  /// How many files there are of either kind.
  private var counts: [String: Int] {
    listing(bench.path).reduce(into: [:]) { $0[String($1.suffix(4)), default: 0] += 1 }
  }

  @Test func savesGoOnAndLookupsFindEverythingMeanwhile() throws {
    let store = try open()
    holdSealing()
    try fillOne(store)
    gate.waitForSomebody()
    #expect(counts == [".log": 2])
    let other = try bench.open()
    for reader in [store, other] {
      for number in 0..<16 {
        #expect(try reader.lookup(key(number))?.payload == noise(number, count: 5000))
      }
    }
    #expect(try store.verify().damage.isEmpty)
    gate.open()
    try store.flush()
    #expect(counts == [".log": 1, ".seg": 1])
    for reader in [store, other] {
      for number in 0..<16 {
        #expect(try reader.lookup(key(number))?.payload == noise(number, count: 5000))
      }
    }
    try store.close()
    #expect(counts == [".seg": 2])
  }

  /// What is not sealed yet is its writer's, and no compactor's.
  @Test func nobodyMergesWhatIsBeingSealed() throws {
    let store = try open()
    holdSealing()
    try fillOne(store)
    gate.waitForSomebody()
    let other = try bench.open()
    _ = try other.compact()
    #expect(counts[".log"] == 2)
    gate.open()
    try store.close()
    _ = try other.compact()
    #expect(counts[".seg"] == 1)
    for number in 0..<16 {
      #expect(try other.lookup(key(number))?.payload == noise(number, count: 5000))
    }
  }

  @Test func theNextFullSegmentWaitsForTheOneBefore() throws {
    let store = try open()
    holdSealing()
    try fillOne(store)
    gate.waitForSomebody()
    let saved = Notes<Int>()
    let early = Notes<Int>()
    onThreads(2) { [gate] thread in
      if thread == 0 {
        for number in 16..<48 {
          _ = try? store.save(noise(number, count: 5000), for: key(number))
          saved.add(number)
        }
      } else {
        while saved.all.count < 4 { sched_yield() }
        for _ in 0..<1000 { sched_yield() }
        early.add(saved.all.count)
        gate.open()
      }
    }
    // Not more than a segment's worth without the one that waits.
    #expect(early.all[0] < 16)
    #expect(saved.all.count == 32)
    #expect(try store.keys.count == 48)
  }

  /// Lets the first sync fail that comes after a footer was written: the one of the segment that it ends.
  private func failSyncOfFirstFooter() {
    let hasFooter = Flag()
    let once = Countdown(1)
    files.failWrites { bytes in
      if isFooter(bytes) { hasFooter.raise() }
      return nil
    }
    files.failSyncs { hasFooter.isUp && once.next() ? EIO : nil }
  }

  @Test func flushTellsOfASyncThatFailedAside() throws {
    let store = try open()
    failSyncOfFirstFooter()
    try fillOne(store)
    #expect(throws: StoreError.self) { try store.flush() }
    try store.flush()
    try fillOne(store, from: 16)
    try store.close()
  }

  @Test func closeTellsOfASyncThatFailedAside() throws {
    let store = try open()
    failSyncOfFirstFooter()
    try fillOne(store)
    #expect(throws: StoreError.self) { try store.close() }
  }

  /// All of it was acknowledged as synced before: then a footer's failing sync costs nothing.
  @Test func aSyncThatFailedAsideCostsNoSyncedSave() throws {
    let store = try open(.synced)
    failSyncOfFirstFooter()
    try fillOne(store)
    try store.flush()
    for number in 0..<16 {
      #expect(try store.lookup(key(number))?.payload == noise(number, count: 5000))
    }
    try store.close()
    #expect(try bench.open().verify().damage.isEmpty)
  }

  @Test func flushTellsOfALogThatWasDeletedWhileItWasSealed() throws {
    let store = try open()
    holdSealing()
    try fillOne(store)
    gate.waitForSomebody()
    #expect(unlink("\(bench.path)/\(held.all[0])") == 0)
    #expect(try store.lookup(key(0)) == nil)
    #expect(try store.lookup(key(15))?.payload == noise(15, count: 5000))
    gate.open()
    #expect(throws: StoreError.self) { try store.flush() }
    try store.flush()
    #expect(try store.lookup(key(0)) == nil)
    #expect(try store.lookup(key(15))?.payload == noise(15, count: 5000))
  }

  /// What is not sealed cannot be merged, and a budget may need that at once.
  @Test func nearItsBudgetASaveSealsWhatItFinds() throws {
    let store = try open { $0.sizeBudget = 2 << 20 }
    var seen: Set<Int> = []
    for number in 0..<600 {
      try store.save(noise(number, count: 5000), for: key(number))
      guard counts[".seg", default: 0] > 31 else { continue }
      seen.insert(counts[".log", default: 0])
    }
    #expect(seen == [1])
  }

  @Test func whereThereIsNoThreadASaveSealsItself() throws {
    var host = bench.host(files)
    host.threads = NoThreads()
    let store = try bench.open(host: host) {
      $0.durability = .buffered
      $0.segmentLimit = 64 << 10
      $0.sealedAsideFrom = 0
    }
    try fillOne(store)
    #expect(counts == [".log": 1, ".seg": 1])
  }

  /// Without space for the next log the full one is sealed all the same.
  @Test func aFullSegmentIsSealedThoughTheNextCannotBegin() throws {
    let store = try open()
    let isFull = Atomic(false)
    let isHeader: @Sendable (UnsafeRawBufferPointer) -> Bool = { !isFooter($0) && $0.count < 4096 }
    files.failWrites { bytes in
      isFull.load(ordering: .acquiring) && isHeader(bytes) ? ENOSPC : nil
    }
    try store.save(noise(0, count: 5000), for: key(0))
    isFull.store(true, ordering: .releasing)
    var failures = 0
    for number in 1..<16 {
      do { try store.save(noise(number, count: 5000), for: key(number)) } catch { failures += 1 }
    }
    #expect(failures > 0)
    isFull.store(false, ordering: .releasing)
    try store.flush()
    #expect(counts == [".seg": 1])
    try store.save(noise(77, count: 5000), for: key(77))
    #expect(try store.keys.count == 16 - failures + 1)
  }

  /// Saves 13 MiB. Gives what the system was told to begin to write out.
  private func writtenOut(
    _ durability: Durability, key number: (Int) -> Int
  ) throws -> [Range<UInt64>] {
    let store = try open(durability) { $0.segmentLimit = 64 << 20 }
    for save in 0..<13 {
      try store.save(
        noise(save, count: 1 << 20), for: key(number(save)), objective: -Double(save))
    }
    defer { try? store.close() }
    return files.writtenOut
  }

  @Test func whatASaveWillHaveToSyncIsWrittenOutByAndBy() throws {
    let stretches = try writtenOut(.buffered) { _ in 1 }
    try #require(stretches.count == 3)
    #expect(stretches.allSatisfy { $0.count >= 4 << 20 && $0.count < 6 << 20 })
    #expect(stretches[1].lowerBound == stretches[0].upperBound)
    #expect(stretches[2].lowerBound == stretches[1].upperBound)
    #expect(files.unsyncedFiles == 0)
  }

  @Test func whatIsSealedAsideOrSyncedAnywayIsNot() throws {
    #expect(try writtenOut(.buffered) { $0 } == [])
    #expect(try writtenOut(.synced) { _ in 1 } == [])
  }

  /// No later sync need tell of it.
  @Test func whatCouldNotBeWrittenOutIsToldOnce() throws {
    let store = try open { $0.segmentLimit = 64 << 20 }
    files.failWriteOuts { EIO }
    for save in 0..<5 {
      try store.save(noise(save, count: 1 << 20), for: key(1), objective: -Double(save))
    }
    #expect(files.writtenOut.count == 1)
    files.failWriteOuts(nil)
    #expect(throws: StoreError.self) { try store.flush() }
    try store.flush()
    // What comes after it goes to another log.
    try store.save(payload(1), for: key(2), kind: .final)
    #expect(counts == [".log": 2])
    #expect(try bench.open(.readOnly).lookup(key(2))?.payload == payload(1))
    try store.close()
  }

  /// Whatever it holds: the next full log will meet what the last one did.
  @Test(arguments: [true, false]) func aLogIsTakenForOneLikeTheLast(isAside: Bool) throws {
    let store = try open {
      $0.segmentLimit = 10 << 20
      $0.sealedAsideFrom = isAside ? 0 : .max
    }
    for save in 0..<16 { try store.save(noise(save, count: 1 << 20), for: key(save)) }
    #expect(files.writtenOut.count == (isAside ? 0 : 1))
    // Now much of it is dead.
    for save in 0..<3 { try store.save(noise(save, count: 1 << 20), for: key(15)) }
    #expect(files.writtenOut.count == (isAside ? 0 : 2))
    try store.close()
  }

  @Test func whatWasKeptBackBeforeMostOfItWasDeadGoesWithTheFirstStretch() throws {
    let store = try open { $0.segmentLimit = 64 << 20 }
    for save in 0..<5 { try store.save(noise(save, count: 1 << 20), for: key(save)) }
    #expect(files.writtenOut == [])
    for save in 0..<7 {
      try store.save(noise(save, count: 1 << 20), for: key(0), objective: -Double(save))
    }
    try #require(files.writtenOut.count == 1)
    #expect(files.writtenOut[0].lowerBound < 4096 && files.writtenOut[0].count > 9 << 20)
    try store.close()
  }
}
