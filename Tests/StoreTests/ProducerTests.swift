// Whose final is whose.

import TestSupport
import Testing
import WarmStart

@Suite struct ProducerTests {
  private let bench = Bench()

  @Test(arguments: Witness.allCases)
  func theOwnNewestFinalGoesBeforeABetterEntry(_ way: Witness) throws {
    var store: WarmStartStore? = try bench.open(as: "a")
    try store!.save(payload(0), for: key(1), kind: .final, objective: 1)
    try store!.save(payload(1), for: key(1), kind: .final, objective: 5)
    try store!.save(payload(2), for: key(1), objective: 0)
    try bench.witness(way, of: &store)
    let found = try #require(try store!.lookup(key(1)))
    #expect(found.payload == payload(1) && found.kind == .final)
    let best = try #require(try store!.lookupBest(key(1)))
    #expect(best.payload == payload(2) && best.kind == .checkpoint)
    #expect(try store!.lookupLatest(key(1))?.payload == payload(2))
  }

  @Test(arguments: Witness.allCases)
  func aFinalOfAnotherProducerComesBackAsACheckpoint(_ way: Witness) throws {
    let other = try bench.open(as: "b")
    try other.save(payload(7), for: key(1), kind: .final, objective: 1, iteration: 3, label: "l")
    let written = bench.clock.now
    bench.clock.advance(seconds: 1)
    var store: WarmStartStore? = try bench.open(as: "a")
    try store!.save(payload(8), for: key(1), objective: 2)
    try bench.witness(way, of: &store)
    let found = try #require(try store!.lookup(key(1)))
    #expect(found.kind == .checkpoint)
    #expect(found.payload == payload(7) && found.objective == 1 && found.iteration == 3)
    #expect(found.writtenNanoseconds == written)
    #expect(found.producer == "b" && found.label == "l")
    #expect(try store!.lookupBest(key(1)) == found)
    #expect(try store!.entries(for: key(1)).allSatisfy { $0.kind == .checkpoint })
    #expect(try other.lookup(key(1))?.kind == .final)
  }

  @Test func aBetterFinalOfAnotherDoesNotHideTheOwnOne() throws {
    let ours = try bench.open(as: "a")
    let theirs = try bench.open(as: "b")
    try ours.save(payload(1), for: key(1), kind: .final, objective: 5)
    try theirs.save(payload(2), for: key(1), kind: .final, objective: 1)
    #expect(try ours.lookup(key(1))?.payload == payload(1))
    #expect(try theirs.lookup(key(1))?.payload == payload(2))
    #expect(try bench.open(as: "c").lookup(key(1))?.payload == payload(2))
    #expect(try bench.open(as: "c").lookup(key(1))?.kind == .checkpoint)
  }

  @Test func aFinalOfNoProducerClaimsNothing() throws {
    let store = try bench.open(as: "")
    try store.save(payload(1), for: key(1), kind: .final, objective: 5)
    #expect(try store.lookup(key(1))?.kind == .checkpoint)
    try store.save(payload(2), for: key(1), objective: 1)
    #expect(try store.lookup(key(1))?.payload == payload(2))
    #expect(try bench.open(as: "a").lookup(key(1))?.kind == .checkpoint)
  }

  @Test(arguments: Witness.allCases)
  func finalsOfTheEightNewestProducersAreKept(_ way: Witness) throws {
    var store: WarmStartStore?
    for number in 0..<12 {
      store = try bench.open(as: "p\(number)")
      try store!.save(payload(number), for: key(1), kind: .final, objective: 50)
      try store!.save(payload(100), for: key(1), objective: 1)
      bench.clock.advance(seconds: 1)
    }
    try bench.witness(way, of: &store)
    try store!.close()
    for number in 0..<12 {
      let found = try bench.open(as: "p\(number)").lookup(key(1))
      #expect(found?.payload == (number < 4 ? payload(100) : payload(number)), "p\(number)")
      #expect(found?.kind == (number < 4 ? .checkpoint : .final))
    }
  }

  @Test func aProducerThatFinishesAgainStaysAmongTheEight() throws {
    for number in 0..<8 {
      let store = try bench.open(as: "p\(number)")
      try store.save(payload(number), for: key(1), kind: .final, objective: 9)
      bench.clock.advance(seconds: 1)
    }
    try bench.open(as: "p0").save(payload(50), for: key(1), kind: .final, objective: 9)
    bench.clock.advance(seconds: 1)
    try bench.open(as: "p8").save(payload(8), for: key(1), kind: .final, objective: 9)
    #expect(try bench.open(as: "p0").lookup(key(1))?.payload == payload(50))
    // p1 has the oldest of nine newest finals.
    #expect(try bench.open(as: "p1").lookup(key(1))?.kind == .checkpoint)
    #expect(try bench.open(as: "p2").lookup(key(1))?.payload == payload(2))
  }

  @Test func aProgramThatNamesNoProducerIsToldByItsExecutable() throws {
    var host = bench.host()
    bench.options.producer = nil
    let identity = ExecutableIdentity(path: "/usr/bin/fit", size: 1, modifiedNanoseconds: 1)
    let first = try bench.open(host: host)
    try first.save(payload(1), for: key(1), kind: .final)
    #expect(first.producer.hasPrefix("fit@"))
    #expect(try bench.open().lookup(key(1))?.kind == .final)
    for change: (inout ExecutableIdentity) -> Void in [
      { $0.path = "/opt/bin/fit" }, { $0.size = 2 }, { $0.modifiedNanoseconds = 2 },
    ] {
      var other = identity
      change(&other)
      host = bench.host()
      host.executable = { [other] in other }
      let store = try bench.open(host: host)
      #expect(store.producer != first.producer)
      #expect(try store.lookup(key(1))?.kind == .checkpoint)
    }
  }

  @Test func theProducerOfAnExecutableWithALongNameFits() throws {
    bench.options.producer = nil
    var host = bench.host()
    host.executable = {
      ExecutableIdentity(
        path: "/" + String(repeating: "ö", count: 4000), size: 1, modifiedNanoseconds: -1)
    }
    let store = try bench.open(host: host)
    try store.save(payload(1), for: key(1), kind: .final)
    #expect(try store.lookup(key(1))?.kind == .final)
  }

  @Test func theRunningProgramHasAProducer() throws {
    bench.options.producer = nil
    let store = try bench.open(host: .system)
    #expect(store.producer.contains("@"))
    #expect(try bench.open(host: .system).producer == store.producer)
  }
}
