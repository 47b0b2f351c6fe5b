// warmstart import: what is taken over, and that nothing is taken twice.

import Crypto
import Foundation
import TestSupport
import Testing
import WarmStart

@Suite struct ImportTests {
  private let sample = SampleStore()
  private let gam = GamStore()

  private func run(_ options: String..., from path: String? = nil) -> Tool {
    Tool.run(
      command: [Tool.path, "import", sample.path, "--from-gam", path ?? gam.path] + options)
  }

  private func report(_ options: String..., from path: String? = nil) throws -> ImportReport {
    let run = Tool.run(
      command: [Tool.path, "import", sample.path, "--from-gam", path ?? gam.path, "--json"]
        + options)
    #expect(run.status == 0 && run.errors.isEmpty, "\(run.errors)")
    return try #require(try run.objects(ImportReport.self).first)
  }

  private func open(as producer: String = "somebody") throws -> WarmStartStore {
    var options = StoreOptions()
    options.producer = producer
    options.timeToLive = 0
    return try WarmStartStore.openReadOnly(at: sample.path, options: options)
  }

  // MARK: The fixture

  private func expect(
    _ entry: WarmStartEntry?, _ found: GamManifest.Found, _ key: GamManifest.Key
  ) throws {
    let entry = try #require(entry, "\(key.label)")
    #expect(entry.runID.description == found.runId, "\(key.label)")
    #expect(entry.kind == (found.kind == "Final" ? .final : .checkpoint), "\(key.label)")
    #expect(entry.iteration.map { "\($0)" } == found.iteration, "\(key.label)")
    let bits = found.objectiveBitsHex.map { UInt64($0, radix: 16)! }
    #expect(entry.objective?.bitPattern == bits, "\(key.label)")
    #expect(entry.payload.count == found.payloadLen, "\(key.label)")
    let digest = Fingerprint(bytes: Array(SHA256.hash(data: entry.payload)))
    #expect(digest == Fingerprint(found.payloadSha256), "\(key.label)")
    #expect(entry.writtenNanoseconds / 1_000_000_000 == found.writtenUnixSecs, "\(key.label)")
    let written = key.entries.first { $0.runId == found.runId }
    #expect(entry.writtenNanoseconds % 1_000_000_000 == written?.writtenNanos, "\(key.label)")
    #expect(entry.producer == written?.producer, "\(key.label)")
  }

  @Test func lookupsFindWhatTheAncestorFound() throws {
    let manifest = try GamManifest.load()
    let done = try report(from: GamManifest.store)
    #expect(done.keys == manifest.keys.count && done.keys == 14 && done.damaged == 0)
    #expect(done.entries == manifest.keys.reduce(0) { $0 + $1.entries.count })
    #expect(Tool.run("fsck", sample.path).status == 0)
    for isSameBuild in [true, false] {
      for key in manifest.keys {
        let store = try open(as: isSameBuild ? key.entries[0].producer : "another")
        let fingerprint = try #require(Fingerprint(key.key))
        let found = isSameBuild ? key.sameBuild : key.otherBuild
        try expect(try store.lookupLatest(fingerprint), found.lookupLatest, key)
        if key.label == "tie-1e-12" {
          // For the ancestor a difference this small was none, so that the newer one won.
          #expect(found.lookup.runId == "run-b")
          #expect(try store.lookup(fingerprint)?.runID.description == "run-a")
          #expect(try store.lookup(fingerprint)?.objective == 1)
        } else {
          try expect(try store.lookup(fingerprint), found.lookup, key)
        }
      }
    }
  }

  @Test func thatAKeyWasLookedUpSurvives() throws {
    let manifest = try GamManifest.load()
    #expect(try report(from: GamManifest.store).lookups == 2)
    let store = try open()
    let index = try store.engine().freshIndex()
    for key in manifest.keys {
      let use = try #require(index.lastUse(of: Fingerprint(key.key)!))
      let wasLookedUp = ["single-ckpt", "ckpts-by-objective"].contains(key.label)
      #expect(use.marked == (wasLookedUp ? 1_795_437_673 : 0), "\(key.label)")
    }
  }

