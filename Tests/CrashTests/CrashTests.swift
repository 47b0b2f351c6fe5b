// Real processes, really killed. One at a time: each test wants the machine for itself.

import Glibc
import Testing

@Suite(.serialized) struct CrashTests {}

/// A number from the environment.
func setting(_ name: String, default value: Int) -> Int {
  getenv(name).flatMap { Int(String(cString: $0)) } ?? value
}
