// Saving: run ids, labels, limits, batches.

import TestSupport
import Testing
import WarmStart

@Suite struct SavingTests {
  private let bench = Bench()

  @Test func aFreshRunIsMadeAndReturned() throws {
    let store = try bench.open()
    let runs = try (0..<50).map { try store.save(payload($0), for: key($0)) }
    #expect(Set(runs).count == 50)
    for (number, run) in runs.enumerated() {
      #expect(RunID(run.description) == run)
      #expect(try store.lookup(key(number))?.runID == run)
    }
  }

  @Test func entriesOfTwoRunsStandSideBySide() throws {
    let store = try bench.open()
    let runs = [RunID("a")!, RunID(String(repeating: "~", count: 64))!]
    for run in runs { try store.save(payload(1), for: key(1), run: run) }
    #expect(Set(try store.entries(for: key(1)).map(\.runID)) == Set(runs))
  }

  @Test(arguments: [0, 1, 7, 8, 9, 4096, 262_143, 262_144, 262_145, 1_000_003], [true, false])
  func payloadsOfEveryLengthComeBack(_ count: Int, _ shrinks: Bool) throws {
    let store = try bench.open()
    let bytes = shrinks ? [UInt8](repeating: 7, count: count) : noise(1, count: count)
    try store.save(bytes, for: key(1))
    #expect(try store.lookup(key(1))?.payload == bytes)
    try store.close()
    #expect(try bench.open().lookup(key(1))?.payload == bytes)
  }

  @Test func bytesInMemoryAreSavedWithoutAnArray() throws {
    let store = try bench.open()
    let numbers = [1.5, -2, .nan]
    try numbers.withUnsafeBytes { bytes in
      try store.save(bytes, for: key(1), run: RunID("r")!)
    }
    let expected = numbers.withUnsafeBytes { Array($0) }
    #expect(try store.lookup(key(1))?.payload == expected)
  }

  @Test func anEmptyLabelIsNone() throws {
    let store = try bench.open()
    try store.save([1], for: key(1), label: "")
    #expect(try #require(try store.lookup(key(1))).label == nil)
  }

  // MARK: Limits

  /// What is on disk before and after something that must be refused.
  private func expectNothingWritten(
    _ error: StoreError, _ body: (WarmStartStore) throws -> Void
  ) throws {
    let store = try bench.open { $0.payloadLimit = 1000 }
    #expect(throws: error) { try body(store) }
    #expect(listing(bench.path) == [])
    try store.save(payload(1), for: key(1))
    let before = everything(in: bench.path)
    #expect(throws: error) { try body(store) }
    #expect(everything(in: bench.path) == before)
    #expect(try store.keys == [key(1)])
    try store.save(payload(2), for: key(2))
    #expect(try store.lookup(key(2))?.payload == payload(2))
  }

  @Test func aPayloadOverTheLimitIsRefusedAndNothingWritten() throws {
    try expectNothingWritten(.payloadTooLong(bytes: 1001, limit: 1000)) { store in
      try store.save([UInt8](repeating: 0, count: 1001), for: key(2))
    }
    try bench.open { $0.payloadLimit = 1000 }.save(
      [UInt8](repeating: 0, count: 1000), for: key(3))
  }

  @Test func aLabelOverTheLimitIsRefusedAndNothingWritten() throws {
    let label = String(repeating: "ä", count: 64)
    try expectNothingWritten(.textTooLong(what: "label", bytes: 129, limit: 128)) { store in
      try store.save([1], for: key(2), label: label + "x")
    }
    let store = try bench.open()
    try store.save([1], for: key(3), label: label)
    #expect(try store.lookup(key(3))?.label == label)
  }

