// The index keeps places and uses in little memory: whatever they are, they come back as they were.

import TestSupport
import Testing
import WarmStart

@Suite struct IndexMemoryTests {
  /// A place of which every number may be as large as it can be, `odds` to one against it each.
  private static func place(_ number: Int, _ random: SeededRandom, odds: Int = 4) -> Place {
    func below(_ bound: Int) -> Int { Int(random.next() >> 33) % bound }
    func either(_ usual: Int, _ most: Int) -> Int {
      below(odds) == 0 ? most - below(3) : below(usual)
    }
    return Place(
      stamp: UInt64(either(1 << 30, 1 << 62)) + 1,
      objective: below(3) == 0 ? nil : Double(below(1000)) - 500,
      segment: UInt32(either(9, 1 << 20 + 1)),
      offset: UInt64(either(1 << 20, 1 << 32 - 1)) * 8, storedLength: either(5000, 1 << 31 - 1),
      headerLength: either(50, 255) * 8, isFinal: below(2) == 0,
      producer: UInt32(either(3, 1 << 24 - 1)), originSegment: UInt32(below(3)),
      originNumber: UInt32(either(1 << 17, 1 << 32 - 1)))
  }

  private static func describe(_ place: Place) -> String {
    "\(place.stamp) \(place.objective as Any) \(place.segment) \(place.offset) \(place.storedLength) "
      + "\(place.headerLength) \(place.isFinal) \(place.producer) \(place.originSegment) \(place.originNumber)"
  }

  private static func emptyIndex(origins: Int = 3) -> Index {
    let index = Index()
    for number in 0..<origins {
      _ = index.originNumber(SegmentID(creation: UInt64(number), random: 1))
    }
    return index
  }

  @Test(arguments: 1...5)
  func placesComeBackAsTheyWere(_ seed: UInt64) {
    let random = SeededRandom(seed: seed)
    let index = Self.emptyIndex()
    let places = (0..<3000).map { Self.place($0, random) }
    for (number, place) in places.enumerated() { index.insert(key(number), place, saved: 7) }
    for index in [index, Index(index)] {
      for (number, place) in places.enumerated() {
        let found = index.places(of: key(number))
        #expect(found.map { Self.describe($0.place) } == [Self.describe(place)])
        #expect(
          found.first?.slots == (place.isFinal ? [.best, .latest, .final] : [.best, .latest]))
      }
      #expect(index.liveKeys == places.count)
      #expect(index.brokenInvariant() == nil)
    }
    for number in places.indices { index.forget(key(number)) }
    #expect(index.liveKeys == 0 && index.liveBytesBySegment.isEmpty)
  }

  @Test func moreKindsOfHeadersThanThereAreNumbersForAreAllKept() {
    let index = Self.emptyIndex()
    let count = 1 << 12 + 100
    for number in 0..<2 * count {
      index.insert(
        key(number),
        Place(
          stamp: UInt64(number + 1), objective: 1, segment: 0, offset: 8 * UInt64(number),
          storedLength: 8, headerLength: 160, isFinal: false, producer: UInt32(number % count),
          originSegment: 0, originNumber: UInt32(number)), saved: 0)
    }
    let wrong = (0..<2 * count).filter {
      index.places(of: key($0)).map(\.place.producer) != [UInt32($0 % count)]
    }
    #expect(wrong.isEmpty)
  }

  @Test func ofManySegmentsEachKeepsItsOwnNumbers() {
    let segments = 3000
    let index = Self.emptyIndex(origins: segments)
    let places = (0..<3 * segments).map { number in
      Place(
        stamp: UInt64(number + 1), objective: nil, segment: UInt32(number % segments), offset: 64,
        storedLength: 8, headerLength: 160, isFinal: false, producer: 0,
        originSegment: UInt32((number * 7919) % segments),
        originNumber: UInt32((number * 8190) % (1 << 17)))
    }
    for (number, place) in places.enumerated() { index.insert(key(number), place, saved: 0) }
    let wrong = places.indices.filter { number in
      index.places(of: key(number)).map { Self.describe($0.place) }
        != [Self.describe(places[number])]
    }
    #expect(wrong.isEmpty)
  }

  /// What a key's use is made of: the largest of each.
  private struct Use: Equatable {
    var saved: UInt32 = 0
    var lookedUp: UInt32 = 0
    var marked: UInt32 = 0
  }

  @Test(arguments: 1...20)
  func theUseOfAKeyIsTheLatestOfEachKind(_ seed: UInt64) {
    let random = SeededRandom(seed: seed)
    func below(_ bound: Int) -> Int { Int(random.next() >> 33) % bound }
    let second: UInt64 = 1_000_000_000
    var index = Self.emptyIndex()
    var expected: [Int: Use] = [:]
    for step in 0..<600 {
      let number = below(60)
      let time = UInt32(below(10) == 0 ? Int(UInt32.max) - below(2) : 1 + below(1000))
      switch below(8) {
      case 0, 1, 2:
        // Mostly the stamp is of the second in which it was saved.
        let stamp =
          below(4) == 0 ? UInt64(1 + below(1 << 30)) : UInt64(time) * second + UInt64(step)
        let saved = below(20) == 0 ? 0 : time
        let place = Place(
          stamp: stamp, objective: Double(below(3)), segment: UInt32(below(40) == 0 ? 1 << 20 : 0),
          offset: UInt64(step) * 8, storedLength: 8, headerLength: 160, isFinal: below(3) == 0,
          producer: 0, originSegment: 0, originNumber: UInt32(step))
        index.insert(key(number), place, saved: saved)
        expected[number, default: Use()].saved = max(expected[number]?.saved ?? 0, saved)
      case 3:
        index.insertMark(key(number), at: time)
        let use = expected[number] ?? Use()
        expected[number] = Use(
          saved: use.saved, lookedUp: max(use.lookedUp, time), marked: max(use.marked, time))
      case 4:
        guard let row = index.row(ofKnown: key(number)) else { continue }
        index.noteLookups()
        index.noteLookup(row: row, at: time)
        expected[number, default: Use()].lookedUp = max(expected[number]?.lookedUp ?? 0, time)
      case 5:
        _ = index.remove(key(number), through: UInt64(below(2000)) * second)
        expected[number, default: Use()].saved = expected[number]?.saved ?? 0
      case 6: index.forget(key(number))
      default: if below(10) == 0 { index = Index(index) }
      }
    }
    for number in 0..<60 {
      let use = index.lastUse(of: key(number)).map {
        Use(saved: $0.saved, lookedUp: $0.lookedUp, marked: $0.marked)
      }
      #expect(use == expected[number], "key \(number)")
    }
  }

  @Test func aKeyOfOneRecordTakesOneLineOfTheProcessorsCache() {
    #expect(MemoryLayout<KeyTable.Row>.stride == 64)
  }
}
