// Stores damaged at random, repaired.

import Glibc
import Synchronization
import TestSupport
import Testing
import WarmStart

@Suite struct RepairTests {
  /// A damaged store in a directory of its own.
  private struct Trial {
    let sample: MixedStore
    let vandal: Vandal
    let directory = TemporaryDirectory()
    let strikes: Int
    let seed: Int
    var path: String { directory.appending("store") }
    /// One for all: no two stores make the same name.
    private static let random = SeededRandom(seed: 9)

    init(_ sample: MixedStore, seed: Int) {
      self.sample = sample
      self.seed = seed
      var vandal = Vandal(sample.files, seed: seed)
      strikes = 1 + seed % 3
      for _ in 0..<strikes { vandal.strike() }
      self.vandal = vandal
      mkdir(path, 0o700)
      vandal.write(to: path)
    }

    func open(
      _ access: Engine.Access = .existing, _ files: (any FileSystem)? = nil
    ) throws -> WarmStartStore {
      var options = StoreOptions()
      options.producer = MixedStore.producer
      options.compactsByItself = false
      options.timeToLive = 0
      var host = Host.test(
        clock: ManualClock(wall: MixedStore.later), random: Self.random)
      if let files { host.files = files }
      return try WarmStartStore(path: path, options: options, access: access, host: host)
    }

    func repair(
      isDryRun: Bool = false, _ files: (any FileSystem)? = nil
    ) throws -> RepairReport {
      let store = try open(isDryRun ? .readOnly : .existing, files)
      return try withExtendedLifetime(store) { try store.engine().repair(isDryRun: isDryRun) }
    }

    /// What every key is answered with now.
    func answers() throws -> [Fingerprint: MixedStore.Answer] {
      let store = try open(.readOnly)
      return try sample.answers.reduce(into: [:]) { $0[$1.key] = try .init(of: $1.key, in: store) }
    }

    /// Nothing is wrong with what is there.
    func checkIsClean() throws {
      let store = try open(.readOnly)
      try check(store)
      #expect(try store.verify().damage.isEmpty, "seed \(seed)")
    }

    /// Whatever is found was saved; what is intact is found, and answers as before.
    func check(_ store: WarmStartStore) throws {
      for (key, answer) in sample.answers {
        let mine = sample.records.filter { $0.key == key }
        let found = try store.entries(for: key)
        for entry in found
          + [
            try store.lookup(key), try store.lookupBest(key), try store.lookupLatest(key),
          ].compactMap({ $0 })
        {
          let saved = mine.first { $0.stamp == entry.writtenNanoseconds }
          if saved == nil, mayComeBack { continue }
          #expect(saved?.payload == entry.payload, "seed \(seed)")
        }
        let intact = Set(
          mine.filter { sample.isIntact($0, vandal.touched) }.map(\.stamp))
        let now = try MixedStore.Answer(of: key, in: store)
        for (before, after) in [
          (answer.resume, now.resume), (answer.best, now.best), (answer.latest, now.latest),
        ] where before.map(intact.contains) ?? false {
          #expect(before == after, "seed \(seed): \(key)")
        }
      }
      for key in sample.removed where !mayComeBack {
        #expect(try store.entries(for: key).isEmpty, "seed \(seed)")
      }
    }

    /// Both copies of a removal may be gone.
    var mayComeBack: Bool {
      let places = vandal.touched[sample.removing] ?? []
      return places.reduce(0) { $0 + $1.count } > 1
    }

