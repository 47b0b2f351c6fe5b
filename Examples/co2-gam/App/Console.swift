import Glibc

/// Lines on standard output and standard error, each written at once, so that the lines of several
/// processes do not mix.
enum Console {
  static func output(_ line: String) { write(line, to: STDOUT_FILENO) }

  static func note(_ line: String) { write("co2-gam: \(line)", to: STDERR_FILENO) }

  static func progress(_ line: String) { write(line, to: STDERR_FILENO) }

  private static func write(_ line: String, to file: CInt) {
    var rest = Array((line + "\n").utf8)[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { Glibc.write(file, $0.baseAddress, $0.count) }
      if count < 0 && errno == EINTR { continue }
      // Nobody reads any more; a fit is not to fail of that.
      if count <= 0 { return }
      rest = rest.dropFirst(count)
    }
  }
}