  @Test func aBatchWithOneEntryOverALimitIsRefusedAsAWhole() throws {
    try expectNothingWritten(.textTooLong(what: "label", bytes: 129, limit: 128)) { store in
      try store.save([
        NewEntry([1], for: key(2)),
        NewEntry([1], for: key(3), label: String(repeating: "x", count: 129)),
      ])
    }
    let bench = Bench()
    let store = try bench.open { $0.payloadLimit = 10 }
    #expect(throws: StoreError.payloadTooLong(bytes: 11, limit: 10)) {
      try store.save((0...10).map { NewEntry(payload($0, count: $0 + 1), for: key($0)) })
    }
    #expect(listing(bench.path) == [])
  }

  @Test func aProducerOverTheLimitIsRefusedAtOpening() throws {
    #expect(throws: StoreError.textTooLong(what: "producer", bytes: 257, limit: 256)) {
      try bench.open(as: String(repeating: "p", count: 257))
    }
    #expect(listing(bench.directory.path) == [])
    let producer = String(repeating: "ö", count: 128)
    let store = try bench.open(as: producer)
    try store.save([1], for: key(1), kind: .final)
    #expect(try store.lookup(key(1))?.producer == producer)
  }

  @Test func everyTextAtItsLimitAtOnceComesBack() throws {
    let store = try bench.open(as: String(repeating: "p", count: 256))
    let run = RunID(String(repeating: "r", count: 64))!
    let label = String(repeating: "l", count: 128)
    try store.save([1, 2, 3], for: key(1), label: label, run: run)
    try store.close()
    let found = try bench.open().lookup(key(1))
    #expect(found?.runID == run && found?.label == label && found?.producer.utf8.count == 256)
  }

  @Test func aTextWithZerosAndSeparatorsComesBack() throws {
    let store = try bench.open(as: "p\u{0}q")
    try store.save([1], for: key(1), kind: .final, label: "a\u{0}\n\"/\\")
    try store.close()
    let found = try bench.open(as: "p\u{0}q").lookup(key(1))
    #expect(found?.label == "a\u{0}\n\"/\\" && found?.kind == .final)
  }

  @Test func optionsOutOfBoundsAreBroughtIntoThem() {
    var options = StoreOptions()
    options.payloadLimit = .max
    options.segmentLimit = .max
    options.sizeBudget = .max
    options.timeToLive = .max
    options.openFiles = -1
    var engine = options.engineOptions(host: bench.host())
    #expect(engine.payloadLimit == FormatLimits.payload)
    #expect(engine.segmentLimit <= FormatLimits.file)
    #expect(engine.timeToLive == 0)
    #expect(engine.openFiles > 0)
    options.payloadLimit = -5
    options.segmentLimit = 0
    engine = options.engineOptions(host: bench.host())
    #expect(engine.payloadLimit == 0)
    #expect(engine.segmentLimit == 64 << 10)
    options = StoreOptions()
    engine = options.engineOptions(host: bench.host())
    #expect(engine.segmentLimit == (1 << 30) / 16)
    #expect(engine.payloadLimit == 1 << 30)
    #expect(engine.timeToLive == 30 * 86_400 * 1_000_000_000)
    #expect(engine.permissions == .owner && engine.durability == .synced)
  }

  // MARK: Batches

  @Test(arguments: Witness.allCases)
  func aBatchIsSavedInItsOrder(_ way: Witness) throws {
    var store: WarmStartStore? = try bench.open()
    let run = RunID("r")!
    try store!.save([
      NewEntry(
        payload(1), for: key(1), kind: .final, objective: 4, iteration: 9, label: "l", run: run),
      NewEntry(payload(2), for: key(1), objective: 4),
      NewEntry(payload(3), for: key(2)),
    ])
    try bench.witness(way, of: &store)
    let entries = try store!.entries(for: key(1))
    #expect(entries.map(\.payload) == [payload(2), payload(1)])
    #expect(entries[1].kind == .final && entries[1].iteration == 9 && entries[1].label == "l")
    #expect(entries[1].runID == run && entries[0].runID != run)
    #expect(try store!.lookup(key(1))?.payload == payload(1))
    #expect(try store!.lookupBest(key(1))?.payload == payload(2))
    #expect(try store!.lookup(key(2))?.payload == payload(3))
  }

  @Test func aBatchSharesOneSync() throws {
    let files = FaultyFiles()
    let store = try bench.open(host: bench.host(files))
    try store.save([1], for: key(0))
    let before = files.syncCount
    try store.save((1...500).map { NewEntry(payload($0), for: key($0)) })
    #expect(files.syncCount == before + 1)
    #expect(files.unsyncedFiles == 0)
  }

  @Test func aBatchOfNothingIsNothing() throws {
    try bench.open().save([] as [NewEntry])
    #expect(listing(bench.path) == [])
  }

  @Test func aBatchLargerThanASegmentIsSpreadOverSeveral() throws {
    let store = try bench.open { $0.segmentLimit = 64 << 10 }
    let entries = (0..<9000).map { number in
      NewEntry(noise(number, count: 500), for: key(number % 4500), objective: Double(number))
    }
    try store.save(entries)
    #expect(try store.keys.count == 4500)
    try store.close()
    let reopened = try bench.open()
    #expect(try reopened.keys.count == 4500)
    for number in stride(from: 0, to: 4500, by: 321) {
      #expect(try reopened.lookupBest(key(number))?.payload == entries[number].payload)
      #expect(try reopened.lookupLatest(key(number))?.payload == entries[number + 4500].payload)
    }
    #expect(try reopened.statistics.records == 9000)
  }
}