    /// What lies in quarantine is what the damaged files were, to the last byte.
    func checkQuarantine() {
      for name in listing(path + "/quarantine") {
        let whole = contents("\(path)/quarantine/\(name)")
        #expect(vandal.files[name] == whole, "seed \(seed)")
      }
      // Nothing is gone: a file is where it was, or there, or was clean and merged. One of zeros is nothing.
      for (name, bytes) in vandal.files
      where bytes != sample.files[name] && bytes.contains(where: { $0 != 0 }) {
        let isThere = listing(path).contains(name) && contents("\(path)/\(name)") == bytes
        #expect(
          isThere || listing(path + "/quarantine").contains(name), "seed \(seed): \(name)")
      }
    }
  }

  @Test(.timeLimit(.minutes(60))) func whatIsIntactStaysAndNothingComesBack() throws {
    let sample = try MixedStore()
    let first = setting("WARMSTART_REPAIRS_FROM", default: 0)
    let count = setting("WARMSTART_REPAIRS", default: 300)
    var outcomes = (clean: 0, repaired: 0, lost: 0)
    for seed in first..<first + count {
      let trial = Trial(sample, seed: seed)
      try trial.check(try trial.open(.readOnly))
      let forecast = try trial.repair(isDryRun: true)
      let before = everything(in: trial.path)
      let answers = try trial.answers()
      let store = try trial.open()
      let report = try store.engine().repair()
      #expect(report.left.isEmpty && report.errors.isEmpty, "seed \(seed): \(report.errors)")
      #expect(report.lost == forecast.lost, "seed \(seed)")
      #expect(report.salvaged == forecast.salvaged, "seed \(seed)")
      // What lookups gave in spite of the damage they give without it.
      #expect(try trial.answers() == answers, "seed \(seed)")
      // What a log lost behind its synced offset counts as torn by a crash.
      let isTorn = trial.vandal.touched.keys.contains { $0.hasSuffix(".log") }
      for (key, answer) in answers
      where answer != sample.answers[key] && !trial.mayComeBack && !isTorn {
        #expect(report.lost.contains(key) || report.unknownLosses > 0, "seed \(seed): \(key)")
      }
      #expect(report.found.damage.isEmpty == report.quarantined.isEmpty, "seed \(seed)")
      // A log of zeros from end to end has nothing to keep.
      let hasZeros = trial.vandal.files.values.contains { $0.allSatisfy { $0 == 0 } }
      if report.found.damage.isEmpty, !hasZeros {
        #expect(everything(in: trial.path).filter { $0.key != "compaction.lock" } == before)
      }
      try trial.check(store)
      try trial.checkIsClean()
      trial.checkQuarantine()
      let again = try trial.repair()
      #expect(again.found.damage.isEmpty && again.quarantined.isEmpty, "seed \(seed)")
      for key in report.lost where !trial.mayComeBack {
        #expect(
          sample.records.contains { $0.key == key && !sample.isIntact($0, trial.vandal.touched) },
          "seed \(seed): \(key)")
      }
      if report.found.damage.isEmpty { outcomes.clean += 1 } else { outcomes.repaired += 1 }
      outcomes.lost += report.lost.count
    }
    print("\(count) damaged stores: \(outcomes)")
    #expect(outcomes.repaired > count / 2)
  }

  /// Every write, sync, rename and unlink after the nth fails, for every n.
  @Test(.timeLimit(.minutes(20))) func aRepairThatIsCutShortCanBeRunAgain() throws {
    let sample = try MixedStore()
    var cuts = 0
    for seed in 0..<setting("WARMSTART_REPAIRS", default: 300) / 10 {
      for limit in 0..<100 {
        let trial = Trial(sample, seed: seed)
        let files = FaultyFiles()
        let left = Atomic<Int>(limit)
        let fault: @Sendable () -> Int32? = {
          left.subtract(1, ordering: .relaxed).newValue < 0 ? EIO : nil
        }
        files.failWrites { _ in fault() }
        files.failSyncs(fault)
        files.failUnlinks { _ in fault() }
        files.failRenames { _ in fault() }
        let report = try? trial.repair(files)
        let isWhole = left.load(ordering: .relaxed) >= 0
        try trial.check(try trial.open(.readOnly))
        if isWhole {
          #expect(report?.errors.isEmpty ?? false, "seed \(seed), \(limit)")
          break
        }
        cuts += 1
        let again = try trial.repair()
        #expect(again.left.isEmpty && again.errors.isEmpty, "seed \(seed), \(limit)")
        try trial.checkIsClean()
        #expect(!listing(trial.path).contains { $0.hasSuffix(".tmp") })
        trial.checkQuarantine()
      }
    }
    print("\(cuts) repairs cut short")
    #expect(cuts > 3)
  }

  private func repair(_ bench: Bench) throws -> RepairReport {
    let store = try bench.open()
    return try withExtendedLifetime(store) { try store.engine().repair() }
  }

  /// Shrinks to what can be changed without a change of what comes out.
  private static let whole =
    noise(1, count: 60) + [UInt8](repeating: 0, count: 3000) + noise(2, count: 50)
    + [UInt8](repeating: 0, count: 1500) + noise(3, count: 50)

  /// Changes a bit of a compressed payload, and nothing of what comes out. Gives the file's bytes since.
  private func changeHarmlessly(_ name: String, in bench: Bench) throws -> [UInt8] {
    let bytes = contents(name)
    for at in 128..<MixedStore.footerStart(bytes) {
      for bit in 0..<8 {
        var trial = bytes
        trial[at] ^= 1 << UInt8(bit)
        write(trial, to: name)
        let damage = try bench.open(.readOnly).verify().damage.filter { name.hasSuffix($0.segment) }
        if damage.contains(where: {
          $0.what.contains("stored payload") && $0.effect == .nothingLost
        }) {
          return trial
        }
      }
    }
    return try #require(nil as [UInt8]?, "no such bit")
  }

  /// What an older entry is dropped for counts by what comes out of it, as it does for lookups.
  @Test func theBetterOneThatLookupsStillGiveIsNotLost() throws {
    let bench = Bench()
    var names: [String] = []
    for entries in [
      [
        NewEntry(noise(9, count: 500), for: key(0), objective: 2),
        NewEntry(noise(8, count: 500), for: key(8)),
      ],
      [NewEntry(Self.whole, for: key(0), objective: 1)],
    ] {
      bench.clock.advance(seconds: 1)
      let store = try bench.open()
      try store.save(entries)
      try store.close()
      names.append(try #require(listing(bench.path).first { !names.contains($0) }))
    }
    var bytes = contents("\(bench.path)/\(names[0])")
    bytes[try #require(bytes.firstRange(of: noise(8, count: 500))).lowerBound] ^= 1
    write(bytes, to: "\(bench.path)/\(names[0])")
    _ = try changeHarmlessly("\(bench.path)/\(names[1])", in: bench)
    let store = try bench.open()
    let report = try store.engine().repair()
    #expect(report.lost == [key(8)] && report.quarantined.count == 2 && report.left.isEmpty)
    #expect(try store.lookup(key(0))?.payload == Self.whole)
    #expect(try bench.open(.readOnly).lookup(key(0))?.payload == Self.whole)
    #expect(try store.verify().damage.isEmpty)
  }

  @Test(arguments: [true, false]) func whatLookupsStillGiveIsNotLost(isRepair: Bool) throws {
    let bench = Bench()
    let whole = Self.whole
    for number in 0..<2 {
      bench.clock.advance(seconds: 1)
      let store = try bench.open()
      try store.save(whole, for: key(number))
      try store.close()
    }
    let damaged = try changeHarmlessly(
      "\(bench.path)/" + listing(bench.path).sorted()[0], in: bench)
    #expect(try bench.open(.readOnly).lookup(key(0))?.payload == whole)
    let store = try bench.open()
    let quarantined =
      isRepair ? try store.engine().repair().quarantined : try store.compact().quarantined
    #expect(quarantined.count == 1)
    #expect(contents("\(bench.path)/\(quarantined[0])") == damaged)
    #expect(try store.lookup(key(0))?.payload == whole)
    #expect(try bench.open(.readOnly).lookup(key(1))?.payload == whole)
    #expect(try store.verify().damage.isEmpty)
  }

  @Test func theLogOfALivingWriterIsLeftAlone() throws {
    let bench = Bench()
    let store = try bench.open()
    try store.save(noise(1, count: 400), for: key(1))
    try store.save(noise(2, count: 400), for: key(2))
    let log = try #require(listing(bench.path).first { $0.hasSuffix(".log") })
    var bytes = contents("\(bench.path)/\(log)")
    bytes[try #require(bytes.firstRange(of: noise(1, count: 400))).lowerBound] ^= 1
    write(bytes, to: "\(bench.path)/\(log)")
    let before = everything(in: bench.path)
    let reader = try bench.open(.readOnly)
    let forecast = try withExtendedLifetime(reader) { try reader.engine().repair(isDryRun: true) }
    #expect(forecast.left.count == 1 && forecast.quarantined.isEmpty && forecast.salvaged.isEmpty)
    let report = try repair(bench)
    #expect(report.left.count == 1 && report.quarantined.isEmpty)
    #expect(everything(in: bench.path).filter { $0.key != "compaction.lock" } == before)
    try store.close()
    let later = try repair(bench)
    #expect(later.left.isEmpty && later.quarantined.count == 1)
    #expect(later.lost == [key(1)])
    #expect(try bench.open(.readOnly).lookup(key(2))?.payload == noise(2, count: 400))
  }

  @Test func aSegmentOfWhichNothingCanBeReadIsSetAside() throws {
    let bench = Bench()
    for number in 0..<2 {
      bench.clock.advance(seconds: 1)
      let store = try bench.open()
      try store.save(payload(number), for: key(number))
      try store.close()
    }
    let name = listing(bench.path).sorted()[0]
    let garbage = noise(3, count: 900)
    write(garbage, to: "\(bench.path)/\(name)")
    let report = try repair(bench)
    #expect(report.quarantined == ["quarantine/\(name)"])
    #expect(report.unknownLosses > 0 && report.left.isEmpty)
    #expect(contents("\(bench.path)/quarantine/\(name)") == garbage)
    let store = try bench.open()
    #expect(try store.verify().damage.isEmpty)
    #expect(try store.lookup(key(1))?.payload == payload(1))
  }

  @Test func aCompactionSetsItAsideAsWell() throws {
    let bench = Bench()
    for number in 0..<2 {
      bench.clock.advance(seconds: 1)
      let store = try bench.open()
      try store.save(payload(number), for: key(number))
      if number == 1 { try store.remove(key(7)) }
      try store.close()
    }
    let name = listing(bench.path).sorted()[0]
    write(noise(3, count: 900), to: "\(bench.path)/\(name)")
    let compacting = try bench.open()
    let report = try compacting.compact()
    #expect(report.quarantined == ["quarantine/\(name)"])
    #expect(!report.damage.isEmpty)
    // Nobody knows of anything that the removal could cover.
    let store = try bench.open()
    #expect(try store.verify().records == 1)
  }
}
