// A directory that is gone after the test.

import Glibc

/// A fresh directory below `/tmp` (or `TMPDIR`), removed with everything in it when the last
/// reference goes.
public final class TemporaryDirectory: Sendable {
  /// Its path.
  public let path: String

  /// Makes the directory.
  public init() {
    let base = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
    var template = Array("\(base)/warmstart-test-XXXXXX".utf8CString)
    guard let made = mkdtemp(&template) else { fatal("mkdtemp") }
    path = String(cString: made)
  }

  deinit { removeTree(path) }

  /// The path of something in it.
  public func appending(_ name: String) -> String { path + "/" + name }
}

/// The names in a directory, sorted.
public func listing(_ path: String) -> [String] {
  guard let directory = opendir(path) else { return [] }
  defer { closedir(directory) }
  var names: [String] = []
  while let entry = readdir(directory) {
    let name = String(
      cString: UnsafeRawPointer(entry).advanced(by: MemoryLayout<dirent>.offset(of: \.d_name)!)
        .assumingMemoryBound(to: CChar.self))
    if name != ".", name != ".." { names.append(name) }
  }
  return names.sorted()
}

/// The bytes of a file.
public func contents(_ path: String) -> [UInt8] {
  guard let file = fopen(path, "rbe") else { fatal("cannot read \(path)") }
  defer { fclose(file) }
  var bytes: [UInt8] = []
  var buffer = [UInt8](repeating: 0, count: 1 << 16)
  while true {
    let got = fread(&buffer, 1, buffer.count, file)
    if got == 0 { return bytes }
    bytes += buffer[..<got]
  }
}

/// Makes or overwrites a file.
public func write(_ bytes: [UInt8], to path: String) {
  guard let file = fopen(path, "wbe") else { fatal("cannot write \(path)") }
  defer { fclose(file) }
  if fwrite(bytes, 1, bytes.count, file) != bytes.count { fatal("cannot write \(path)") }
}

/// Copies the files of a flat directory into a new one.
public func copyDirectory(_ source: String, to target: String) {
  mkdir(target, 0o700)
  for name in listing(source) { write(contents("\(source)/\(name)"), to: "\(target)/\(name)") }
}

private func removeTree(_ path: String) {
  chmod(path, 0o700)
  for name in listing(path) {
    let child = "\(path)/\(name)"
    var status = stat()
    lstat(child, &status)
    if status.st_mode & S_IFMT == S_IFDIR { removeTree(child) } else { unlink(child) }
  }
  rmdir(path)
}

func fatal(_ what: String) -> Never {
  preconditionFailure("\(what): \(String(cString: strerror(errno)))")
}
