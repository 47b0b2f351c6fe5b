// What a session gives a fit to start from.

import TestSupport
import Testing
import WarmStart

@Suite struct SessionLoadingTests {
  private let bench = Bench()

  private func session(
    _ store: WarmStartStore, _ number: Int = 1, label: String? = nil
  ) -> Session {
    Session(store: store, key: key(number), label: label, host: bench.host())
  }

  private func seed(_ number: Int) -> WarmStartEntry {
    WarmStartEntry(payload: payload(number), runID: RunID("seed")!, producer: "p", key: key(99))
  }

  @Test func withoutAnythingThereIsNothingToStartFrom() throws {
    let session = session(try bench.open())
    #expect(session.tryLoad() == nil)
    #expect(session.tryLoadWithSource() == nil)
    #expect(session.peekLoad() == nil)
    #expect(session.peekLoadWithSource() == nil)
    #expect(session.lastError == nil)
  }

  @Test func aSeedIsGivenOnceAndThenTheStoreIsAsked() throws {
    let store = try bench.open()
    try store.save(payload(1), for: key(1))
    let session = session(store)
    session.preload(seed(7))
    let first = try #require(session.tryLoadWithSource())
    #expect(first.source == .preloaded && first.entry == seed(7))
    let second = try #require(session.tryLoadWithSource())
    #expect(second.source == .exact && second.entry.payload == payload(1))
    #expect(session.tryLoad()?.payload == payload(1))
  }

  @Test func peekingConsumesNothing() throws {
    let session = session(try bench.open())
    session.preload(seed(7))
    for _ in 0..<3 {
      #expect(session.peekLoad() == seed(7))
      #expect(session.peekLoadWithSource() == LoadedEntry(entry: seed(7), source: .preloaded))
    }
    #expect(session.tryLoad() == seed(7))
    #expect(session.tryLoad() == nil)
    #expect(session.peekLoad() == nil)
  }

  @Test func aSecondSeedTakesThePlaceOfTheFirst() throws {
    let session = session(try bench.open())
    session.preload(seed(7))
    session.preload(seed(8))
    #expect(session.tryLoad() == seed(8))
    #expect(session.tryLoad() == nil)
    session.preload(seed(9))
    #expect(session.tryLoad() == seed(9))
  }

  @Test func aFinishedFitIsFoundAsExactAndFinal() throws {
    let store = try bench.open()
    #expect(session(store).finalize(payload(1), objective: 1))
    let loaded = try #require(session(store).tryLoadWithSource())
    #expect(loaded.source == .exact && loaded.entry.kind == .final)
    #expect(session(store).peekLoadWithSource() == loaded)
  }

  @Test func preloadingChangesNothingOnDisk() throws {
    let store = try bench.open()
    let session = session(store)
    session.preload(seed(7))
    _ = session.tryLoad()
    #expect(listing(bench.path) == [])
    #expect(session.checkpoint(payload(1)))
    #expect(try store.keys == [key(1)])
  }

  @Test func whatAnyRunLeftIsLoaded() throws {
    let store = try bench.open()
    #expect(session(store).checkpoint(payload(1), objective: 2))
    #expect(session(store).checkpoint(payload(2), objective: 1))
    #expect(session(store).checkpoint(payload(3), objective: 3))
    #expect(session(store).tryLoad()?.payload == payload(2))
    #expect(session(store, 2).tryLoad() == nil)
  }

  @Test func aKilledRunIsResumedFromItsBest() throws {
    var store: WarmStartStore? = try bench.open()
    let session = Session(
      store: store!, key: key(1), label: nil, checkpointInterval: 0, host: bench.host())
    for (number, objective) in [5.0, 3, 4, 8].enumerated() {
      #expect(session.checkpoint(payload(number), objective: objective))
    }
    try bench.witness(.killed, of: &store)
    #expect(self.session(store!).tryLoad()?.payload == payload(1))
  }

  @Test func aSeedIsGivenToOneOfManyThreads() throws {
    let session = session(try bench.open())
    let loaded = Notes<WarmStartEntry>()
    for round in 0..<50 {
      session.preload(seed(round))
      onThreads(4) { _ in if let entry = session.tryLoad() { loaded.add(entry) } }
    }
    #expect(loaded.all == (0..<50).map { seed($0) })
  }

  @Test func aSessionSaysWhatItIs() throws {
    let store = try bench.open()
    let session = session(store, label: "salmon, fold 3")
    #expect(session.key == key(1) && session.store === store && session.label == "salmon, fold 3")
    #expect(session.description.contains(session.runID.description))
    #expect(session.description.contains("salmon, fold 3"))
    #expect(session.description.contains(key(1).description.prefix(8)))
    #expect("\(self.session(store))".contains("key"))
    #expect(self.session(store).runID != session.runID)
  }

  @Test func everythingGoesUnderTheSessionsKeyRunAndLabel() throws {
    let store = try bench.open()
    let session = session(store, label: "l")
    session.preload(seed(7))
    #expect(session.checkpoint(payload(1), objective: 2, iteration: 10))
    #expect(session.finalize(payload(2), objective: 1, iteration: 20))
    let entries = try store.entries(for: key(1))
    #expect(entries.map(\.kind) == [.final, .checkpoint])
    #expect(entries.map(\.iteration) == [20, 10])
    #expect(entries.map(\.objective) == [1, 2])
    #expect(entries.allSatisfy { $0.runID == session.runID && $0.label == "l" })
    #expect(try store.keys == [key(1)])
  }

  @Test func numbersAreSavedLittleEndian() throws {
    let store = try bench.open()
    let session = session(store)
    let numbers = [0.5, -0.0, .nan, .infinity]
    #expect(session.checkpoint(numbers: numbers, objective: 1))
    let expected = numbers.flatMap { number in
      withUnsafeBytes(of: number.bitPattern.littleEndian) { Array($0) }
    }
    #expect(session.tryLoad()?.payload == expected)
    #expect(session.finalize(numbers: [Double](), objective: 2))
    #expect(session.tryLoad()?.payload == [])
    #expect(session.tryLoad()?.kind == .final)
  }

  @Test func theOrdinaryClockServesASession() throws {
    let session = Session(store: try bench.open(), key: key(1), checkpointInterval: .max)
    #expect(session.checkpoint(payload(1)))
    #expect(!session.checkpoint(payload(2)))
    #expect(Session.defaultCheckpointInterval == 2_000_000_000)
    #expect(Session(store: try bench.open(), key: key(1)).checkpointInterval == 2_000_000_000)
  }
}
