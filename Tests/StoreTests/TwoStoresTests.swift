// Two stores on one directory in one process: they are to each other what two processes are.

import TestSupport
import Testing
import WarmStart

@Suite struct TwoStoresTests {
  private let bench = Bench()

  @Test func eachHasALogOfItsOwnAndSeesTheOthersAtOnce() throws {
    let stores = [try bench.open(), try bench.open()]
    for number in 0..<20 {
      try stores[number % 2].save(payload(number), for: key(number % 2))
      for store in stores {
        #expect(try store.lookupLatest(key(number % 2))?.payload == payload(number))
        #expect(try store.entries(for: key(number % 2)).count == number / 2 + 1)
      }
    }
    #expect(listing(bench.path).map { $0.suffix(4) } == [".log", ".log"])
    try stores[0].remove(key(1))
    #expect(try stores[1].lookup(key(1)) == nil)
    #expect(try stores[1].keys == [key(0)])
  }

  /// However the one ends, the other one's log stays its own.
  @Test(arguments: [true, false])
  func theEndOfOneLeavesTheOtherWorking(_ isClosed: Bool) throws {
    let lasting = try bench.open()
    try lasting.save(payload(1), for: key(1))
    for round in 2..<6 {
      var other: WarmStartStore? = try bench.open()
      try other!.save(payload(round), for: key(2))
      #expect(try lasting.lookupLatest(key(2))?.payload == payload(round))
      if isClosed { try other!.close() }
      other = nil
      #expect(try lasting.lookupLatest(key(2))?.payload == payload(round))
      try lasting.save(payload(round), for: key(1))
      #expect(try lasting.lookupLatest(key(1))?.payload == payload(round))
    }
    // One log in all that time, still locked: a newcomer takes it for a living writer's.
    let logs = listing(bench.path).filter { $0.hasSuffix(".log") }
    #expect(logs.count == 1)
    let newcomer = try bench.open()
    try lasting.save(payload(7), for: key(1))
    #expect(try newcomer.lookupLatest(key(1))?.payload == payload(7))
  }

  @Test func aReadOnlyOneSeesTheOtherAndItsEndIsNobodysBusiness() throws {
    let writer = try bench.open()
    try writer.save(payload(1), for: key(1))
    let reader = try bench.open(.readOnly)
    #expect(try reader.lookup(key(1))?.payload == payload(1))
    try writer.save(payload(2), for: key(1))
    #expect(try reader.lookupLatest(key(1))?.payload == payload(2))
    #expect(throws: StoreError.readOnly(path: bench.path)) { try reader.save([1], for: key(1)) }
    try reader.close()
    try writer.save(payload(3), for: key(1))
    #expect(try writer.lookupLatest(key(1))?.payload == payload(3))
    let second = try bench.open(.readOnly)
    try writer.close()
    #expect(try second.lookupLatest(key(1))?.payload == payload(3))
    #expect(try second.entries(for: key(1)).count == 3)
  }

  @Test func sessionsOfBothShareOneKey() throws {
    let sessions = try (0..<2).map { _ in
      Session(
        store: try bench.open(), key: key(1), label: nil, checkpointInterval: 0,
        host: bench.host())
    }
    for number in 0..<10 {
      #expect(sessions[number % 2].checkpoint(payload(number), objective: Double(-number)))
      for session in sessions { #expect(session.peekLoad()?.payload == payload(number)) }
    }
    #expect(sessions[0].finalize(payload(99), objective: 5))
    #expect(sessions[1].tryLoad()?.payload == payload(99))
    #expect(sessions[1].lastError == nil)
  }
}
