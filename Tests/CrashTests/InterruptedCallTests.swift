// System calls that a signal interrupts, and writes that stop short.

import Glibc
import TestSupport
import Testing
import WarmStart
import checkpoint_writer

extension CrashTests {
  private func script(
    _ directory: TemporaryDirectory, durability: Durability = .synced
  ) -> KeyValuePairs<String, Any> {
    [
      "store": directory.appending("store"), "seed": 5, "run": 1, "steps": 12, "then": "close",
      "producer": "signal", "durability": durability.rawValue, "segment": 64 << 10,
    ]
  }

  /// That a run of the script left what a run without faults leaves.
  private func expectWhole(_ directory: TemporaryDirectory, _ program: RunningProgram) throws {
    #expect(program.lines.last == "closed", "\(program.lines)")
    var ledger = Ledger(seed: 5)
    let script = Script(seed: 5, run: 1, steps: 12)
    #expect(ledger.book(script, lines: program.lines, producer: "signal") == [])
    var options = StoreOptions()
    options.producer = "signal"
    let store = try WarmStartStore.open(at: directory.appending("store"), options: options)
    #expect(try store.engine().verify(.payloads).damage == [])
    #expect(try ledger.audit(store) == [])
    #expect(ledger.acknowledged > 5)
  }

  /// Every second call of a kind, from the first on, is interrupted before it has done anything.
  @Test(
    .timeLimit(.minutes(20)), .enabled(if: Trace.isPossible, "strace(1) is missing or refused"),
    arguments: ["pwrite64", "flock"])
  func anInterruptedCallIsResumed(call: String) throws {
    let directory = TemporaryDirectory()
    let under = Trace.injecting(["\(call):error=EINTR:when=1+2"])
    let program = try RunningProgram.start("script", script(directory), under: under)
    #expect(program.finish() == .exit(0), "\(program.lines)")
    try expectWhole(directory, program)
  }

  /// From the fiftieth on: the loader of the program gives up where it is interrupted.
  @Test(.timeLimit(.minutes(20)), .enabled(if: Trace.isPossible, "strace(1) is missing or refused"))
  func anInterruptedReadIsResumed() throws {
    let directory = TemporaryDirectory()
    let log = directory.appending("log")
    let program = try RunningProgram.start(
      "lookup-loop",
      [
        "store": directory.appending("store"), "count": 990, "own": 1, "producer": "signal",
        "durability": "synced", "segment": 1 << 20,
      ], under: Trace.injecting(["pread64:error=EINTR:when=50+2"], log: log))
    #expect(program.finish() == .exit(0), "\(program.lines)")
    // A fifth of the lookups are of the key that is there.
    #expect(program.lines.last == "found 198")
    let interrupted = String(decoding: contents(log), as: UTF8.self).split(separator: "\n")
      .count { $0.contains("EINTR") }
    #expect(interrupted > 30)
  }

  /// Names are looked up in the store's directory; elsewhere the loader of the program would fail.
  @Test(
    .timeLimit(.minutes(20)), .enabled(if: Trace.isPossible, "strace(1) is missing or refused"),
    arguments: ["openat", "getdents64"])
  func anInterruptedCallOnTheDirectoryIsResumed(call: String) throws {
    let directory = TemporaryDirectory()
    mkdir(directory.appending("store"), 0o700)
    let under = Trace.injecting(
      ["\(call):error=EINTR:when=1+2"], on: directory.appending("store"))
    let program = try RunningProgram.start("script", script(directory), under: under)
    #expect(program.finish() == .exit(0), "\(program.lines)")
    try expectWhole(directory, program)
  }

