// The real file system, which fails when the test says so and remembers what was not synced.

import Glibc
import Synchronization
import WarmStart

/// Fails writes and syncs by what the test decides, and knows which files have unsynced bytes.
final class FaultyFiles: FileSystem, @unchecked Sendable {
  /// Gives the error number a write of these bytes fails with, or nil.
  typealias WriteFault = @Sendable (UnsafeRawBufferPointer) -> Int32?
  /// Gives how many of these bytes are written before the write fails with EIO, or nil.
  typealias PartFault = @Sendable (UnsafeRawBufferPointer) -> Int?
  /// Gives the error number a sync fails with, or nil.
  typealias SyncFault = @Sendable () -> Int32?
  /// Gives the error number a read of this file fails with, or nil.
  typealias ReadFault = @Sendable (String) -> Int32?

  /// Gives the error number a read of these bytes of a file fails with, or nil.
  typealias PlaceFault = @Sendable (Range<UInt64>) -> Int32?

  /// Gives the error number that removing this name fails with, or nil.
  typealias UnlinkFault = @Sendable (String) -> Int32?

  private let files = POSIXFileSystem()
  private let lock = ThreadLock()
  // Guarded by lock.
  private var writeFault: WriteFault?
  private var partFault: PartFault?
  private var syncFault: SyncFault?
  private var readFault: ReadFault?
  private var placeFault: PlaceFault?
  private var unlinkFault: UnlinkFault?
  private var renameFault: UnlinkFault?
  private var dirty: Set<ObjectIdentifier> = []
  private var syncs = 0
  private var readBytes = 0
  private var opens = 0
  private var directoryTime: Int64?
  private var lists = 0
  private var begun: [Range<UInt64>] = []
  private var writeOutFault: SyncFault?
  private var directorySyncFault: SyncFault?
  private var hides: (@Sendable (Int, String) -> Bool)?
  private var listFault: SyncFault?
  private var beforeOpening: (@Sendable (String) -> Void)?

  func failWrites(_ fault: WriteFault?) { lock.withLock { writeFault = fault } }
  func failWritesInTheMiddle(_ fault: PartFault?) { lock.withLock { partFault = fault } }
  /// Makes every directory tell this time, in nanoseconds, whatever changes in it; nil for the true one.
  func setDirectoryTime(_ time: Int64?) { lock.withLock { directoryTime = time } }
  func failSyncs(_ fault: SyncFault?) { lock.withLock { syncFault = fault } }
  /// Which listings, counted from 1, leave out a name, as they may what is renamed meanwhile.
  func hide(_ hides: (@Sendable (Int, String) -> Bool)?) { lock.withLock { self.hides = hides } }
  /// Calls this before a file of a name is opened for reading.
  func beforeOpening(_ body: (@Sendable (String) -> Void)?) {
    lock.withLock { beforeOpening = body }
  }
  func failLists(_ fault: SyncFault?) { lock.withLock { listFault = fault } }
  /// Of directories.
  func failDirectorySyncs(_ fault: SyncFault?) { lock.withLock { directorySyncFault = fault } }
  /// When the system is told to begin to write out.
  func failWriteOuts(_ fault: SyncFault?) { lock.withLock { writeOutFault = fault } }
  func failUnlinks(_ fault: UnlinkFault?) { lock.withLock { unlinkFault = fault } }
  /// Of what gets another name or is set aside, by the name that it had.
  func failRenames(_ fault: UnlinkFault?) { lock.withLock { renameFault = fault } }
  func failReads(_ fault: ReadFault?) { lock.withLock { readFault = fault } }
  func failReads(at fault: PlaceFault?) { lock.withLock { placeFault = fault } }

