// The simulated disk as the store sees it: the file system, directories and open files of one process.

import Glibc
package import WarmStart

/// The one directory of the simulated disk.
package struct SimulatedFileSystem: FileSystem {
  package static let path = "/store"
  private let process: SimulatedProcess

  init(_ process: SimulatedProcess) { self.process = process }

  package func openDirectory(_ path: String) throws(FileError) -> any Directory {
    let machine = process.machine
    try machine.call(.openDirectory, process, path) { () throws(FileError) in
      guard machine.disk.exists, path == Self.path else {
        throw FileError(.open, path: path, errno: ENOENT)
      }
    }
    return SimulatedDirectory(process)
  }

  package func createDirectory(
    _ path: String, permissions: Permissions
  ) throws(FileError) -> any Directory {
    let machine = process.machine
    do throws(FileError) { return try openDirectory(path) } catch {
      guard error.errno == ENOENT else { throw error }
    }
    try machine.call(.createDirectory, process, path) { machine.disk.exists = true }
    try syncName(of: path)
    return try openDirectory(path)
  }

  package func syncName(of path: String) throws(FileError) {
    let machine = process.machine
    try machine.call(.syncDirectory, process, path) { machine.disk.existsDurably = true }
  }
}

final class SimulatedDirectory: Directory {
  let path = SimulatedFileSystem.path
  private let process: SimulatedProcess
  private var machine: Machine { process.machine }

  init(_ process: SimulatedProcess) { self.process = process }

  /// Read in two halves, between which others may go on: a listing is no snapshot.
  func list(limit: Int) throws(FileError) -> [String] {
    let half = UInt64.max / 2
    let machine = machine
    let first = try machine.call(.list, process, path) {
      machine.disk.namesInOrder.filter { $0.position <= half }.map(\.name)
    }
    let second = try machine.call(.list, process, path) {
      machine.disk.namesInOrder.filter { $0.position > half }.map(\.name)
    }
    return Array((first + second).filter { !$0.contains("/") }.prefix(limit))
  }

  func modificationTime() throws(FileError) -> Int64 {
    let machine = machine
    return try machine.call(.modificationTime, process, path) { machine.disk.modified }
  }

  func open(_ name: String) throws(FileError) -> any File {
    let machine = machine
    let full = full(name)
    let inode = try machine.call(.open, process, full) { () throws(FileError) -> Inode in
      guard let inode = machine.disk.inode(name) else {
        throw FileError(.open, path: full, errno: ENOENT)
      }
      return inode
    }
    return SimulatedFile(process, inode, path: full, mayWrite: false)
  }

  func create(_ name: String, permissions: Permissions) throws(FileError) -> any File {
    let machine = machine
    let full = full(name)
    let inode = try machine.call(.create, process, full) { () throws(FileError) -> Inode in
      guard machine.disk.inode(name) == nil else {
        throw FileError(.create, path: full, errno: EEXIST)
      }
      machine.touchDirectory()
      return machine.disk.create(name)
    }
    return SimulatedFile(process, inode, path: full, mayWrite: true)
  }

  func rename(_ name: String, to newName: String) throws(FileError) {
    let machine = machine
    let full = full(name)
    try machine.call(.rename, process, full) { () throws(FileError) in
      guard machine.disk.inode(name) != nil else {
        throw FileError(.rename, path: full, errno: ENOENT)
      }
      guard machine.disk.inode(newName) == nil else {
        throw FileError(.rename, path: full, errno: EEXIST)
      }
      machine.touchDirectory()
      machine.disk.rename(name, to: newName)
    }
  }

  func unlink(_ name: String) throws(FileError) {
    let machine = machine
    let full = full(name)
    try machine.call(.unlink, process, full) { () throws(FileError) in
      guard machine.disk.inode(name) != nil else {
        throw FileError(.unlink, path: full, errno: ENOENT)
      }
      machine.touchDirectory()
      machine.disk.unlink(name)
    }
  }

  /// The folder is not listed with what is beside it.
  func setAside(
    _ name: String, into folder: String, permissions: Permissions
  ) throws(FileError) -> String {
    var newName = folder + "/" + name
    while machine.disk.inode(newName) != nil { newName += "+" }
    try rename(name, to: newName)
    try sync()
    return newName
  }

