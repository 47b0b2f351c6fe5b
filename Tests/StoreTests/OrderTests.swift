// Which entry is better, which is newer, and what each lookup gives.

import TestSupport
import Testing
import WarmStart

@Suite struct OrderTests {
  private let bench = Bench()

  /// Saves entries with these objectives, one second apart; the payload is the number.
  private func save(_ objectives: [Double?], in store: WarmStartStore?) throws {
    for (number, objective) in objectives.enumerated() {
      try store!.save(payload(number), for: key(1), objective: objective)
      bench.clock.advance(seconds: 1)
    }
  }

  @Test(arguments: Witness.allCases)
  func aLaterWorseCheckpointNeverCostsTheBestOne(_ way: Witness) throws {
    var store: WarmStartStore? = try bench.open()
    let run = RunID("run")!
    for (number, objective) in [3.0, 1, 2, 9, 4].enumerated() {
      try store!.save(payload(number), for: key(1), objective: objective, run: run)
    }
    try bench.witness(way, of: &store)
    #expect(try store!.lookup(key(1))?.payload == payload(1))
    #expect(try store!.lookupBest(key(1))?.objective == 1)
    #expect(try store!.lookupLatest(key(1))?.payload == payload(4))
    #expect(try store!.lookup(key(2)) == nil)
  }

  @Test(arguments: Witness.allCases)
  func anEntryComesBackAsItWasSaved(_ way: Witness) throws {
    var store: WarmStartStore? = try bench.open(as: "fit 2")
    let run = RunID("run 7, fold 3")!
    try store!.save(
      payload(5), for: key(1), kind: .final, objective: -2.5, iteration: .max,
      label: "größe, m = 3", run: run)
    try bench.witness(way, of: &store)
    let expected = WarmStartEntry(
      payload: payload(5), objective: -2.5, iteration: .max, writtenNanoseconds: bench.clock.now,
      kind: .final, runID: run, producer: "fit 2", label: "größe, m = 3", key: key(1))
    #expect(try store!.lookup(key(1)) == expected)
    #expect(try store!.lookupLatest(key(1)) == expected)
    #expect(try store!.lookupBest(key(1)) == expected)
    #expect(try store!.entries(for: key(1)) == [expected])
    #expect(try store!.keys == [key(1)])
  }

  @Test(arguments: Witness.allCases)
  func whatIsLeftOutComesBackAsNone(_ way: Witness) throws {
    var store: WarmStartStore? = try bench.open()
    try store!.save([], for: key(1))
    try store!.save([1], for: key(2), objective: 0, iteration: 0)
    try bench.witness(way, of: &store)
    let bare = try #require(try store!.lookup(key(1)))
    #expect(bare.payload == [])
    #expect(bare.objective == nil && bare.iteration == nil && bare.label == nil)
    let zeros = try #require(try store!.lookup(key(2)))
    #expect(zeros.objective == 0 && zeros.iteration == 0)
  }

  @Test(arguments: Witness.allCases)
  func anObjectiveThatIsNotFiniteIsStoredAsNone(_ way: Witness) throws {
    var store: WarmStartStore? = try bench.open()
    try save([7, .nan, -.infinity, .infinity, .signalingNaN], in: store)
    try bench.witness(way, of: &store)
    let entries = try store!.entries(for: key(1))
    #expect(entries.map(\.objective) == [nil, nil, nil, nil, 7])
    #expect(try store!.lookup(key(1))?.objective == 7)
  }

  @Test(arguments: Witness.allCases)
  func anyObjectiveBeatsNone(_ way: Witness) throws {
    var store: WarmStartStore? = try bench.open()
    try save([nil, .greatestFiniteMagnitude, nil], in: store)
    try bench.witness(way, of: &store)
    #expect(try store!.lookupBest(key(1))?.payload == payload(1))
    #expect(try store!.lookup(key(1))?.payload == payload(1))
    #expect(try store!.lookupLatest(key(1))?.payload == payload(2))
  }

  @Test(arguments: Witness.allCases)
  func ofEqualObjectivesTheNewerIsBetter(_ way: Witness) throws {
    var store: WarmStartStore? = try bench.open()
    try save([2, 2, 3], in: store)
    try bench.witness(way, of: &store)
    #expect(try store!.lookupBest(key(1))?.payload == payload(1))
  }

  @Test(arguments: Witness.allCases)
  func withoutObjectivesTheNewestIsBest(_ way: Witness) throws {
    var store: WarmStartStore? = try bench.open()
    try save([nil, nil, nil], in: store)
    try bench.witness(way, of: &store)
    #expect(try store!.lookupBest(key(1))?.payload == payload(2))
    #expect(try store!.lookup(key(1))?.payload == payload(2))
  }

  @Test(arguments: [[0.0, -0.0], [-0.0, 0.0]], Witness.allCases)
  func minusZeroEqualsZero(_ objectives: [Double], _ way: Witness) throws {
    var store: WarmStartStore? = try bench.open()
    try save(objectives, in: store)
    try bench.witness(way, of: &store)
    #expect(try store!.lookupBest(key(1))?.payload == payload(1))
    #expect(try store!.lookupBest(key(1))?.objective == 0)
  }

  @Test(arguments: Witness.allCases)
  func aDifferenceBelowEveryToleranceStillCounts(_ way: Witness) throws {
    var store: WarmStartStore? = try bench.open()
    let better = 1.0.nextDown
    try save([better, 1], in: store)
    try bench.witness(way, of: &store)
    #expect(try store!.lookupBest(key(1))?.payload == payload(0))
  }

  @Test(arguments: Witness.allCases)
  func theExtremesOfDoublesAreInOrder(_ way: Witness) throws {
    var store: WarmStartStore? = try bench.open()
    try save(
      [.leastNonzeroMagnitude, -.leastNonzeroMagnitude, -.greatestFiniteMagnitude, 0], in: store)
    try bench.witness(way, of: &store)
    #expect(try store!.lookupBest(key(1))?.payload == payload(2))
  }

  @Test(arguments: Witness.allCases)
  func entriesAreListedNewestFirst(_ way: Witness) throws {
    var store: WarmStartStore? = try bench.open()
    for number in 0..<20 { try store!.save(payload(number), for: key(1), objective: 1) }
    try bench.witness(way, of: &store)
    let expected = (0..<20).reversed().map { payload($0) }
    #expect(try store!.entries(for: key(1)).map(\.payload) == expected)
  }

  @Test(arguments: Witness.allCases)
  func keysAreListedInOrder(_ way: Witness) throws {
    var store: WarmStartStore? = try bench.open()
    for number in [5, 1, 4, 2, 3, 1] { try store!.save([], for: key(number)) }
    try bench.witness(way, of: &store)
    #expect(try store!.keys == (1...5).map { key($0) })
  }
}
