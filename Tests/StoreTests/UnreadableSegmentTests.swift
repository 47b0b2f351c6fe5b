// A segment that the disk cannot read.

import Glibc
import TestSupport
import Testing
import WarmStart

@Suite struct UnreadableSegmentTests {
  private let bench = Bench()
  private let files = FaultyFiles()

  /// Saves under a key in a segment of its own, and gives the segment's name.
  private func saveAlone(_ number: Int) throws -> String {
    let before = Set(listing(bench.path))
    let store = try bench.open()
    try store.save(payload(number), for: key(number))
    try store.close()
    return try #require(listing(bench.path).first { !before.contains($0) })
  }

  @Test func aRunningFitLosesOnlyWhatTheDiskCannotRead() throws {
    _ = try saveAlone(1)
    let store = try bench.open(host: bench.host(files))
    #expect(try store.lookup(key(1))?.payload == payload(1))
    let bad = try saveAlone(2)
    files.failReads { $0.hasSuffix(bad) ? EIO : nil }
    _ = try saveAlone(3)
    #expect(try store.lookup(key(1))?.payload == payload(1))
    #expect(try store.lookup(key(2)) == nil)
    #expect(try store.lookup(key(3))?.payload == payload(3))
    try store.save(payload(4), for: key(4))
    try store.remove(key(3))
    // Nothing was concluded: the disk reads again, and everything is there.
    files.failReads(nil)
    #expect(try store.lookup(key(2))?.payload == payload(2))
    #expect(try store.lookup(key(3)) == nil)
    #expect(try store.statistics.damagedRecords == 0)
  }

  @Test func allKeysAreListedOnceTheDiskReadsAgain() throws {
    let bad = try saveAlone(1)
    let newer = try saveAlone(1)
    let store = try bench.open(host: bench.host(files))
    files.failReads { $0.hasSuffix(bad) ? EIO : nil }
    // What fills the key's slots is gone: the store must look into every other segment.
    #expect(bench.remove(newer))
    #expect(throws: StoreError.self) { try store.keys }
    files.failReads(nil)
    #expect(try store.keys == [key(1)])
    #expect(try store.statistics.keys == 1)
  }

  @Test func aRemovalIsRefusedThatMightBeOlderThanWhatCannotBeRead() throws {
    _ = try saveAlone(1)
    let store = try bench.open(host: bench.host(files))
    let bad = try saveAlone(2)
    bench.clock.set(wall: bench.clock.now - 3_600_000_000_000)
    files.failReads { $0.hasSuffix(bad) ? EIO : nil }
    #expect(throws: StoreError.self) { try store.remove(key(2)) }
    files.failReads(nil)
    try store.remove(key(2))
    #expect(try bench.open().lookup(key(2)) == nil)
  }

  @Test(arguments: [true, false])
  func noKeyExpiresWhileWhatMayTellOfItsUseCannotBeRead(compacts: Bool) throws {
    bench.options.timeToLive = 1000
    let store = try bench.open(host: bench.host(files))
    try store.save(payload(0), for: key(1), objective: 0)
    bench.clock.advance(seconds: 800)
    let bad = try saveAlone(1)
    files.failReads { $0.hasSuffix(bad) ? EIO : nil }
    bench.clock.advance(seconds: 500)
    if compacts { _ = try? store.compact() }
    try store.save(payload(2), for: key(1), objective: 5)
    files.failReads(nil)
    #expect(try bench.open(.readOnly).lookupBest(key(1))?.payload == payload(0))
  }

  @Test func whatWasDoubtfulIsDecidedOnceTheDiskReadsAgain() throws {
    bench.options.timeToLive = 1000
    let store = try bench.open(host: bench.host(files))
    try store.save(payload(0), for: key(1), objective: 0)
    let bad = try saveAlone(2)
    files.failReads { $0.hasSuffix(bad) ? EIO : nil }
    bench.clock.advance(seconds: 1500)
    #expect(try store.lookup(key(2)) == nil)
    files.failReads(nil)
    try store.save(payload(3), for: key(1), objective: 5)
    #expect(try store.lookupBest(key(1))?.payload == payload(3))
  }

  @Test func nothingIsEvictedWhenWhatMayTellOfItsUseCannotBeReadAnyMore() throws {
    bench.options.timeToLive = 1000
    bench.options.segmentLimit = 64 << 10
    let store = try bench.open(host: bench.host(files))
    for number in 0..<40 {
      try store.save(noise(number, count: 4000), for: key(number), objective: 0)
    }
    bench.clock.advance(seconds: 600)
    for number in stride(from: 1, to: 40, by: 2) { _ = try store.lookup(key(number)) }
    bench.clock.advance(seconds: 900)
    // It is found expired, and used by another after that; and then the disk fails.
    var control = Engine.CompactionControl()
    let bad = Notes<String>()
    control.progress = { [bench, files] _, _ in
      guard bad.all.isEmpty else { return }
      bad.add("")
      let before = Set(listing(bench.path))
      let other = try! bench.open()
      try! other.save(payload(99), for: key(8), objective: 9)
      try! other.close()
      let names = listing(bench.path).filter { !before.contains($0) && $0.hasSuffix(".seg") }
      files.failReads { name in names.contains { name.hasSuffix($0) } ? EIO : nil }
    }
    _ = try? store.engine().compact(control)
    files.failReads(nil)
    #expect(!bad.all.isEmpty)
    #expect(try bench.open(.readOnly).lookup(key(8)) != nil)
  }

  @Test func aStoreThatCannotBeReadWholeIsNotOpened() throws {
    _ = try saveAlone(1)
    let bad = try saveAlone(2)
    files.failReads { $0.hasSuffix(bad) ? EIO : nil }
    #expect(throws: StoreError.self) { try bench.open(host: bench.host(files)) }
  }

  @Test func anUnreadableRecordIsAnErrorAndNoDamage() throws {
    let bad = try saveAlone(1)
    let store = try bench.open(host: bench.host(files))
    files.failReads { $0.hasSuffix(bad) ? EIO : nil }
    #expect(throws: StoreError.self) { try store.lookup(key(1)) }
    files.failReads(nil)
    #expect(try store.lookup(key(1))?.payload == payload(1))
  }

  @Test func aSegmentThatIsGoneForAMomentIsARefresh() throws {
    let name = try saveAlone(1)
    let store = try bench.open(host: bench.host(files))
    // The server forgets the handle once; the file is as it was.
    let stale = Countdown(1)
    files.failReads { $0.hasSuffix(name) && stale.next() ? ESTALE : nil }
    #expect(try store.lookup(key(1))?.payload == payload(1))
  }
}
