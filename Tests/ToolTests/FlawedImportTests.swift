// warmstart import from folders that are damaged, or made to do harm; and imports that are killed.

import Foundation
import TestSupport
import Testing
import WarmStart

@Suite struct FlawedImportTests {
  private let sample = SampleStore()
  private let gam = GamStore()
  private let key = GamStore.key(1)

  init() throws {
    try gam.put(key, "good", [1, 2, 3]) { $0.seconds += 1 }
    try gam.put(GamStore.key(2), "good", [4])
  }

  private func run(_ options: String...) -> Tool {
    Tool.run(command: [Tool.path, "import", sample.path, "--from-gam", gam.path] + options)
  }

  /// An import that names this many places, takes the good entries and no others, and leaves the source
  /// as it is.
  private func expectSkipped(_ places: [String], _ why: String? = nil, good: Int = 2) throws {
    let before = gam.image
    let dry = run("--dry-run", "--json")
    #expect(dry.status == 65 && !FileManager.default.fileExists(atPath: sample.path))
    let done = run("--json")
    #expect(done.status == 65)
    let report = try #require(try done.objects(ImportReport.self).first)
    #expect(report.damaged == places.count && report.taken == good)
    #expect(try dry.objects(ImportReport.self) == [report])
    let lines = done.errors.split(separator: "\n")
    #expect(lines.count == places.count)
    for place in places {
      let line = lines.first { $0.hasPrefix("warmstart: skipped \(gam.path)/\(place): ") }
      #expect(line != nil, "\(place) in \(done.errors)")
      if let why { #expect(line?.contains(why) == true, "\(done.errors)") }
    }
    #expect(gam.image == before)
    let shown = Tool.run("show", sample.path, key.description, "--json")
    #expect(try shown.objects(EntryLine.self).map(\.run) == ["good"])
    let image = sample.image
    #expect(run().status == 65)
    #expect(sample.image == image)
  }

  // MARK: Damage

  @Test(
    arguments: [
      ["schema_version": 2], ["checksum_hex": String(repeating: "0", count: 64)],
      ["checksum_hex": "00"], ["payload_bytes": 4], ["payload_bytes": 1 << 40],
      ["payload_bytes": -1], ["kind": "Else"], ["kind": 1], ["objective": "1"], ["iteration": 1.5],
      ["iteration": -1], ["written_nanos": 1_000_000_000], ["written_unix_secs": UInt64.max],
      ["written_unix_secs": 5_000_000_000], ["accessed_unix_secs": UInt64.max / 1_000_000_000 + 1],
      ["producer": String(repeating: "é", count: 129)], ["producer": ["a"]], ["accessed": 2],
    ] as [[String: any Sendable]])
  func aHeaderThatCannotBeIsSkipped(others: [String: any Sendable]) throws {
    try gam.put(key, "bad", [5, 6, 7]) { $0.others = others }
    try expectSkipped(["\(key)/bad"])
  }

  @Test func whatIsNoJSONIsSkipped() throws {
    let texts = [
      "", "{", "[]", "null", "{} {}", "{\"objective\": NaN}", "\u{0}",
      String(repeating: "[", count: 60_000), String(repeating: "{\"a\":", count: 10_000),
    ]
    for (number, text) in texts.enumerated() {
      try gam.put(key, "bad \(number)", [5])
      write(Array(text.utf8), to: gam.file(key, "bad \(number).json"))
    }
    try expectSkipped(texts.indices.map { "\(key)/bad \($0)" })
  }

  @Test func aPayloadWithOtherBytesIsSkipped() throws {
    try gam.put(key, "bad", [5, 6, 7])
    write([5, 6, 5], to: gam.file(key, "bad.bin"))
    try expectSkipped(["\(key)/bad"], "checksum")
  }

  /// It would have been the best.
  @Test func aDamagedPairHidesNoGoodOne() throws {
    try gam.put(key, "bad", [5, 6]) { ($0.objective, $0.seconds) = (-9, $0.seconds + 9) }
    write([5], to: gam.file(key, "bad.bin"))
    try expectSkipped(["\(key)/bad"], "has 1 bytes, and its JSON says 2")
  }

  @Test func aMissingPartnerIsNamed() throws {
    try gam.put(key, "one", [5])
    try gam.put(key, "two", [6])
    unlink(gam.file(key, "one.bin"))
    unlink(gam.file(key, "two.json"))
    try expectSkipped(["\(key)/one", "\(key)/two"], "is missing")
  }

  @Test func aHugeJSONIsNotRead() throws {
    try gam.put(key, "bad", [5]) { $0.others = ["more": String(repeating: "x", count: 70_000)] }
    try gam.put(key, "long", [5])
    #expect(truncate(gam.file(key, "long.json"), 1 << 22) == 0)
    try expectSkipped(["\(key)/bad", "\(key)/long"], "its JSON is over")
  }

  @Test func aHugePayloadIsNotRead() throws {
    try gam.put(key, "bad", [5]) { $0.others = ["payload_bytes": 1 << 30 + 1] }
    try expectSkipped(["\(key)/bad"], "its payload is over")
  }

  @Test(.timeLimit(.minutes(20))) func aPayloadThatGrewIsNotRead() throws {
    try gam.put(key, "bad", [5])
    #expect(truncate(gam.file(key, "bad.bin"), 1 << 42) == 0)
    let done = run()
    #expect(done.status == 65 && done.errors.contains("has 4398046511104 bytes"))
  }

  // MARK: Harm

  @Test(.timeLimit(.minutes(20))) func linksAndPipesAreNeitherFollowedNorWaitedFor() throws {
    for run in ["link", "pipe", "folder"] { try gam.put(key, run, [5]) }
    try gam.put(key, "link2", [5])
    unlink(gam.file(key, "link.json"))
    #expect(symlink(gam.file(key, "good.json"), gam.file(key, "link.json")) == 0)
    unlink(gam.file(key, "link2.bin"))
    #expect(symlink("/dev/zero", gam.file(key, "link2.bin")) == 0)
    unlink(gam.file(key, "pipe.json"))
    #expect(mkfifo(gam.file(key, "pipe.json"), 0o600) == 0)
    unlink(gam.file(key, "folder.bin"))
    #expect(mkdir(gam.file(key, "folder.bin"), 0o700) == 0)
    try expectSkipped(
      ["link", "link2", "pipe", "folder"].map { "\(key)/\($0)" }, "is no regular file")
  }

  @Test func aKeyThatIsALinkIsNotFollowed() throws {
    #expect(symlink(GamStore.key(2).description, "\(gam.path)/\(GamStore.key(3))") == 0)
    write([1], to: "\(gam.path)/\(GamStore.key(4))")
    try expectSkipped([GamStore.key(3).description, GamStore.key(4).description], "is no folder")
  }

  @Test func namesCannotSpeakToTheTerminal() throws {
    try gam.put(key, "bad\n\u{1b}[31m", [5])
    mkdir("\(gam.path)/x\ny", 0o700)
    mkdir("\(gam.path)/\(GamStore.key(77).description.uppercased())", 0o700)
    try expectSkipped([
      "\(key)/bad\\u{A}\\u{1B}[31m", "x\\u{A}y", "\(GamStore.key(77).description.uppercased())",
    ])
  }

  @Test func namesThatAreNoRunsAreSkipped() throws {
    try gam.put(key, String(repeating: "r", count: 65), [5])
    try gam.put(key, "é", [5])
    try gam.put(key, "", [5])
    write([1], to: gam.file(key, "notes"))
    try expectSkipped(
      [String(repeating: "r", count: 65), "é", "", "notes"].map { "\(key)/\($0)" })
  }

  @Test func aFolderThatMayNotBeReadIsNamed() throws {
    guard getuid() != 0 else { return }
    let folder = "\(gam.path)/\(GamStore.key(3))"
    mkdir(folder, 0)
    try expectSkipped([GamStore.key(3).description], "Permission denied")
    chmod(folder, 0o700)
  }

  // MARK: Not at all

  @Test func whatIsNoStoreOfTheAncestorMakesNothing() throws {
    let other = TemporaryDirectory()
    write([1], to: other.appending("file"))
    for source in [other.path, other.appending("none"), other.appending("file")] {
      for options in [[], ["--dry-run"]] {
        let run = Tool.run(
          command: [Tool.path, "import", sample.path, "--from-gam", source] + options)
        #expect(run.status == 66 && run.complainsOnce && run.output.isEmpty)
      }
    }
    #expect(!FileManager.default.fileExists(atPath: sample.path))
  }

  @Test func theStoreIsNeverMadeInTheSource() throws {
    let before = gam.image
    let link = gam.directory.appending("link")
    #expect(symlink(gam.path, link) == 0)
    for store in [gam.path, gam.path + "/", "\(gam.path)/a/b", "\(gam.path)/\(key)", "\(link)/c"] {
      let run = Tool.run("import", store, "--from-gam", gam.path)
      #expect(run.status == 64 && run.complainsOnce, "\(store)")
    }
    #expect(gam.image == before)
    #expect(Tool.run("import", gam.path + "2", "--from-gam", link).status == 0)
  }

  // MARK: Killed

  @Test(.timeLimit(.minutes(20))) func aKilledImportIsFinishedByTheNext() throws {
    for number in 10..<70 {
      try gam.put(GamStore.key(number), "a", SampleStore.noise(300_000, seed: UInt64(number))) {
        $0.others = ["accessed": true, "accessed_unix_secs": 1_700_000_100]
      }
    }
    let whole = SampleStore()
    let begin = Host.system.monotonicClock()
    #expect(Tool.run("import", whole.path, "--from-gam", gam.path).status == 0)
    let length = (Host.system.monotonicClock() - begin) / 1000
    var amid = 0
    for turn in 0..<8 {
      let partial = SampleStore()
      for moment in [turn + 1, turn + 2] {
        let child = RunningTool(
          [Tool.path, "import", partial.path, "--from-gam", gam.path], input: "/dev/null",
          output: "/dev/null", errors: "/dev/null")
        usleep(UInt32(length) * UInt32(moment) / 10)
        child.kill(SIGKILL)
        let ended = child.wait()
        if ended.signal == SIGKILL, !listing(partial.path).isEmpty { amid += 1 }
      }
      let last = Tool.run("import", partial.path, "--from-gam", gam.path, "--json")
      #expect(last.status == 0)
      let report = try #require(try last.objects(ImportReport.self).first)
      #expect(report.taken + report.alreadyThere == 62 && report.dead == 0)
      #expect(Tool.run("fsck", partial.path).status == 0)
      #expect(try entries(partial) == entries(whole))
      let image = partial.image
      #expect(Tool.run("import", partial.path, "--from-gam", gam.path).status == 0)
      #expect(partial.image == image)
    }
    #expect(amid > 0)
  }

  /// What the tool tells of each key, but for places.
  private func entries(_ sample: SampleStore) throws -> [EntryLine] {
    try Tool.run("ls", sample.path, "--json").objects(EntryLine.self).map { line in
      var line = line
      (line.segment, line.offset) = ("", 0)
      return line
    }.sorted { $0.key < $1.key }
  }
}
