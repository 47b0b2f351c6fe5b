// What is on stable storage when a call returns.

import Glibc
import TestSupport
import Testing
import WarmStart

@Suite struct DurabilityTests {
  private let bench = Bench()
  private let files = FaultyFiles()

  private func open(
    _ durability: Durability, sealedAsideFrom: UInt64 = .max
  ) throws -> WarmStartStore {
    try bench.open(host: bench.host(files)) {
      $0.durability = durability
      $0.segmentLimit = 64 << 10
      $0.sealedAsideFrom = sealedAsideFrom
    }
  }

  /// By the thread that saves, and by another.
  private static let sealing: [UInt64] = [.max, 0]

  @Test func aSyncedSaveIsOnStableStorageWhenItReturns() throws {
    let store = try open(.synced)
    for number in 0..<40 {
      try store.save(noise(number, count: 5000), for: key(number))
      #expect(files.unsyncedFiles == 0)
    }
    try store.remove(key(1))
    #expect(files.unsyncedFiles == 0)
  }

  @Test func aBufferedSaveSyncsNothing() throws {
    let store = try open(.buffered)
    try store.save(payload(0), for: key(0))
    let before = files.syncCount
    for number in 1..<40 { try store.save(payload(number), for: key(number)) }
    #expect(files.syncCount == before)
    #expect(files.unsyncedFiles == 1)
  }

  @Test(arguments: sealing)
  func flushPutsEverythingOnStableStorage(_ sealedAsideFrom: UInt64) throws {
    let store = try open(.buffered, sealedAsideFrom: sealedAsideFrom)
    for number in 0..<40 { try store.save(noise(number, count: 5000), for: key(number)) }
    try store.flush()
    #expect(files.unsyncedFiles == 0)
  }

  @Test(arguments: sealing)
  func aFinalPutsEverythingOnStableStorage(_ sealedAsideFrom: UInt64) throws {
    let store = try open(.buffered, sealedAsideFrom: sealedAsideFrom)
    for number in 0..<40 { try store.save(noise(number, count: 5000), for: key(number)) }
    #expect(files.unsyncedFiles >= 1)
    try store.save(payload(1), for: key(1), kind: .final)
    #expect(files.unsyncedFiles == 0)
    try store.save([NewEntry([], for: key(2)), NewEntry([], for: key(3), kind: .final)])
    #expect(files.unsyncedFiles == 0)
  }

  @Test(arguments: sealing)
  func closePutsEverythingOnStableStorage(_ sealedAsideFrom: UInt64) throws {
    let store = try open(.buffered, sealedAsideFrom: sealedAsideFrom)
    for number in 0..<40 { try store.save(noise(number, count: 5000), for: key(number)) }
    try store.close()
    #expect(files.unsyncedFiles == 0)
  }

  @Test(arguments: sealing)
  func aSegmentThatCannotBeSealedIsSyncedByFlushAllTheSame(_ sealedAsideFrom: UInt64) throws {
    let store = try open(.buffered, sealedAsideFrom: sealedAsideFrom)
    files.failWrites { isFooter($0) ? ENOSPC : nil }
    for number in 0..<40 { try store.save(noise(number, count: 5000), for: key(number)) }
    try store.flush()
    #expect(files.unsyncedFiles == 0)
    #expect(try store.keys.count == 40)
  }

  @Test(arguments: sealing)
  func aSegmentThatCannotBeSealedIsSyncedByCloseAllTheSame(_ sealedAsideFrom: UInt64) throws {
    let store = try open(.buffered, sealedAsideFrom: sealedAsideFrom)
    files.failWrites { isFooter($0) ? ENOSPC : nil }
    for number in 0..<40 { try store.save(noise(number, count: 5000), for: key(number)) }
    try store.close()
    #expect(files.unsyncedFiles == 0)
    let reopened = try bench.open()
    #expect(try reopened.keys.count == 40)
    #expect(try reopened.statistics.damagedRecords == 0)
  }

  @Test(arguments: sealing)
  func aBatchThatSpansASegmentThatCannotBeSealedIsOnStableStorage(_ sealedAsideFrom: UInt64) throws
  {
    let store = try open(.synced, sealedAsideFrom: sealedAsideFrom)
    files.failWrites { isFooter($0) ? ENOSPC : nil }
    try store.save((0..<9000).map { NewEntry([], for: key($0)) })
    #expect(files.unsyncedFiles == 0)
  }

