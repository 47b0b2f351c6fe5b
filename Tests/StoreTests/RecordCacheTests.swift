// Entries that are asked for again are given from memory.

import Glibc
import TestSupport
import Testing
import WarmStart

/// Numbers from a seed: linear congruences with the factor of D. E. Knuth.
private struct Congruences {
  private var state: UInt64

  init(_ seed: UInt64) { state = seed }

  mutating func next() -> Int {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return Int(state >> 33)
  }
}

@Suite struct RecordCacheTests {
  private let bench = Bench()
  private let files = FaultyFiles()

  /// A store over sealed segments with ten keys, and a little memory.
  private func open(cacheMemory: Int) throws -> WarmStartStore {
    let writer = try bench.open()
    for number in 0..<10 {
      try writer.save(noise(number, count: 5000), for: key(number), objective: 1)
    }
    try writer.close()
    return try bench.open(host: bench.host(files)) { $0.cacheMemory = cacheMemory }
  }

  /// The same with so many keys of small entries.
  private func open(small count: Int, cacheMemory: Int) throws -> WarmStartStore {
    let writer = try bench.open()
    for number in 0..<count { try writer.save(noise(number, count: 256), for: key(number)) }
    try writer.close()
    return try bench.open(host: bench.host(files)) { $0.cacheMemory = cacheMemory }
  }

  /// Bytes that a lookup of this key reads; and it is right.
  private func bytesRead(_ store: WarmStartStore, _ number: Int) throws -> Int {
    let before = files.bytesRead
    #expect(try store.lookup(key(number))?.payload == noise(number, count: 5000))
    return files.bytesRead - before
  }

