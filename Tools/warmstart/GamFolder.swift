// Folders of the ancestor, the `warm_start` module of the Rust crate gam-runtime: one for each key, named
// by its 64 digits, and in it `<run>.json` beside `<run>.bin` for each entry.
//
// They are opened for reading only. Whoever made them may have put anything there, so that no link is
// followed, nothing but regular files is read, and every number has a limit.

import Glibc
import WarmStart

/// Why something in a folder of the ancestor is not taken over.
package struct GamFlaw: Error {
  /// What is wrong, without the place.
  var what: String

  init(_ what: String) { self.what = what }

  /// A system call failed.
  init(cannot what: String, errno: Int32) {
    self.init("cannot \(what): \(String(cString: strerror(errno)))")
  }
}

/// An open folder.
package final class GamFolder {
  /// For messages.
  let path: String
  private let descriptor: Int32

  /// Keys of one store, and names in the folder of one key, that are looked at.
  static let keyLimit = 1 << 20
  static let nameLimit = 1 << 16

  /// Opens the folder of all keys.
  package init(path: String) throws(Failure) {
    self.path = path
    descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor < 0 else { return }
    let failure = Failure(cannot: "open \(path)", errno: errno)
    throw [ENOENT, ENOTDIR].contains(errno) ? Failure(.noStore, failure.message) : failure
  }

  /// Opens the folder of one key.
  package init(_ name: String, in parent: GamFolder) throws(GamFlaw) {
    path = parent.pathOf(name)
    descriptor = openat(
      parent.descriptor, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK)
    guard descriptor < 0 else { return }
    throw errno == ENOTDIR || errno == ELOOP
      ? GamFlaw("it is no folder") : GamFlaw(cannot: "open it", errno: errno)
  }

  deinit { if descriptor >= 0 { close(descriptor) } }

  /// The path of something in it.
  func pathOf(_ name: String) -> String { path.hasSuffix("/") ? path + name : path + "/" + name }

  /// The names in it, at most `limit`, in no order.
  func names(limit: Int) throws(GamFlaw) -> [String] {
    let own = openat(descriptor, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard own >= 0, let stream = fdopendir(own) else {
      let problem = errno
      if own >= 0 { close(own) }
      throw GamFlaw(cannot: "list it", errno: problem)
    }
    defer { closedir(stream) }
    var names: [String] = []
    while names.count < limit {
      errno = 0
      guard let entry = readdir(stream) else {
        guard errno == 0 else { throw GamFlaw(cannot: "list it", errno: errno) }
        return names
      }
      let name = withUnsafeBytes(of: &entry.pointee.d_name) {
        String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
      }
      if name != ".", name != ".." { names.append(name) }
    }
    return names
  }

  /// The keys that have a folder, and folders with names that are no keys; other files are passed over.
  func keys() throws(Failure) -> (keys: [Fingerprint], strangers: [String]) {
    let names: [String]
    do throws(GamFlaw) { names = try self.names(limit: Self.keyLimit + 1).sorted() } catch {
      throw Failure(.ioFailure, "\(path): \(error.what)")
    }
    guard names.count <= Self.keyLimit else {
      throw Failure(.damagedData, "\(path) holds over \(Self.keyLimit) names; import it in parts")
    }
    var (keys, strangers): ([Fingerprint], [String]) = ([], [])
    for name in names {
      if let key = Fingerprint(name), key.description == name {
        keys.append(key)
      } else if holdsFolder(name) {
        strangers.append(name)
      }
    }
    guard !keys.isEmpty || names.isEmpty else {
      throw Failure(.noStore, "no store of gam in \(path): none of its folders is named by a key")
    }
    return (keys, strangers)
  }

  private func holdsFolder(_ name: String) -> Bool {
    var status = stat()
    return fstatat(descriptor, name, &status, AT_SYMLINK_NOFOLLOW) == 0
      && status.st_mode & S_IFMT == S_IFDIR
  }

  /// Opens a regular file. `what` is what it should be.
  func file(_ name: String, what: String) throws(GamFlaw) -> InputFile {
    // Non-blocking: a pipe is not waited for.
    let flags = O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY | O_NONBLOCK
    let opened = openat(descriptor, name, flags)
    let problem = errno
    let file = InputFile(name: what, adopting: opened)
    guard file.isOpen else {
      switch problem {
      case ENOENT: throw GamFlaw("\(what) is missing")
      case ELOOP, ENXIO: throw GamFlaw("\(what) is no regular file")
      default: throw GamFlaw(cannot: "open \(what)", errno: problem)
      }
    }
    guard file.regularRest != nil else { throw GamFlaw("\(what) is no regular file") }
    return file
  }
}
