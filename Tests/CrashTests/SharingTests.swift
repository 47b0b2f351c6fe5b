// Many processes on one directory.

import Glibc
import TestSupport
import Testing
import WarmStart
import checkpoint_writer

extension CrashTests {
  private static let writers = 8
  private static let readers = 2

  /// Into few large segments, into many that are sealed under the readers' eyes, and into many as fast
  /// as the directory can change.
  @Test(
    .timeLimit(.minutes(20)),
    arguments: zip([64 << 20, 64 << 10, 64 << 10], [Durability.synced, .synced, .buffered]))
  func eightProcessesWriteWhileTwoLookUp(segmentLimit: Int, durability: Durability) throws {
    let directory = TemporaryDirectory()
    let writers = Self.writers
    let count = durability == .synced ? 100 : 200
    // Readers are slower where every lookup meets new segments.
    let lookups = segmentLimit == 64 << 20 ? 288 : durability == .synced ? 96 : 32
    let promises = Promises(path: directory.appending("promises"), writers: writers)
    func start(_ mode: String, _ number: Int) throws -> RunningProgram {
      try RunningProgram.start(
        mode,
        [
          "store": directory.appending("store"), "promises": directory.appending("promises"),
          "writers": writers, "writer": number, "count": count, "lookups": lookups,
          "seed": segmentLimit,
          "producer": "sharing", "durability": durability.rawValue, "segment": segmentLimit,
          "compacts": durability == .buffered ? "no" : "yes",
        ])
    }
    let writing = try (0..<writers).map { try start("share", $0) }
    let looking = try (0..<Self.readers).map { try start("lookup", $0) }
    for program in looking + writing {
      try #require(program.read { $0 == "ready" }, "\(program.lines)")
    }
    for program in looking + writing { program.sendWord() }
    var written: [Int] = []
    for program in writing {
      let end = program.finish()
      let words = (program.lines.last ?? "").split(separator: " ")
      try #require(end == .exit(0) && words.first == "closed", "\(program.lines)")
      written.append(Int(words[1])!)
    }
    promises.set(writers, .stop, 1)
    for program in looking {
      let end = program.finish()
      #expect(end == .exit(0), "\(program.lines)")
      let counts = (program.lines.last ?? "").split(separator: " ").compactMap { Int($0) }
      try #require(counts.count == 3, "\(program.lines)")
      // Lookups, those that something had been promised to, and those that saw something new.
      print("segments of \(segmentLimit): lookups, bound, advances: \(counts)")
      // Under a sanitizer they do not come to so many while the others write.
      let least = setting("WARMSTART_EVERY", default: 1) > 1 ? lookups / 4 : lookups
      #expect(counts[0] >= least && counts[1] > least / 4 && counts[2] > 5)
    }

    let store = try WarmStartStore.open(at: directory.appending("store"))
    let verification = try store.engine().verify(.payloads)
    #expect(verification.damage.isEmpty)
    #expect(verification.tornTails == 0)
    print("segments of \(segmentLimit): \(verification.segments) of \(written) writes")
    if segmentLimit == 64 << 10, durability == .buffered {
      #expect(verification.segments > writers * 10)
    }
    try expectEverything(in: store, written: written, seed: UInt64(segmentLimit))
  }

  /// The best and the newest of every key, down to the last byte.
  private func expectEverything(in store: WarmStartStore, written: [Int], seed: UInt64) throws {
    let shared = Self.writers
    let writes = (0..<Self.writers).map { writer in
      (0..<written[writer]).map {
        Write(seed: seed, writer: writer, index: $0, to: $0 % 2 == 0 ? writer : shared)
      }
    }
    for key in 0...shared {
      let mine = writes.joined().filter { $0.key == key }
      let best = try #require(try store.lookupBest(Write.fingerprint(key)))
      let expected = try #require(mine.max { $1.isBetter(than: $0) })
      #expect(expected.discrepancy(best) == nil)
      let latest = try #require(try store.lookupLatest(Write.fingerprint(key)))
      let lastOnes = writes.compactMap { $0.last { $0.key == key } }
      #expect(lastOnes.contains { $0.discrepancy(latest) == nil })
    }
    #expect(try store.keys.count == shared + 1)
  }
}
