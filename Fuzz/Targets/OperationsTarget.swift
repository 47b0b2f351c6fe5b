// Lives of a store, decided by bytes where the simulator throws dice.

import Simulation

enum OperationsTarget {
  static func run(_ bytes: [UInt8]) throws(Finding) {
    // Without any byte it would be dice after all.
    guard bytes.count > 1 else { return }
    if let failure = Simulator.run(bytes: bytes).failure { throw Finding(failure) }
  }
}