  @Test func whatWasReadOnceIsNotReadAgain() throws {
    let store = try open(cacheMemory: 1 << 20)
    for number in 0..<10 { #expect(try bytesRead(store, number) > 5000) }
    for number in 0..<10 { #expect(try bytesRead(store, number) == 0) }
    #expect(try store.lookupBest(key(3))?.payload == noise(3, count: 5000))
  }

  @Test func withoutMemoryEverythingIsReadAgain() throws {
    let store = try open(cacheMemory: 0)
    for _ in 0..<2 { #expect(try bytesRead(store, 1) > 5000) }
  }

  @Test func memoryIsBoundedAndWhatIsUsedAgainStays() throws {
    // Room for five.
    let store = try open(cacheMemory: 29_000)
    for number in 0..<10 {
      #expect(try bytesRead(store, number) > 5000)
      #expect(try bytesRead(store, 0) == 0)
    }
    let read = try (0..<10).map { try bytesRead(store, $0) }
    #expect(read.filter { $0 > 0 }.count >= 5)
    #expect(read[0] == 0)
  }

  /// Keys that are asked for once each push nothing out; one that is asked for again and again comes in.
  @Test func whatIsAskedForOnceTakesNoRoomFromOthers() throws {
    // Room for a tenth of them.
    let store = try open(small: 1000, cacheMemory: 100 * 760)
    func bytesRead(_ number: Int) throws -> Int {
      let before = files.bytesRead
      #expect(try store.lookup(key(number))?.payload == noise(number, count: 256))
      return files.bytesRead - before
    }
    for number in 0..<90 { _ = try bytesRead(number) }
    for number in 200..<1000 { #expect(try bytesRead(number) > 0) }
    #expect(try (0..<90).filter { try bytesRead($0) > 0 }.count <= 2)

    /// How often it is read until it is given from memory.
    func reads(_ number: Int) throws -> Int {
      var count = 0
      while try bytesRead(number) > 0 {
        count += 1
        // Each of the others has its second chance, and no more.
        try #require(count < 200)
      }
      return count
    }
    #expect(try (500..<520).reduce(0) { try $0 + reads($1) } <= 100 + 3 * 20)
    // And again and again, so that what comes in goes out where it should.
    var (keys, all) = (0, 0)
    for round in 0..<30 {
      for number in stride(from: round, to: 1000, by: 7) {
        all += try reads(number)
        keys += 1
      }
    }
    // Once to be remembered, once for the second chance of another.
    #expect(all > 2 * keys && all <= 4 * keys)
  }

  /// Keys that are asked for at random, of many more than there is room for: those that are in memory stay there, since
  /// nothing is gained by others in their place. However much room is left that is too little for one more: an entry takes
  /// some 690 bytes, of which 80 are texts.
  @Test(arguments: Array(stride(from: 76_000, to: 76_700, by: 70)))
  func whatIsAskedForNoMoreOftenThanOthersTakesTheirPlaceRarely(cacheMemory: Int) throws {
    let store = try open(small: 1000, cacheMemory: cacheMemory)
    func isInMemory(_ number: Int) throws -> Bool {
      let before = files.bytesRead
      _ = try store.lookup(key(number))
      return files.bytesRead == before
    }
    var present: Set<Int> = []
    var exchanges = 0
    var random = Congruences(7)
    for _ in 0..<8_000 {
      let number = random.next() % 1000
      if try isInMemory(number) {
        // Read before, and kept then.
        if present.insert(number).inserted { exchanges += 1 }
      } else {
        present.remove(number)
      }
    }
    // Of which 125 came in while there was room. Were every key kept that was asked for shortly before, it would be twice
    // as many.
    #expect(exchanges > 150 && exchanges < 400)
  }

  /// What is large beside others comes in after a few times, one after another, though small ones that nobody asks for lie
  /// between those that are large.
  @Test func whatIsLargeTakesTheRoomOfWhatNobodyAsksFor() throws {
    let writer = try bench.open()
    for number in 0..<700 { try writer.save(noise(number, count: 256), for: key(number)) }
    for number in 1000..<1012 {
      try writer.save(noise(number, count: 80_000), for: key(number))
    }
    try writer.close()
    let store = try bench.open(host: bench.host(files)) { $0.cacheMemory = 400_000 }
    func isInMemory(_ number: Int, count: Int = 256) throws -> Bool {
      let before = files.bytesRead
      #expect(try store.lookup(key(number))?.payload == noise(number, count: count))
      return files.bytesRead == before
    }
    for number in 0..<700 { _ = try isInMemory(number) }
    for number in stride(from: 0, to: 500, by: 5) { #expect(try isInMemory(number)) }
    for number in 1000..<1012 {
      var reads = 0
      while try !isInMemory(number, count: 80_000) {
        reads += 1
        try #require(reads < 20)
      }
      #expect(reads >= 2)
    }
  }

  /// Threads whose entries push out those of others, of keys of which two entries count, until the store is closed.
  @Test func threadsThatFillTheMemoryFindWhatIsRight() throws {
    let writer = try bench.open()
    for number in 0..<400 {
      try writer.save(noise(number, count: 256), for: key(number), objective: 1)
      try writer.save(noise(number + 1000, count: 200), for: key(number), objective: 2)
    }
    try writer.close()
    let store = try bench.open { $0.cacheMemory = 60 * 600 }
    let wrong = Notes<Int>()
    let closed = Flag()
    onThreads(4) { thread in
      var random = Congruences(UInt64(thread))
      for turn in 0..<40_000 {
        if thread == 0, turn == 30_000 {
          closed.raise()
          do { try store.close() } catch { wrong.add(-1) }
        }
        let number = random.next() % 400
        do {
          let isRight =
            random.next() % 2 == 0
            ? try store.lookupBest(key(number))?.payload == noise(number, count: 256)
            : try store.lookupLatest(key(number))?.payload == noise(number + 1000, count: 200)
          if !isRight || thread == 0 && closed.isUp { wrong.add(number) }
        } catch {
          if !closed.isUp { wrong.add(number) }
          return
        }
      }
    }
    #expect(wrong.all == [])
  }

  @Test func manySmallEntriesFit() throws {
    let store = try open(small: 500, cacheMemory: 500 * 760)
    for number in 0..<500 { _ = try store.lookup(key(number)) }
    let before = files.bytesRead
    for number in 0..<500 {
      #expect(try store.lookup(key(number))?.payload == noise(number, count: 256))
    }
    #expect(files.bytesRead == before)
  }

  @Test func entriesOfDifferentRunsComeBackWithTheirOwnTexts() throws {
    for number in 0..<10 {
      let writer = try bench.open { $0.producer = "producer with a long name \(number / 3)" }
      try writer.save(
        payload(number), for: key(number), label: "label \(number) that is no short text",
        run: RunID("run number \(number / 2) of several")!)
      try writer.close()
    }
    let store = try bench.open()
    for _ in 0..<2 {
      for number in [3, 4, 5, 9, 0, 1, 2, 8, 7, 6] {
        let entry = try #require(try store.lookup(key(number)))
        #expect(entry.producer == "producer with a long name \(number / 3)")
        #expect(entry.runID == RunID("run number \(number / 2) of several"))
        #expect(entry.label == "label \(number) that is no short text")
      }
    }
  }

  /// Each entry that takes the place of another leaves the others where they are.
  @Test func whatIsOutdatedMakesRoomAtOnce() throws {
    // Room for five.
    let store = try open(cacheMemory: 29_000)
    for number in 0..<4 { _ = try bytesRead(store, number) }
    for number in 1...20 {
      let writer = try bench.open()
      try writer.save(noise(number, count: 5000), for: key(50), objective: -Double(number))
      try writer.close()
      for _ in 0..<2 {
        #expect(try store.lookup(key(50))?.payload == noise(number, count: 5000))
      }
      let before = files.bytesRead
      #expect(try store.lookup(key(50))?.payload == noise(number, count: 5000))
      #expect(files.bytesRead == before)
      for number in 0..<4 { #expect(try bytesRead(store, number) == 0) }
    }
  }

  /// What counts is how much memory entries take, not how much of the disk.
  @Test func shortRecordsOfLongPayloadsPushNothingOutEither() throws {
    let writer = try bench.open()
    func payload(_ number: Int) -> [UInt8] {
      noise(number, count: 8) + Array(repeating: 0, count: 8000)
    }
    for number in 0..<100 { try writer.save(payload(number), for: key(number)) }
    try writer.close()
    // Room for ten.
    let store = try bench.open(host: bench.host(files)) { $0.cacheMemory = 10 * 8600 }
    func bytesRead(_ number: Int) throws -> Int {
      let before = files.bytesRead
      #expect(try store.lookup(key(number))?.payload == payload(number))
      return files.bytesRead - before
    }
    for number in 0..<10 { _ = try bytesRead(number) }
    for number in 20..<100 { _ = try bytesRead(number) }
    for number in 0..<10 { #expect(try bytesRead(number) == 0) }
  }

  @Test func whatIsLargeBesideTheMemoryIsNotKept() throws {
    let store = try open(cacheMemory: 10_000)
    for _ in 0..<2 { #expect(try bytesRead(store, 1) > 5000) }
  }

  @Test func aNewerEntryAndARemovalCountAtOnce() throws {
    let store = try open(cacheMemory: 1 << 20)
    for number in 0..<10 { _ = try bytesRead(store, number) }
    let other = try bench.open()
    try other.save([1], for: key(1), objective: 0)
    try other.remove(key(2))
    #expect(try store.lookup(key(1))?.payload == [1])
    #expect(try store.lookup(key(2)) == nil)
    try store.compact()
    for number in 3..<10 {
      #expect(try store.lookup(key(number))?.payload == noise(number, count: 5000))
    }
    try store.close()
    #expect(throws: StoreError.self) { try store.lookup(key(3)) }
  }

  @Test func whatIsNotOnStableStorageYetIsNotKept() throws {
    let store = try open(cacheMemory: 1 << 20)
    let other = try bench.open { $0.durability = .buffered }
    try other.save(noise(77, count: 5000), for: key(77))
    for _ in 0..<2 {
      let before = files.bytesRead
      #expect(try store.lookup(key(77))?.payload == noise(77, count: 5000))
      #expect(files.bytesRead - before > 5000)
    }
  }

  @Test func anEntryCanBeChangedByWhoHasIt() throws {
    let store = try open(cacheMemory: 1 << 20)
    let entry = try #require(try store.lookup(key(1)))
    var changed = entry
    for index in 0..<100 { changed.payload[index] = 7 }
    changed.objective = nil
    changed.iteration = 12
    changed.label = "mine"
    changed.producer = "me"
    changed.runID = RunID("run")!
    changed.writtenNanoseconds = 3
    changed.key = key(2)
    changed.kind = .final
    #expect(
      changed
        == WarmStartEntry(
          payload: Array(repeating: 7, count: 100) + noise(1, count: 5000)[100...], iteration: 12,
          writtenNanoseconds: 3, kind: .final, runID: RunID("run")!, producer: "me", label: "mine",
          key: key(2)))
    #expect(entry.payload == noise(1, count: 5000) && entry.objective == 1)
    #expect(try store.lookup(key(1)) == entry)
    #expect(changed.description.contains("mine") && changed.description.contains("iteration 12"))
    #expect(Set([entry, changed, entry]).count == 2)
  }
}