  /// The disk is full from the third write on, and every second call that takes back what such a
  /// write may have left is interrupted.
  @Test(.timeLimit(.minutes(20)), .enabled(if: Trace.isPossible, "strace(1) is missing or refused"))
  func anInterruptedTakingBackIsResumed() throws {
    let directory = TemporaryDirectory()
    let log = directory.appending("log")
    let program = try RunningProgram.start(
      "script", script(directory),
      under: Trace.injecting(
        ["pwrite64:error=ENOSPC:when=3+", "ftruncate:error=EINTR:when=1+2"], log: log))
    #expect(program.finish() == .exit(1))
    #expect(program.lines.last?.contains("No space left") == true, "\(program.lines)")
    let calls = String(decoding: contents(log), as: UTF8.self).split(separator: "\n")
      .filter { $0.contains("ftruncate(") }
    #expect(calls.count >= 2)
    for (index, call) in calls.enumerated() {
      #expect(call.contains("EINTR") == index.isMultiple(of: 2))
    }
    #expect(calls.count.isMultiple(of: 2))
  }

  /// What the cache holds after it is unknown: the record is written anew to another segment.
  @Test(.timeLimit(.minutes(20)), .enabled(if: Trace.isPossible, "strace(1) is missing or refused"))
  func anInterruptedSyncIsAFailedSync() throws {
    let directory = TemporaryDirectory()
    let log = directory.appending("log")
    let program = try RunningProgram.start(
      "script", script(directory),
      under: Trace.injecting(["fdatasync:error=EINTR:when=2"], log: log))
    #expect(program.finish() == .exit(0), "\(program.lines)")
    // The log that was given up is left over.
    let logs = listing(directory.appending("store")).filter { $0.hasSuffix(".log") }
    #expect(logs.count == 1)
    try expectWhole(directory, program)
    let calls = String(decoding: contents(log), as: UTF8.self).split(separator: "\n")
      .filter { $0.contains("fdatasync(") }
    let failed = try #require(calls.firstIndex { $0.contains("EINTR") })
    // The next sync is of another file.
    func descriptor(_ call: Substring) -> Substring? {
      call.split(separator: "(").last?.prefix { $0.isNumber }
    }
    try #require(calls.count > failed + 1)
    #expect(descriptor(calls[failed]) != descriptor(calls[failed + 1]))
  }

  @Test(.timeLimit(.minutes(20)), .enabled(if: Trace.isPossible, "strace(1) is missing or refused"))
  func aSyncThatIsInterruptedTwiceIsAnError() throws {
    let directory = TemporaryDirectory()
    let program = try RunningProgram.start(
      "script", script(directory),
      under: Trace.injecting(["fdatasync:error=EINTR:when=2+"]))
    #expect(program.finish() == .exit(1))
    #expect(program.lines.last?.contains("Interrupted system call") == true, "\(program.lines)")
    let store = try WarmStartStore.open(at: directory.appending("store"))
    #expect(try store.engine().verify(.payloads).damage == [])
  }

  /// The kernel writes as much as the limit to the length of files allows and then refuses.
  @Test(.timeLimit(.minutes(20)), arguments: [20_000, 40_001, 100_000])
  func aWriteThatStopsShortIsTakenBackAndTheStoreGoesOn(limit: Int) throws {
    let directory = TemporaryDirectory()
    let program = try RunningProgram.start(
      "limit",
      [
        "store": directory.appending("store"), "limit": limit, "producer": "limit",
        "durability": "synced", "segment": 64 << 20,
      ])
    #expect(program.finish() == .exit(0), "\(program.lines)")
    let words = (program.lines.last ?? "").split(separator: " ")
    try #require(words.first == "closed", "\(program.lines)")
    #expect(program.lines[0].contains("File too large") && program.lines[0].contains("ulimit -f"))
    let store = try WarmStartStore.open(at: directory.appending("store"))
    #expect(try store.engine().verify(.payloads).damage == [])
    let entries = try store.entries(for: Write.fingerprint(0))
    #expect(entries.count == Int(words[1])!)
    for (index, entry) in entries.reversed().enumerated() {
      #expect(Write(seed: 1, writer: 0, index: index, to: 0).discrepancy(entry) == nil)
    }
  }
}
