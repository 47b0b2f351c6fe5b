// A full log that the next one succeeds, where something fails in between, or others look on.

import Glibc
import Synchronization
import TestSupport
import Testing
import WarmStart

@Suite struct InterruptedSuccessionTests {
  private let bench = Bench()
  private let files = FaultyFiles()

  init() { bench.options.compactsByItself = true }

  private func open(
    _ durability: Durability = .buffered, _ change: (inout StoreOptions) -> Void = { _ in }
  ) throws -> WarmStartStore { try bench.openSmall(files, durability, change) }

  @Test func aFullLogThatCannotGoHoldsNothingThatCounts() throws {
    let store = try open()
    files.failUnlinks { name in name.hasSuffix(".log") ? EACCES : nil }
    for number in 0..<45 { try save(store, number) }
    #expect(bench.logs.count == 2)
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
    #expect(bench.logs.isEmpty && bench.segments.count <= 1)
    #expect(try again.lookup(key(1)) == nil)
    try again.close()
  }

  /// None of a chain of logs that could not go is forgotten.
  @Test func ofManyFullLogsThatCannotGoNoneComesBack() throws {
    let store = try open()
    files.failUnlinks { name in name.hasSuffix(".log") ? EACCES : nil }
    for number in 0..<150 { try save(store, number) }
    #expect(bench.logs.count > 4)
    #expect(bench.replaced(by: bench.logs.max()!) == bench.logs.count - 1)
    try store.remove(key(1))
    try store.close()
    files.failUnlinks(nil)
    try open().compact()
    #expect(bench.logs.isEmpty)
    #expect(try bench.open(.readOnly).lookup(key(1)) == nil)
  }

  /// Of logs that others write, more than files may be open, one goes while a merge is about to open it.
  @Test func aLogThatGoesWhileAMergeOpensItIsNoReasonToFail() throws {
    let writers = try (0..<4).map { _ in try bench.openSmall(FaultyFiles()) }
    for (number, writer) in writers.enumerated() {
      for round in 0..<20 { try save(writer, round, for: number) }
    }
    // Two that may be merged, and whoever merges them.
    let compactor = try open { $0.openFiles = 2 }
    for round in 0..<60 { try compactor.save(noise(round, count: 2000), for: key(100 + round)) }
    for round in 0..<60 {
      try compactor.save(noise(round, count: 2000), for: key(100 + round % 30))
    }
    let gone = Notes<String>()
    let opened = Notes<String>()
    // After one listing a log is opened to see whether it is given up, to read on, and by the merge.
    files.beforeOpening { [gone, opened, files] name in
      guard name.hasSuffix(".log"), gone.all.isEmpty else { return }
      opened.add("\(name) \(files.listCount)")
      guard opened.all.count(where: { $0 == opened.all.last }) == 3 else { return }
      gone.add(name)
      // Its writer fills it, and the next one succeeds it.
      for (number, writer) in writers.enumerated() {
        for round in 20..<40 { try? save(writer, round, for: number) }
      }
    }
    defer { files.beforeOpening(nil) }
    try compactor.compact()
    #expect(gone.all.count == 1)
    #expect(!bench.logs.contains(gone.all[0]))
    for number in 0..<writers.count {
      #expect(try compactor.lookup(key(number))?.iteration == 39)
    }
    for round in 0..<60 {
      let last = round < 30 ? 30 + round : round
      #expect(try compactor.lookupLatest(key(100 + round))?.payload == noise(last, count: 2000))
    }
    for writer in writers { try writer.close() }
  }

