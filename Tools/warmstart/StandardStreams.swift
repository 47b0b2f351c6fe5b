// Standard input, output and error, without a byte lost: short writes and interrupted calls go on, a
// reader that is gone ends the program without a word, anything else is an error.

import Glibc

/// What the three streams have in common.
enum StandardStreams {
  /// Occupies those of the three descriptors that the caller closed: a file of the store must never
  /// become standard output. The wrong direction makes their use an error, as it should be.
  static func makePresent() {
    for (descriptor, mode) in [
      (STDIN_FILENO, O_WRONLY), (STDOUT_FILENO, O_RDONLY), (STDERR_FILENO, O_RDONLY),
    ] where fcntl(descriptor, F_GETFD) < 0 && errno == EBADF {
      _ = open("/dev/null", mode)
    }
  }

  /// One line on standard error, whatever the text holds.
  static func complain(_ message: String) {
    let line = "warmstart: " + message.split(separator: "\n").joined(separator: " ").printable
    writeToStandardError(line + "\n")
  }

  /// Text as it is. If it cannot be written there is nobody to tell.
  static func writeToStandardError(_ text: String) {
    Array(text.utf8).withUnsafeBytes { _ = write($0, to: STDERR_FILENO) }
  }

  /// Writes all of the bytes; gives 0 or errno.
  fileprivate static func write(_ bytes: UnsafeRawBufferPointer, to descriptor: Int32) -> Int32 {
    var rest = bytes
    while !rest.isEmpty {
      let count = Glibc.write(descriptor, rest.baseAddress, rest.count)
      if count >= 0 {
        rest = UnsafeRawBufferPointer(rebasing: rest[count...])
      } else if errno == EAGAIN {
        wait(for: Int16(POLLOUT), on: descriptor)
      } else if errno != EINTR {
        return errno
      }
    }
    return 0
  }

  /// A descriptor that somebody made non-blocking.
  fileprivate static func wait(for events: Int16, on descriptor: Int32) {
    var request = pollfd(fd: descriptor, events: events, revents: 0)
    poll(&request, 1, -1)
  }

  /// Ends as the kernel ends a program whose reader is gone, also where the signal is ignored.
  fileprivate static func endOfBrokenPipe() -> Never {
    signal(SIGPIPE, SIG_DFL)
    var set = sigset_t()
    sigemptyset(&set)
    sigaddset(&set, SIGPIPE)
    sigprocmask(SIG_UNBLOCK, &set, nil)
    raise(SIGPIPE)
    _exit(128 + SIGPIPE)
  }
}

/// Standard output, gathered into large writes.
struct ResultStream {
  private var pending: [UInt8] = []
  private static let enough = 1 << 16

  /// Adds a line of text.
  mutating func put(line: String) throws(Failure) {
    pending.append(contentsOf: line.utf8)
    pending.append(UInt8(ascii: "\n"))
    if pending.count >= Self.enough { try flush() }
  }

  /// Adds a line that is one JSON object.
  mutating func put(_ object: JSONObject) throws(Failure) { try put(line: object.text) }

  /// Adds bytes as they are; they are written at once.
  mutating func put(_ bytes: [UInt8]) throws(Failure) {
    try flush()
    try write(bytes)
  }

  /// Writes what was gathered.
  mutating func flush() throws(Failure) {
    try write(pending)
    pending.removeAll(keepingCapacity: true)
  }

  private func write(_ bytes: [UInt8]) throws(Failure) {
    let problem = bytes.withUnsafeBytes { StandardStreams.write($0, to: STDOUT_FILENO) }
    if problem == EPIPE { StandardStreams.endOfBrokenPipe() }
    if problem != 0 { throw Failure(cannot: "write to standard output", errno: problem) }
  }
}

/// A file that is read from its start to its end.
struct InputFile: ~Copyable {
  /// For messages.
  let name: String
  private let descriptor: Int32

  /// Standard input.
  static var standard: InputFile { InputFile(name: "standard input", descriptor: STDIN_FILENO) }

  private init(name: String, descriptor: Int32) {
    self.name = name
    self.descriptor = descriptor
  }

  /// Opens a file.
  init(path: String) throws(Failure) {
    name = path
    descriptor = Glibc.open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY)
    if descriptor < 0 { throw Failure(cannot: "open \(path)", errno: errno) }
  }

  /// Takes a descriptor over, or what a failed call gave instead of one.
  init(name: String, adopting descriptor: Int32) {
    self.init(name: name, descriptor: descriptor)
  }

  deinit { if descriptor > STDERR_FILENO { close(descriptor) } }

  /// Whether there is a file.
  var isOpen: Bool { descriptor >= 0 }

  /// How much there is from here to its end, where it is a regular file.
  var regularRest: UInt64? {
    var status = stat()
    guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
    return UInt64(max(0, status.st_size - max(0, lseek(descriptor, 0, SEEK_CUR))))
  }

  /// Reads until the buffer is full or the file ends; gives the number of bytes read.
  func read(into buffer: inout [UInt8]) throws(Failure) -> Int {
    var done = 0
    while done < buffer.count {
      let count = buffer.withUnsafeMutableBytes {
        Glibc.read(descriptor, $0.baseAddress! + done, $0.count - done)
      }
      if count == 0 { break }
      if count > 0 {
        done += count
      } else if errno == EAGAIN {
        StandardStreams.wait(for: Int16(POLLIN), on: descriptor)
      } else if errno != EINTR {
        throw Failure(cannot: "read \(name)", errno: errno)
      }
    }
    return done
  }

  /// Everything up to the end, but nil if that is over `limit` bytes.
  func readAll(limit: Int) throws(Failure) -> [UInt8]? {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(min(limit, Int(clamping: regularRest ?? 0)))
    var chunk = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let count = try read(into: &chunk)
      guard count <= limit - bytes.count else { return nil }
      bytes += chunk[..<count]
      if count < chunk.count { return bytes }
    }
  }
}
