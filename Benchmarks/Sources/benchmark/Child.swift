// Processes of this program, and directories that are removed again.

import Dispatch
import Glibc
import Synchronization

/// What was tried in vain, or found wrong.
struct Failure: Error, CustomStringConvertible {
  let description: String

  init(_ description: String) { self.description = description }

  /// What was tried, and why the last call says that it failed.
  init(errno code: Int32 = errno, _ description: String) {
    self.description = "\(description): \(String(cString: strerror(code)))"
  }
}

/// Who is ended and what is removed when somebody interrupts the program: a store may take gigabytes.
enum Interruption {
  private struct Leftovers {
    var processes: Set<pid_t> = []
    var directories: Set<String> = []
  }
  private static let leftovers = Mutex(Leftovers())

  /// From the first directory on; a process that measures makes none.
  private nonisolated(unsafe) static let sources = [SIGINT, SIGTERM].map { number in
    signal(number, SIG_IGN)
    let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
    source.setEventHandler {
      leftovers.withLock {
        for process in $0.processes { kill(-process, SIGKILL) }
        for process in $0.processes { waitpid(process, nil, 0) }
        for directory in $0.directories { ScratchDirectory.remove(directory) }
        _exit(128 + number)
      }
    }
    source.activate()
    return source
  }

  /// Whether this is the process that ends the others; those whom it makes lead groups, so that it ends theirs, too.
  static var isPrepared: Bool { leftovers.withLock { !$0.directories.isEmpty } }

  static func note(_ process: pid_t) { leftovers.withLock { _ = $0.processes.insert(process) } }
  static func forget(_ process: pid_t) { leftovers.withLock { _ = $0.processes.remove(process) } }
  static func note(_ path: String) {
    _ = sources
    leftovers.withLock { _ = $0.directories.insert(path) }
  }
  static func forget(_ path: String) { leftovers.withLock { _ = $0.directories.remove(path) } }
}

/// This program with other arguments, in a process of its own; its output is inherited, or comes back.
final class Child {
  private var process = pid_t()
  private var ends: [Int32] = [-1, -1]
  private var status: Int32?

  init(_ arguments: [String], captures: Bool = false) throws {
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    if captures {
      guard pipe(&ends) == 0 else { throw Failure(errno: errno, "no pipe") }
      for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
      posix_spawn_file_actions_adddup2(&actions, ends[1], 1)
    }
    var words = ([CommandLine.arguments[0]] + arguments).map { strdup($0) } + [nil]
    defer { for word in words { free(word) } }
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    // What this process handles ends the child.
    var signals = sigset_t()
    sigemptyset(&signals)
    for number in [SIGINT, SIGTERM] { sigaddset(&signals, number) }
    posix_spawnattr_setsigdefault(&attributes, &signals)
    let group = Interruption.isPrepared ? Int32(POSIX_SPAWN_SETPGROUP) : 0
    posix_spawnattr_setflags(&attributes, Int16(Int32(POSIX_SPAWN_SETSIGDEF) | group))
    let code = posix_spawnp(&process, words[0]!, &actions, &attributes, &words, environ)
    guard code == 0 else { throw Failure(errno: code, "cannot run \(CommandLine.arguments[0])") }
    Interruption.note(process)
    if captures { close(ends[1]) }
  }

  /// Runs a command of the shell.
  static func shell(_ command: String) throws {
    guard system(command) == 0 else { throw Failure("failed: \(command)") }
  }

  var isRunning: Bool {
    guard status == nil else { return false }
    var now: Int32 = 0
    if waitpid(process, &now, WNOHANG) == process { end(now) }
    return status == nil
  }

  func output() throws -> String {
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 4096)
    while case let count = read(ends[0], &buffer, buffer.count), count > 0 {
      bytes += buffer[..<count]
    }
    close(ends[0])
    try wait()
    return String(decoding: bytes, as: UTF8.self)
  }

  /// Its next byte of output; nil if it has ended.
  func byte() -> UInt8? {
    var byte: UInt8 = 0
    return read(ends[0], &byte, 1) == 1 ? byte : nil
  }

  func wait() throws {
    if status == nil {
      var now: Int32 = 0
      while waitpid(process, &now, 0) != process {
        guard errno == EINTR else { throw Failure(errno: errno, "cannot wait for a child") }
      }
      end(now)
    }
    guard status == 0 else { throw Failure("a child failed with status \(status!)") }
  }

  private func end(_ status: Int32) {
    self.status = status
    Interruption.forget(process)
  }
}

/// A directory for a store, and one around it for what else there is; both are removed with their files.
struct ScratchDirectory {
  private let outer: String
  let path: String

  /// In that directory, or the one that TMPDIR names, or /tmp.
  init(in base: String?) throws {
    let named = getenv("TMPDIR").map { String(cString: $0) } ?? ""
    let base = base ?? (named.isEmpty ? "/tmp" : named)
    var template = Array("\(base)/warmstart-bench-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw Failure(errno: errno, "no directory in \(base)") }
    outer = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    path = outer + "/store"
    Interruption.note(outer)
    guard mkdir(path, 0o700) == 0 else { throw Failure(errno: errno, "cannot make \(path)") }
  }

  func remove() {
    Self.remove(outer)
    Interruption.forget(outer)
  }

  static func remove(_ path: String) {
    for name in names(in: path) where unlink(path + "/" + name) != 0 { remove(path + "/" + name) }
    rmdir(path)
  }
}

/// The names in a directory.
func names(in path: String) -> [String] {
  guard let directory = opendir(path) else { return [] }
  defer { closedir(directory) }
  var names: [String] = []
  while let entry = readdir(directory) {
    // An entry is no longer than its name needs.
    let name = UnsafeRawPointer(entry).advanced(by: MemoryLayout<dirent>.offset(of: \.d_name)!)
    names.append(String(cString: name.assumingMemoryBound(to: CChar.self)))
  }
  return names.filter { $0 != "." && $0 != ".." }
}

/// Bytes of the blocks of all files in a directory, those in its folders included.
func bytesOnDisk(_ path: String) -> UInt64 {
  names(in: path).reduce(0) { total, name in
    var status = stat()
    guard lstat(path + "/" + name, &status) == 0 else { return total }
    if status.st_mode & S_IFMT == S_IFDIR { return total + bytesOnDisk(path + "/" + name) }
    return total + UInt64(status.st_blocks) * 512
  }
}
