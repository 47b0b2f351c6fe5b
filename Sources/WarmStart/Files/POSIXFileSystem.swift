// The file system of the operating system.

internal import CWarmStart
internal import Glibc

/// The real disk.
package struct POSIXFileSystem: FileSystem {
  package init() {}

  package func openDirectory(_ path: String) throws(FileError) -> any Directory {
    let descriptor = ws_descriptor_open(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0)
    guard descriptor >= 0 else { throw FileError(.open, path: path, errno: -descriptor) }
    return POSIXDirectory(Descriptor(descriptor), path: path)
  }

  package func createDirectory(
    _ path: String, permissions: Permissions
  ) throws(FileError) -> any Directory {
    do throws(FileError) {
      return try openDirectory(path)
    } catch  where error.errno == ENOENT {
      let parent = Self.parent(of: path)
      if parent != path { _ = try createDirectory(parent, permissions: permissions) }
      if mkdir(path, permissions.directoryMode) != 0, errno != EEXIST {
        throw FileError(.createDirectory, path: path, errno: errno)
      }
      if permissions == .group { POSIXDirectory.openToGroup(AT_FDCWD, path) }
      try syncName(of: path)
      return try openDirectory(path)
    }
  }

  package func syncName(of path: String) throws(FileError) {
    // Who may add names to a directory need not be allowed to read it.
    do throws(FileError) { try openDirectory(Self.parent(of: path)).sync() } catch {
      if !error.isRefusal { throw error }
    }
  }

  private static func parent(of path: String) -> String {
    var bytes = Array(path.utf8)
    while bytes.count > 1, bytes.last == UInt8(ascii: "/") { bytes.removeLast() }
    guard let slash = bytes.lastIndex(of: UInt8(ascii: "/")) else { return "." }
    return slash == 0 ? "/" : String(decoding: bytes[..<slash], as: UTF8.self)
  }
}

/// A descriptor that is closed once nobody has it any more, and in the child of every fork.
final class Descriptor: Sendable {
  let number: Int32
  private let generation: UInt32

  /// Takes over what `ws_descriptor_open` gave.
  init(_ number: Int32) {
    self.number = number
    generation = ws_fork_generation()
  }

  deinit { _ = ws_descriptor_close(number, generation) }
}

final class POSIXDirectory: Directory {
  let path: String
  private let descriptor: Descriptor
  private let looks: ThreadDescriptors

  init(_ descriptor: Descriptor, path: String) {
    self.descriptor = descriptor
    self.path = path
    looks = ThreadDescriptors(descriptor)
  }

  func list(limit: Int) throws(FileError) -> [String] {
    final class Names {
      var names: [String] = []
      let limit: Int
      init(limit: Int) { self.limit = limit }
    }
    let found = Names(limit: limit)
    let result = ws_list(
      descriptor.number,
      { context, name in
        let found = Unmanaged<Names>.fromOpaque(context!).takeUnretainedValue()
        guard found.names.count < found.limit else { return false }
        found.names.append(String(cString: name!))
        return true
      }, Unmanaged.passUnretained(found).toOpaque())
    guard result == 0 else { throw FileError(.list, path: path, errno: -result) }
    return found.names
  }

  func modificationTime() throws(FileError) -> Int64 {
    try Descriptor.status(of: looks.number, path).modified_nanoseconds
  }

  func open(_ name: String) throws(FileError) -> any File { try open(name, O_RDONLY) }

  func openForWriting(_ name: String) throws(FileError) -> any File { try open(name, O_RDWR) }

  private func open(_ name: String, _ mode: Int32) throws(FileError) -> any File {
    let full = pathOf(name)
    let number = ws_descriptor_open(descriptor.number, name, mode | O_NOFOLLOW, 0)
    guard number >= 0 else { throw FileError(.open, path: full, errno: -number) }
    let file = POSIXFile(Descriptor(number), path: full)
    guard try file.isRegular() else { throw FileError(.open, path: full, errno: EINVAL) }
    return file
  }

  func create(_ name: String, permissions: Permissions) throws(FileError) -> any File {
    let full = pathOf(name)
    let flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW
    let number = ws_descriptor_open(descriptor.number, name, flags, permissions.fileMode)
    guard number >= 0 else { throw FileError(.create, path: full, errno: -number) }
    let file = POSIXFile(Descriptor(number), path: full)
    // The umask of a user who shares a directory with a group must not shut the group out.
    if permissions == .group, fchmod(number, permissions.fileMode) != 0 {
      throw FileError(.create, path: full, errno: errno)
    }
    return file
  }

  func rename(_ name: String, to newName: String) throws(FileError) {
    var failed =
      renameat2(
        descriptor.number, name, descriptor.number, newName, UInt32(RENAME_NOREPLACE)) != 0
    if failed, errno == EINVAL || errno == ENOSYS {
      // File systems without it (NFS): names of segments are unique, so there is nothing to replace.
      failed = renameat(descriptor.number, name, descriptor.number, newName) != 0
    }
    if failed { throw FileError(.rename, path: pathOf(name), errno: errno) }
  }

  /// Gives the group its rights, whatever the umask, and leaves the bit by which what is made in the
  /// directory belongs to the lab's group.
  static func openToGroup(_ directory: Int32, _ name: String) {
    var status = stat()
    guard fstatat(directory, name, &status, 0) == 0 else { return }
    let mode = Permissions.group.directoryMode | status.st_mode & S_ISGID
    _ = fchmodat(directory, name, mode, 0)
  }

