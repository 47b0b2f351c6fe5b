// The compactor is killed at any moment, again and again on the same store, while others write.

import Foundation
import TestSupport
import Testing
import WarmStart

@Suite struct CompactKillTests {
  private let directory = TemporaryDirectory()
  private var path: String { directory.appending("store") }

  /// What one key owes.
  private struct Owed: Equatable {
    var best: [UInt8]
    var objective: Double
    var latest: [UInt8]
  }

  private func key(_ number: Int) -> Fingerprint {
    Fingerprint(words: (9, 9, 9, UInt64(number)))
  }

  private func payload(_ number: Int) -> [UInt8] {
    var state = UInt64(number) &* 0x9e37_79b9_7f4a_7c15 | 1
    return (0..<400 + number % 3000).map { _ in
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return UInt8(truncatingIfNeeded: state >> 56)
    }
  }

  /// As many runs as `WARMSTART_COMPACTOR_KILLS` kills (40) take, from `WARMSTART_SEED` (1).
  @Test(.timeLimit(.minutes(30)))
  func aKilledCompactorLosesNothingAndLeavesNothing() throws {
    let kills = setting("WARMSTART_COMPACTOR_KILLS", default: 40)
    let random = SeededRandom(seed: UInt64(setting("WARMSTART_SEED", default: 1)))
    let below = { (bound: Int) in Int(random.next() % UInt64(bound)) }
    var owed: [Int: Owed] = [:]
    var count = 0
    let save = { (store: WarmStartStore) in
      count += 1
      let number = below(25)
      if below(12) == 0 {
        try store.remove(key(number))
        owed[number] = nil
        return
      }
      let (payload, objective) = (payload(count), Double(below(1000)))
      try store.save(payload, for: key(number), objective: objective)
      var new = owed[number] ?? Owed(best: payload, objective: objective, latest: payload)
      if objective <= new.objective { (new.best, new.objective) = (payload, objective) }
      new.latest = payload
      owed[number] = new
    }
    let living = try WarmStartStore.open(at: path)
    var (killed, finished, run) = (0, 0, 0)
    while killed < kills, run < 5 * kills {
      run += 1
      for _ in 0..<3 {
        let store = try WarmStartStore.open(at: path)
        for _ in 0..<5 { try save(store) }
        try store.close()
      }
      let tool = RunningTool(
        [Tool.path, "compact", path], input: "/dev/null", output: "/dev/null", errors: "/dev/null")
      let moment = Host.system.monotonicClock() + UInt64(below(60_000_000))
      repeat { try save(living) } while Host.system.monotonicClock() < moment
      // Now and then one comes to its end.
      if run % 6 != 0 { tool.kill(SIGKILL) }
      if tool.wait().signal == SIGKILL { killed += 1 } else { finished += 1 }
      let reader = try WarmStartStore.openReadOnly(at: path)
      for number in 0..<25 {
        let found = try reader.lookupBest(key(number)).map {
          Owed(
            best: $0.payload, objective: $0.objective!,
            latest: try reader.lookupLatest(key(number))!.payload)
        }
        try #require(found == owed[number], "run \(run), key \(number)")
      }
      try #require(try reader.engine().verify(.payloads).damage.isEmpty)
    }
    print("compactor: killed \(killed) times, finished \(finished)")
    #expect(killed == kills && finished >= kills / 10)
    try living.close()
    #expect(Tool.run("compact", path).status == 0)
    let names = listing(path)
    #expect(names.count == 2 && names.contains("compaction.lock"))
    #expect(names.contains { $0.hasSuffix(".seg") })
    #expect(Tool.run("fsck", path).status == 0)
  }
}
