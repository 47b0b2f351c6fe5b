// Stores with a deliberate bug, made by a wrapper between the store and its disk. Each must be found by
// the simulator, or it would not find such a bug in the store itself either.

import WarmStart

/// A deliberate bug.
package enum Mutant: String, CaseIterable, Sendable {
  /// File syncs are left out.
  case noFileSync
  /// What waits for a sync is acknowledged before: the sync is made before the next change of the file.
  case acknowledgeBeforeSync
  /// A sealed segment has its final name before its footer is on stable storage.
  case sealBeforeSync
  /// Directory syncs are left out.
  case noDirectorySync
  /// A file sync that failed is tried again, and its success believed.
  case retryFailedSync
  /// A compaction drops what is dead by a record that is not on stable storage yet.
  case unsyncedMakesDead
  /// A compaction drops a removal although something older is left.
  case removalDroppedEarly

  /// The bug, if it is the compactor's.
  var compactionFlaw: CompactionFlaw? {
    switch self {
    case .unsyncedMakesDead: .unsyncedMakesDead
    case .removalDroppedEarly: .removalDroppedEarly
    default: nil
    }
  }

  func around(_ files: any FileSystem) -> any FileSystem { MutantFileSystem(files, self) }
}

private struct MutantFileSystem: FileSystem {
  let files: any FileSystem
  let mutant: Mutant

  init(_ files: any FileSystem, _ mutant: Mutant) {
    self.files = files
    self.mutant = mutant
  }

  func openDirectory(_ path: String) throws(FileError) -> any Directory {
    MutantDirectory(try files.openDirectory(path), mutant)
  }

  func syncName(of path: String) throws(FileError) { try files.syncName(of: path) }

  func createDirectory(
    _ path: String, permissions: Permissions
  ) throws(FileError) -> any Directory {
    MutantDirectory(try files.createDirectory(path, permissions: permissions), mutant)
  }
}

private final class MutantDirectory: Directory, @unchecked Sendable {
  private let directory: any Directory
  private let mutant: Mutant
  /// The file that was given the footer last, if its sync is owed.
  private var sealed: MutantFile?

  init(_ directory: any Directory, _ mutant: Mutant) {
    self.directory = directory
    self.mutant = mutant
  }

  var path: String { directory.path }
  func list(limit: Int) throws(FileError) -> [String] { try directory.list(limit: limit) }
  func modificationTime() throws(FileError) -> Int64 { try directory.modificationTime() }
  func open(_ name: String) throws(FileError) -> any File {
    MutantFile(try directory.open(name), mutant) { _ in }
  }
  func create(_ name: String, permissions: Permissions) throws(FileError) -> any File {
    let file = try directory.create(name, permissions: permissions)
    return MutantFile(file, mutant) { [unowned self] in sealed = $0 }
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
  func sync() throws(FileError) {
    if mutant != .noDirectorySync { try directory.sync() }
    if let file = sealed {
      sealed = nil
      try file.makeUpForSync()
    }
  }
}

private final class MutantFile: File, @unchecked Sendable {
  private let file: any File
  private let mutant: Mutant
  private let onDeferredSeal: (MutantFile) -> Void
  private var endsInFooter = false
  private var owesSync = false

  init(_ file: any File, _ mutant: Mutant, _ onDeferredSeal: @escaping (MutantFile) -> Void) {
    self.file = file
    self.mutant = mutant
    self.onDeferredSeal = onDeferredSeal
  }

  func makeUpForSync() throws(FileError) {
    guard owesSync else { return }
    owesSync = false
    try file.syncData()
  }

  func syncData() throws(FileError) {
    switch mutant {
    case .noFileSync: return
    case .acknowledgeBeforeSync: owesSync = true
    case .sealBeforeSync where endsInFooter:
      owesSync = true
      onDeferredSeal(self)
    case .retryFailedSync:
      do throws(FileError) { try file.syncData() } catch { try file.syncData() }
    default: try file.syncData()
    }
  }

  var path: String { file.path }
  func renamed(to name: String) { file.renamed(to: name) }
  func size() throws(FileError) -> UInt64 { try file.size() }
  func linkCount() throws(FileError) -> UInt32 { try file.linkCount() }
  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(FileError) -> Int
  { try file.read(into: buffer, at: offset) }
  func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(FileError) {
    endsInFooter = bytes.count >= 128 && bytes.suffix(128).prefix(6).elementsEqual("WSFoot".utf8)
    try touched().write(bytes, at: offset)
  }
  func truncate(to size: UInt64) throws(FileError) { try touched().truncate(to: size) }
  func tryLock(_ kind: LockKind) throws(FileError) -> Bool { try file.tryLock(kind) }
  func unlock() throws(FileError) { try touched().unlock() }

  private func touched() throws(FileError) -> any File {
    if mutant == .acknowledgeBeforeSync { try makeUpForSync() }
    return file
  }
}
