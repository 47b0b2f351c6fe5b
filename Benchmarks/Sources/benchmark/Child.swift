// Processes of this program, and directories that are removed again.

import ArgumentParser
import Glibc

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
      guard pipe(&ends) == 0 else { throw ValidationError("no pipe") }
      for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
      posix_spawn_file_actions_adddup2(&actions, ends[1], 1)
    }
    var words = ([CommandLine.arguments[0]] + arguments).map { strdup($0) } + [nil]
    defer { for word in words { free(word) } }
    guard posix_spawnp(&process, words[0]!, &actions, nil, &words, environ) == 0 else {
      throw ValidationError("no process")
    }
    if captures { close(ends[1]) }
  }

  /// Runs a command of the shell.
  static func shell(_ command: String) throws {
    guard system(command) == 0 else { throw ValidationError("failed: \(command)") }
  }

  var isRunning: Bool {
    guard status == nil else { return false }
    var now: Int32 = 0
    if waitpid(process, &now, WNOHANG) == process { status = now }
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
      waitpid(process, &now, 0)
      status = now
    }
    guard status == 0 else { throw ValidationError("a child failed with status \(status!)") }
  }
}

/// A directory that is removed with its files.
struct ScratchDirectory {
  let path: String

  init(in base: String) {
    var template = Array("\(base)/warmstart-bench-XXXXXX".utf8CString)
    precondition(mkdtemp(&template) != nil, "cannot make a directory in \(base)")
    path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  func remove() { Self.remove(path) }

  private static func remove(_ path: String) {
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
