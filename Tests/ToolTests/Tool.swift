// Runs the built program, which lies beside the test bundle.

import Foundation
import TestSupport

/// An ended run of the program.
struct Tool {
  /// The exit status, or nil if a signal ended it.
  var status: Int32?
  /// The signal that ended it.
  var signal: Int32?
  var output: [UInt8]
  var errors: String

  /// Standard output as text.
  var text: String { String(decoding: output, as: UTF8.self) }

  /// The lines of standard output.
  var lines: [String] { text.split(separator: "\n").map(String.init) }

  /// The lines of standard output, each a JSON object.
  func objects<Value: Decodable>(_ type: Value.Type = Value.self) throws -> [Value] {
    try lines.map { try JSONDecoder().decode(Value.self, from: Data($0.utf8)) }
  }

  /// Whether there is exactly one line on standard error, and it begins as all of them do.
  var complainsOnce: Bool {
    errors.hasPrefix("warmstart: ") && errors.hasSuffix("\n")
      && errors.filter { $0 == "\n" }.count == 1
  }

  /// Where the program is.
  static let path: String = {
    var buffer = [UInt8](repeating: 0, count: 4096)
    let count = buffer.withUnsafeMutableBytes {
      readlink("/proc/self/exe", $0.baseAddress!.assumingMemoryBound(to: CChar.self), $0.count)
    }
    let bundle = String(decoding: buffer[..<max(0, count)], as: UTF8.self)
    return bundle[..<(bundle.lastIndex(of: "/") ?? bundle.startIndex)] + "/warmstart"
  }()

  /// Runs the program to its end.
  static func run(_ arguments: String..., input: [UInt8] = []) -> Tool {
    run(command: [path] + arguments, input: input)
  }

  /// Runs any program, to its end. Standard output goes to the file `output` if it is given.
  static func run(
    command: [String], input: [UInt8] = [], output: String? = nil, environment: [String] = []
  ) -> Tool {
    let directory = TemporaryDirectory()
    write(input, to: directory.appending("in"))
    let child = RunningTool(
      command, input: directory.appending("in"), output: output ?? directory.appending("out"),
      errors: directory.appending("err"), environment: environment)
    var tool = child.wait()
    if output == nil { tool.output = contents(directory.appending("out")) }
    tool.errors = String(decoding: contents(directory.appending("err")), as: UTF8.self)
    return tool
  }
}

/// A run of the program that has not ended.
struct RunningTool {
  let processID: pid_t

  /// Starts a program with its three streams opened from files.
  init(
    _ command: [String], input: String, output: String, errors: String, environment: [String] = []
  ) {
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, 0, input, O_RDONLY, 0)
    let mode = O_WRONLY | O_CREAT
    posix_spawn_file_actions_addopen(&actions, 1, output, mode, 0o600)
    posix_spawn_file_actions_addopen(&actions, 2, errors, mode, 0o600)
    // The threads that run tests block signals, which a child would inherit.
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    var signals = sigset_t()
    sigemptyset(&signals)
    posix_spawnattr_setsigmask(&attributes, &signals)
    for signal in [SIGINT, SIGTERM, SIGPIPE] { sigaddset(&signals, signal) }
    posix_spawnattr_setsigdefault(&attributes, &signals)
    let flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF
    posix_spawnattr_setflags(&attributes, Int16(flags))
    let inherited = ProcessInfo.processInfo.environment
      .filter { !["NO_COLOR", "TERM"].contains($0.key) }.map { "\($0.key)=\($0.value)" }
    var arguments = command.map { strdup($0) } + [nil]
    var variables = (inherited + environment).map { strdup($0) } + [nil]
    defer { for text in arguments + variables { free(text) } }
    var child: pid_t = 0
    let result = posix_spawnp(&child, command[0], &actions, &attributes, &arguments, &variables)
    precondition(result == 0, "cannot start \(command[0]): \(String(cString: strerror(result)))")
    processID = child
  }

  /// Waits for the end.
  func wait() -> Tool {
    var word: Int32 = 0
    while waitpid(processID, &word, 0) < 0 && errno == EINTR {}
    let signal = word & 0x7f
    return Tool(
      status: signal == 0 ? word >> 8 & 0xff : nil, signal: signal == 0 ? nil : signal, output: [],
      errors: "")
  }

  func kill(_ signal: Int32) { _ = Glibc.kill(processID, signal) }

  /// Looks at its memory again and again until it has ended; gives the most that it had, bytes. What the kernel
  /// tells of an ended child counts its parent's memory in.
  func peakMemory() -> Int {
    var peak = 0
    var info = siginfo_t()
    while waitid(P_PID, id_t(processID), &info, WEXITED | WNOWAIT | WNOHANG) == 0,
      info.si_signo == 0
    {
      let status = String(decoding: contents("/proc/\(processID)/status"), as: UTF8.self)
      let line = status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") }
      peak = max(peak, (line?.split(separator: " ").dropFirst().first).flatMap { Int($0) } ?? 0)
    }
    return peak * 1024
  }
}

/// A named pipe of which this process has one end, so that no other child inherits it.
final class Pipe {
  let path: String
  private var descriptor: Int32

  init(in directory: TemporaryDirectory) {
    path = directory.appending("pipe")
    precondition(mkfifo(path, 0o600) == 0)
    descriptor = open(path, O_RDWR | O_CLOEXEC)
  }

  deinit { close() }

  func write(_ bytes: [UInt8]) { _ = Glibc.write(descriptor, bytes, bytes.count) }

  func read(_ count: Int) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    let got = Glibc.read(descriptor, &bytes, count)
    return Array(bytes[..<max(0, got)])
  }

  func close() {
    if descriptor >= 0 { Glibc.close(descriptor) }
    descriptor = -1
  }
}
