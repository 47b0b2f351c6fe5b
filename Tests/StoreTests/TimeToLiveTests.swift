// How long a key lives, and what a lookup does for it.

import TestSupport
import Testing
import WarmStart

@Suite struct TimeToLiveTests {
  private let bench = Bench()
  private static let ttl = 30_000.0

  init() { bench.options.timeToLive = UInt64(Self.ttl) }

  @Test(arguments: Witness.allCases)
  func aKeyThatNobodyUsedIsNeverReturned(_ way: Witness) throws {
    var store: WarmStartStore? = try bench.open()
    try store!.save(payload(1), for: key(1), kind: .final, objective: 1)
    bench.clock.advance(seconds: Self.ttl / 2)
    try store!.save(payload(2), for: key(2))
    try bench.witness(way, of: &store)
    bench.clock.advance(seconds: Self.ttl / 2 - 1)
    #expect(try store!.keys == [key(1), key(2)])
    bench.clock.advance(seconds: 3)
    #expect(try store!.lookup(key(1)) == nil)
    #expect(try store!.lookupLatest(key(1)) == nil)
    #expect(try store!.lookupBest(key(1)) == nil)
    #expect(try store!.entries(for: key(1)) == [])
    #expect(try store!.keys == [key(2)])
    #expect(try store!.lookup(key(2))?.payload == payload(2))
  }

  @Test(arguments: Witness.allCases)
  func asLongAsAKeyLivesItsBestEntryDoes(_ way: Witness) throws {
    var store: WarmStartStore? = try bench.open()
    try store!.save(payload(0), for: key(1), objective: 0)
    for number in 1...5 {
      bench.clock.advance(seconds: Self.ttl * 0.9)
      try store!.save(payload(number), for: key(1), objective: 9)
    }
    try bench.witness(way, of: &store)
    #expect(try store!.lookup(key(1))?.payload == payload(0))
  }

  @Test(arguments: Witness.allCases)
  func whatIsExpiredDoesNotComeBackWithANewEntry(_ way: Witness) throws {
    var store: WarmStartStore? = try bench.open()
    try store!.save(payload(1), for: key(1), kind: .final, objective: 0)
    bench.clock.advance(seconds: Self.ttl + 10)
    #expect(try store!.lookup(key(1)) == nil)
    try store!.save(payload(2), for: key(1), objective: 5)
    try store!.save([NewEntry(payload(3), for: key(2))])
    try bench.witness(way, of: &store)
    #expect(try store!.lookup(key(1))?.payload == payload(2))
    #expect(try store!.lookup(key(1))?.kind == .checkpoint)
    #expect(try store!.lookupBest(key(1))?.payload == payload(2))
    #expect(try store!.entries(for: key(1)).map(\.payload) == [payload(2)])
    #expect(try store!.engine().verify(.payloads).damage.isEmpty)
  }

  @Test(arguments: [Witness.same, .besides, .reopened, .dropped])
  func aLookupKeepsAKeyAlive(_ way: Witness) throws {
    var store: WarmStartStore? = try bench.open()
    try store!.save(payload(1), for: key(1))
    bench.clock.advance(seconds: Self.ttl * 0.9)
    #expect(try store!.lookup(key(1)) != nil)
    // Noted on disk with the next write.
    try store!.save(payload(2), for: key(2))
    try bench.witness(way, of: &store)
    bench.clock.advance(seconds: Self.ttl * 0.9)
    #expect(try store!.lookup(key(1))?.payload == payload(1))
  }

  @Test(arguments: [0, 1, 2])
  func everyKindOfLookupIsUse(_ kind: Int) throws {
    let store = try bench.open()
    try store.save(payload(1), for: key(1))
    for _ in 0..<4 {
      bench.clock.advance(seconds: Self.ttl * 0.9)
      let found =
        switch kind {
        case 0: try store.lookup(key(1))
        case 1: try store.lookupLatest(key(1))
        default: try store.lookupBest(key(1))
        }
      #expect(found?.payload == payload(1))
    }
  }

