// A machine whose disk holds given files and never fails: for looks at what somebody else put there.

import Glibc
package import WarmStart

extension Machine {
  /// A machine with these files in its one directory, on stable storage, on which nothing goes wrong. `wall`
  /// is nanoseconds since 1970.
  package convenience init(files: [String: [UInt8]], wall: UInt64) {
    let names = files.sorted { $0.key < $1.key }.map { name, bytes in
      let inode = Inode()
      inode.links = 1
      (inode.data, inode.durable, inode.base) = (bytes, bytes, bytes)
      return (name: name, inode: inode)
    }
    self.init(
      disk: Disk(names: names, exists: true, modified: 0), dice: Dice(wall), wall: wall)
  }

  /// What is in the directory by now. The names of what was set aside have their folder before them.
  package var files: [String: [UInt8]] {
    Dictionary(uniqueKeysWithValues: disk.names.map { ($0.name, $0.inode.data) })
  }

  /// What a store in a process of its own takes from outside. The process can have no second thread, so that
  /// nothing waits for one, and starts a minute after whatever was before, so that the directory's time tells
  /// whether it has changed.
  package func hostWithOneThread() -> Host {
    advance(60_000_000_000)
    var host = host(startProcess())
    host.threads = OneThread()
    return host
  }
}

/// No more than the thread that there is.
private struct OneThread: Threads {
  func makeLock() -> any Lock { ThreadLock() }
  func start(_ body: @escaping @Sendable () -> Void) throws(ThreadError) -> any RunningThread {
    throw ThreadError(errno: EAGAIN)
  }
}