  /// Files with bytes that were written and not synced.
  var unsyncedFiles: Int { lock.withLock { dirty.count } }
  /// Bytes that reads have asked for so far.
  var bytesRead: Int { lock.withLock { readBytes } }
  /// Listings of directories so far.
  var listCount: Int { lock.withLock { lists } }
  /// Files opened for reading so far.
  var openCount: Int { lock.withLock { opens } }
  /// What the system was told to begin to write out, in turn.
  var writtenOut: [Range<UInt64>] { lock.withLock { begun } }
  /// Syncs of files so far.
  var syncCount: Int { lock.withLock { syncs } }

  func openDirectory(_ path: String) throws(FileError) -> any Directory {
    FaultyDirectory(try files.openDirectory(path), self)
  }

  func syncName(of path: String) throws(FileError) { try files.syncName(of: path) }

  func createDirectory(
    _ path: String, permissions: Permissions
  ) throws(FileError) -> any Directory {
    FaultyDirectory(try files.createDirectory(path, permissions: permissions), self)
  }

  fileprivate func willWrite(
    _ bytes: UnsafeRawBufferPointer, to file: FaultyFile
  ) throws(FileError) {
    let fault = lock.withLock { writeFault }
    if let error = fault?(bytes) { throw FileError(.write, path: file.path, errno: error) }
    lock.withLock { _ = dirty.insert(ObjectIdentifier(file)) }
  }

  fileprivate func bytesBeforeFailure(_ bytes: UnsafeRawBufferPointer) -> Int? {
    lock.withLock { partFault }?(bytes)
  }

  fileprivate var toldDirectoryTime: Int64? { lock.withLock { directoryTime } }

  /// Gives which names the listing leaves out.
  fileprivate func willList(_ path: String) throws(FileError) -> (String) -> Bool {
    let (number, hides, fault) = lock.withLock {
      lists += 1
      return (lists, self.hides, listFault)
    }
    if let error = fault?() { throw FileError(.list, path: path, errno: error) }
    return { name in hides?(number, name) ?? false }
  }

  fileprivate func willWriteOut(
    _ range: Range<UInt64>, of file: FaultyFile
  ) throws(FileError) {
    let fault = lock.withLock {
      begun.append(range)
      return writeOutFault
    }
    if let error = fault?() { throw FileError(.sync, path: file.path, errno: error) }
  }

  fileprivate func willRead(_ range: Range<UInt64>, of file: FaultyFile) throws(FileError) {
    let fault = lock.withLock {
      readBytes += range.count
      return readFault
    }
    let placeFault = lock.withLock { self.placeFault }
    let error = fault.flatMap { $0(file.path) } ?? placeFault.flatMap { $0(range) }
    if let error { throw FileError(.read, path: file.path, errno: error) }
  }

  fileprivate func willUnlink(_ name: String, in path: String) throws(FileError) {
    let fault = lock.withLock { unlinkFault }
    if let error = fault?(name) {
      throw FileError(.unlink, path: path + "/" + name, errno: error)
    }
  }

  fileprivate func willSyncDirectory(_ path: String) throws(FileError) {
    let fault = lock.withLock { directorySyncFault }
    if let error = fault?() { throw FileError(.sync, path: path, errno: error) }
  }

  fileprivate func willOpen(_ name: String) {
    let before = lock.withLock {
      opens += 1
      return beforeOpening
    }
    before?(name)
  }

  fileprivate func willRename(_ name: String, in path: String) throws(FileError) {
    let fault = lock.withLock { renameFault }
    if let error = fault?(name) {
      throw FileError(.rename, path: path + "/" + name, errno: error)
    }
  }

  fileprivate func willSync(_ file: FaultyFile) throws(FileError) {
    let fault = lock.withLock {
      syncs += 1
      return syncFault
    }
    if let error = fault?() { throw FileError(.sync, path: file.path, errno: error) }
  }

  fileprivate func didSync(_ file: FaultyFile) {
    lock.withLock { _ = dirty.remove(ObjectIdentifier(file)) }
  }
}

private final class FaultyDirectory: Directory {
  private let directory: any Directory
  private let faults: FaultyFiles

  init(_ directory: any Directory, _ faults: FaultyFiles) {
    self.directory = directory
    self.faults = faults
  }

