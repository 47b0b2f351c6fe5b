import Foundation
import TestSupport
import Testing

/// What nobody runs breaks unnoticed: the measurements of the layers come to their end.
@Test func theLayersAreMeasuredToTheLastOne() {
  let programs = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
    .deletingLastPathComponent()
  let run = runCommand(programs.appendingPathComponent("layers").path, "--once")
  #expect(run.status == 0, "\(run.output)")
  #expect(run.output.contains("a footer's entry, checking and decoding"))
  #expect(run.output.contains("replay of a log"))
}
