// Lines to whoever started the program, and words from them.

import Glibc

/// Writes one line to standard output with one system call, so that it is either there or not,
/// whenever the program is killed.
func say(_ line: String) {
  var text = line + "\n"
  text.withUTF8 { bytes in
    var done = 0
    while done < bytes.count {
      let put = write(1, bytes.baseAddress! + done, bytes.count - done)
      if put < 0, errno != EINTR { _exit(3) }
      done += max(put, 0)
    }
  }
}

/// Leaves a mark that only a trace of the system calls shows: a write to nowhere.
func mark(_ text: String) {
  _ = text.withCString { write(-1, $0, strlen($0)) }
}

/// Returns once a byte came, or the end, on standard input.
func waitForWord() {
  var byte: UInt8 = 0
  while read(0, &byte, 1) < 0, errno == EINTR {}
}

/// Says what went wrong and ends the program at once.
func fail(_ what: String) -> Never {
  say("wrong \(what)")
  _exit(1)
}

/// Runs `body`; an error ends the program.
func orFail<Value>(_ what: String, _ body: () throws -> Value) -> Value {
  do { return try body() } catch { fail("\(what): \(error)") }
}

/// Nanoseconds since 1970.
func wallClock() -> UInt64 {
  var time = timespec()
  clock_gettime(CLOCK_REALTIME, &time)
  return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}