  func sync() throws(FileError) {
    let machine = machine
    try machine.call(.syncDirectory, process, path) { machine.disk.syncNames() }
  }

  private func full(_ name: String) -> String { path + "/" + name }
}

final class SimulatedFile: File, @unchecked Sendable {
  private(set) var path: String
  private let process: SimulatedProcess
  private let inode: Inode
  private let handle: Int
  private let mayWrite: Bool
  private var machine: Machine { process.machine }

  init(_ process: SimulatedProcess, _ inode: Inode, path: String, mayWrite: Bool) {
    self.process = process
    self.inode = inode
    self.path = path
    self.mayWrite = mayWrite
    handle = process.machine.handle()
  }

  deinit { inode.locks.removeAll { $0.handle == handle } }

  func renamed(to name: String) { path = SimulatedFileSystem.path + "/" + name }

  func size() throws(FileError) -> UInt64 {
    try machine.call(.size, process, path) { UInt64(inode.data.count) }
  }

  func linkCount() throws(FileError) -> UInt32 {
    try machine.call(.linkCount, process, path) { inode.links }
  }

  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(FileError) -> Int
  {
    try machine.call(.read, process, path, Int(truncatingIfNeeded: offset)) {
      guard offset < UInt64(inode.data.count) else { return 0 }
      let start = Int(offset)
      let count = min(buffer.count, inode.data.count - start)
      inode.data.withUnsafeBytes {
        UnsafeMutableRawBufferPointer(rebasing: buffer[..<count])
          .copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[start..<start + count]))
      }
      return count
    }
  }

  /// A write is not atomic: others may see a part of it, it may end in the middle with its process, and
  /// it may fail after a part.
  func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(FileError) {
    let machine = machine
    let start = Int(offset)
    try machine.call(.write, process, path, start ^ bytes.count << 32) { () throws(FileError) in
      guard mayWrite else { throw FileError(.write, path: path, errno: EBADF) }
      let growing = max(0, start + bytes.count - inode.data.count)
      if let (count, errno) = machine.bytesBeforeFailure(
        bytes.count, growing: growing, process)
      {
        machine.note(102, UInt64(errno), UInt64(count))
        let part = UnsafeRawBufferPointer(rebasing: bytes[..<count])
        machine.disk.write(part, to: inode, at: start)
        throw FileError(.write, path: path, errno: errno)
      }
      guard machine.scheduler.undisturbed == 0, bytes.count > 1, machine.dice.once(in: 3) else {
        machine.disk.write(bytes, to: inode, at: start)
        return
      }
      let disk = machine.disk
      let part = UnsafeRawBufferPointer(rebasing: bytes[..<machine.dice.below(bytes.count)])
      let sequence = disk.write(part, to: inode, at: start)
      machine.scheduler.point()
      if process.isDead { throw Machine.gone(.write, path) }
      try machine.strike(process, .write, path, isAfter: true)
      if part.isEmpty {
        disk.write(bytes, to: inode, at: start)
      } else {
        disk.finishWrite(bytes, to: inode, at: start, since: sequence)
      }
    }
  }

  func syncData() throws(FileError) {
    let machine = machine
    try machine.call(.sync, process, path) { () throws(FileError) in
      guard machine.failsSync(process) else { return machine.disk.sync(inode) }
      machine.note(102, UInt64(EIO), 0)
      machine.disk.failSync(inode, machine.faults.syncFailure, machine.dice)
      process.onFailedSync()
      throw FileError(.sync, path: path, errno: EIO)
    }
  }

  func truncate(to size: UInt64) throws(FileError) {
    let machine = machine
    try machine.call(.truncate, process, path, Int(size)) {
      machine.disk.truncate(inode, to: Int(size))
    }
  }

  func tryLock(_ kind: LockKind) throws(FileError) -> Bool {
    let machine = machine
    return try machine.call(.lock, process, path) {
      let others = inode.locks.filter { $0.handle != handle }
      let isFree = kind == .shared ? others.allSatisfy { $0.kind == .shared } : others.isEmpty
      guard isFree else { return false }
      inode.locks.removeAll { $0.handle == handle }
      inode.locks.append(.init(handle: handle, process: process.number, kind: kind))
      return true
    }
  }

  func unlock() throws(FileError) {
    try machine.call(.unlock, process, path) { inode.locks.removeAll { $0.handle == handle } }
  }
}
