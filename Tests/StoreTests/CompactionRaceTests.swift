// Compaction where something else happens at the wrong moment.

import Glibc
import Synchronization
import TestSupport
import Testing
import WarmStart

@Suite struct CompactionRaceTests {
  private let bench = Bench()
  private let files = FaultyFiles()

  private var segments: [String] { listing(bench.path).filter { SegmentName($0) != nil } }

  private func read(_ name: String) -> [UInt8] { contents("\(bench.path)/\(name)") }

  private func damage(_ name: String, at find: [UInt8]) throws {
    var bytes = read(name)
    bytes[try #require(bytes.firstRange(of: find)).lowerBound + find.count / 2] ^= 1
    write(bytes, to: "\(bench.path)/\(name)")
  }

  @Test func aLookupThatFindsTheBetterOneDamagedMeanwhileDoesNotCostTheOther() throws {
    // More keys than are judged at once; each has one entry in a closed segment, and a better one in a
    // log that is still written.
    let keys = 0..<300
    let first = try bench.open()
    try first.save(keys.map { NewEntry(noise($0, count: 100), for: key($0), objective: 5) })
    try first.close()
    bench.clock.advance(seconds: 1)
    let living = try bench.open()
    try living.save(keys.map { NewEntry(noise(1000 + $0, count: 100), for: key($0), objective: 1) })
    try living.save(payload(1), for: key(999))
    let victim = try #require(keys.map(key).max())
    let number = try #require(keys.first { key($0) == victim })
    let log = try #require(segments.first { $0.hasSuffix(".log") })
    try damage(log, at: noise(1000 + number, count: 100))
    let store = try bench.open()
    var control = Engine.CompactionControl()
    var hasLooked = false
    control.progress = { _, _ in
      guard !hasLooked else { return }
      hasLooked = true
      _ = try? store.lookup(victim)
    }
    _ = try store.engine().compact(control)
    #expect(hasLooked)
    #expect(try bench.open(.readOnly).lookup(victim)?.payload == noise(number, count: 100))
  }

  @Test func whatADamagedSegmentRemovedStaysRemovedIfTheCompactionIsCutShort() throws {
    let first = try bench.open()
    try first.save(payload(1), for: key(1))
    try first.close()
    let healthy = segments[0]
    bench.clock.advance(seconds: 1)
    let second = try bench.open()
    try second.remove(key(1))
    try second.close()
    // One copy of its header is damaged, which loses nothing.
    let damaged = try #require(segments.first { $0 != healthy })
    var bytes = read(damaged)
    bytes[30] ^= 1
    write(bytes, to: "\(bench.path)/\(damaged)")
    // It ends between the one and the other.
    let store = try bench.open(host: bench.host(files))
    files.failUnlinks { $0 == healthy ? EIO : nil }
    #expect(throws: StoreError.self) { try store.compact() }
    files.failUnlinks(nil)
    #expect(listing("\(bench.path)/quarantine") == [damaged])
    #expect(segments.contains(healthy))
    #expect(try bench.open(.readOnly).lookup(key(1)) == nil)
    try bench.open().compact()
    #expect(try bench.open(.readOnly).lookup(key(1)) == nil)
    #expect(segments.isEmpty)
  }

  @Test func aLongLivedStoreForgetsARemovalThatIsGone() throws {
    bench.options.timeToLive = 0
    let store = try bench.open()
    try store.save(payload(1), for: key(1))
    bench.clock.advance(seconds: 10)
    try store.remove(key(1))
    try store.compact()
    #expect(segments.isEmpty)
    // Of a clock that is behind.
    let behind = ManualClock(wall: 1_600_000_000_000_000_000)
    let other = try bench.open(host: bench.host(clock: behind))
    try other.save(payload(2), for: key(1))
    try other.close()
    #expect(try store.lookup(key(1))?.payload == payload(2))
    try store.compact()
    #expect(try store.lookup(key(1))?.payload == payload(2))
    #expect(try bench.open(.readOnly).lookup(key(1))?.payload == payload(2))
  }

  @Test func aRemovalThatItsWriterCouldNotSyncMakesNothingDead() throws {
    let first = try bench.open()
    try first.save(payload(1), for: key(1))
    try first.save(payload(2), for: key(2))
    try first.save(payload(3), for: key(2), objective: 1)
    try first.close()
    bench.clock.advance(seconds: 1)
    let writer = try bench.open()
    try writer.save(payload(4), for: key(3))
    let log = try #require(segments.first { $0.hasSuffix(".log") })
    let before = read(log)
    let store = try bench.open()
    try writer.remove(key(1))
    #expect(try store.lookup(key(1)) == nil)
    // Its sync fails, and the file goes back to what it was.
    let file = Glibc.open("\(bench.path)/\(log)", O_WRONLY)
    #expect(pwrite(file, before, before.count, 0) == before.count)
    close(file)
    try store.compact()
    #expect(try bench.open(.readOnly).lookup(key(1))?.payload == payload(1))
  }

  @Test func whatAMergeCouldNotUnlinkDoesNotComeBackWithTheNext() throws {
    let first = try bench.open()
    try first.save(noise(1, count: 900), for: key(1))
    try first.save(noise(2, count: 900), for: key(2))
    try first.close()
    let victim = segments[0]
    bench.clock.advance(seconds: 1)
    let second = try bench.open()
    try second.remove(key(1))
    try second.save(noise(3, count: 900), for: key(3))
    try second.close()
    bench.clock.advance(seconds: 1)
    let living = try bench.open()
    try living.save(noise(4, count: 900), for: key(4))
    let store = try bench.open(host: bench.host(files))
    let refusals = Atomic(0)
    files.failUnlinks { name in
      guard name == victim, refusals.add(1, ordering: .relaxed).newValue == 1 else { return nil }
      return ENOSPC
    }
    var control = Engine.CompactionControl()
    // So that the output is merged again in the same run.
    control.progress = { _, _ in try? living.close() }
    _ = try? store.engine().compact(control)
    #expect(refusals.load(ordering: .relaxed) > 0 && segments.count == 1)
    let reader = try bench.open(.readOnly)
    #expect(try reader.lookup(key(1)) == nil)
    for number in 2...4 {
      #expect(try reader.lookup(key(number))?.payload == noise(number, count: 900))
    }
  }

  @Test(arguments: [true, false])
  func aLockFileThatHoldsSomethingIsLeftAsItIs(isLinked: Bool) throws {
    for number in 0..<2 {
      let store = try bench.open()
      try store.save(noise(number, count: 3000), for: key(1), objective: Double(-number))
      try store.close()
      bench.clock.advance(seconds: 1)
    }
    let lock = "\(bench.path)/compaction.lock"
    let other = bench.directory.appending("other")
    // What has another name may be all zeros, and still be somebody's.
    write([UInt8](repeating: isLinked ? 0 : 7, count: 9000), to: isLinked ? other : lock)
    if isLinked { #expect(link(other, lock) == 0) }
    let before = contents(lock)
    #expect(try bench.open().compact().mergedSegments > 0)
    #expect(contents(lock) == before)
  }

  @Test func whoseLockFileIsDeletedGivesUpAndChangesNothing() throws {
    // Another compactor may have made a new one meanwhile.
    for number in 0..<6 {
      let store = try bench.open()
      try store.save(noise(number, count: 3000), for: key(number % 4), objective: Double(-number))
      try store.close()
      bench.clock.advance(seconds: 1)
    }
    let before = segments
    let store = try bench.open()
    var control = Engine.CompactionControl()
    control.progress = { [path = bench.path] _, _ in unlink("\(path)/compaction.lock") }
    #expect(throws: StoreError.self) { try store.engine().compact(control) }
    // What is wholly dead goes without being copied.
    #expect(Set(segments).isSubset(of: before) && segments.count >= 4)
    for number in 2..<6 {
      #expect(try store.lookup(key(number % 4))?.payload == noise(number, count: 3000))
    }
    try store.compact()
    #expect(segments.count == 1)
  }

  @Test func aRemovalThatAPowerCutLeavesAndABetterEntryThatItTakesLoseNothing() throws {
    func saveSealed(_ number: Int, _ objective: Double?) throws {
      bench.clock.advance(seconds: 1)
      let store = try bench.open()
      try store.save(noise(number, count: 300), for: key(1), objective: objective)
      try store.close()
    }
    try saveSealed(1, -1)
    bench.clock.advance(seconds: 1)
    let remover = try bench.open { $0.durability = .buffered }
    try remover.remove(key(1))
    // What counts, and what is newer, on stable storage; and what is better, and is not.
    try saveSealed(2, 1)
    try saveSealed(3, nil)
    bench.clock.advance(seconds: 1)
    let before = Set(listing(bench.path))
    let writer = try bench.open { $0.durability = .buffered }
    try writer.save(noise(4, count: 300), for: key(1), objective: -2)
    let log = try #require(listing(bench.path).first { !before.contains($0) })
    try bench.open().compact()
    #expect(try bench.open(.readOnly).lookupBest(key(1))?.payload == noise(4, count: 300))
    // The power cut.
    var store: WarmStartStore? = remover
    try bench.witness(.killed, of: &store)
    #expect(bench.remove(log))
    #expect(try bench.open(.readOnly).lookupBest(key(1))?.payload == noise(2, count: 300))
    try writer.close()
  }

  @Test func oneSegmentThatCannotBeReadDoesNotKeepTheOthersFromBeingCompacted() throws {
    for number in 0..<9 {
      let store = try bench.open()
      try store.save(noise(number, count: 700), for: key(number))
      try store.close()
    }
    let bad = segments[4]
    let store = try bench.open(host: bench.host(files))
    files.failReads { $0.hasSuffix(bad) ? EIO : nil }
    let error = #expect(throws: StoreError.self) { try store.compact() }
    #expect(error?.description.contains(bad) == true)
    files.failReads(nil)
    #expect(segments.contains(bad) && segments.count < 9)
    for number in 0..<9 {
      #expect(try bench.open(.readOnly).lookup(key(number))?.payload == noise(number, count: 700))
    }
    try store.compact()
    #expect(segments.count == 1)
  }

  @Test func anyNumberOfDamagedSegmentsIsSetAsideAtOnce() throws {
    for number in 0..<80 {
      bench.clock.advance(seconds: 1)
      let store = try bench.open()
      try store.save(noise(number, count: 300), for: key(number))
      try store.save(noise(1000 + number, count: 300), for: key(1000 + number))
      try store.close()
    }
    for (number, name) in segments.sorted().enumerated() {
      try damage(name, at: noise(number, count: 300))
    }
    let report = try bench.open().compact()
    #expect(report.quarantined.count == 80)
    #expect(segments.count == 1)
    let store = try bench.open(.readOnly)
    for number in 0..<80 {
      #expect(try store.lookup(key(1000 + number)) != nil)
      #expect(try store.lookup(key(number)) == nil)
    }
  }

  @Test func thereMayBeMoreSegmentsThanFilesCanBeOpen() async {
    await #expect(processExitsWith: .success) {
      let bench = Bench()
      let count = 320
      for number in 0..<count {
        let store = try bench.open { $0.durability = .buffered }
        try store.save(payload(number), for: key(number))
        try store.close()
      }
      var limit = rlimit()
      getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
      limit.rlim_cur = 220
      setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
      let store = try bench.open()
      try store.compact()
      let left = listing(bench.path).filter { SegmentName($0) != nil }
      precondition(left.count == 1)
      for number in 0..<count {
        let found = try store.lookup(key(number))
        precondition(found?.payload == payload(number))
      }
    }
  }
}
