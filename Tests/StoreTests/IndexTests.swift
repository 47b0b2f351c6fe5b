// The index against a naive model: its slots follow from the records, not from their order.

import TestSupport
import Testing
import WarmStart

@Suite struct IndexTests {
  /// One thing that a replay may bring.
  private enum Event {
    case entry(Int, Place)
    case removal(Int, stamp: UInt64)
  }

  /// What must count of a key: the contract, word by word.
  private struct Expected: Equatable {
    var best: UInt64?
    var latest: UInt64?
    var finals: Set<UInt64> = []
  }

  private static let producers = 12

  private static func events(seed: UInt64, count: Int, keys: Int) -> [Event] {
    let random = SeededRandom(seed: seed)
    func below(_ bound: Int) -> Int { Int(random.next() >> 33) % bound }
    var stamps: [UInt64] = []
    return (0..<count).map { number in
      // A few stamps occur twice; then the origin decides.
      let stamp = number > 0 && below(10) == 0 ? stamps[below(number)] : UInt64(1 + below(1 << 30))
      stamps.append(stamp)
      if below(30) == 0 { return .removal(below(keys), stamp: stamp) }
      let objectives: [Double?] = [nil, 0, -0.0, 1, 1, 2, -1, Double(below(100))]
      let segment = UInt32(below(6))
      return .entry(
        below(keys),
        Place(
          stamp: stamp, objective: objectives[below(objectives.count)], segment: segment,
          offset: UInt64(number) * 8, storedLength: below(1000), headerLength: 136 + 8 * below(4),
          isFinal: below(3) == 0, producer: UInt32(below(producers)), originSegment: segment,
          originNumber: UInt32(number)))
    }
  }

  private static func emptyIndex() -> Index {
    let index = Index()
    // Numbers of origins are in another order than the origins.
    for number in 0..<6 {
      _ = index.originNumber(SegmentID(creation: UInt64(9 - number), random: 1))
    }
    for number in 0..<producers { _ = index.producerNumber("p\(number)") }
    return index
  }

  /// Applies the events, and what the engine does when a key must be filled anew.
  private static func apply(_ events: [Event], to index: inout Index, all: [Event]) {
    for event in events {
      switch event {
      case .entry(let number, let place): index.insert(key(number), place, saved: 1)
      case .removal(let number, let stamp):
        guard index.remove(key(number), through: stamp) else { continue }
        index.forget(key(number))
        for case .entry(number, let place) in all { index.insert(key(number), place, saved: 1) }
      }
    }
  }

  /// By sorting everything, without any of the index's code.
  private static func expected(_ number: Int, _ events: [Event]) -> Expected {
    var removed: UInt64 = 0
    for case .removal(number, let stamp) in events { removed = max(removed, stamp) }
    var entries: [Place] = []
    for case .entry(number, let place) in events where place.stamp > removed {
      entries.append(place)
    }
    func age(_ place: Place) -> (UInt64, UInt64, UInt32) {
      (place.stamp, UInt64(9 - place.originSegment), place.originNumber)
    }
    let newestFirst = entries.sorted { age($0) > age($1) }
    let bestFirst = newestFirst.sorted { left, right in
      let (first, second) = (left.objective ?? .infinity, right.objective ?? .infinity)
      return first != second ? first < second : age(left) > age(right)
    }
    var seen: Set<UInt32> = []
    let finals = newestFirst.filter { $0.isFinal && seen.insert($0.producer).inserted }
    return Expected(
      best: bestFirst.first?.offset, latest: newestFirst.first?.offset,
      finals: Set(finals.prefix(8).map(\.offset)))
  }

  private static func actual(_ number: Int, _ index: Index) -> Expected {
    var result = Expected()
    for place in index.places(of: key(number)) {
      if place.slots.contains(.best) { result.best = place.place.offset }
      if place.slots.contains(.latest) { result.latest = place.place.offset }
      if place.slots.contains(.final) { result.finals.insert(place.place.offset) }
    }
    return result
  }

