// Runs programs of the system: to their end, or when the test ends.

import Glibc

/// Runs a command that is looked up in the search path, with its output thrown away or kept; gives
/// its exit status and what it wrote.
public func runCommand(_ command: String...) -> (status: Int32, output: String) {
  runCommand(command)
}

/// As `runCommand(_:)`, of a list of words.
public func runCommand(_ command: [String]) -> (status: Int32, output: String) {
  let directory = TemporaryDirectory()
  var actions = posix_spawn_file_actions_t()
  posix_spawn_file_actions_init(&actions)
  defer { posix_spawn_file_actions_destroy(&actions) }
  let output = directory.appending("out")
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
  posix_spawn_file_actions_addopen(&actions, 1, output, O_WRONLY | O_CREAT, 0o600)
  posix_spawn_file_actions_adddup2(&actions, 1, 2)
  var words: [UnsafeMutablePointer<CChar>?] = command.map { strdup($0) } + [nil]
  defer { for word in words { free(word) } }
  var process = pid_t()
  guard posix_spawnp(&process, command[0], &actions, nil, &words, environ) == 0 else {
    return (127, "cannot start \(command[0])")
  }
  var status: Int32 = 0
  while waitpid(process, &status, 0) < 0, errno == EINTR {}
  let text = String(decoding: contents(output), as: UTF8.self)
  return (status & 0x7f == 0 ? status >> 8 & 0xff : 128 + status & 0x7f, text)
}

/// A command that runs when the last reference goes, or when this process dies, however it dies.
final class LastWill: Sendable {
  private let process: pid_t
  private let input: Int32

  /// Nil if it cannot be had.
  init?(_ command: [String]) {
    // Closed on exec from the first moment: no other child may keep it open.
    var ends: [Int32] = [0, 0]
    let kind = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue)
    guard socketpair(AF_UNIX, kind, 0, &ends) == 0 else { return nil }
    defer { close(ends[1]) }
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_adddup2(&actions, ends[1], 0)
    let script = "trap '' HUP INT TERM; cat > /dev/null; exec \"$0\" \"$@\" > /dev/null 2>&1"
    var words: [UnsafeMutablePointer<CChar>?] =
      (["sh", "-c", script] + command).map { strdup($0) } + [nil]
    defer { for word in words { free(word) } }
    var process = pid_t()
    guard posix_spawnp(&process, "sh", &actions, nil, &words, environ) == 0 else {
      close(ends[0])
      return nil
    }
    self.process = process
    input = ends[0]
  }

  deinit {
    close(input)
    var status: Int32 = 0
    while waitpid(process, &status, 0) < 0, errno == EINTR {}
  }
}