  @Test func aFailedBatchLeavesEarlierSavesToFlush() throws {
    let store = try open(.buffered)
    for number in 0..<5 { try store.save(payload(number), for: key(number)) }
    files.failWrites { _ in ENOSPC }
    #expect(throws: StoreError.self) {
      try store.save([NewEntry([], for: key(8)), NewEntry([], for: key(9))])
    }
    files.failWrites(nil)
    try store.flush()
    #expect(files.unsyncedFiles == 0)
    #expect(try store.keys.count == 5)
  }

  /// As btrfs does; and somebody looks before the one who syncs has heard of it.
  @Test func whatAFailingSyncTakesBackIsNoDamage() throws {
    let store = try open(.buffered)
    try store.save(payload(1), for: key(1), kind: .final)
    let log = "\(bench.path)/" + listing(bench.path)[0]
    let before = contents(log)
    try store.save(payload(2), for: key(2))
    let found = Notes<[UInt8]?>()
    files.failSyncs {
      TestSupport.write(before, to: log)
      found.add((try? store.lookup(key(2)))??.payload)
      return EIO
    }
    #expect(throws: StoreError.self) { try store.flush() }
    files.failSyncs(nil)
    #expect(found.all == [nil])
    #expect(try store.statistics.damagedRecords == 0)
    #expect(try store.compact().damage.isEmpty)
    #expect(try store.lookup(key(1))?.payload == payload(1))
    try store.close()
  }

  @Test func flushDoesNotClaimWhatAFailedSyncMayHaveLost() throws {
    let store = try open(.buffered)
    try store.save(payload(1), for: key(1))
    let failing = Countdown(1)
    files.failSyncs { failing.next() ? EIO : nil }
    #expect(throws: StoreError.self) { try store.flush() }
    try store.save(payload(2), for: key(2))
    try store.flush()
    #expect(try store.lookup(key(1))?.payload == payload(1))
  }

  @Test func flushTellsOfASyncThatFailedBehindAnotherSave() throws {
    let store = try open(.buffered)
    try store.save(payload(1), for: key(1))
    let failing = Countdown(1)
    files.failSyncs { failing.next() ? EIO : nil }
    // The final is written anew to another segment; the entry before it may be lost.
    try store.save(payload(2), for: key(2), kind: .final)
    #expect(try store.lookup(key(2))?.payload == payload(2))
    #expect(throws: StoreError.self) { try store.flush() }
  }

  @Test func closeTellsOfASyncThatFailedBehindAnotherSave() throws {
    let store = try open(.buffered)
    try store.save(payload(1), for: key(1))
    let failing = Countdown(1)
    files.failSyncs { failing.next() ? EIO : nil }
    try store.save(payload(2), for: key(2), kind: .final)
    #expect(throws: StoreError.self) { try store.close() }
    #expect(throws: StoreError.closed(path: bench.path)) { try store.keys }
  }

  @Test func aSyncThatFailsOnceCostsNoAcknowledgedSave() throws {
    let store = try open(.synced)
    try store.save(payload(1), for: key(1))
    let failing = Countdown(1)
    files.failSyncs { failing.next() ? EIO : nil }
    try store.save(payload(2), for: key(2))
    #expect(try store.lookup(key(2))?.payload == payload(2))
    #expect(try store.entries(for: key(2)).count >= 1)
    #expect(listing(bench.path).count == 2)
    try store.close()
    #expect(try bench.open().keys == [key(1), key(2)])
  }

  @Test func aSyncThatFailsForGoodIsAnErrorAndTheStoreStaysUsable() throws {
    let store = try open(.synced)
    try store.save(payload(1), for: key(1))
    files.failSyncs { EIO }
    #expect(throws: StoreError.self) { try store.save(payload(2), for: key(2)) }
    #expect(try store.lookup(key(1))?.payload == payload(1))
    files.failSyncs(nil)
    try store.save(payload(3), for: key(3))
    #expect(try store.lookup(key(3))?.payload == payload(3))
    try store.close()
    #expect(try bench.open().lookup(key(3))?.payload == payload(3))
  }

  @Test func aFailedSaveThatOthersHaveFoundIsNotTakenBack() throws {
    let store = try open(.synced)
    try store.save(payload(1), for: key(1))
    // What fails is only the end of the record: zeros, as they stand there already.
    let bytes = [UInt8](repeating: 7, count: 61)
    files.failWritesInTheMiddle { isRecord($0, .checkpoint) ? $0.count - 3 : nil }
    #expect(throws: StoreError.self) { try store.save(bytes, for: key(2)) }
    files.failWritesInTheMiddle(nil)
    let other = try bench.open()
    let found = try other.lookup(key(2))
    try store.save(payload(3), for: key(3))
    #expect(try other.lookup(key(2)) == found)
    #expect(try bench.open().lookup(key(2)) == found)
    #expect(try other.lookup(key(3))?.payload == payload(3))
    #expect(try other.engine().verify(.payloads).damage.isEmpty)
  }

  @Test func whatAFailedBatchLeftWholeIsKnownToItsOwnStoreAsToOthers() throws {
    let store = try open(.buffered)
    try store.save(payload(1), for: key(1))
    files.failWritesInTheMiddle { $0.count > 1000 ? 700 : nil }
    #expect(throws: StoreError.self) {
      try store.save((2..<12).map { NewEntry(noise($0, count: 200), for: key($0)) })
    }
    files.failWritesInTheMiddle(nil)
    let keys = try bench.open().keys
    #expect(keys.count == 2 || keys.count == 3)
    #expect(try store.keys == keys)
  }

  @Test func aFullDiskIsAnErrorAndTheStoreGoesOnOnceThereIsSpace() throws {
    let store = try open(.synced)
    try store.save(payload(1), for: key(1))
    files.failWrites { _ in ENOSPC }
    #expect(throws: StoreError.self) { try store.save(payload(2), for: key(2)) }
    #expect(throws: StoreError.self) { try store.remove(key(1)) }
    #expect(try store.lookup(key(1))?.payload == payload(1))
    #expect(try store.lookup(key(2)) == nil)
    files.failWrites(nil)
    try store.save(payload(3), for: key(3))
    try store.close()
    #expect(try bench.open().keys == [key(1), key(3)])
    #expect(try bench.open().statistics.damagedRecords == 0)
  }
}
