// What of lookups is noted on disk, and when.

import Glibc
import TestSupport
import Testing
import WarmStart

@Suite struct AccessMarkTests {
  private let bench = Bench()
  private static let ttl = 30_000.0

  init() { bench.options.timeToLive = UInt64(Self.ttl) }

  /// Everything on disk, as somebody finds it who opens the directory read-only.
  private func recordsOnDisk() throws -> Int {
    try bench.open(.readOnly) { $0.timeToLive = 0 }.statistics.records
  }

  @Test func aStoreThatOnlyLooksUpWritesNothingBeforeItIsClosed() throws {
    try bench.open().save(payload(1), for: key(1))
    let before = everything(in: bench.path)
    let reader = try bench.open()
    for _ in 0..<3 {
      #expect(try reader.lookup(key(1)) != nil)
      bench.clock.advance(seconds: Self.ttl / 10)
    }
    #expect(everything(in: bench.path) == before)
    try reader.close()
    #expect(listing(bench.path).count == before.count + 1)
    #expect(try recordsOnDisk() == 2)
  }

  @Test func aStoreThatWroteNothingElseKeepsItsMarks() throws {
    try bench.open().save(payload(1), for: key(1))
    bench.clock.advance(seconds: Self.ttl * 0.9)
    #expect(try bench.open().lookup(key(1)) != nil)
    bench.clock.advance(seconds: Self.ttl * 0.9)
    #expect(try bench.open().lookup(key(1))?.payload == payload(1))
  }

  @Test func marksOfAStoreThatWroteNothingElseAreNotSynced() throws {
    try bench.open().save(payload(1), for: key(1))
    let files = FaultyFiles()
    let reader = try bench.open(host: bench.host(files))
    #expect(try reader.lookup(key(1)) != nil)
    try reader.close()
    #expect(files.syncCount == 0)
    #expect(try recordsOnDisk() == 2)
  }

  @Test func aMarkIsWrittenOnlyIfTheNotedOneIsOlderThanAThirtieth() throws {
    try bench.open().save(payload(1), for: key(1))
    bench.clock.advance(seconds: 100)
    try bench.open().lookup(key(1)).map { _ in }
    #expect(try recordsOnDisk() == 2)
    let before = everything(in: bench.path)
    bench.clock.advance(seconds: Self.ttl / 30 - 2)
    for _ in 0..<5 { try bench.open().lookup(key(1)).map { _ in } }
    #expect(everything(in: bench.path) == before)
    bench.clock.advance(seconds: 4)
    for _ in 0..<5 { try bench.open().lookup(key(1)).map { _ in } }
    #expect(try recordsOnDisk() == 3)
  }

  @Test func aMarkGoesWithTheNextWriteAndNeedsNoSyncOfItsOwn() throws {
    let files = FaultyFiles()
    let store = try bench.open(host: bench.host(files))
    try store.save(payload(1), for: key(1))
    #expect(try store.lookup(key(1)) != nil)
    #expect(try store.statistics.records == 1)
    let before = files.syncCount
    try store.save(payload(2), for: key(2))
    #expect(files.syncCount == before + 1)
    #expect(try store.statistics.records == 3)
    try store.save(payload(3), for: key(3))
    #expect(try store.statistics.records == 4)
  }

  @Test func aMarkTellsWhenTheKeyWasLookedUpNotWhenThatWasWritten() throws {
    try bench.open().save(payload(1), for: key(1))
    let store = try bench.open()
    bench.clock.advance(seconds: 10)
    #expect(try store.lookup(key(1)) != nil)
    bench.clock.advance(seconds: Self.ttl * 0.9)
    try store.close()
    bench.clock.advance(seconds: Self.ttl * 0.2)
    #expect(try bench.open().lookup(key(1)) == nil)
  }

  @Test func moreMarksThanASegmentHoldsAreNotLost() throws {
    try bench.open().save((0..<1000).map { NewEntry([], for: key($0)) })
    bench.clock.advance(seconds: Self.ttl * 0.9)
    let store = try bench.open { $0.segmentLimit = 64 << 10 }
    for number in 0..<1000 { #expect(try store.lookup(key(number)) != nil) }
    try store.save([], for: key(5000))
    try store.close()
    bench.clock.advance(seconds: Self.ttl * 0.9)
    #expect(try bench.open().keys.count == 1001)
  }

  @Test func aMarkThatCannotBeWrittenFailsNoSave() throws {
    let files = FaultyFiles()
    let store = try bench.open(host: bench.host(files))
    try store.save(payload(1), for: key(1))
    #expect(try store.lookup(key(1)) != nil)
    files.failWrites { isRecord($0, .accessMark) ? ENOSPC : nil }
    try store.save(payload(2), for: key(2))
    #expect(try store.lookup(key(2))?.payload == payload(2))
    #expect(try store.lookup(key(1))?.payload == payload(1))
    try store.save(payload(3), for: key(3))
    #expect(files.unsyncedFiles == 0)
    files.failWrites(nil)
    try store.close()
    #expect(try bench.open().keys == [key(1), key(2), key(3)])
  }

  @Test func aMarkThatCannotBeWrittenFailsNoClose() throws {
    let files = FaultyFiles()
    let store = try bench.open(host: bench.host(files)) { $0.durability = .buffered }
    try store.save(payload(1), for: key(1))
    #expect(try store.lookup(key(1)) != nil)
    files.failWrites { isRecord($0, .accessMark) ? ENOSPC : nil }
    try store.close()
    #expect(files.unsyncedFiles == 0)
    #expect(try bench.open().lookup(key(1))?.payload == payload(1))
  }

  @Test func aReadOnlyStoreNotesNothing() throws {
    try bench.open().save(payload(1), for: key(1))
    let before = everything(in: bench.path)
    let reader = try bench.open(.readOnly)
    #expect(try reader.lookup(key(1)) != nil)
    try reader.close()
    #expect(everything(in: bench.path) == before)
  }

  @Test func aKeyThatIsNotThereLeavesNoMark() throws {
    try bench.open().save(payload(1), for: key(1))
    let before = everything(in: bench.path)
    let reader = try bench.open()
    #expect(try reader.lookup(key(2)) == nil)
    try reader.close()
    #expect(everything(in: bench.path) == before)
  }
}
