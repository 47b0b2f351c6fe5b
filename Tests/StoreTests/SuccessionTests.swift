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
  ) throws -> WarmStartStore {
    try bench.open(host: bench.host(files)) {
      $0.durability = durability
      $0.segmentLimit = 64 << 10
      change(&$0)
    }
  }

  private var logs: [String] { listing(bench.path).filter { $0.hasSuffix(".log") } }
  private var segments: [String] { listing(bench.path).filter { $0.hasSuffix(".seg") } }

  private func save(
    _ store: WarmStartStore, _ number: Int, for name: Int = 1, kind: EntryKind = .checkpoint,
    objective: Double? = nil
  ) throws {
    try store.save(
      noise(number, count: 2000), for: key(name), kind: kind,
      objective: objective ?? -Double(number), iteration: UInt64(number))
  }

  /// Ids of the segments that one lists as replaced.
  private func replaced(by name: String) -> Int {
    let bytes = contents("\(bench.path)/\(name)")
    return Int(bytes[56]) | Int(bytes[57]) << 8
  }

  @Test(arguments: [Durability.buffered, .synced])
  func aFitThatSavesOneKeyAgainAndAgainLeavesOneLog(_ durability: Durability) throws {
    let store = try open(durability)
    let other = try bench.open(.readOnly)
    var names: Set<String> = []
    for number in 0..<200 {
      try save(store, number)
      names.formUnion(logs)
      #expect(logs.count == 1 && segments.isEmpty)
      #expect(try other.lookup(key(1))?.iteration == UInt64(number))
    }
    #expect(names.count > 5)
    #expect(replaced(by: logs[0]) >= 1)
    #expect(bench.bytes() < 80 << 10)
    #expect(try store.verify().damage.isEmpty)
    try store.close()
    for reader in [other, try bench.open(.readOnly)] {
      let entry = try #require(try reader.lookup(key(1)))
      #expect(entry.payload == noise(199, count: 2000))
      #expect(try reader.engine().verify(.payloads).damage.isEmpty)
    }
    #expect(logs.isEmpty && segments.count == 1)
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
    #expect(segments.isEmpty && replaced(by: logs[0]) >= 1)
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
    return segments.count
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
    #expect(segments.count == 1)
    try store.close()
    #expect(try bench.open(.readOnly).lookup(key(9)) == nil)
  }

  /// What is dead only by something that lies elsewhere is the compactor's matter.
  @Test func aLogOfWhichSomethingIsDeadByAnotherSegmentIsSealed() throws {
    let first = try open { $0.upkeepPolicy.freeWaste = .max / 4 }
    try save(first, 1, objective: -1000)
    try first.close()
    #expect(segments.count == 1)
    let store = try open { $0.upkeepPolicy.freeWaste = .max / 4 }
    for number in 0..<45 { try save(store, number, objective: -Double(number)) }
    #expect(segments.count == 2)
    try store.close()
    #expect(try bench.open(.readOnly).lookupBest(key(1))?.objective == -1000)
  }

  @Test func aRecordThatIsNotAsItWasWrittenIsNotCopied() throws {
    let store = try open { $0.upkeepPolicy.freeWaste = .max / 4 }
    try save(store, 1, for: 1)
    try save(store, 2, for: 2)
    let log = "\(bench.path)/\(logs[0])"
    var bytes = contents(log)
    // Within the payload of the only record of key 1.
    bytes[128 + 1000] ^= 1
    write(bytes, to: log)
    for number in 10..<60 { try save(store, number, for: 2) }
    #expect(segments.count == 1)
    #expect(try store.lookup(key(2))?.iteration == 59)
    try store.close()
    #expect(try !bench.open(.readOnly).engine().verify(.payloads).damage.isEmpty)
  }

  @Test func aFullLogThatCannotGoHoldsNothingThatCounts() throws {
    let store = try open()
    files.failUnlinks { name in name.hasSuffix(".log") ? EACCES : nil }
    for number in 0..<45 { try save(store, number) }
    #expect(logs.count == 2)
    for reader in [store, try bench.open(.readOnly)] {
      #expect(try reader.lookup(key(1))?.iteration == 44)
      #expect(try reader.keys.count == 1)
    }
    try store.remove(key(1))
    try store.close()
    #expect(try bench.open(.readOnly).lookup(key(1)) == nil)
    files.failUnlinks(nil)
    let again = try open()
    try again.compact()
    #expect(logs.isEmpty && segments.count <= 1)
    #expect(try again.lookup(key(1)) == nil)
    try again.close()
  }

  /// None of a chain of logs that could not go is forgotten.
  @Test func ofManyFullLogsThatCannotGoNoneComesBack() throws {
    let store = try open()
    files.failUnlinks { name in name.hasSuffix(".log") ? EACCES : nil }
    for number in 0..<150 { try save(store, number) }
    #expect(logs.count > 4)
    #expect(replaced(by: logs.max()!) == logs.count - 1)
    try store.remove(key(1))
    try store.close()
    files.failUnlinks(nil)
    try open().compact()
    #expect(logs.isEmpty)
    #expect(try bench.open(.readOnly).lookup(key(1)) == nil)
  }

  /// Of those that did go, that a power cut may bring back.
  @Test func aLogListsThoseWhoseGoingMayNotBeOnStableStorage() throws {
    let store = try open()
    var lists: Set<Int> = []
    for number in 0..<150 {
      try save(store, number)
      lists.insert(replaced(by: logs[0]))
    }
    #expect(lists == [0, 1, 2])
    try store.close()
  }

  @Test func aLogThatHasItsNameIsNotTakenBack() throws {
    let store = try open(.synced)
    for number in 0..<20 { try save(store, number) }
    let isArmed = Flag()
    let rival = Notes<UInt64>()
    nonisolated(unsafe) let bench = bench
    files.failDirectorySyncs { [rival] in
      // Only after a log has got its name: somebody sees it, and takes it for what it says.
      guard isArmed.isUp,
        listing(bench.path).filter({ $0.hasSuffix(".log") }).count == 2
      else { return nil }
      isArmed.lower()
      if let other = try? bench.open(), let entry = try? other.lookup(key(1)) {
        _ = try? other.compact()
        rival.add(entry.iteration ?? 0)
        try? other.close()
      }
      return EIO
    }
    for number in 20..<60 {
      try save(store, number)
      #expect(try store.lookup(key(1))?.iteration == UInt64(number))
    }
    #expect(rival.all.count == 1)
    try store.close()
    let reader = try bench.open(.readOnly)
    #expect(try reader.lookup(key(1))?.payload == noise(59, count: 2000))
    #expect(try reader.engine().verify(.payloads).damage.isEmpty)
  }

  /// As long as a full log is there what says that it is replaced must be, too.
  @Test func whatReplacesALogThatIsStillThereIsNotMerged() throws {
    let store = try open(.synced)
    try save(store, 1000, for: 2)
    for number in 0..<20 { try save(store, number) }
    let isArmed = Flag()
    files.failDirectorySyncs { [path = bench.path] in
      listing(path).filter { $0.hasSuffix(".log") }.count == 2 && isArmed.lower() ? EIO : nil
    }
    let removed = Notes<Bool>()
    nonisolated(unsafe) let bench = bench
    // The full log is about to be sealed; the one that replaces it is nobody's.
    files.failRenames { [removed] name in
      guard !isArmed.isUp, removed.all.isEmpty, name.hasSuffix(".log") else { return nil }
      removed.add(true)
      let other = try? bench.open()
      try? other?.remove(key(2))
      _ = try? other?.compact()
      try? other?.close()
      return nil
    }
    for number in 20..<60 { try save(store, number) }
    #expect(removed.all.count == 1)
    try store.close()
    for _ in 0..<2 {
      let reader = try bench.open()
      #expect(try reader.lookup(key(2)) == nil)
      #expect(try reader.lookup(key(1))?.iteration == 59)
      try reader.compact()
      try reader.close()
    }
  }

  /// What a merge relies on goes from log to log as fast as it looks.
  @Test func aMergeComesToItsEndHoweverFastAWriterIs() throws {
    let first = try open { $0.compactsByItself = false }
    for number in 0..<4 { try save(first, number, for: number, objective: 9) }
    try first.close()
    let writer = try open(.synced) { $0.upkeepPolicy.freeWaste = .max / 4 }
    let saved = Notes<Int>()
    @Sendable func fill() {
      for _ in 0..<40 {
        saved.add(1)
        let number = saved.all.count
        try? writer.save(
          noise(number, count: 2000), for: key(1), objective: -Double(number),
          iteration: UInt64(number))
      }
    }
    fill()
    let others = FaultyFiles()
    others.failReads { path in
      if path.hasSuffix(".seg") { fill() }
      return nil
    }
    let compactor = try bench.open(host: bench.host(others)) { $0.compactsByItself = false }
    let before = saved.all.count
    #expect(try compactor.compact().mergedSegments > 0)
    #expect(saved.all.count > before)
    others.failReads(nil)
    #expect(try compactor.lookup(key(1))?.iteration == UInt64(saved.all.count))
    #expect(try compactor.lookup(key(3))?.payload == noise(3, count: 2000))
    try writer.close()
    try compactor.close()
  }

  @Test func whatAnotherRemovedLetsCountWhatIsLeft() throws {
    let store = try open { $0.upkeepPolicy.freeWaste = .max / 4 }
    let other = try bench.open()
    try save(store, 1, objective: 1)
    bench.clock.advance(seconds: 1)
    try other.remove(key(1))
    bench.clock.advance(seconds: 1)
    try save(store, 2, objective: 2)
    for number in 3..<40 { try save(store, number, objective: 3) }
    #expect(segments.count == 1)
    #expect(try store.lookupBest(key(1))?.iteration == 2)
    try store.close()
    #expect(try bench.open(.readOnly).lookupBest(key(1))?.iteration == 2)
    try other.close()
  }

  @Test func aFullLogOfALivingWriterIsLeftToIt() throws {
    let store = try open()
    let isArmed = Flag()
    nonisolated(unsafe) let bench = bench
    defer { files.failUnlinks(nil) }
    files.failUnlinks { [files] name in
      guard name.hasSuffix(".log"), isArmed.lower() else { return nil }
      // Before it goes somebody compacts.
      let other = try? bench.open(host: bench.host(files))
      _ = try? other?.compact()
      try? other?.close()
      #expect(listing(bench.path).contains(name))
      return nil
    }
    for number in 0..<45 {
      try save(store, number)
      #expect(try store.lookup(key(1))?.iteration == UInt64(number))
    }
    #expect(!isArmed.isUp)
    try store.close()
  }

  @Test(arguments: [true, false])
  func whereTheNextCannotBeginNothingIsLost(byRename: Bool) throws {
    let store = try open()
    for number in 0..<20 { try save(store, number) }
    let isBroken = Atomic(true)
    if byRename {
      files.failRenames { name in
        isBroken.load(ordering: .relaxed) && !name.hasSuffix(".log") ? ENOSPC : nil
      }
    } else {
      files.failWrites { bytes in
        isBroken.load(ordering: .relaxed) && bytes.count > 2300 && bytes[0] == 0x89 ? ENOSPC : nil
      }
    }
    var failures = 0
    for number in 20..<80 { do { try save(store, number) } catch { failures += 1 } }
    #expect(segments.count >= 1)
    #expect(byRename == (failures > 0))
    isBroken.store(false, ordering: .relaxed)
    let last = try #require(try store.lookup(key(1))?.iteration)
    #expect(byRename ? last >= 20 && last < 79 : last == 79)
    try save(store, 1000)
    try store.flush()
    try store.close()
    #expect(try bench.open(.readOnly).lookup(key(1))?.iteration == 1000)
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
        try? store.save(
          noise(number, count: 2000), for: key(thread), objective: -Double(number),
          iteration: UInt64(number))
        let found = try? store.lookup(key(thread))
        if found?.iteration != UInt64(number) { wrong.add(number) }
      }
    }
    #expect(wrong.all.isEmpty)
    #expect(replaced(by: logs[0]) >= 1)
    try store.close()
    let reader = try bench.open(.readOnly)
    for thread in 0..<3 { #expect(try reader.lookup(key(thread))?.iteration == 99) }
  }
}

/// Up until it is lowered.
private final class Flag: Sendable {
  private let up = Atomic(true)
  var isUp: Bool { up.load(ordering: .relaxed) }
  /// Gives whether it was up.
  @discardableResult
  func lower() -> Bool { up.exchange(false, ordering: .relaxed) }
}
