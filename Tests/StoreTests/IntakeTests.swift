// Entries from elsewhere, with stamps of their own, held against what a store has.

import TestSupport
import Testing
import WarmStart

@Suite struct IntakeTests {
  private let bench = Bench()
  private static let second: UInt64 = 1_000_000_000
  private static let start: UInt64 = 1_700_000_000_000_000_000

  /// An entry of elsewhere, so many seconds before the bench's clock began.
  private func draft(
    _ number: Int, before seconds: UInt64 = 100, objective: Double? = nil,
    kind: RecordKind = .checkpoint, producer: String = "fit 1"
  ) -> Draft {
    let time = Self.start - seconds * Self.second
    return Draft(
      kind: kind, key: key(number), objective: objective, runID: "run \(seconds)",
      producer: producer, writeTime: time, stamp: time)
  }

  private func append(_ drafts: Draft..., to store: WarmStartStore) throws {
    try store.engine().append(
      drafts.map { PendingRecord($0, payload(1)) }, durability: .synced)
  }

  private func arrivals(_ drafts: [Draft], in store: WarmStartStore) throws -> [Int] {
    var intake = try store.engine().intake(
      of: drafts[0].key, lastUse: drafts.map(\.writeTime).max()!)
    for draft in drafts { intake.add(draft) }
    return intake.arrivals
  }

  @Test func anEntryWithAStampKeepsItsTime() throws {
    let store = try bench.open()
    try store.save(payload(2), for: key(1), objective: 1)
    try append(draft(1, objective: 0), to: store)
    #expect(try store.lookupBest(key(1))?.payload == payload(1))
    #expect(try store.lookupLatest(key(1))?.payload == payload(2))
    let written = Self.start - 100 * Self.second
    #expect(try store.lookupBest(key(1))?.writtenNanoseconds == written)
    let listed = try store.engine().entries(of: key(1))
    #expect(listed.map(\.record.header.stamp).last == written)
  }

  @Test func whatFillsASlotArrives() throws {
    let drafts = [
      draft(1, before: 50, objective: 2), draft(1, before: 40, objective: 1),
      draft(1, before: 30), draft(1, before: 20, objective: 3),
    ]
    #expect(try arrivals(drafts, in: bench.open()) == [1, 3])
  }

  @Test func whatTheStoreHasOfBetterOrNewerCounts() throws {
    let store = try bench.open()
    try store.save(payload(2), for: key(1), objective: 1)
    #expect(try arrivals([draft(1, objective: 2)], in: store) == [])
    #expect(try arrivals([draft(1, objective: 0.5)], in: store) == [0])
    #expect(try arrivals([draft(1, objective: 2, kind: .final)], in: store) == [0])
    try store.save(payload(3), for: key(1), kind: .final, objective: 5)
    #expect(try arrivals([draft(1, objective: 2, kind: .final)], in: store) == [])
    let other = draft(1, objective: 2, kind: .final, producer: "fit 2")
    #expect(try arrivals([other], in: store) == [0])
  }

  @Test func theNewestFinalsOfEightProducersArrive() throws {
    let drafts = (0..<12).map {
      draft(1, before: UInt64(200 - $0), objective: 1, kind: .final, producer: "fit \($0)")
    }
    #expect(try arrivals(drafts, in: bench.open()) == Array(4..<12))
  }

  /// So that a second import does not take what the first one left.
  @Test func ofTheSameStampTheStoresIsTheNewer() throws {
    let store = try bench.open()
    #expect(try arrivals([draft(1), draft(1)], in: store) == [1])
    try append(draft(1), to: store)
    #expect(try arrivals([draft(1)], in: store) == [])
    #expect(try arrivals([draft(1, objective: 1)], in: store) == [0])
    #expect(try arrivals([draft(1, before: 99)], in: store) == [0])
  }

  @Test(arguments: Witness.allCases)
  func whatIsNoNewerThanARemovalIsDead(_ way: Witness) throws {
    var store: WarmStartStore? = try bench.open()
    try store!.save(payload(2), for: key(1))
    try store!.remove(key(1))
    try bench.witness(way, of: &store)
    #expect(try arrivals([draft(1, objective: -1, kind: .final)], in: store!) == [])
    var later = draft(1)
    later.stamp = Self.start + 10 * Self.second
    #expect(try arrivals([draft(1, objective: -1), later], in: store!) == [1])
  }

  @Test func whatNobodyUsedForLongIsDead() throws {
    let store = try bench.open { $0.timeToLive = 50 }
    #expect(try arrivals([draft(1, before: 60)], in: store) == [])
    #expect(try arrivals([draft(1, before: 60), draft(1, before: 40)], in: store) == [1])
    let wasLookedUp = try store.engine().intake(
      of: key(1), lastUse: Self.start - 10 * Self.second)
    var intake = wasLookedUp
    intake.add(draft(1, before: 60))
    #expect(intake.arrivals == [0])
  }

  @Test func whatHasExpiredHidesWhatIsOlder() throws {
    let store = try bench.open { $0.timeToLive = 50 }
    try append(draft(1, before: 40, objective: 9), to: store)
    #expect(try arrivals([draft(1, before: 45, objective: 1)], in: store) == [0])
    bench.clock.advance(seconds: 20)
    let drafts = [draft(1, before: 45, objective: 1), draft(1, before: 5, objective: 2)]
    #expect(try arrivals(drafts, in: store) == [1])
    try append(drafts[1], to: store)
    #expect(try arrivals(drafts, in: store) == [])
    #expect(try store.lookupBest(key(1))?.objective == 2)
  }

  @Test func anEntryIsThereIfItIsTheSame() throws {
    let store = try bench.open()
    let stamp = draft(1).stamp!
    try append(draft(1, objective: 1), to: store)
    let holds = { (other: [UInt8]) in
      try store.engine().holds(key(1), stamp: stamp) { $0.payload == other }
    }
    #expect(try holds(payload(1)))
    #expect(try !holds(payload(2)))
    #expect(try !store.engine().holds(key(1), stamp: stamp + 1) { _ in true })
    #expect(try store.engine().intake(of: key(1), lastUse: stamp).stamps == [stamp])
  }

  @Test func aDamagedEntryIsNotThereAndArrivesAgain() throws {
    let store = try bench.open()
    let draft = draft(1, objective: 1)
    try store.engine().append(
      [PendingRecord(draft, noise(1, count: 500))], durability: .synced)
    try store.close()
    let name = listing(bench.path)[0]
    var bytes = contents("\(bench.path)/\(name)")
    bytes[128 + 400] ^= 1
    write(bytes, to: "\(bench.path)/\(name)")
    let again = try bench.open()
    #expect(try !again.engine().holds(key(1), stamp: draft.stamp!) { _ in true })
    #expect(try arrivals([draft], in: again) == [0])
  }

  @Test func whatAnotherHasNotSyncedIsSyncedOnDemand() throws {
    let writer = try bench.open { $0.durability = .buffered }
    try writer.save(payload(1), for: key(1))
    let files = FaultyFiles()
    let store = try bench.open(host: bench.host(files))
    try store.engine().syncLogsOfOthers()
    #expect(files.syncCount == 1)
    files.failSyncs { 5 }
    #expect(throws: StoreError.self) { try store.engine().syncLogsOfOthers() }
    try writer.close()
    try store.engine().syncLogsOfOthers()
  }
}
