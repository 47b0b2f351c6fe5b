// What saving and looking up cost, counted in system calls.

import Glibc
import TestSupport
import Testing
import WarmStart
import checkpoint_writer

extension CrashTests {
  @Test(.timeLimit(.minutes(20)), .enabled(if: Trace.isPossible, "strace(1) is missing or refused"))
  func aThousandDurableCheckpointsCostOneSyncEach() throws {
    let directory = TemporaryDirectory()
    let (calls, lines) = try Trace.ofLoop(
      "checkpoint-loop",
      [
        "store": directory.appending("store"), "count": 1000, "producer": "trace",
        "durability": "synced", "segment": 64 << 20,
      ], in: directory)
    #expect(lines == ["written 1000"])
    print("a thousand checkpoints: \(calls)")
    let syncs = calls.of(["fdatasync", "fsync", "sync_file_range", "msync", "sync", "syncfs"])
    #expect((1...1000).contains(syncs))
    let writes = calls.of(["pwrite64", "write", "pwritev", "pwritev2", "writev"])
    #expect((1000...1100).contains(writes))
    #expect(calls.of(Trace.namingCalls) == 0)
  }

  /// In a directory with sealed segments and the log of another process that lives; `own` is whether
  /// the one that looks up has a log of its own.
  @Test(
    .timeLimit(.minutes(20)), .enabled(if: Trace.isPossible, "strace(1) is missing or refused"),
    arguments: [false, true])
  func aLookupCostsNoSyncAndNoWrite(own: Bool) throws {
    let directory = TemporaryDirectory()
    let sealed = try RunningProgram.start("script", script(directory, run: 1, then: "close"))
    try #require(sealed.finish() == .exit(0), "\(sealed.lines)")
    let living = try RunningProgram.start("script", script(directory, run: 2, then: "hold"))
    try #require(living.read { $0 == "hold" }, "\(living.lines)")

    let (calls, lines) = try Trace.ofLoop(
      "lookup-loop",
      [
        "store": directory.appending("store"), "count": 1000, "own": own ? 1 : 0,
        "producer": "trace", "durability": "synced", "segment": 64 << 20,
      ], in: directory)
    print("a thousand lookups: \(calls)")
    let found = Int(lines.last?.split(separator: " ").last ?? "") ?? 0
    #expect(found >= 600)
    #expect(calls.of(["fdatasync", "fsync", "sync_file_range", "msync", "sync", "syncfs"]) == 0)
    #expect(
      calls.of(["write", "pwrite64", "writev", "pwritev", "pwritev2", "ftruncate", "fallocate"])
        == 0)
    // A process that is halted between a look at one clock and a look at the other lists anew.
    #expect(calls.of(Trace.namingCalls) <= 40)
    // One for the directory, one for the log that lives, and one for each record when it is asked for first.
    #expect(calls.of(["fstat"]) == 1000)
    #expect((1001...1000 + found / 4).contains(calls.of(["pread64"])))
    living.endInput()
    #expect(living.finish() == .exit(0))
  }

  private func script(
    _ directory: TemporaryDirectory, run: Int, then: String
  ) -> KeyValuePairs<String, Any> {
    [
      "store": directory.appending("store"), "seed": 7, "run": run, "steps": 30, "then": then,
      "producer": "trace", "durability": "synced", "segment": 1 << 20,
    ]
  }
}

/// The system calls that strace(1) saw, by name.
struct Trace: CustomStringConvertible {
  private(set) var counts: [String: Int] = [:]

  /// Calls that name a file or list a directory.
  static let namingCalls = [
    "open", "openat", "openat2", "creat", "stat", "lstat", "newfstatat", "statx", "access",
    "faccessat", "faccessat2", "rename", "renameat", "renameat2", "link", "linkat", "unlink",
    "unlinkat", "mkdir", "mkdirat", "getdents64", "getdents", "close",
  ]

  func of(_ names: [String]) -> Int { names.reduce(0) { $0 + counts[$1, default: 0] } }

  var description: String {
    counts.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(separator: ", ")
  }

  private static let program = ["/usr/bin/strace", "/bin/strace", "/usr/local/bin/strace"]
    .first { (path: String) in access(path, X_OK) == 0 }

  /// The leak sanitizer cannot look at a program that is traced.
  private static let quietly = ["-E", "ASAN_OPTIONS=detect_leaks=0"]

  /// Whether strace is there and may trace.
  static let isPossible: Bool = {
    guard let program else { return false }
    let directory = TemporaryDirectory()
    let log = directory.appending("log")
    let tried = try? RunningProgram.start(
      "lookup-loop",
      [
        "store": directory.appending("store"), "count": 0, "own": 0, "producer": "trace",
        "durability": "synced", "segment": 1 << 20,
      ], under: [program] + quietly + ["-f", "-o", log])
    return tried?.finish() == .exit(0)
  }()

  /// Runs a program so that it is killed where it makes such a call for the n-th time.
  static func killing(at call: String, number: Int) -> [String] {
    [
      program ?? "strace", "-f", "-o", "/dev/null", "-e", "trace=\(call)", "-e",
      "inject=\(call):signal=KILL:when=\(number)",
    ] + quietly
  }

  /// Runs a program whose calls fail as strace(1) is told: "call:error=EINTR:when=2+". `path`
  /// limits that to calls on one file or directory; the calls that were told to fail are in `log`
  /// after it.
  static func injecting(
    _ faults: [String], on path: String? = nil, log: String = "/dev/null"
  ) -> [String] {
    let calls = faults.map { $0.prefix { $0 != ":" } }.joined(separator: ",")
    return [program ?? "strace"] + quietly + ["-f", "-o", log, "-e", "trace=\(calls)"]
      + (path.map { ["-P", $0] } ?? []) + faults.flatMap { ["-e", "inject=\($0)"] }
  }

  /// Runs a mode of the program and gives the calls of all its threads between the two marks, and what
  /// it said.
  static func ofLoop(
    _ mode: String, _ arguments: KeyValuePairs<String, Any>, in directory: TemporaryDirectory
  ) throws -> (Trace, [String]) {
    let log = directory.appending("log")
    let running = try RunningProgram.start(
      mode, arguments, under: [try #require(program)] + quietly + ["-f", "-o", log])
    let end = running.finish()
    try #require(end == .exit(0), "\(running.lines)")
    let lines = String(decoding: contents(log), as: UTF8.self).split(separator: "\n")
    func isMark(_ line: Substring, _ mark: String) -> Bool {
      line.contains(" write(") && line.contains(", \"\(mark)\",")
    }
    let begun = lines.firstIndex { isMark($0, "loop begins") }
    let ended = lines.firstIndex { isMark($0, "loop ends") }
    let begin = try #require(begun)
    let finish = try #require(ended)
    var trace = Trace()
    for line in lines[begin + 1..<finish] {
      // "1234 fdatasync(3) = 0"; what another thread interrupted is told again as "<... resumed>".
      guard let call = line.split(separator: " ", maxSplits: 1).last?.drop(while: { $0 == " " }),
        let open = call.firstIndex(of: "("), call.first?.isLetter ?? false
      else { continue }
      // The C library asks newfstatat(2) for the status of an open file, by an empty name.
      let isOfOpenFile = call.hasPrefix("newfstatat(") && call.contains(", \"\", ")
      trace.counts[isOfOpenFile ? "fstat" : String(call[..<open]), default: 0] += 1
    }
    return (trace, running.lines)
  }
}
