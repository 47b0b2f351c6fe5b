// Removing keys.

import TestSupport
import Testing
import WarmStart

@Suite struct RemovalTests {
  private let bench = Bench()

  @Test(arguments: Witness.allCases)
  func aRemovedKeyIsGone(_ way: Witness) throws {
    var store: WarmStartStore? = try bench.open()
    try store!.save(payload(1), for: key(1), kind: .final, objective: 1)
    try store!.save(payload(2), for: key(1), objective: 2)
    try store!.save(payload(3), for: key(2))
    try store!.remove(key(1))
    try bench.witness(way, of: &store)
    #expect(try store!.lookup(key(1)) == nil)
    #expect(try store!.lookupLatest(key(1)) == nil)
    #expect(try store!.lookupBest(key(1)) == nil)
    #expect(try store!.entries(for: key(1)) == [])
    #expect(try store!.keys == [key(2)])
    #expect(try store!.statistics.keys == 1)
  }

  @Test(arguments: Witness.allCases)
  func whatIsSavedAfterARemovalIsThere(_ way: Witness) throws {
    var store: WarmStartStore? = try bench.open()
    try store!.save(payload(1), for: key(1), kind: .final, objective: 1)
    try store!.remove(key(1))
    try store!.save(payload(2), for: key(1), objective: 7)
    try bench.witness(way, of: &store)
    #expect(try store!.lookup(key(1))?.payload == payload(2))
    #expect(try store!.lookupBest(key(1))?.payload == payload(2))
    #expect(try store!.entries(for: key(1)).map(\.payload) == [payload(2)])
    #expect(try store!.keys == [key(1)])
  }

  @Test(arguments: Witness.allCases)
  func whatLiesInManySegmentsGoesAtOnce(_ way: Witness) throws {
    var store: WarmStartStore? = try bench.open { $0.segmentLimit = 64 << 10 }
    for number in 0..<60 {
      let kind: EntryKind = number % 3 == 0 ? .final : .checkpoint
      try store!.save(
        noise(number, count: 9000), for: key(number % 2), kind: kind, objective: Double(-number))
    }
    #expect(listing(bench.path).count > 5)
    try store!.remove(key(1))
    try bench.witness(way, of: &store)
    #expect(try store!.lookup(key(1)) == nil)
    #expect(try store!.entries(for: key(1)) == [])
    #expect(try store!.lookupBest(key(0))?.objective == -58)
    #expect(try store!.keys == [key(0)])
  }

  @Test func anotherStoreRemovesWhatThisOneSaved() throws {
    let writer = try bench.open()
    let remover = try bench.open(as: "fit 2")
    for number in 0..<3 {
      try writer.save(payload(number), for: key(1), kind: .final, objective: 1)
      #expect(try remover.lookup(key(1))?.payload == payload(number))
      try remover.remove(key(1))
      #expect(try writer.lookup(key(1)) == nil)
      #expect(try writer.keys == [])
    }
    try writer.close()
    #expect(try remover.lookup(key(1)) == nil)
    try remover.close()
    #expect(try bench.open().keys == [])
  }

  @Test func removingWhatIsNotThereIsNoError() throws {
    let store = try bench.open()
    try store.remove(key(1))
    try store.remove(key(1))
    #expect(try store.keys == [])
    try store.save(payload(1), for: key(1))
    #expect(try store.lookup(key(1))?.payload == payload(1))
  }

  @Test func aRemovalTakesEntriesStampedByAClockThatWasAhead() throws {
    let remover = try bench.open()
    try remover.save(payload(0), for: key(9))
    let ahead = ManualClock(wall: bench.clock.now + 3_600_000_000_000)
    let writer = try bench.open(host: bench.host(clock: ahead))
    try writer.save(payload(1), for: key(1), objective: 1)
    bench.clock.advance(seconds: 1)
    try remover.remove(key(1))
    #expect(try remover.lookup(key(1)) == nil)
    #expect(try writer.lookup(key(1)) == nil)
    #expect(try bench.open().keys == [key(9)])
  }

  /// A better entry hides one that is neither best nor newest; once the better one is removed, the
  /// hidden one must come forward, although the index has forgotten it. That takes a removal whose
  /// stamp lies between the two, such as one that another process wrote and that is seen late.
  @Test func anEntryThatARemovedOneHidComesForward() throws {
    let early = try bench.open()
    try early.save(payload(0), for: key(9))
    let late = ManualClock(wall: bench.clock.now + 3_600_000_000_000)
    let writer = try bench.open(host: bench.host(clock: late))
    // Seen by nobody else: this one's clock is behind, so its stamps are older.
    try early.save(payload(1), for: key(1), objective: 1)
    try writer.save(payload(2), for: key(1), objective: 5)
    try writer.save(payload(3), for: key(1), objective: 9)
    let reader = try bench.open()
    #expect(try reader.lookupBest(key(1))?.payload == payload(1))
    try Self.writeRemoval(of: key(1), stamp: bench.clock.now + 60_000_000_000, in: bench)
    for store in [reader, early, writer, try bench.open()] {
      #expect(try store.lookupBest(key(1))?.payload == payload(2))
      #expect(try store.lookupLatest(key(1))?.payload == payload(3))
      #expect(try store.entries(for: key(1)).count == 2)
    }
  }

  /// A sealed segment with one removal, as a process with that clock would have left it.
  private static func writeRemoval(of key: Fingerprint, stamp: UInt64, in bench: Bench) throws {
    let other = Bench(wall: stamp)
    let store = try other.open(host: bench.host(clock: other.clock))
    try store.remove(key)
    try store.close()
    for name in listing(other.path) {
      write(contents("\(other.path)/\(name)"), to: "\(bench.path)/\(name)")
    }
  }
}
