// The statistics against counts of our own.

import TestSupport
import Testing
import WarmStart

@Suite struct StatisticsTests {
  private let bench = Bench()

  /// Bytes of one record, by the format's own arithmetic.
  private func recordLength(
    _ store: WarmStartStore, payload: Int, run: Int = 0, label: Int = 0
  ) -> UInt64 {
    func aligned(_ count: Int) -> Int { (count + 7) / 8 * 8 }
    return UInt64(aligned(136 + run + store.producer.utf8.count + label) + aligned(payload))
  }

  private func fileBytes() -> UInt64 {
    UInt64(listing(bench.path).map { contents("\(bench.path)/\($0)").count }.reduce(0, +))
  }

  @Test func anEmptyStoreHasNothing() throws {
    #expect(try bench.open().statistics == StoreStatistics())
  }

  @Test(arguments: Witness.allCases)
  func everythingIsCounted(_ way: Witness) throws {
    var store: WarmStartStore? = try bench.open()
    let run = RunID("run1")!
    let start = bench.clock.now
    // Best and newest; then one that is newest; then the one between is dead.
    try store!.save(noise(1, count: 100), for: key(1), objective: 1, run: run)
    bench.clock.advance(seconds: 1)
    try store!.save(noise(2, count: 200), for: key(1), objective: 3, run: run)
    try store!.save(noise(3, count: 300), for: key(1), objective: 2, label: "label", run: run)
    try store!.save(noise(4, count: 401), for: key(2), kind: .final, run: run)
    try store!.save(noise(5, count: 500), for: key(3), run: run)
    try store!.remove(key(3))
    let one = recordLength(store!, payload: 100, run: 4)
    let two = recordLength(store!, payload: 200, run: 4)
    let three = recordLength(store!, payload: 300, run: 4, label: 5)
    let four = recordLength(store!, payload: 401, run: 4)
    let five = recordLength(store!, payload: 500, run: 4)
    let removal = recordLength(store!, payload: 0)
    try bench.witness(way, of: &store)
    let statistics = try store!.statistics
    #expect(statistics.segments == 1)
    #expect(statistics.records == 6)
    #expect(statistics.keys == 2)
    #expect(statistics.liveBytes == one + three + four)
    #expect(statistics.deadBytes == two + five + removal)
    #expect(statistics.payloadBytes == 1501)
    #expect(statistics.storedBytes == 1501)
    #expect(statistics.totalBytes == fileBytes())
    #expect(statistics.damagedRecords == 0)
    #expect(statistics.oldestNanoseconds == start)
    #expect(statistics.newestNanoseconds == start + 1_000_000_004)
  }

  @Test(arguments: Witness.allCases)
  func severalSegmentsAreCountedTogether(_ way: Witness) throws {
    var store: WarmStartStore? = try bench.open { $0.segmentLimit = 64 << 10 }
    let run = RunID("run1")!
    for number in 0..<50 {
      try store!.save(noise(number, count: 8000), for: key(number % 20), run: run)
    }
    let length = recordLength(store!, payload: 8000, run: 4)
    try bench.witness(way, of: &store)
    let statistics = try store!.statistics
    #expect(statistics.segments == listing(bench.path).count)
    #expect(statistics.segments > 5)
    #expect(statistics.records == 50)
    #expect(statistics.keys == 20)
    #expect(statistics.liveBytes == 20 * length)
    #expect(statistics.deadBytes == 30 * length)
    #expect(statistics.payloadBytes == 400_000)
    #expect(statistics.totalBytes == fileBytes())
  }

