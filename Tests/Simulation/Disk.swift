// A disk that knows what was synced: one directory of files, as the kernel shows them and as the medium
// has them.
//
// What was changed and not synced is kept as a list of changes, so that a crash can choose among them.
// Nothing here knows of processes, faults or time; `Machine` decides when something fails.

import Glibc
import WarmStart

/// A change of a file that no sync has covered.
struct FileChange {
  /// Counts over the whole disk.
  var sequence: Int
  var kind: Kind

  enum Kind {
    case write(offset: Int, bytes: [UInt8])
    case truncate(size: Int)
  }
}

/// A change of the directory that no sync has covered.
enum NameChange {
  case create(String, Inode)
  /// Atomic: never both names, never neither.
  case rename(String, to: String, Inode)
  case unlink(String)
}

/// A file, whatever its names.
final class Inode: @unchecked Sendable {
  /// What reads see.
  var data: [UInt8] = []
  /// What the medium has for certain.
  var durable: [UInt8] = []
  var pending: [FileChange] = []
  /// What reads saw when the oldest of the pending changes had not been made.
  var base: [UInt8] = []
  /// Whether a failed sync left pages that count as clean and are not on the medium.
  var hasStrayPages = false
  var links: UInt32 = 0
  var locks: [HeldLock] = []

  /// From here on nothing is pending.
  fileprivate func forgetChanges() {
    pending = []
    base = data
  }

  struct HeldLock {
    /// The open file that has it.
    var handle: Int
    var process: Int
    var kind: LockKind
  }
}

/// How a file system behaves when it cannot put a file's pages on the medium. Both are described in
/// Rebello et al., "Can Applications Recover from fsync Failures?", USENIX ATC 2020.
package enum SyncFailure: CaseIterable, Sendable {
  /// Pages are marked clean: readable until the crash, on the medium or not, and never written again.
  case likeExt4
  /// The file goes back to what it was at the last sync, at once.
  case likeBtrfs
}

package final class Disk: @unchecked Sendable {
  private(set) var names: [(name: String, inode: Inode)] = []
  var durableNames: [(name: String, inode: Inode)] = []
  var pendingNames: [NameChange] = []
  /// Whether there is the directory, and whether that is on the medium.
  var exists = false
  var existsDurably = false
  /// Nanoseconds since 1970, in steps of a tick.
  var modified: Int64 = 0
  private var changes = 0

  init() {}

  init(names: [(name: String, inode: Inode)], exists: Bool, modified: Int64) {
    self.names = names
    durableNames = names
    self.exists = exists
    existsDurably = exists
    self.modified = modified
  }

  // MARK: Names

  /// What it holds, as the kernel shows it.
  func hash(into hasher: inout Hasher) {
    hasher.combine(exists)
    for entry in names.sorted(by: { $0.name < $1.name }) {
      hasher.combine(entry.name)
      hasher.combine(entry.inode.data)
    }
  }

  func inode(_ name: String) -> Inode? { names.first { $0.name == name }?.inode }

  /// Bytes of all files.
  var usedBytes: Int { names.reduce(0) { $0 + $1.inode.data.count } }

  func create(_ name: String) -> Inode {
    let inode = Inode()
    inode.links = 1
    names.append((name, inode))
    pendingNames.append(.create(name, inode))
    return inode
  }

  func rename(_ name: String, to newName: String) {
    let index = names.firstIndex { $0.name == name }!
    let inode = names[index].inode
    names.remove(at: index)
    names.append((newName, inode))
    pendingNames.append(.rename(name, to: newName, inode))
  }

  func unlink(_ name: String) {
    let index = names.firstIndex { $0.name == name }!
    names[index].inode.links = 0
    names.remove(at: index)
    pendingNames.append(.unlink(name))
  }

  func syncNames() {
    durableNames = names
    pendingNames = []
  }

  /// The names in the order in which a directory is read: by a hash, like that of ext4.
  var namesInOrder: [(position: UInt64, name: String)] {
    names.map { entry in
      let hash = entry.name.utf8.reduce(UInt64(14_695_981_039_346_656_037)) {
        ($0 ^ UInt64($1)) &* 1_099_511_628_211
      }
      return (mixed(hash), entry.name)
    }.sorted { $0.position < $1.position }
  }

  // MARK: Content

  /// Writes; gives the sequence of the change.
  @discardableResult
  func write(_ bytes: UnsafeRawBufferPointer, to inode: Inode, at offset: Int) -> Int {
    guard !bytes.isEmpty else { return changes }
    inode.data.put(bytes, at: offset)
    note(.write(offset: offset, bytes: Array(bytes)), inode)
    return changes
  }

  /// Writes what is missing of a write of which a part was made before: the two are one change, unless
  /// somebody synced the file in between.
  func finishWrite(
    _ bytes: UnsafeRawBufferPointer, to inode: Inode, at offset: Int, since sequence: Int
  ) {
    inode.data.put(bytes, at: offset)
    let whole = FileChange.Kind.write(offset: offset, bytes: Array(bytes))
    if let index = inode.pending.firstIndex(where: { $0.sequence == sequence }) {
      inode.pending[index].kind = whole
    } else {
      note(whole, inode)
    }
  }

  func truncate(_ inode: Inode, to size: Int) {
    inode.data.resize(to: size)
    note(.truncate(size: size), inode)
  }

  private func note(_ kind: FileChange.Kind, _ inode: Inode) {
    changes += 1
    inode.pending.append(FileChange(sequence: changes, kind: kind))
  }

  func sync(_ inode: Inode) {
    inode.durable = inode.hasStrayPages ? inode.written { _ in .whole } : inode.data
    inode.forgetChanges()
  }

  /// A sync that failed. By the dice, some of what it should have written is on the medium.
  func failSync(_ inode: Inode, _ manner: SyncFailure, _ dice: Dice) {
    switch manner {
    case .likeExt4:
      inode.durable = inode.written { _ in .random(dice, keep: 2) }
      inode.hasStrayPages = inode.durable != inode.data
    case .likeBtrfs:
      inode.data = inode.durable
      inode.hasStrayPages = false
    }
    inode.forgetChanges()
  }
}

extension [UInt8] {
  mutating func resize(to size: Int) {
    if size < count {
      removeLast(count - size)
    } else if size > count {
      append(contentsOf: repeatElement(0, count: size - count))
    }
  }

  /// Overwrites or extends; a hole is zeros.
  mutating func put(_ bytes: UnsafeRawBufferPointer, at offset: Int) {
    if offset + bytes.count > count { resize(to: offset + bytes.count) }
    withUnsafeMutableBytes {
      UnsafeMutableRawBufferPointer(rebasing: $0[offset..<offset + bytes.count])
        .copyMemory(from: bytes)
    }
  }
}
