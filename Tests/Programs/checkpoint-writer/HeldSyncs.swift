// The real disk, on which the syncs of files wait until they are let go.

import Glibc
import WarmStart

final class HeldSyncs: FileSystem, @unchecked Sendable {
  private let files = POSIXFileSystem()
  private let lock: any Lock = POSIXThreads().makeLock()
  private let changed: any Signal
  // Guarded by lock.
  private var isHolding = false
  private var waiting = 0

  init() { changed = lock.makeSignal() }

  /// The host of the operating system, with these files.
  var host: Host {
    var host = Host.system
    host.files = self
    return host
  }

  func hold() { lock.withLock { isHolding = true } }

  func letGo() {
    lock.withLock {
      isHolding = false
      changed.wakeAll()
    }
  }

  /// Returns once somebody is about to sync and waits.
  func waitForASync() { lock.withLock { while waiting == 0 { changed.wait() } } }

  fileprivate func pass() {
    lock.withLock {
      waiting += 1
      changed.wakeAll()
      while isHolding { changed.wait() }
      waiting -= 1
    }
  }

  func openDirectory(_ path: String) throws(FileError) -> any Directory {
    HeldDirectory(try files.openDirectory(path), self)
  }

  func syncName(of path: String) throws(FileError) { try files.syncName(of: path) }

  func createDirectory(
    _ path: String, permissions: Permissions
  ) throws(FileError) -> any Directory {
    HeldDirectory(try files.createDirectory(path, permissions: permissions), self)
  }
}

private final class HeldDirectory: Directory {
  private let directory: any Directory
  private let syncs: HeldSyncs

  init(_ directory: any Directory, _ syncs: HeldSyncs) {
    self.directory = directory
    self.syncs = syncs
  }

  var path: String { directory.path }
  func list(limit: Int) throws(FileError) -> [String] { try directory.list(limit: limit) }
  func modificationTime() throws(FileError) -> Int64 { try directory.modificationTime() }
  func open(_ name: String) throws(FileError) -> any File { try directory.open(name) }
  func create(_ name: String, permissions: Permissions) throws(FileError) -> any File {
    HeldFile(try directory.create(name, permissions: permissions), syncs)
  }
  func rename(_ name: String, to newName: String) throws(FileError) {
    try directory.rename(name, to: newName)
  }
  func unlink(_ name: String) throws(FileError) { try directory.unlink(name) }
  func setAside(
    _ name: String, into folder: String, permissions: Permissions
  ) throws(FileError) -> String {
    try directory.setAside(name, into: folder, permissions: permissions)
  }
  func sync() throws(FileError) { try directory.sync() }
}

private final class HeldFile: File {
  private let file: any File
  private let syncs: HeldSyncs

  init(_ file: any File, _ syncs: HeldSyncs) {
    self.file = file
    self.syncs = syncs
  }

  var path: String { file.path }
  func renamed(to name: String) { file.renamed(to: name) }
  func size() throws(FileError) -> UInt64 { try file.size() }
  func linkCount() throws(FileError) -> UInt32 { try file.linkCount() }
  func read(
    into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64
  ) throws(FileError) -> Int { try file.read(into: buffer, at: offset) }
  func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(FileError) {
    try file.write(bytes, at: offset)
  }
  func syncData() throws(FileError) {
    syncs.pass()
    try file.syncData()
  }
  func truncate(to size: UInt64) throws(FileError) { try file.truncate(to: size) }
  func tryLock(_ kind: LockKind) throws(FileError) -> Bool { try file.tryLock(kind) }
  func unlock() throws(FileError) { try file.unlock() }
}