  var path: String { directory.path }
  func list(limit: Int) throws(FileError) -> [String] {
    let isHidden = try faults.willList(path)
    return try directory.list(limit: limit).filter { !isHidden($0) }
  }
  func modificationTime() throws(FileError) -> Int64 {
    let time = try directory.modificationTime()
    return faults.toldDirectoryTime ?? time
  }
  func open(_ name: String) throws(FileError) -> any File {
    faults.willOpen(name)
    return FaultyFile(try directory.open(name), faults)
  }
  func create(_ name: String, permissions: Permissions) throws(FileError) -> any File {
    FaultyFile(try directory.create(name, permissions: permissions), faults)
  }
  func rename(_ name: String, to newName: String) throws(FileError) {
    try faults.willRename(name, in: path)
    try directory.rename(name, to: newName)
  }
  func unlink(_ name: String) throws(FileError) {
    try faults.willUnlink(name, in: path)
    try directory.unlink(name)
  }
  func setAside(
    _ name: String, into folder: String, permissions: Permissions
  ) throws(FileError) -> String {
    try faults.willRename(name, in: path)
    return try directory.setAside(name, into: folder, permissions: permissions)
  }
  func sync() throws(FileError) {
    try faults.willSyncDirectory(path)
    try directory.sync()
  }
}

private final class FaultyFile: File {
  private let file: any File
  private let faults: FaultyFiles

  init(_ file: any File, _ faults: FaultyFiles) {
    self.file = file
    self.faults = faults
  }

  var path: String { file.path }
  func size() throws(FileError) -> UInt64 { try file.size() }
  func renamed(to name: String) { file.renamed(to: name) }
  func linkCount() throws(FileError) -> UInt32 { try file.linkCount() }
  func read(
    into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64
  ) throws(FileError) -> Int {
    try faults.willRead(offset..<offset + UInt64(buffer.count), of: self)
    return try file.read(into: buffer, at: offset)
  }
  func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(FileError) {
    try faults.willWrite(bytes, to: self)
    if let count = faults.bytesBeforeFailure(bytes) {
      try file.write(UnsafeRawBufferPointer(rebasing: bytes[..<count]), at: offset)
      throw FileError(.write, path: path, errno: EIO)
    }
    try file.write(bytes, at: offset)
  }
  func writeOut(_ range: Range<UInt64>) throws(FileError) {
    try faults.willWriteOut(range, of: self)
    try file.writeOut(range)
  }
  func syncData() throws(FileError) {
    try faults.willSync(self)
    try file.syncData()
    faults.didSync(self)
  }
  func truncate(to size: UInt64) throws(FileError) { try file.truncate(to: size) }
  func tryLock(_ kind: LockKind) throws(FileError) -> Bool { try file.tryLock(kind) }
  func unlock() throws(FileError) { try file.unlock() }
}

/// Whether the bytes begin with a record of this kind.
func isRecord(_ bytes: UnsafeRawBufferPointer, _ kind: RecordKind) -> Bool {
  bytes.count > 10 && bytes.prefix(4).elementsEqual("WREc".utf8) && bytes[10] == kind.rawValue
}

/// Whether the bytes end in a footer's trailer.
func isFooter(_ bytes: UnsafeRawBufferPointer) -> Bool {
  bytes.count >= 128 && bytes.suffix(128).prefix(6).elementsEqual("WSFoot".utf8)
}

extension Bench {
  /// A host whose files fail when told to.
  func host(_ files: FaultyFiles) -> Host {
    var host = host()
    host.files = files
    return host
  }
}

/// Says yes as often as it was told to.
final class Countdown: Sendable {
  private let left: Atomic<Int>

  init(_ count: Int) { left = Atomic(count) }

  /// Whether it has been asked as often.
  var isOver: Bool { left.load(ordering: .relaxed) <= 0 }

  func next() -> Bool { left.subtract(1, ordering: .relaxed).oldValue > 0 }
}