  @Test func aSecondImportAddsNothing() throws {
    let first = try report(from: GamManifest.store)
    let before = sample.image
    for _ in 0..<2 {
      let again = try report(from: GamManifest.store)
      #expect(again.taken == 0 && again.alreadyThere == first.taken && again.dead == first.dead)
      #expect(again.lookups == 0 && again.payloadBytes == 0)
    }
    #expect(sample.image == before)
    #expect(Tool.run("compact", sample.path).status == 0)
    #expect(try report(from: GamManifest.store).alreadyThere == first.taken)
  }

  @Test func aDryRunSaysTheSameAndChangesNothing() throws {
    let forecast = try report("--dry-run", from: GamManifest.store)
    #expect(forecast.taken > 0 && !FileManager.default.fileExists(atPath: sample.path))
    mkdir(sample.path, 0o700)
    write([1], to: "\(sample.path)/notes")
    #expect(try report("--dry-run", from: GamManifest.store) == forecast)
    #expect(listing(sample.path) == ["notes"])
    #expect(try report(from: GamManifest.store) == forecast)
    let before = sample.image
    let second = try report("--dry-run", from: GamManifest.store)
    #expect(second.taken == 0 && second.alreadyThere == forecast.taken)
    #expect(sample.image == before)
  }

  @Test func theReportIsALineForPeople() throws {
    try gam.put(GamStore.key(1), "a", [1, 2])
    let dry = run("--dry-run", "--quiet")
    #expect(dry.status == 0 && dry.lines.count == 1 && dry.text.contains("would take 1 of 1 entry"))
    let done = run()
    #expect(done.status == 0 && done.text.contains("took 1 of 1 entry of 1 key, 2 B; 0 were there"))
    #expect(
      try names(run("--json").lines[0]) == [
        "keys", "entries", "taken", "alreadyThere", "dead", "damaged", "lookups", "payloadBytes",
      ])
  }

  // MARK: What is dead

  @Test func whatWouldFillNoSlotIsNotTaken() throws {
    let key = GamStore.key(1)
    for (number, objective) in [3.0, 1, 2, 4].enumerated() {
      try gam.put(key, "run \(number)", [UInt8(number)]) {
        $0.objective = objective
        $0.seconds += UInt64(number)
      }
    }
    let done = try report()
    #expect(done.taken == 2 && done.dead == 2 && done.payloadBytes == 2)
    #expect(try open().lookupBest(key)?.payload == [1])
    #expect(try open().lookupLatest(key)?.payload == [3])
    #expect(try open().entries(for: key).count == 2)
  }

  @Test func ofEntriesOfOneMomentNoneIsTakenTheSecondTime() throws {
    let key = GamStore.key(1)
    for number in 0..<5 {
      try gam.put(key, "run \(number)", [UInt8(number)]) {
        $0.objective = number == 1 ? 1 : nil
        $0.kind = number == 0 ? "Final" : "Checkpoint"
      }
    }
    // The final is the newest of them.
    let first = try report()
    #expect(first.taken == 2 && first.dead == 3)
    #expect(try open().lookupLatest(key)?.payload == [0])
    #expect(try open().lookupBest(key)?.payload == [1])
    let before = sample.image
    #expect(try report().alreadyThere == 2)
    #expect(sample.image == before)
  }

  @Test func aRemovedKeyDoesNotComeBack() throws {
    let key = GamStore.key(1)
    try gam.put(key, "a", [1]) {
      $0.others = ["accessed": true, "accessed_unix_secs": 1_700_000_009]
    }
    try gam.put(GamStore.key(2), "a", [2])
    #expect(try report().taken == 2)
    #expect(Tool.run("rm", sample.path, key.description).status == 0)
    let before = sample.image
    let again = try report()
    #expect(again.taken == 0 && again.dead == 1 && again.alreadyThere == 1 && again.lookups == 0)
    #expect(sample.image == before)
    #expect(try open().keys == [GamStore.key(2)])
  }

  @Test func whatTheStoreHasOfNewerAndBetterStays() throws {
    let key = GamStore.key(1)
    try sample.save { try $0.save([9], for: key, objective: 1, run: RunID("new")!) }
    try gam.put(key, "worse", [1]) { $0.objective = 2 }
    #expect(try report() == ImportReport(keys: 1, entries: 1, dead: 1))
    try gam.put(key, "better", [2]) { $0.objective = 0.5 }
    try gam.put(key, "final", [3]) {
      ($0.kind, $0.objective, $0.producer) = ("Final", 7, "fit 0")
    }
    let done = try report()
    #expect(done.taken == 2 && done.dead == 1)
    #expect(try open().lookupLatest(key)?.payload == [9])
    #expect(try open().lookup(key)?.payload == [2])
    #expect(try open(as: "fit 0").lookup(key)?.payload == [3])
  }

  @Test func anEntryWithOtherBytesIsAnotherEntry() throws {
    let key = GamStore.key(1)
    try gam.put(key, "a", [1])
    #expect(try report().taken == 1)
    try gam.put(key, "a", [2]) { $0.objective = 0 }
    #expect(try report().taken == 1)
    #expect(try open().lookupBest(key)?.payload == [2])
  }

  // MARK: What the JSON may say

  @Test func whatIsAbsentIsZero() throws {
    let key = GamStore.key(1)
    try gam.put(key, "a", [])
    let text = """
      {"schema_version":1,"checksum_hex":\
      "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855","objective":null,"new":[{}]}
      """
    write(Array(text.utf8), to: gam.file(key, "a.json"))
    #expect(try report().taken == 1)
    let entry = try #require(try open().lookup(key))
    #expect(entry.payload == [] && entry.objective == nil && entry.iteration == nil)
    #expect(entry.kind == .checkpoint && entry.producer == "" && entry.writtenNanoseconds == 0)
    let before = sample.image
    #expect(try report().alreadyThere == 1)
    #expect(sample.image == before)
  }

  @Test func anEntryOfNobodyIsNobodysFinal() throws {
    try gam.put(GamStore.key(1), "a", [1]) { ($0.kind, $0.producer) = ("Final", "") }
    #expect(try report().taken == 1)
    #expect(try open(as: "").lookup(GamStore.key(1))?.kind == .checkpoint)
  }

  @Test func aTimeToComeIsKept() throws {
    let key = GamStore.key(1)
    try gam.put(key, "a", [1]) { $0.seconds = 4_000_000_000 }
    #expect(try report().taken == 1)
    #expect(try open().lookup(key)?.writtenNanoseconds == 4_000_000_000_000_000_005)
    try sample.save { try $0.save([2], for: key, objective: 5) }
    #expect(try open().lookupLatest(key)?.payload == [2])
  }

  @Test func whatAWriterLeftThatDiedIsPassedOver() throws {
    let key = GamStore.key(1)
    try gam.put(key, "a.tmp.b", [1])
    for name in ["c.bin.tmp.77.12.0", "c.json.tmp.77.12.0", "c.json.touch.tmp.77.12"] {
      write([1], to: gam.file(key, name))
    }
    write([1], to: "\(gam.path)/README")
    #expect(try report() == ImportReport(keys: 1, entries: 1, taken: 1, payloadBytes: 1))
  }

  @Test func manyKeysAndLargePayloadsAreTaken() throws {
    for number in 0..<1500 { try gam.put(GamStore.key(number), "a", [UInt8(number & 255)]) }
    let large = SampleStore.noise(9 << 20)
    try gam.put(GamStore.key(5000), "a", large)
    #expect(try report().taken == 1501)
    #expect(try open().keys.count == 1501)
    #expect(try open().lookup(GamStore.key(5000))?.payload == large)
    #expect(listing(sample.path).count == 1)
    let before = sample.image
    #expect(try report().alreadyThere == 1501)
    #expect(sample.image == before)
  }
}