  @Test func listingIsNoUse() throws {
    let store = try bench.open()
    try store.save(payload(1), for: key(1))
    bench.clock.advance(seconds: Self.ttl * 0.9)
    #expect(try store.keys == [key(1)])
    #expect(try store.entries(for: key(1)).count == 1)
    _ = try store.statistics
    bench.clock.advance(seconds: Self.ttl * 0.2)
    #expect(try store.lookup(key(1)) == nil)
  }

  @Test func theLatestUseCountsNotTheLatestThatWasNotedOnDisk() throws {
    let store = try bench.open()
    try store.save(payload(1), for: key(1))
    bench.clock.advance(seconds: 10)
    #expect(try store.lookup(key(1)) != nil)
    // Within a thirtieth of the time to live: not noted on disk, but in memory at once.
    bench.clock.advance(seconds: Self.ttl / 30 - 10)
    #expect(try store.lookup(key(1)) != nil)
    bench.clock.advance(seconds: Self.ttl - 100)
    #expect(try store.lookup(key(1)) != nil)
  }

  @Test func useDoesNotChangeWhatIsNewest() throws {
    let store = try bench.open()
    try store.save(payload(1), for: key(1), objective: 1)
    bench.clock.advance(seconds: 10)
    try store.save(payload(2), for: key(1), objective: 2)
    bench.clock.advance(seconds: Self.ttl / 2)
    #expect(try store.lookupBest(key(1))?.payload == payload(1))
    try store.close()
    let reopened = try bench.open()
    #expect(try reopened.lookupLatest(key(1))?.payload == payload(2))
    #expect(try reopened.entries(for: key(1)).count == 2)
  }

  @Test func anExpiredKeyIsNotRevivedByLookingItUp() throws {
    let store = try bench.open()
    try store.save(payload(1), for: key(1))
    bench.clock.advance(seconds: Self.ttl + 3)
    for _ in 0..<3 { #expect(try store.lookup(key(1)) == nil) }
    try store.close()
    #expect(try bench.open().lookup(key(1)) == nil)
    try bench.open().save(payload(2), for: key(1))
    #expect(try bench.open().lookupLatest(key(1))?.payload == payload(2))
  }

  @Test(arguments: Witness.allCases)
  func zeroIsForEver(_ way: Witness) throws {
    bench.options.timeToLive = 0
    var store: WarmStartStore? = try bench.open()
    try store!.save(payload(1), for: key(1))
    try bench.witness(way, of: &store)
    bench.clock.advance(seconds: 9e9)
    #expect(try store!.lookup(key(1))?.payload == payload(1))
    #expect(try store!.keys == [key(1)])
  }

  @Test(arguments: [.max, .max / 1_000_000_000, .max / 1_000_000_000 - 1, 1 << 62] as [UInt64])
  func aTimeToLiveBeyondAllTimeIsForEver(_ seconds: UInt64) throws {
    bench.options.timeToLive = seconds
    let store = try bench.open()
    try store.save(payload(1), for: key(1))
    bench.clock.advance(seconds: 6e9)
    #expect(try store.lookup(key(1))?.payload == payload(1))
  }

  @Test func aTimeInTheFutureCountsAsNow() throws {
    let ahead = ManualClock(wall: bench.clock.now + 1_000_000_000_000_000)
    let writer = try bench.open(host: bench.host(clock: ahead))
    try writer.save(payload(1), for: key(1))
    try writer.close()
    let store = try bench.open()
    #expect(try store.lookup(key(1))?.payload == payload(1))
    bench.clock.advance(seconds: Self.ttl * 2)
    #expect(try store.lookup(key(1))?.payload == payload(1))
    bench.clock.set(wall: ahead.now + UInt64(Self.ttl + 3) * 1_000_000_000)
    // The lookups above were before that time, which is past now.
    #expect(try store.lookup(key(1)) == nil)
  }

  @Test func eachStoreGoesByItsOwnTimeToLive() throws {
    try bench.open().save(payload(1), for: key(1))
    bench.clock.advance(seconds: Self.ttl + 3)
    #expect(try bench.open().keys == [])
    #expect(try bench.open { $0.timeToLive = 0 }.keys == [key(1)])
  }
}
