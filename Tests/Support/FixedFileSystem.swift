// A directory in memory that nobody writes to, for tests that try thousands of damaged files.

import Glibc
package import WarmStart

/// One directory of files with fixed contents. Everything that would write fails with EROFS; a log
/// has a writer or not, as the test says.
package final class FixedFileSystem: FileSystem, Directory, Sendable {
  package let path = "/fixed"
  private let files: [String: [UInt8]]
  private let hasWriters: Bool

  /// The files by name; `hasWriters` makes every lock taken.
  package init(_ files: [String: [UInt8]], hasWriters: Bool = false) {
    self.files = files
    self.hasWriters = hasWriters
  }

  package func openDirectory(_ path: String) throws(FileError) -> any Directory { self }
  package func createDirectory(
    _ path: String, permissions: Permissions
  ) throws(FileError) -> any Directory { self }
  package func list(limit: Int) throws(FileError) -> [String] { Array(files.keys.prefix(limit)) }
  package func modificationTime() throws(FileError) -> Int64 { 1 }

  package func open(_ name: String) throws(FileError) -> any File {
    guard let bytes = files[name] else { throw FileError(.open, path: name, errno: ENOENT) }
    return FixedFile(path: name, bytes: bytes, isLocked: hasWriters)
  }

  package func create(_ name: String, permissions: Permissions) throws(FileError) -> any File {
    throw FileError(.create, path: name, errno: EROFS)
  }
  package func rename(_ name: String, to newName: String) throws(FileError) {
    throw FileError(.rename, path: name, errno: EROFS)
  }
  package func unlink(_ name: String) throws(FileError) {
    throw FileError(.unlink, path: name, errno: EROFS)
  }
  package func setAside(
    _ name: String, into folder: String, permissions: Permissions
  ) throws(FileError) -> String {
    throw FileError(.rename, path: name, errno: EROFS)
  }
  package func syncName(of path: String) throws(FileError) {}
  package func sync() throws(FileError) { throw FileError(.sync, path: path, errno: EROFS) }
}

private final class FixedFile: File {
  let path: String
  private let bytes: [UInt8]
  private let isLocked: Bool

  init(path: String, bytes: [UInt8], isLocked: Bool) {
    self.path = path
    self.bytes = bytes
    self.isLocked = isLocked
  }

  func renamed(to name: String) {}
  func size() throws(FileError) -> UInt64 { UInt64(bytes.count) }
  func linkCount() throws(FileError) -> UInt32 { 1 }

  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(FileError) -> Int
  {
    guard offset < UInt64(bytes.count) else { return 0 }
    let start = Int(offset)
    let count = min(buffer.count, bytes.count - start)
    bytes.withUnsafeBytes {
      UnsafeMutableRawBufferPointer(rebasing: buffer[..<count])
        .copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[start..<start + count]))
    }
    return count
  }

  func tryLock(_ kind: LockKind) throws(FileError) -> Bool { !isLocked }
  func unlock() throws(FileError) {}
  func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(FileError) {
    throw FileError(.write, path: path, errno: EROFS)
  }
  func syncData() throws(FileError) { throw FileError(.sync, path: path, errno: EROFS) }
  func truncate(to size: UInt64) throws(FileError) {
    throw FileError(.truncate, path: path, errno: EROFS)
  }
}
