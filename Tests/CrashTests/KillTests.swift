// A writer is killed at any moment of its life, again and again on the same store.

import Glibc
import TestSupport
import Testing
import WarmStart
import checkpoint_writer

extension CrashTests {
  /// As many runs as `WARMSTART_KILLS` kills (100) take, from `WARMSTART_SEED` (1).
  @Test(.timeLimit(.minutes(60)))
  func aKilledWriterLosesNothingItAcknowledged() throws {
    let kills = setting("WARMSTART_KILLS", default: 100)
    let series = KillSeries(seed: UInt64(setting("WARMSTART_SEED", default: 1)))
    var runs = 0
    while series.counts.killed < kills, runs < 2 * kills {
      runs += 1
      let faults = try series.run(UInt64(runs))
      try #require(faults.isEmpty, "run \(runs): \(faults.joined(separator: "; "))")
    }
    let counts = series.counts
    print("\(runs) runs: \(counts)")
    // So that the above cannot hold for want of anything to lose.
    #expect(counts.killed == kills)
    #expect(counts.acknowledged > 2 * kills)
    #expect(counts.cutOff > kills / 20)
    #expect(counts.recordsVerified > 5 * kills)
    #expect(counts.logs > min(5, kills / 20) && counts.sealedSegments > min(5, kills / 20))
  }
}

extension CrashTests {
  /// The n-th call of every kind is the last thing that the writer tried, for every n, in a store of
  /// its own; small segments, so that all that happens in their life happens several times.
  @Test(
    .timeLimit(.minutes(20)), .enabled(if: Trace.isPossible, "strace(1) is missing or refused"),
    arguments: [
      "mkdir", "flock", "pwrite64", "fdatasync", "renameat2", "fsync", "write",
    ])
  func aWriterKilledAtAnySystemCallLosesNothingItAcknowledged(call: String) throws {
    let series = KillSeries(seed: UInt64(setting("WARMSTART_SEED", default: 1)))
    var count = 0
    while true {
      let (wasKilled, faults) = try series.runInFreshStore(killedAt: call, number: count + 1)
      try #require(faults.isEmpty, "\(call) \(count + 1): \(faults.joined(separator: "; "))")
      if !wasKilled { break }
      count += 1
    }
    print("\(call): killed at each of \(count)")
    #expect(count >= (call == "mkdir" ? 2 : 4))
  }
}

private final class KillSeries {
  struct Counts {
    var killed = 0
    var finished = 0
    var killedBeforeOpening = 0
    var killedClosing = 0
    var acknowledged = 0
    var cutOff = 0
    var foundUnacknowledged = 0
    var recordsVerified = 0
    // The most in one store.
    var temporaries = 0
    var logs = 0
    var sealedSegments = 0
    var tornTails = 0
  }

  private(set) var counts = Counts()
  private let seed: UInt64
  private var random: SplitMix
  private var lineage: Lineage

  /// One store with all that happened to it.
  private struct Lineage {
    let directory = TemporaryDirectory()
    var path: String { directory.appending("deep/store") }
    var ledger: Ledger
    /// A store that stays open over many runs, as a fit beside those that are killed.
    var bystander: WarmStartStore?
  }

  private static let producers = ["crash 1", "crash 2"]
  /// So many runs have a store in common, on average.
  private static let runsPerStore = 25

  init(seed: UInt64) {
    self.seed = seed
    random = SplitMix(seed, 0)
    lineage = Lineage(ledger: Ledger(seed: seed))
  }

  /// When the writer is killed.
  private enum Moment {
    /// So long after it was started.
    case time(microseconds: UInt64)
    /// So long after a line of its output.
    case line(Int, microseconds: UInt64)
    /// At the end.
    case never
  }

  func run(_ run: UInt64) throws -> [String] {
    if Int.random(in: 0..<Self.runsPerStore, using: &random) == 0 {
      lineage = Lineage(ledger: Ledger(seed: seed))
    }
    let steps = Int.random(in: 0...20, using: &random)
    let segment = [64 << 10, 1 << 20, 64 << 20].randomElement(using: &random)!
    return try self.run(run, steps: steps, segment: segment, killed: moment(steps: steps)).faults
  }