  @Test func aLogThatHasItsNameIsNotTakenBack() throws {
    let store = try open(.synced)
    for number in 0..<20 { try save(store, number) }
    let isArmed = Flag(isUp: true)
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
  /// Whichever listings of the directory leave the full log out, which is being renamed.
  @Test(arguments: [0, 1])
  func whatReplacesALogThatIsStillThereIsNotMerged(hidingIn parity: Int) throws {
    let store = try open(.synced)
    try save(store, 1000, for: 2)
    for number in 0..<20 { try save(store, number) }
    let isArmed = Flag(isUp: true)
    files.failDirectorySyncs { [path = bench.path] in
      listing(path).filter { $0.hasSuffix(".log") }.count == 2 && isArmed.lower() ? EIO : nil
    }
    let removed = Notes<Bool>()
    nonisolated(unsafe) let bench = bench
    // The full log is about to be sealed; the one that replaces it is nobody's.
    files.failRenames { [removed] name in
      guard !isArmed.isUp, removed.all.isEmpty, name.hasSuffix(".log") else { return nil }
      removed.add(true)
      let others = FaultyFiles()
      others.hide { number, hidden in number % 2 == parity && hidden.hasPrefix(name.dropLast(4)) }
      let other = try? bench.open(host: bench.host(others))
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
    for number in 0..<2 {
      bench.clock.advance(seconds: 1)
      let first = try open { $0.compactsByItself = false }
      try save(first, number, for: 1, objective: 9)
      try save(first, number, for: 100 + number)
      try first.close()
    }
    let second = try #require(bench.segments.max())
    bench.clock.advance(seconds: 1)
    let writer = try open(.synced) { $0.upkeepPolicy.freeWaste = .max / 4 }
    let rounds = Notes<Int>()
    @Sendable func fill() {
      rounds.add(1)
      for number in 0..<40 { try? save(writer, 40 * rounds.all.count + number) }
      // By which the one before is known to be on stable storage.
      try? save(writer, 1, for: 50)
    }
    fill()
    let others = FaultyFiles()
    let compactor = try bench.open(host: bench.host(others)) { $0.compactsByItself = false }
    #expect(try compactor.lookup(key(1)) != nil)
    // Of each turn the first two reads of the second segment find out what is on stable storage, the next two what is in
    // it; by then it is decided what of the first segment is dead.
    let reads = Notes<Int>()
    others.failReads { path in
      guard path.hasSuffix(second) else { return nil }
      reads.add(1)
      if reads.all.count % 4 == 3 { fill() }
      return nil
    }
    #expect(try compactor.compact().mergedSegments >= 2)
    // Before the merge, and once in each of two turns.
    #expect(rounds.all.count == 3)
    others.failReads(nil)
    #expect(try compactor.lookup(key(1))?.iteration == 40 * 3 + 39)
    #expect(try compactor.lookup(key(101))?.payload == noise(1, count: 2000))
    try writer.close()
    try compactor.close()
  }

  @Test func whatAnotherRemovedLetsCountWhatIsLeft() throws {
    let store = try open { $0.upkeepPolicy.freeWaste = .max / 4 }
    let other = try bench.open()
    try save(store, 1, objective: 1)
    bench.clock.advance(seconds: 1)
    try other.remove(key(1))
    for number in 2..<40 {
      // No save has a reason to look at what others did.
      bench.clock.advance(seconds: 1)
      try save(store, number, objective: number == 2 ? 2 : 3)
    }
    #expect(bench.segments.count == 1)
    #expect(try store.lookupBest(key(1))?.iteration == 2)
    try store.close()
    #expect(try bench.open(.readOnly).lookupBest(key(1))?.iteration == 2)
    try other.close()
  }

  @Test func aFullLogOfALivingWriterIsLeftToIt() throws {
    let store = try open()
    let isArmed = Flag(isUp: true)
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
    #expect(bench.segments.count >= 1)
    #expect(byRename == (failures > 0))
    isBroken.store(false, ordering: .relaxed)
    let last = try #require(try store.lookup(key(1))?.iteration)
    #expect(byRename ? last >= 20 && last < 79 : last == 79)
    try save(store, 1000)
    try store.flush()
    try store.close()
    #expect(try bench.open(.readOnly).lookup(key(1))?.iteration == 1000)
  }
}
