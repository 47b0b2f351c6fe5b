import Testing
import WarmStart

@Suite struct ShowTests {
  @Test func everyEntryIsShownTheNewestFirst() throws {
    let sample = try SampleStore.filled()
    let run = Tool.run("show", sample.path, "ab01", "--json")
    #expect(run.status == 0 && run.errors.isEmpty)
    let entries = try run.objects(EntryLine.self)
    #expect(entries.map(\.run) == ["run 2", "run 1"])
    #expect(entries.map(\.slots) == [["final", "latest"], ["best"]])
    #expect(entries.map(\.kind) == ["final", "checkpoint"])
    for line in run.lines { #expect(try names(line) == EntryLine.names) }
  }

  @Test func aDeadEntryFillsNoSlot() throws {
    let sample = SampleStore()
    try sample.save { store in
      for objective in [3.0, 2, 1] {
        try store.save([1], for: SampleStore.first, objective: objective)
      }
    }
    let entries = try Tool.run("show", sample.path, "a", "--json").objects(EntryLine.self)
    #expect(entries.map(\.slots) == [["best", "latest"], [], []])
  }

  @Test func theKindIsThatOfWhoAsks() throws {
    let sample = try SampleStore.filled()
    let kinds = try Tool.run("show", sample.path, "cd", "--json", "--producer", "fit 1")
      .objects(EntryLine.self).map(\.kind)
    #expect(kinds == ["checkpoint"])
  }

  @Test func theTableBeginsWithTheWholeKey() throws {
    let sample = try SampleStore.filled()
    let run = Tool.run("show", sample.path, "AB01")
    #expect(run.status == 0)
    #expect(run.lines.first == SampleStore.first.description)
    #expect(run.lines.count == 4)
  }
}
