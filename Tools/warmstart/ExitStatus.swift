// How the program can end. Scripts depend on the numbers.

import Glibc
import WarmStart

/// How a verb ended.
package enum ExitStatus {
  case done
  case noSuchKey
  case wrongUsage
  case damagedData
  case damageRepaired
  case noStore
  case ioFailure
  /// A segment is of a format that this version does not know.
  case laterFormat

  /// The status of every verb but fsck, after sysexits.h.
  var code: Int32 {
    switch self {
    case .done, .damageRepaired: 0
    case .noSuchKey: 1
    case .wrongUsage: 64
    case .damagedData, .laterFormat: 65
    case .noStore: 66
    case .ioFailure: 74
    }
  }

  /// The status of fsck, after fsck(8).
  var fsckCode: Int32 {
    switch self {
    case .done: 0
    case .damageRepaired: 1
    case .damagedData: 4
    case .noSuchKey, .noStore, .ioFailure, .laterFormat: 8
    case .wrongUsage: 16
    }
  }
}

/// Why a verb could not do what it was asked.
package struct Failure: Error {
  var status: ExitStatus
  /// What, where and why, without the program's name.
  var message: String

  init(_ status: ExitStatus, _ message: String) {
    self.status = status
    self.message = message
  }

  /// A system call of the tool itself failed.
  init(cannot what: String, errno: Int32) {
    self.init(.ioFailure, "cannot \(what): \(String(cString: strerror(errno)))")
  }

  /// The store in `path` refused.
  init(_ error: StoreError, store path: String) {
    switch error {
    case .file(let file)
    where file.operation == .open && file.path == (try? WorkingDirectory.absolute(path)):
      switch file.errno {
      case ENOENT: self.init(.noStore, "no store in \(path): there is no such directory")
      case ENOTDIR: self.init(.noStore, "no store in \(path): it is not a directory")
      default: self.init(.ioFailure, error.description)
      }
    case .file, .readOnly, .closed, .unreadableDirectory:
      self.init(.ioFailure, error.description)
    case .notAStore: self.init(.noStore, error.description)
    case .laterFormat: self.init(.laterFormat, error.description)
    case .stampsExhausted: self.init(.damagedData, error.description)
    case .textTooLong: self.init(.wrongUsage, error.description)
    case .payloadTooLong(let bytes, let limit):
      self.init(.wrongUsage, "the payload has \(bytes) bytes, over the limit of \(limit)")
    }
  }
}