  func setAside(
    _ name: String, into folder: String, permissions: Permissions
  ) throws(FileError) -> String {
    if mkdirat(descriptor.number, folder, permissions.directoryMode) == 0 {
      if permissions == .group { Self.openToGroup(descriptor.number, folder) }
      try sync()
    } else if errno != EEXIST {
      throw FileError(.createDirectory, path: pathOf(folder), errno: errno)
    }
    let number = ws_descriptor_open(
      descriptor.number, folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0)
    guard number >= 0 else { throw FileError(.open, path: pathOf(folder), errno: -number) }
    let target = POSIXDirectory(Descriptor(number), path: pathOf(folder))
    let newName = try moveUnderFreeName(name, into: target)
    try target.sync()
    try sync()
    return folder + "/" + newName
  }

  /// A store that was copied may have had a segment of the same name set aside before.
  private func moveUnderFreeName(
    _ name: String, into target: POSIXDirectory
  ) throws(FileError) -> String {
    for count in 0..<1000 {
      let newName = count == 0 ? name : "\(name).\(count)"
      if renameat2(
        descriptor.number, name, target.descriptor.number, newName, UInt32(RENAME_NOREPLACE)) == 0
      {
        return newName
      }
      if errno == EINVAL || errno == ENOSYS {
        var status = stat()
        if fstatat(target.descriptor.number, newName, &status, AT_SYMLINK_NOFOLLOW) == 0 {
          continue
        }
        if renameat(descriptor.number, name, target.descriptor.number, newName) == 0 {
          return newName
        }
      }
      if errno != EEXIST { throw FileError(.rename, path: pathOf(name), errno: errno) }
    }
    throw FileError(.rename, path: pathOf(name), errno: EEXIST)
  }

  func unlink(_ name: String) throws(FileError) {
    if unlinkat(descriptor.number, name, 0) != 0 {
      throw FileError(.unlink, path: pathOf(name), errno: errno)
    }
  }

  func sync() throws(FileError) {
    if fsync(descriptor.number) != 0 { throw FileError(.sync, path: path, errno: errno) }
  }

  private func pathOf(_ name: String) -> String {
    path.hasSuffix("/") ? path + name : path + "/" + name
  }
}

extension Descriptor {
  func status(_ path: String) throws(FileError) -> ws_status { try Self.status(of: number, path) }

  static func status(of number: Int32, _ path: String) throws(FileError) -> ws_status {
    var status = ws_status()
    let result = ws_status_of(number, &status)
    guard result == 0 else { throw FileError(.status, path: path, errno: -result) }
    return status
  }
}

final class POSIXFile: File, @unchecked Sendable {
  private(set) var path: String
  private let descriptor: Descriptor

  init(_ descriptor: Descriptor, path: String) {
    self.descriptor = descriptor
    self.path = path
  }

  func renamed(to name: String) {
    let folder = path.utf8.lastIndex(of: UInt8(ascii: "/")).map { path[...$0] } ?? ""
    path = folder + name
  }

  func isRegular() throws(FileError) -> Bool { try descriptor.status(path).regular }
  func size() throws(FileError) -> UInt64 { try descriptor.status(path).size }
  func linkCount() throws(FileError) -> UInt32 { try descriptor.status(path).links }

  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(FileError) -> Int
  {
    var done = 0
    while done < buffer.count {
      let got = pread(
        descriptor.number, buffer.baseAddress! + done, buffer.count - done,
        off_t(clamping: offset + UInt64(done)))
      if got > 0 {
        done += got
      } else if got == 0 {
        break
      } else if errno != EINTR {
        throw FileError(.read, path: path, errno: errno)
      }
    }
    return done
  }

  func nextData(from offset: UInt64) -> UInt64 {
    // The position that this moves is used by nobody.
    let next = lseek(descriptor.number, off_t(clamping: offset), SEEK_DATA)
    if next >= 0 { return UInt64(next) }
    return errno == ENXIO ? .max : offset
  }

  func willRead(_ range: Range<UInt64>) {
    _ = posix_fadvise(
      descriptor.number, off_t(clamping: range.lowerBound),
      off_t(clamping: range.upperBound - range.lowerBound), POSIX_FADV_WILLNEED)
  }

  func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(FileError) {
    var done = 0
    while done < bytes.count {
      let put = pwrite(
        descriptor.number, bytes.baseAddress! + done, bytes.count - done,
        off_t(clamping: offset + UInt64(done)))
      if put > 0 {
        done += put
      } else if put == 0 {
        throw FileError(.write, path: path, errno: ENOSPC)
      } else if errno != EINTR {
        throw FileError(.write, path: path, errno: errno)
      }
    }
  }

  func writeOut(_ range: Range<UInt64>) throws(FileError) {
    let result = ws_write_out(
      descriptor.number, Int64(clamping: range.lowerBound), Int64(clamping: range.count))
    // Where there is no such call nothing was tried.
    guard [EIO, ENOSPC, EDQUOT].contains(-result) else { return }
    throw FileError(.sync, path: path, errno: -result)
  }

  func syncData() throws(FileError) {
    // Not tried again on EINTR either: after any failure what the cache holds is unknown.
    if fdatasync(descriptor.number) != 0 { throw FileError(.sync, path: path, errno: errno) }
  }

  func truncate(to size: UInt64) throws(FileError) {
    while ftruncate(descriptor.number, off_t(clamping: size)) != 0 {
      if errno != EINTR { throw FileError(.truncate, path: path, errno: errno) }
    }
  }

  func tryLock(_ kind: LockKind) throws(FileError) -> Bool {
    let operation = (kind == .exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB
    while flock(descriptor.number, operation) != 0 {
      if errno == EWOULDBLOCK { return false }
      if errno != EINTR { throw FileError(.lock, path: path, errno: errno) }
    }
    return true
  }

  func unlock() throws(FileError) {
    if flock(descriptor.number, LOCK_UN) != 0 {
      throw FileError(.lock, path: path, errno: errno)
    }
  }
}
