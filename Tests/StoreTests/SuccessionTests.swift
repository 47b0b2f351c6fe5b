// A full log of which nearly all is dead is not sealed: the next one begins with the rest, and it goes.

import Glibc
import Synchronization
import TestSupport
import Testing
import WarmStart

@Suite struct SuccessionTests {
  private let bench = Bench()
  private let files = FaultyFiles()

  init() { bench.options.compactsByItself = true }

  private func open(
    _ durability: Durability = .buffered, _ change: (inout StoreOptions) -> Void = { _ in }
  ) throws -> WarmStartStore { try bench.openSmall(files, durability, change) }

  @Test(arguments: [Durability.buffered, .synced])
  func aFitThatSavesOneKeyAgainAndAgainLeavesOneLog(_ durability: Durability) throws {
    let store = try open(durability)
    let other = try bench.open(.readOnly)
    var names: Set<String> = []
    for number in 0..<200 {
      try save(store, number)
      names.formUnion(bench.logs)
      #expect(bench.logs.count == 1 && bench.segments.isEmpty)
      #expect(try other.lookup(key(1))?.iteration == UInt64(number))
    }
    #expect(names.count > 5)
    #expect(bench.replaced(by: bench.logs[0]) >= 1)
    #expect(bench.bytes() < 80 << 10)
    #expect(try store.verify().damage.isEmpty)
    try store.close()
    for reader in [other, try bench.open(.readOnly)] {
      let entry = try #require(try reader.lookup(key(1)))
      #expect(entry.payload == noise(199, count: 2000))
      #expect(try reader.engine().verify(.payloads).damage.isEmpty)
    }
    #expect(bench.logs.isEmpty && bench.segments.count == 1)
  }

  /// Whatever counts of a few keys, and their marks, comes along; all else is as the contract says.
  @Test func everythingThatCountsComesAlong() throws {
    let store = try open { $0.segmentLimit = 256 << 10 }
    let rival = try bench.open(as: "fit 2") { $0.durability = .buffered }
    #expect(try store.lookup(key(3)) == nil)
    try save(store, 1, for: 1, kind: .final, objective: 7)
    try save(store, 2, for: 1, objective: 3)
    try save(store, 3, for: 2, objective: 3)
    try save(store, 4, for: 3)
    bench.clock.advance(seconds: 100)
    #expect(try store.lookup(key(3))?.iteration == 4)
    for number in 10..<400 { try save(store, number, for: 1, objective: 5) }
    #expect(bench.segments.isEmpty && bench.replaced(by: bench.logs[0]) >= 1)
    try store.close()
    let reader = try bench.open(.readOnly)
    #expect(try reader.lookup(key(1))?.iteration == 1)
    #expect(try reader.lookupBest(key(1))?.iteration == 2)
    #expect(try reader.lookupLatest(key(1))?.iteration == 399)
    #expect(try rival.lookup(key(1))?.kind == .checkpoint)
    #expect(try reader.lookup(key(2))?.iteration == 3)
    #expect(try reader.lookup(key(3))?.payload == noise(4, count: 2000))
    let use = try #require(try reader.engine().freshIndex().lastUse(of: key(3)))
    #expect(use.marked == use.saved + 100)
    try rival.close()
  }

  @Test func whatIsLeftIsOnStableStorageWhenTheFullLogGoes() throws {
    let store = try open()
    let early = Notes<Int>()
    defer { files.failUnlinks(nil) }
    files.failUnlinks { [files, early] name in
      if name.hasSuffix(".log") { early.add(files.unsyncedFiles) }
      return nil
    }
    for number in 0..<100 { try save(store, number) }
    // None but those that went, full, up to then.
    #expect(!early.all.isEmpty && zip(1..., early.all).allSatisfy { $1 <= $0 })
    try store.close()
  }

  /// The number of segments of another kind than a log that is succeeded, after as much as fills some.
  private func sealed(
    _ change: (inout StoreOptions) -> Void = { _ in },
    before: (WarmStartStore) throws -> Void = { _ in }, saving name: (Int) -> Int = { _ in 1 }
  ) throws -> Int {
    let store = try open(.buffered, change)
    try before(store)
    for number in 0..<45 { try save(store, number, for: name(number)) }
    try store.engine().waitForUpkeep()
    defer { try? store.close() }
    return bench.segments.count
  }

