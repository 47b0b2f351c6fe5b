// The store under the simulator: thousands of lives, each from one seed.

import Simulation
import TestSupport
import Testing

@Suite struct SimulatorTests {
  /// Half of the seeds for each core.
  @Test(arguments: [UInt64(0), 1])
  func noSeedBreaksThePromises(half: UInt64) {
    var counts = Counts()
    let seeds = setting("WARMSTART_SEEDS", default: 2000)
    for seed in 1...UInt64(seeds) where seed % 2 == half {
      let outcome = Simulator.run(seed: seed)
      counts += outcome.counts
      if let failure = outcome.failure { Issue.record("seed \(seed): \(failure)") }
    }
    print("simulated: \(counts)")
    // A simulation in which nothing happens proves nothing.
    #expect(counts.operations > 10 * seeds)
    #expect(counts.crashes > seeds / 2)
    #expect(counts.kills > seeds / 2)
    // They come many at a time, and to few lives: of a handful none may meet one.
    if seeds >= 400 { #expect(counts.errors > seeds / 16) }
    #expect(counts.switches > 5 * seeds)
  }

  @Test func aSeedGivesTheSameRunEveryTime() {
    for seed in UInt64(1)...UInt64(min(40, setting("WARMSTART_SEEDS", default: 2000))) {
      let first = Simulator.run(seed: seed)
      let second = Simulator.run(seed: seed)
      #expect(first.digest == second.digest, "seed \(seed)")
      #expect(first.counts.calls == second.counts.calls)
      #expect(Simulator.run(seed: seed + 1).digest != first.digest)
    }
  }

  @Test(arguments: Mutant.allCases)
  func theSimulatorFinds(_ mutant: Mutant) {
    // A sanitizer need not see the bug found, only that the search is clean.
    let seeds = setting("WARMSTART_SEEDS", default: 2000)
    for seed in 1...UInt64(seeds) {
      if let failure = Simulator.run(seed: seed, mutant: mutant).failure {
        print("\(mutant): seed \(seed), \(failure)")
        // And it is the bug that was found, not the simulator that is wrong.
        #expect(Simulator.run(seed: seed).failure == nil)
        return
      }
    }
    if seeds < 2000 { return print("\(mutant) was not found in the first \(seeds) seeds") }
    Issue.record("\(mutant) was not found in \(seeds) seeds")
  }
}
