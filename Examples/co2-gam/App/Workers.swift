// Several processes for the folds. Each is this program again, with the same arguments and the
// number of its share; it fits that share and sends a line for each fit down a pipe. If it dies,
// what is missing is fitted by the parent, which finds in the store how far the worker had come.

import Glibc

/// The processes that share the folds.
struct Workers {
  /// The folds of one share: neighbouring years, since a fit is best seeded by its neighbour's.
  static func share<Item>(_ index: Int, of count: Int, in folds: [Item]) -> ArraySlice<Item> {
    precondition((0..<count).contains(index))
    return folds[(folds.count * index / count)..<(folds.count * (index + 1) / count)]
  }

  /// Runs the workers to their ends.
  ///
  /// - Returns: The reports that arrived.
  static func run(count: Int) -> [FitReport] {
    // All are started before any is listened to. A worker whose pipe is full waits for its turn.
    let workers = (0..<count).compactMap { Worker(index: $0) }
    return workers.flatMap { $0.reports() }
  }
}

/// One such process and the end of its pipe.
private struct Worker {
  let index: Int
  let process: pid_t
  let pipe: CInt

  /// Starts a worker; `nil`, and a note, if the system refuses.
  init?(index: Int) {
    var ends: [CInt] = [-1, -1]
    guard Glibc.pipe(&ends) == 0 else {
      Console.note("no pipe for worker \(index): \(String(cString: strerror(errno)))")
      return nil
    }
    // The other workers are not to hold this pipe open.
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO)
    let words = CommandLine.arguments + ["--worker", "\(index)"]
    var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
    var process: pid_t = 0
    let status = posix_spawn(&process, "/proc/self/exe", &actions, nil, &arguments, environ)
    posix_spawn_file_actions_destroy(&actions)
    for argument in arguments { free(argument) }
    close(ends[1])
    guard status == 0 else {
      Console.note("worker \(index) does not start: \(String(cString: strerror(status)))")
      close(ends[0])
      return nil
    }
    self.index = index
    self.process = process
    pipe = ends[0]
  }

  /// The reports of this worker, once it has ended.
  func reports() -> [FitReport] {
    var text: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 12)
    while true {
      let count = read(pipe, &chunk, chunk.count)
      if count < 0 && errno == EINTR { continue }
      if count <= 0 { break }
      text.append(contentsOf: chunk[..<count])
    }
    close(pipe)
    var status: CInt = 0
    while waitpid(process, &status, 0) < 0 && errno == EINTR {}
    if status != 0 { Console.note("worker \(index) ended early (wait status \(status))") }
    // A line without an end is a line that a dying worker did not finish.
    let lines = String(decoding: text, as: UTF8.self).split(
      separator: "\n", omittingEmptySubsequences: false)
    return lines.dropLast().compactMap { FitReport(line: $0) }
  }
}
