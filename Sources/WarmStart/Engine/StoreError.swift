// What a store can refuse or fail with.

/// Why a store could not do what it was asked. Every message says what was tried on which file, and
/// what can be done.
public enum StoreError: Error, Hashable, Sendable, CustomStringConvertible {
  /// A system call failed.
  case file(FileError)
  /// There is a directory, but no store in it.
  case notAStore(path: String)
  /// A segment was written by a later version of WarmStart. Nothing was changed.
  case laterFormat(path: String, version: Int)
  /// The store was opened read-only.
  case readOnly(path: String)
  /// The store was closed before.
  case closed(path: String)
  /// A payload is over the limit, in bytes, that the store was opened with.
  case payloadTooLong(bytes: Int, limit: Int)
  /// A producer or label is over its limit in UTF-8 bytes.
  case textTooLong(what: String, bytes: Int, limit: Int)
  /// The store holds stamps up to the end of time (2^63 nanoseconds), so that nothing can be newer.
  case stampsExhausted(path: String)
  /// The directory kept changing while it was read, or holds more than can be read.
  case unreadableDirectory(path: String, why: String)

  /// One line: what, where, why, and what can be done.
  public var description: String {
    switch self {
    case .file(let error): error.description
    case .notAStore(let path): "no store in \(path): it holds other files and no segment"
    case .laterFormat(let path, let version):
      "\(path) has format version \(version), or features, of a later WarmStart; "
        + "it was left as it is; use a newer version to read it"
    case .readOnly(let path): "\(path) was opened read-only; open it for writing"
    case .closed(let path): "the store in \(path) was closed before; open it again"
    case .payloadTooLong(let bytes, let limit):
      "the payload has \(bytes) bytes, over the limit of \(limit); "
        + "raise StoreOptions.payloadLimit or save less"
    case .textTooLong(let what, let bytes, let limit):
      "the \(what) has \(bytes) bytes, over the limit of \(limit); shorten it"
    case .stampsExhausted(let path):
      "\(path) holds an entry stamped at the end of time, so that none can be newer; "
        + "find it with `warmstart show` and remove its segment"
    case .unreadableDirectory(let path, let why): "cannot read the store in \(path): \(why)"
    }
  }
}

extension StoreError {
  /// Runs `body`; what the file system refuses becomes a store's error.
  static func wrapping<Value>(
    _ body: () throws(FileError) -> Value
  ) throws(StoreError) -> Value {
    do throws(FileError) { return try body() } catch { throw .file(error) }
  }
}

extension StoreError {
  /// Whether it will be so for as long as the segment is there, and the store can be used without it.
  /// When a store is opened, only what is not the store's at all is passed over.
  func isOfOneSegment(strict: Bool) -> Bool {
    switch self {
    case .file(let error): error.isForeign || !strict && error.isRefusal
    case .laterFormat: !strict
    default: false
    }
  }
}
