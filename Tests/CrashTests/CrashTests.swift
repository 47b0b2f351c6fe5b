// Real processes, really killed. One at a time: each test wants the machine for itself.

import Glibc
import Testing

@Suite(.serialized) struct CrashTests {}

/// Whether somebody has the file's exclusive lock.
func isLocked(_ path: String) -> Bool {
  let descriptor = open(path, O_RDONLY | O_CLOEXEC)
  defer { close(descriptor) }
  return flock(descriptor, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK
}
