// A store that keeps itself small without being asked.

import Glibc
import TestSupport
import Testing
import WarmStart

@Suite struct UpkeepTests {
  private let bench = Bench()

  init() { bench.options.compactsByItself = true }

  private var segments: [String] { listing(bench.path).filter { SegmentName($0) != nil } }

  /// One short fit: a key of its own, five checkpoints and a final.
  private func fit(_ number: Int) throws {
    bench.clock.advance(seconds: 1)
    let store = try bench.open()
    #expect(try store.lookup(key(number)) == nil)
    for step in 0..<5 {
      try store.save(
        noise(number * 10 + step, count: 800), for: key(number), objective: Double(9 - step),
        iteration: UInt64(step))
    }
    try store.save(
      noise(number * 10 + 5, count: 800), for: key(number), kind: .final, objective: 1,
      iteration: 5)
    try store.close()
  }

  @Test func aThousandShortFitsLeaveAHandfulOfSegments() throws {
    var most = 0
    for number in 0..<1000 {
      try fit(number)
      most = max(most, listing(bench.path).count)
    }
    #expect(most <= 24)
    let store = try bench.open(.readOnly)
    for number in 0..<1000 {
      #expect(try store.lookup(key(number))?.payload == noise(number * 10 + 5, count: 800))
    }
    #expect(try store.engine().verify(.payloads).damage.isEmpty)
  }

  /// A store with `rounds` entries of each of 20,000 keys, in a segment a round, of which only the last counts.
  private func fillWithManyKeys(rounds: Int) throws {
    for round in 0..<rounds {
      let store = try bench.open { ($0.durability, $0.compactsByItself) = (.buffered, false) }
      try store.save(
        (0..<20_000).map { number in
          NewEntry(
            payload(number), for: key(number), kind: .checkpoint, objective: Double(rounds - round))
        })
      try store.close()
    }
  }

  @Test func aFitThatSavesLittleReadsLittleHoweverManyKeysThereAre() throws {
    try fillWithManyKeys(rounds: 1)
    bench.options.upkeepPolicy.lookers = .max
    let files = FaultyFiles()
    let store = try bench.open(host: bench.host(files))
    try store.save(payload(1), for: key(20_001))
    #expect(files.bytesRead < 128 << 10)
    try store.close()
    #expect(files.bytesRead < 128 << 10)
  }

  /// One fit that saves under one key, and waits for the compactor.
  private func patientFit(_ number: Int) throws {
    let store = try bench.open()
    try store.save(payload(number), for: key(number))
    try store.engine().waitForUpkeep()
    try store.close()
  }

  @Test func someFitsLookWhetherLargeSegmentsAreWasteful() throws {
    try fillWithManyKeys(rounds: 3)
    // What is large is the thread's.
    bench.options.upkeepPolicy.closeLimit = 64 << 10
    let before = bench.bytes()
    bench.options.upkeepPolicy.lookers = .max
    for number in 20_000..<20_010 { try patientFit(number) }
    #expect(bench.bytes() > before)
    bench.options.upkeepPolicy.lookers = 8
    for number in 20_010..<20_050 { try patientFit(number) }
    #expect(bench.bytes() < before / 2)
    let reader = try bench.open(.readOnly)
    #expect(try reader.keys.count == 20_050)
    #expect(try reader.lookup(key(17))?.payload == payload(17))
  }

  @Test func shortFitsAreMergedAlthoughLargeSegmentsAreWasteful() throws {
    try fillWithManyKeys(rounds: 3)
    bench.options.upkeepPolicy.lookers = .max
    var most = 0
    for number in 20_000..<20_040 {
      // Nothing of what it writes is waste.
      let store = try bench.open()
      try store.save(noise(number, count: 800), for: key(number))
      try store.close()
      most = max(most, segments.count)
    }
    #expect(most <= 3 + 8 + 1)
    #expect(try bench.open(.readOnly).keys.count == 20_040)
  }

