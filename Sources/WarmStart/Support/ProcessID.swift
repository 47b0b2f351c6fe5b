internal import Glibc

package enum ProcessID {
  package static var current: Int32 { getpid() }
}
