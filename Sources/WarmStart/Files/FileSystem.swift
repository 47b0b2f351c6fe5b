// What the engine needs of a file system, and nothing else. The engine reaches the disk no other way.

/// Opens store directories.
package protocol FileSystem: Sendable {
  /// Opens a directory.
  func openDirectory(_ path: String) throws(FileError) -> any Directory
  /// Makes the directory and those above it that are missing, then opens it. The new names are on
  /// stable storage when it returns.
  func createDirectory(_ path: String, permissions: Permissions) throws(FileError) -> any Directory
  /// Puts the name of a directory, in the one above it, on stable storage, whoever made it.
  func syncName(of path: String) throws(FileError)
}

/// Who may read and write what the store creates.
public enum Permissions: Hashable, Sendable {
  /// Only the owner: directories 0700, files 0600.
  case owner
  /// The owner and the group, as for a directory that a lab shares: 0770 and 0660.
  case group

  package var directoryMode: UInt32 { self == .owner ? 0o700 : 0o770 }
  package var fileMode: UInt32 { self == .owner ? 0o600 : 0o660 }
}

/// One open directory. Names are single components; symbolic links are never followed.
package protocol Directory: AnyObject, Sendable {
  /// For messages.
  var path: String { get }
  /// The names in it, at most `limit`, in no order.
  func list(limit: Int) throws(FileError) -> [String]
  /// When an entry was last added, removed or renamed: nanoseconds since 1970. One system call,
  /// but for the first of a thread.
  func modificationTime() throws(FileError) -> Int64
  /// Opens a regular file for reading; anything else is refused with EINVAL.
  func open(_ name: String) throws(FileError) -> any File
  /// Opens a regular file for reading and writing.
  func openForWriting(_ name: String) throws(FileError) -> any File
  /// Makes a new file for reading and writing; EEXIST if there is one of that name.
  func create(_ name: String, permissions: Permissions) throws(FileError) -> any File
  /// Renames; never over an existing file, which is EEXIST.
  func rename(_ name: String, to newName: String) throws(FileError)
  func unlink(_ name: String) throws(FileError)
  /// Moves a file into the directory `folder` below this one, which is made if it is missing; under
  /// another name if there is one of its name. Gives the name that it has by then, from here. It is on
  /// stable storage when it returns.
  func setAside(
    _ name: String, into folder: String, permissions: Permissions
  ) throws(FileError) -> String
  /// Puts the names themselves on stable storage.
  func sync() throws(FileError)
}

extension Directory {
  package func openForWriting(_ name: String) throws(FileError) -> any File { try open(name) }

  /// Removes a file that nobody has locked, if that can be done.
  func unlinkUnlessLocked(_ name: String) {
    guard let file = try? open(name), (try? file.tryLock(.exclusive)) == true else { return }
    try? unlink(name)
  }
}

/// One open file.
package protocol File: AnyObject, Sendable {
  /// For messages.
  var path: String { get }
  /// The file has another name by now; for messages. Before anybody else has the file.
  func renamed(to name: String)
  /// Length in bytes.
  func size() throws(FileError) -> UInt64
  /// The number of names this file has; 0 once it was unlinked.
  func linkCount() throws(FileError) -> UInt32
  /// Reads at `offset` until the buffer is full or the file ends; gives the number of bytes read.
  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(FileError) -> Int
  /// Tells that these bytes will be read soon, from front to back; nothing depends on it.
  func willRead(_ range: Range<UInt64>)
  /// Where, from `offset` on, the next byte may be that is not in a hole, which reads as zeros.
  func nextData(from offset: UInt64) -> UInt64
  /// Writes all of the bytes at `offset`.
  func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(FileError)
  /// Has the system begin to write out these bytes: a sync that follows has less to do. Does not wait until they are
  /// written, but may have to until the disk takes more. Nothing is known to be on stable storage by it; where it throws,
  /// the bytes may be gone, and no later sync need tell.
  func writeOut(_ range: Range<UInt64>) throws(FileError)
  /// Puts the content, and what of the metadata is needed to read it, on stable storage.
  func syncData() throws(FileError)
  /// Cuts or extends to `size` bytes.
  func truncate(to size: UInt64) throws(FileError)
  /// Takes the file's lock if nobody else has one that excludes it; never waits.
  func tryLock(_ kind: LockKind) throws(FileError) -> Bool
  func unlock() throws(FileError)
}

package enum LockKind: Sendable { case shared, exclusive }

extension File {
  package func willRead(_ range: Range<UInt64>) {}
  package func writeOut(_ range: Range<UInt64>) throws(FileError) {}
  package func nextData(from offset: UInt64) -> UInt64 { offset }

  /// Reads exactly `count` bytes at `offset`, or nil if the file ends before.
  package func read(_ count: Int, at offset: UInt64) throws(FileError) -> [UInt8]? {
    var failure: FileError?
    let bytes = [UInt8](roomFor: count) { buffer, initialized in
      do throws(FileError) {
        initialized = try read(into: UnsafeMutableRawBufferPointer(buffer), at: offset)
      } catch { failure = error }
    }
    if let failure { throw failure }
    return bytes.count == count ? bytes : nil
  }
}

extension [UInt8] {
  /// Hands the bytes to a function that throws.
  func withBytesThrowing(
    _ body: (UnsafeRawBufferPointer) throws(FileError) -> Void
  ) throws(FileError) {
    var failure: FileError?
    withUnsafeBytes { bytes in
      do throws(FileError) { try body(bytes) } catch { failure = error }
    }
    if let failure { throw failure }
  }
}