  @Test func fewRecordsAreLookedAtByEveryFit() throws {
    bench.options.upkeepPolicy.lookers = .max
    bench.options.durability = .buffered
    // Each fit leaves a segment whose footer is searched, and not read, by the next.
    var most: UInt64 = 0
    for _ in 0..<12 {
      bench.clock.advance(seconds: 1)
      let store = try bench.open()
      for step in 0..<400 {
        try store.save(noise(step, count: 20_000), for: key(1), objective: Double(-step))
      }
      try store.engine().waitForUpkeep()
      try store.close()
      most = max(most, bench.bytes())
    }
    // Two fits' logs, of which one is nearly all waste, and what is free.
    #expect(most < 3 * 8_100_000 + 4 << 20)
  }

  @Test func theThreadReadsFooterByFooterAndRests() throws {
    try fillWithManyKeys(rounds: 5)
    bench.options.upkeepPolicy.lookers = 1
    let files = FaultyFiles()
    let clock = Notes<Int>()
    let reads = Notes<Int>()
    var host = bench.host(files)
    // Everything takes a millisecond.
    host.monotonicClock = {
      clock.add(0)
      return UInt64(clock.all.count) * 1_000_000
    }
    host.sleep = { _ in reads.add(files.bytesRead) }
    let store = try bench.open(host: host)
    try store.save(payload(1), for: key(20_001))
    try store.engine().waitForUpkeep()
    try store.close()
    let read = reads.all
    #expect(read.count >= 5)
    // A footer is of 2 MB and more.
    for (one, next) in zip(read, read.dropFirst()).prefix(4) { #expect(next - one < 3 << 20) }
    #expect(try #require(read.first) < 5 << 20)
  }

  @Test(.timeLimit(.minutes(20)))
  func theThreadEndsBetweenTwoFooters() throws {
    try fillWithManyKeys(rounds: 6)
    bench.options.upkeepPolicy.lookers = 1
    let files = FaultyFiles()
    let clock = Notes<Int>()
    let rests = Notes<Int>()
    let gate = Gate()
    gate.shut()
    var host = bench.host(files)
    host.monotonicClock = {
      clock.add(0)
      return UInt64(clock.all.count) * 1_000_000
    }
    host.sleep = { _ in
      rests.add(0)
      gate.pass()
    }
    let store = try bench.open(host: host)
    try store.save(payload(1), for: key(20_001))
    gate.waitForSomebody()
    let closer = try POSIXThreads().start { try? store.close() }
    while (try? store.engine()) != nil { sched_yield() }
    gate.open()
    closer.join()
    // One more at most, if the store was closed and the thread not yet told.
    #expect(rests.all.count <= 2)
    #expect(files.bytesRead < 8 << 20)
  }

  @Test func aStoreThatIsToldNotToLeavesItsSegmentsAlone() throws {
    bench.options.compactsByItself = false
    for number in 0..<40 { try fit(number) }
    #expect(segments.count == 40)
  }

  @Test func whatIsOverwrittenGoesWhileTheStoreIsWritten() throws {
    bench.options.segmentLimit = 256 << 10
    bench.options.durability = .buffered
    let store = try bench.open()
    var most: UInt64 = 0
    for turn in 0..<60 {
      for number in 0..<64 {
        try store.save(
          noise(turn * 64 + number, count: 4096), for: key(number), objective: Double(-turn))
      }
      most = max(most, bench.bytes())
    }
    let live = try store.statistics.liveBytes
    #expect(most <= 3 * live + 4 << 20)
    for number in 0..<64 {
      #expect(try store.lookup(key(number))?.payload == noise(59 * 64 + number, count: 4096))
    }
    try store.close()
    try bench.open().compact()
    #expect(Double(bench.bytes()) <= 1.10 * Double(live))
  }

  @Test func theBudgetIsKeptAndWhatIsOfUseStays() throws {
    bench.options.sizeBudget = 2 << 20
    let store = try bench.open()
    let segment = try store.engine().options.segmentLimit
    var used: [Int] = []
    for number in 0..<2000 {
      bench.clock.advance(seconds: 1)
      try store.save(noise(number, count: 4096), for: key(number))
      // One of a hundred is looked up, again and again.
      if number % 100 == 50 { used.append(number) }
      if number % 50 == 0 {
        for one in used.suffix(5) { #expect(try store.lookup(key(one)) != nil, "\(one)") }
        let most = bench.options.sizeBudget + 2 * segment
        #expect(bench.bytes() <= most, "\(bench.bytes()) of \(most) after \(number)")
      }
    }
    try store.close()
    #expect(bench.bytes() <= bench.options.sizeBudget + segment)
    let reader = try bench.open(.readOnly)
    for number in used.suffix(5) + [1997, 1998, 1999] {
      #expect(try reader.lookup(key(number))?.payload == noise(number, count: 4096), "\(number)")
    }
    // Of those that nobody asked for the newest are left; of the older ones at most a few, in segments that
    // are not worth a merge for their sake.
    let left = try Set(reader.keys)
    let plain = (0..<2000).filter { !used.contains($0) && left.contains(key($0)) }
    let newest = (0..<2000).filter { !used.contains($0) }.suffix(plain.count)
    #expect(newest.filter { !left.contains(key($0)) }.count <= 20)
    #expect(left.count > 250 && left.count < 550)
    #expect(try reader.engine().verify(.payloads).damage.isEmpty)
  }

  @Test func nothingOfWhatWasEvictedComesBack() throws {
    bench.options.compactsByItself = false
    // The best of each key lies in one segment, the newest in another.
    for objective in [1.0, 2] {
      let store = try bench.open()
      for number in 0..<20 {
        bench.clock.advance(seconds: 1)
        try store.save(noise(number, count: 3000), for: key(number), objective: objective)
      }
      try store.close()
    }
    let living = try bench.open()
    try living.save(payload(1), for: key(0), objective: 3)
    let store = try bench.open { $0.sizeBudget = 80_000 }
    let report = try store.compact()
    #expect(report.evictedKeys > 5 && report.evictedKeys < 15)
    try living.close()
    let left = try bench.open(.readOnly).keys
    // Its newest entry is newer than all others, and in the log of somebody who lives.
    #expect(left.contains(key(0)))
    for number in 1..<20 {
      let isLeft = left.contains(key(number))
      #expect(isLeft == (number > report.evictedKeys))
      let entries = try bench.open(.readOnly).entries(for: key(number))
      #expect(entries.count == (isLeft ? 2 : 0))
      if isLeft { #expect(try bench.open(.readOnly).lookup(key(number))?.objective == 1) }
    }
    try bench.open().compact()
    #expect(try bench.open(.readOnly).keys == left)
  }

  @Test func whatIsSavedAfterItWasEvictedStays() throws {
    bench.options.compactsByItself = false
    for number in 0..<30 {
      bench.clock.advance(seconds: 1)
      let store = try bench.open()
      try store.save(noise(number, count: 3000), for: key(number % 10), objective: Double(number))
      try store.close()
    }
    try bench.open { $0.sizeBudget = 20_000 }.compact()
    let gone = try #require(try (0..<10).first { try bench.open().lookupBest(key($0)) == nil })
    let store = try bench.open()
    try store.save(payload(7), for: key(gone), objective: 99)
    try store.close()
    try bench.open().compact()
    #expect(try bench.open().lookup(key(gone))?.payload == payload(7))
  }

  /// What is dead by what is not on stable storage yet must be kept: to write it anew again and again gains nothing.
  @Test func whatMayNotGoYetIsNotCopiedAgainAndAgain() throws {
    let first = try bench.open {
      ($0.durability, $0.compactsByItself) = (.buffered, false)
      $0.segmentLimit = 64 << 10
    }
    for number in 0..<52 {
      try first.save(noise(number, count: 2300), for: key(number), objective: 2)
    }
    try first.close()
    let filling = segments.count
    let writer = try bench.open { ($0.durability, $0.compactsByItself) = (.buffered, false) }
    for number in 0..<52 { try writer.save([1], for: key(number), objective: 1) }
    let files = FaultyFiles()
    let published = Notes<String>()
    files.failRenames { [published] name in
      if name.hasSuffix(".tmp") { published.add(name) }
      return nil
    }
    let store = try bench.open(host: bench.host(files)) {
      $0.segmentLimit = 64 << 10
      $0.upkeepPolicy.freeWaste = 1 << 10
    }
    try store.save([2], for: key(100))
    try store.engine().waitForUpkeep()
    // A log, and each segment once.
    #expect(published.all.count <= 1 + 2 * filling)
    for number in 0..<52 { #expect(try store.lookup(key(number))?.payload == [1]) }
    try store.close()
    try writer.close()
  }
}