  /// A run that ends before a call, in a store of its own, and one after it in the same store.
  func runInFreshStore(
    killedAt call: String, number: Int
  ) throws -> (wasKilled: Bool, faults: [String]) {
    random = SplitMix(seed, 0)
    lineage = Lineage(ledger: Ledger(seed: seed))
    let injection = Trace.killing(at: call, number: number)
    let first = try run(1, steps: 8, segment: 64 << 10, killed: .never, under: injection)
    let second = try run(2, steps: 3, segment: 64 << 10, killed: .never)
    return (first.wasKilled, first.faults + second.faults)
  }

  private func run(
    _ run: UInt64, steps: Int, segment: Int, killed moment: Moment, under: [String] = []
  ) throws -> (wasKilled: Bool, faults: [String]) {
    let script = Script(seed: seed, run: run, steps: steps)
    let producer = Self.producers.randomElement(using: &random)!
    let durability = Durability.allCases.randomElement(using: &random)!
    let program = try RunningProgram.start(
      "script",
      [
        "store": lineage.path, "seed": seed, "run": run, "steps": steps, "then": "close",
        "producer": producer, "durability": durability.rawValue, "segment": segment,
      ], under: under)
    let wasKilled = kill(program, at: moment)
    var faults: [String] = []
    if !wasKilled.atAll, wasKilled.end != .exit(0) { faults.append("ended \(wasKilled.end)") }
    let before = lineage.ledger
    faults += lineage.ledger.book(script, lines: program.lines, producer: producer)
    let verification = try audit(&faults)
    if wasKilled.atAll { counts.killed += 1 } else { counts.finished += 1 }
    if program.lines.isEmpty { counts.killedBeforeOpening += 1 }
    if wasKilled.atAll, program.lines.last == "close" { counts.killedClosing += 1 }
    counts.acknowledged += lineage.ledger.acknowledged - before.acknowledged
    counts.cutOff += lineage.ledger.cutOff - before.cutOff
    counts.foundUnacknowledged +=
      lineage.ledger.foundUnacknowledged - before.foundUnacknowledged
    counts.tornTails = max(counts.tornTails, verification.tornTails)
    counts.recordsVerified += verification.records
    let names = listing(lineage.path)
    counts.temporaries = max(counts.temporaries, names.count { $0.hasSuffix(".tmp") })
    counts.logs = max(counts.logs, names.count { $0.hasSuffix(".log") })
    counts.sealedSegments = max(counts.sealedSegments, names.count { $0.hasSuffix(".seg") })
    return (wasKilled.atAll, faults)
  }

  private func moment(steps: Int) -> Moment {
    if Int.random(in: 0..<5, using: &random) == 0 {
      return .time(microseconds: UInt64.random(in: 0...60_000, using: &random))
    }
    // "open", "session", "try", "ack", "close", "closed": sometimes it gets to the end.
    return .line(
      Int.random(in: 0...(2 * steps + 4), using: &random),
      microseconds: Bool.random(using: &random) ? 0 : UInt64.random(in: 0...3000, using: &random))
  }

  private func kill(
    _ program: RunningProgram, at moment: Moment
  ) -> (atAll: Bool, end: RunningProgram.End) {
    switch moment {
    case .time(let microseconds): _ = program.read(microseconds: microseconds)
    case .line(let line, let microseconds):
      if program.read(until: { _ in program.lines.count >= line }), microseconds > 0 {
        _ = program.read(microseconds: microseconds)
      }
    case .never: program.readToEnd()
    }
    if case .never = moment {} else { program.kill() }
    let end = program.finish()
    return (end == .signal(SIGKILL), end)
  }

  /// Opens the store, and holds it and the one that was open all the time to the ledger.
  private func audit(_ faults: inout [String]) throws -> VerificationReport {
    var last: VerificationReport?
    for producer in Self.producers {
      let store = try open(producer)
      if last == nil {
        let found = try store.engine().verify(.payloads)
        last = found
        faults += found.damage.map { "damage: \($0)" }
        faults += try lineage.ledger.auditEntries(store)
      }
      faults += try lineage.ledger.audit(store).map { "as \(producer): \($0)" }
      if try store.statistics.damagedRecords != 0 { faults.append("damage met on opening") }
    }
    if lineage.bystander == nil { lineage.bystander = try open(Self.producers[1]) }
    faults += try lineage.ledger.audit(lineage.bystander!).map { "bystander: \($0)" }
    return try #require(last)
  }

  private func open(_ producer: String) throws -> WarmStartStore {
    var options = StoreOptions()
    options.producer = producer
    return try WarmStartStore.open(at: lineage.path, options: options)
  }
}
