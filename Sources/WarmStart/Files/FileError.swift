// What went wrong with which file.

internal import Glibc

/// A system call that failed: what was tried, on which file, and the system's error number.
public struct FileError: Error, Hashable, Sendable, CustomStringConvertible {
  /// What was tried.
  public enum Operation: String, Hashable, Sendable {
    /// Opening a file or directory.
    case open
    /// Making a new file.
    case create
    /// Reading bytes.
    case read
    /// Writing bytes.
    case write
    /// Putting bytes or names on stable storage.
    case sync
    /// Giving a file its next name.
    case rename
    /// Removing a name.
    case unlink
    /// Taking or trying a file's lock.
    case lock
    /// Listing a directory.
    case list
    /// Asking for a file's length or a directory's time.
    case status
    /// Cutting a file.
    case truncate
    /// Starting the thread that writes in the background.
    case startThread = "start a thread for"
    /// Making a directory.
    case createDirectory = "create directory"
  }

  /// What was tried.
  public let operation: Operation
  /// The file or directory it was tried on.
  public let path: String
  /// The system's error number, as in `errno(3)`.
  public let errno: Int32

  /// Describes a failed system call.
  public init(_ operation: Operation, path: String, errno: Int32) {
    self.operation = operation
    self.path = path
    self.errno = errno
  }

  /// One line: what, where, why, and what can be done.
  public var description: String {
    let reason = String(cString: strerror(errno))
    let what = "cannot \(operation.rawValue) \(path): \(reason) (errno \(errno))"
    return advice.map { "\(what); \($0)" } ?? what
  }

  /// The file was renamed or removed, or its server forgot the handle: what is needed is a refresh.
  package var isStale: Bool { errno == ENOENT || errno == ESTALE }

  /// What bears the name is no regular file, or a link: nothing of the store's.
  package var isForeign: Bool {
    operation == .open && [ELOOP, EINVAL, ENXIO, ENODEV, EISDIR].contains(errno)
  }

  /// The file may not be opened by this user.
  package var isRefusal: Bool { errno == EACCES || errno == EPERM }

  /// The file system has no locks.
  package var isWithoutLocks: Bool { [ENOTSUP, ENOSYS, ENOLCK, EINVAL].contains(errno) }

  /// The disk could not read; what it holds there is unknown.
  package var isDiskError: Bool { errno == EIO }

  private var advice: String? {
    switch errno {
    case ENOSPC: "free space on this disk; the store goes on by itself after that"
    case EDQUOT: "your quota is used up; free space, the store goes on by itself after that"
    case EACCES, EPERM: "check the owner and the permissions"
    case EROFS: "the file system is read-only; the store can be opened read-only"
    case EIO: "the disk reports an error; look at the kernel's log before anything else"
    case EMFILE, ENFILE: "too many open files; raise the limit (ulimit -n)"
    case EAGAIN: operation == .startThread ? "raise the limit of threads (ulimit -u)" : nil
    case EFBIG: "over the limit of this process or its file system; raise it (ulimit -f)"
    case ENOENT:
      switch operation {
      case .list, .create: "the store's directory was removed; open the store again"
      case .sync, .rename: "it was removed meanwhile, and what was saved to it is lost"
      default: nil
      }
    case ELOOP: "it is a symbolic link, which the store never follows"
    case ENOTSUP, ENOSYS, ENOLCK:
      operation == .lock
        ? "this file system has no flock(2); a store on it can be opened read-only" : nil
    default: nil
    }
  }
}
