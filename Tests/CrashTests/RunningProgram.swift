// A process of the program beside the tests: its lines, its words, its end.

import Glibc

/// One running process; killed and reaped at the latest when the last reference goes.
final class RunningProgram {
  let process: pid_t
  /// Every whole line so far.
  private(set) var lines: [String] = []
  /// How many of them `read(until:)` has looked at.
  private var seen = 0
  private var isReaped = false
  private var status: Int32 = 0
  private var unread: [UInt8] = []
  private var output: Int32
  private var input: Int32

  /// How a process ended.
  enum End: Hashable {
    case exit(Int32)
    case signal(Int32)
  }

  struct SpawnError: Error {
    var what: String
  }

  /// The program of the package, which lies beside the test bundle.
  static let checkpointWriter: String = {
    var buffer = [UInt8](repeating: 0, count: 4096)
    let length = buffer.withUnsafeMutableBytes {
      readlink("/proc/self/exe", $0.baseAddress!.assumingMemoryBound(to: CChar.self), $0.count)
    }
    let path = String(decoding: buffer[..<max(length, 0)], as: UTF8.self)
    return path.split(separator: "/").dropLast().reduce("") { "\($0)/\($1)" } + "/checkpoint-writer"
  }()

  /// Starts the program in a mode.
  static func start(
    _ mode: String, _ arguments: KeyValuePairs<String, Any>, under: [String] = []
  ) throws -> RunningProgram {
    try RunningProgram(
      under + [checkpointWriter, mode] + arguments.map { "\($0.key)=\($0.value)" })
  }

  private init(_ command: [String]) throws {
    // Sockets, because they are closed on exec from the first moment: other tests spawn, too.
    let (mine, its) = try Self.socketPair()
    let (myInput, itsInput) = try Self.socketPair()
    defer {
      close(its)
      close(itsInput)
    }
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_adddup2(&actions, itsInput, 0)
    posix_spawn_file_actions_adddup2(&actions, its, 1)
    var words: [UnsafeMutablePointer<CChar>?] = command.map { strdup($0) } + [nil]
    defer { for word in words { free(word) } }
    var process: pid_t = 0
    let result = posix_spawn(&process, command[0], &actions, nil, &words, environ)
    guard result == 0 else {
      close(mine)
      close(myInput)
      throw SpawnError(what: "\(command[0]): \(String(cString: strerror(result)))")
    }
    // Whoever is silent for so long hangs.
    var patience = timeval(tv_sec: 120, tv_usec: 0)
    setsockopt(mine, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
    self.process = process
    output = mine
    input = myInput
  }

  private static func socketPair() throws -> (Int32, Int32) {
    var ends: [Int32] = [0, 0]
    let kind = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue)
    guard socketpair(AF_UNIX, kind, 0, &ends) == 0 else {
      throw SpawnError(what: "socketpair: \(String(cString: strerror(errno)))")
    }
    return (ends[0], ends[1])
  }

  deinit {
    if !isReaped {
      kill()
      _ = wait()
    }
    close(output)
    endInput()
  }

  // MARK: Talking

  /// Lets a process that waits for a word go on.
  func sendWord() { _ = send(input, "!", 1, Int32(MSG_NOSIGNAL)) }

  /// No word will come any more.
  func endInput() {
    if input >= 0 { close(input) }
    input = -1
  }

  /// Reads until `isEnough` says so of a line behind the one that was enough last; false if the output ended before.
  @discardableResult
  func read(until isEnough: (String) -> Bool) -> Bool {
    while true {
      while seen < lines.count {
        seen += 1
        if isEnough(lines[seen - 1]) { return true }
      }
      if !readMore() { return false }
    }
  }

  /// Reads up to the end of the output.
  func readToEnd() { while readMore() {} }

  /// Reads for this long; false if the output ended before.
  func read(microseconds: UInt64) -> Bool {
    let deadline = Self.now() + microseconds * 1000
    while true {
      let now = Self.now()
      guard now < deadline else { return true }
      var left = timespec()
      left.tv_nsec = Int((deadline - now) % 1_000_000_000)
      left.tv_sec = Int((deadline - now) / 1_000_000_000)
      guard Self.waitReadable(output, &left) else { continue }
      if !readMore() { return false }
    }
  }

  /// As poll(2), with a finer timeout.
  private static func waitReadable(_ descriptor: Int32, _ timeout: inout timespec) -> Bool {
    var set = fd_set()
    withUnsafeMutableBytes(of: &set) { bytes in
      bytes[Int(descriptor) / 8] |= 1 << UInt8(descriptor % 8)
    }
    return pselect(descriptor + 1, &set, nil, nil, &timeout, nil) > 0
  }

  private func readMore() -> Bool {
    var buffer = [UInt8](repeating: 0, count: 4096)
    let got = Glibc.read(output, &buffer, buffer.count)
    if got < 0, errno == EINTR { return true }
    if got < 0, errno == EAGAIN {
      lines.append("killed for its silence")
      kill()
    }
    guard got > 0 else { return false }
    unread += buffer[..<got]
    while let end = unread.firstIndex(of: UInt8(ascii: "\n")) {
      lines.append(String(decoding: unread[..<end], as: UTF8.self))
      unread.removeFirst(end + 1)
    }
    return true
  }

  private static func now() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
  }

  // MARK: Ending

  /// SIGKILL.
  func kill() { if !isReaped { Glibc.kill(process, SIGKILL) } }

  /// How the process ended. Returns when it has.
  func wait() -> End {
    while !isReaped {
      if waitpid(process, &status, 0) == process { isReaped = true }
    }
    return status & 0x7f == 0 ? .exit(status >> 8 & 0xff) : .signal(status & 0x7f)
  }

  /// Reads all and waits for the end.
  func finish() -> End {
    readToEnd()
    return wait()
  }
}