  @Test(arguments: 1...20)
  func slotsDependOnTheRecordsAndNotOnTheirOrder(_ seed: UInt64) {
    let keys = seed % 2 == 0 ? 2 : 12
    let events = Self.events(seed: seed, count: 200, keys: keys)
    let random = SeededRandom(seed: seed + 1000)
    for _ in 0..<3 {
      var shuffled = events
      for index in shuffled.indices.reversed() {
        shuffled.swapAt(index, Int(random.next() >> 33) % (index + 1))
      }
      var index = Self.emptyIndex()
      for (count, event) in shuffled.enumerated() {
        Self.apply([event], to: &index, all: Array(shuffled[...count]))
        if let broken = index.brokenInvariant() {
          Issue.record("after \(count + 1) events: \(broken)")
          return
        }
      }
      for number in 0..<keys {
        #expect(Self.actual(number, index) == Self.expected(number, events), "key \(number)")
      }
    }
  }

  @Test(arguments: 1...10)
  func everyPrefixOfTheRecordsGivesItsSlots(_ seed: UInt64) {
    let events = Self.events(seed: seed + 500, count: 120, keys: 2)
    var index = Self.emptyIndex()
    for count in 0..<events.count {
      let prefix = Array(events[...count])
      Self.apply([events[count]], to: &index, all: prefix)
      for number in 0..<2 {
        #expect(Self.actual(number, index) == Self.expected(number, prefix), "\(count)")
      }
    }
  }

  @Test(arguments: 1...10)
  func recordsThatComeTwiceCountOnce(_ seed: UInt64) {
    let events = Self.events(seed: seed + 900, count: 200, keys: 5)
    var index = Self.emptyIndex()
    Self.apply(events, to: &index, all: events)
    Self.apply(events.reversed(), to: &index, all: events)
    #expect(index.brokenInvariant() == nil)
    for number in 0..<5 {
      #expect(Self.actual(number, index) == Self.expected(number, events))
    }
  }

  @Test func keysThatAreForgottenLeaveNoLiveBytes() {
    let events = Self.events(seed: 77, count: 500, keys: 20)
    var index = Self.emptyIndex()
    Self.apply(events, to: &index, all: events)
    for number in 0..<20 {
      index.forget(key(number))
      #expect(index.brokenInvariant() == nil)
      #expect(index.places(of: key(number)).isEmpty)
    }
    #expect(index.liveKeys == 0)
    #expect(index.liveBytesBySegment.isEmpty)
  }

  @Test func theTableFindsEveryKeyAndNoOther() {
    let table = KeyTable()
    table.reserve(100)
    // So many that rows and slots come to lie in large pages.
    let keys = (0..<400_000).map { number -> Fingerprint in
      // Keys by hand, that differ in one word, and digests.
      let word = UInt64(number / 5)
      switch number % 5 {
      case 0: return Fingerprint(words: (word, 0, 0, 7))
      case 1: return Fingerprint(words: (0, word, 0, 1))
      case 2: return Fingerprint(words: (0, 0, word, 2))
      case 3: return Fingerprint(words: (0, 0, 0, word << 8 | 3))
      default: return Fingerprint(bytes: noise(number, count: 32))!
      }
    }
    var failures = 0
    for (number, key) in keys.enumerated() {
      if table.number(of: key) != nil { failures += 1 }
      if table.insert(key) != number { failures += 1 }
    }
    for (number, key) in keys.enumerated() {
      if table.number(of: key) != number { failures += 1 }
      if table.insert(key) != number { failures += 1 }
      if table.row(number).pointee.key != key { failures += 1 }
    }
    #expect(failures == 0)
    #expect(table.number(of: Fingerprint(words: (1, 2, 3, 4))) == nil)
    #expect(table.count == keys.count)
  }
}
