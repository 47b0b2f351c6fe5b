// The power goes after every system call, in every way.

import Simulation
import Testing

@Suite struct ExhaustiveCrashTests {
  @Test func noCrashAnywhereLosesWhatIsOwed() throws {
    let crashes = ExhaustiveCrashes()
    try crashes.run()
    if let failure = crashes.failure { Issue.record("\(failure)") }
    print(
      "exhaustive: \(crashes.operations) operations, \(crashes.calls) system calls, "
        + "\(crashes.cases) crashes")
    #expect(crashes.operations >= 40)
    #expect(crashes.calls > 400)
    #expect(crashes.cases > 1500)
  }
}