  @Test(arguments: 1...4)
  func everyStepCountsWhatAFullScanFinds(_ seed: UInt64) throws {
    let random = SeededRandom(seed: seed)
    func below(_ bound: Int) -> Int { Int(random.next() % UInt64(bound)) }
    func open(_ number: Int) throws -> WarmStartStore {
      try bench.open(as: "fit \(number)") {
        $0.segmentLimit = 64 << 10
        $0.sizeBudget = seed % 2 == 0 ? 300_000 : 0
        $0.upkeepPolicy.freeWaste = 32 << 10
        $0.upkeepPolicy.fanIn = 4
        $0.compactsByItself = seed > 2
        $0.durability = below(2) == 0 ? .synced : .buffered
      }
    }
    var stores = try [open(1), open(2)]
    for step in 0..<150 {
      bench.clock.advance(seconds: 1)
      let number = below(2)
      let store = stores[number]
      let key = key(below(12))
      switch below(20) {
      case 0: try store.remove(key)
      case 1: _ = try store.lookup(key)
      case 2: try store.compact()
      case 3:
        try store.close()
        stores[number] = try open(number + 1)
      default:
        try store.save(
          noise(step, count: below(9000)), for: key, kind: below(4) == 0 ? .final : .checkpoint,
          objective: below(4) == 0 ? nil : Double(below(9)))
      }
      for store in stores { try store.engine().waitForUpkeep() }
      let scan = FullScan(bench.path).counts
      for store in try stores + [bench.open(.readOnly)] {
        let found = try store.statistics.bySegment.map { segment in
          (
            segment.name,
            FullScan.Count(
              records: segment.records, live: segment.liveBytes, dead: segment.deadBytes,
              raw: segment.payloadBytes, stored: segment.storedBytes, bytes: segment.totalBytes)
          )
        }
        #expect(Dictionary(uniqueKeysWithValues: found) == scan, "step \(step)")
      }
    }
    let all = try stores[0].statistics
    #expect(all.liveBytes == all.bySegment.reduce(0) { $0 + $1.liveBytes })
    #expect(all.totalBytes == all.bySegment.reduce(0) { $0 + $1.totalBytes })
    #expect(all.oldestNanoseconds == all.bySegment.compactMap(\.oldestNanoseconds).min())
  }

  @Test func twoStoresCountTheSame() throws {
    let first = try bench.open { $0.segmentLimit = 64 << 10 }
    let second = try bench.open { $0.segmentLimit = 64 << 10 }
    for number in 0..<60 {
      let store = number % 2 == 0 ? first : second
      let bytes = noise(number, count: 5000)
      try store.save(bytes, for: key(number % 9), objective: Double(number % 4))
      if number % 7 == 0 { try store.remove(key(number % 3)) }
      #expect(try first.statistics == (try second.statistics))
    }
    #expect(try first.statistics.totalBytes == fileBytes())
    #expect(try bench.open(.readOnly).statistics == (try first.statistics))
  }

  @Test(arguments: Witness.allCases)
  func payloadsThatShrinkAreCountedTwice(_ way: Witness) throws {
    var store: WarmStartStore? = try bench.open()
    try store!.save([UInt8](repeating: 0, count: 100_000), for: key(1))
    try bench.witness(way, of: &store)
    let statistics = try store!.statistics
    #expect(statistics.payloadBytes == 100_000)
    #expect(statistics.storedBytes < 10_000)
    #expect(statistics.storedBytes > 0)
    #expect(statistics.liveBytes < 11_000)
  }

  @Test(arguments: Witness.allCases)
  func accessMarksAreDeadRecords(_ way: Witness) throws {
    var store: WarmStartStore? = try bench.open()
    try store!.save(noise(1, count: 100), for: key(1), run: RunID("r")!)
    #expect(try store!.lookup(key(1)) != nil)
    try store!.save(noise(2, count: 100), for: key(2), run: RunID("r")!)
    let live = 2 * recordLength(store!, payload: 100, run: 1)
    try bench.witness(way, of: &store)
    let statistics = try store!.statistics
    #expect(statistics.records == 3)
    #expect(statistics.liveBytes == live)
    #expect(statistics.deadBytes == 136)
    #expect(statistics.totalBytes == fileBytes())
  }
}