  @Test func whereMuchCountsOrNobodyCompactsTheLogIsSealed() throws {
    #expect(try sealed(saving: { $0 }) > 0)
  }

  @Test func withoutUpkeepTheLogIsSealed() throws {
    #expect(try sealed({ $0.compactsByItself = false }) > 0)
  }

  @Test func aLogWithARemovalIsSealed() throws {
    let store = try open { $0.upkeepPolicy.freeWaste = .max / 4 }
    try save(store, 1, for: 9)
    try store.remove(key(9))
    for number in 0..<45 { try save(store, number) }
    #expect(bench.segments.count == 1)
    try store.close()
    #expect(try bench.open(.readOnly).lookup(key(9)) == nil)
  }

  /// What is dead only by something that lies elsewhere is the compactor's matter.
  @Test func aLogOfWhichSomethingIsDeadByAnotherSegmentIsSealed() throws {
    let first = try open { $0.upkeepPolicy.freeWaste = .max / 4 }
    try save(first, 1, objective: -1000)
    try first.close()
    #expect(bench.segments.count == 1)
    let store = try open { $0.upkeepPolicy.freeWaste = .max / 4 }
    for number in 0..<45 { try save(store, number, objective: -Double(number)) }
    #expect(bench.segments.count == 2)
    try store.close()
    #expect(try bench.open(.readOnly).lookupBest(key(1))?.objective == -1000)
  }

  @Test func aRecordThatIsNotAsItWasWrittenIsNotCopied() throws {
    let store = try open { $0.upkeepPolicy.freeWaste = .max / 4 }
    try save(store, 1, for: 1)
    try save(store, 2, for: 2)
    let log = "\(bench.path)/\(bench.logs[0])"
    var bytes = contents(log)
    // Within the payload of the only record of key 1.
    bytes[128 + 1000] ^= 1
    write(bytes, to: log)
    for number in 10..<60 { try save(store, number, for: 2) }
    #expect(bench.segments.count == 1)
    #expect(try store.lookup(key(2))?.iteration == 59)
    try store.close()
    #expect(try !bench.open(.readOnly).engine().verify(.payloads).damage.isEmpty)
  }

  /// Of those that did go, that a power cut may bring back.
  @Test func aLogListsThoseWhoseGoingMayNotBeOnStableStorage() throws {
    let store = try open()
    var lists: Set<Int> = []
    for number in 0..<150 {
      try save(store, number)
      lists.insert(bench.replaced(by: bench.logs[0]))
    }
    #expect(lists == [0, 1, 2])
    try store.close()
  }

  @Test func aFrameThatDoesNotFitBehindWhatIsLeftGetsALogOfItsOwn() throws {
    let store = try open()
    try save(store, 1, for: 2)
    for number in 10..<25 { try save(store, number) }
    try store.save(noise(7, count: 100_000), for: key(1), objective: -1e6)
    #expect(try store.lookup(key(1))?.payload == noise(7, count: 100_000))
    #expect(try store.lookup(key(2))?.iteration == 1)
    try store.close()
    #expect(try bench.open(.readOnly).engine().verify(.payloads).damage.isEmpty)
  }

  @Test func whoSavesAtOnceFromSeveralThreadsFindsAllOfIt() throws {
    let store = try open(.synced)
    let wrong = Notes<Int>()
    onThreads(3) { [store, wrong] thread in
      for number in 0..<100 {
        _ = try? store.save(
          noise(number, count: 2000), for: key(thread), objective: -Double(number),
          iteration: UInt64(number))
        let found = try? store.lookup(key(thread))
        if found?.iteration != UInt64(number) { wrong.add(number) }
      }
    }
    #expect(wrong.all.isEmpty)
    #expect(bench.replaced(by: bench.logs[0]) >= 1)
    try store.close()
    let reader = try bench.open(.readOnly)
    for thread in 0..<3 { #expect(try reader.lookup(key(thread))?.iteration == 99) }
  }
}
