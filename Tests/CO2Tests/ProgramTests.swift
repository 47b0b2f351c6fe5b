import Foundation
import Testing

@testable import CO2Model

@Suite struct ProgramTests {
  /// Gives the path of a store that does not exist yet and takes it away afterwards.
  private func withStore(_ body: ([String]) throws -> Void) throws {
    let folder = FileManager.default.temporaryDirectory
      .appendingPathComponent("co2-gam-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: folder) }
    try body(Program.small + ["--store", folder.path, "--durability", "buffered"])
  }

  @Test func theNumberOfJobsDoesNotChangeABit() throws {
    let one = try StudyResult(Program.run(Program.small))
    let many = try StudyResult(Program.run(Program.small + ["--jobs", "3"]))
    #expect(one == many)
    #expect(one.folds.map(\.year) == [1970, 1971, 1972])
    #expect(one.folds.allSatisfy { $0.start == "cold" })
    #expect(one.evaluationsSaved == 0)
  }

  @Test func aFinishedStoreIsNotFittedAgain() throws {
    try withStore { arguments in
      let first = try StudyResult(Program.run(arguments))
      #expect(first.folds.map(\.start) == ["seeded:full", "seeded:1970", "seeded:1971"])
      let second = try StudyResult(Program.run(arguments))
      #expect(second.evaluationsSpent == 0)
      #expect(second.evaluationsSaved == first.evaluationsSpent)
      #expect(second.figures == first.figures)
      let third = try StudyResult(Program.run(arguments + ["--jobs", "2"]))
      #expect(third.evaluationsSpent == 0)
      #expect(third.figures == first.figures)
    }
  }

  @Test(arguments: [1, 3, 12, 24])
  func aRunKilledAndStartedAgainEndsWithTheSameBits(checkpoints: Int) throws {
    try withStore { undisturbed in
      let expected = try StudyResult(Program.run(undisturbed))
      try withStore { arguments in
        let killed = try Program.run(arguments + ["--trace"], killedAfter: checkpoints)
        #expect(killed.status == SIGKILL)
        let resumed = try StudyResult(Program.run(arguments))
        #expect(resumed.figures == expected.figures)
        #expect(resumed.evaluationsSaved > 0)
        #expect(resumed.evaluationsSpent < expected.evaluationsSpent)
      }
    }
  }

  @Test func processesOnOneStoreAgreeWithOne() throws {
    let one = try StudyResult(Program.run(Program.small))
    try withStore { arguments in
      let many = try StudyResult(Program.run(arguments + ["--jobs", "3"]))
      for (a, b) in zip(many.figures, one.figures) { #expect(isClose(a, b, within: 1e-8)) }
    }
  }

  @Test func aStoreThatCannotBeOpenedStopsNothing() throws {
    let plain = try StudyResult(Program.run(Program.small))
    let run = try Program.run(Program.small + ["--store", "/dev/null/store"])
    #expect(run.succeeded)
    #expect(run.notes.contains("the fits go on without it"))
    #expect(try StudyResult(run) == plain)
  }

  @Test(arguments: [
    ["--jobs", "0"], ["--trend-knots", "0"], ["--season-functions", "3"], ["--folds", "1066"],
    ["--folds", "later"], ["--data", "/nowhere.csv"], ["--durability", "eternal"],
    ["--worker", "1"],
  ])
  func whatMakesNoSenseIsRefused(arguments: [String]) throws {
    let run = try Program.run(Program.small + arguments)
    #expect(!run.succeeded)
    #expect(!run.notes.isEmpty)
    #expect(run.output.isEmpty)
  }

  @Test func theDrawingIsWrittenWhereItIsAskedFor() throws {
    let file = FileManager.default.temporaryDirectory
      .appendingPathComponent("co2-gam-\(UUID().uuidString).svg")
    defer { try? FileManager.default.removeItem(at: file) }
    let run = try Program.run(Program.small + ["--folds", "none", "--quiet", "--svg", file.path])
    #expect(run.succeeded)
    #expect(run.notes.isEmpty)
    #expect(try String(contentsOf: file, encoding: .utf8).hasSuffix("</svg>\n"))
  }
}
