// Where a relative path is relative to.

internal import Glibc

package enum WorkingDirectory {
  /// The path from the root, so that it means the same after the process changes its directory.
  package static func absolute(_ path: String) throws(FileError) -> String {
    guard !path.isEmpty, !path.hasPrefix("/") else { return path }
    guard let current = getcwd(nil, 0) else {
      throw FileError(.open, path: path, errno: errno)
    }
    defer { free(current) }
    return String(cString: current) + "/" + path
  }
}
