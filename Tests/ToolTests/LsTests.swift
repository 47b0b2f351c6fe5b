import Foundation
import TestSupport
import Testing
import WarmStart

@Suite struct LsTests {
  @Test func aLineForEachKeySaysWhatWouldBeResumed() throws {
    let sample = try SampleStore.filled()
    let run = Tool.run("ls", sample.path, "--json")
    #expect(run.status == 0 && run.errors.isEmpty)
    let lines = try run.objects(EntryLine.self)
    let expected = [SampleStore.first, SampleStore.second, SampleStore.third].map(\.description)
    #expect(lines.map(\.key).sorted() == expected)
    for line in run.lines { #expect(try names(line) == EntryLine.names) }

    let first = try #require(lines.first { $0.key == SampleStore.first.description })
    #expect(first.kind == "final" && first.objective == 0.1 && first.run == "run 2")
    #expect(first.label == "first \"fit\"" && first.iteration == nil)
    #expect(first.payloadBytes == 9 && first.producer == "fit 1" && first.codec == "stored")
    #expect(first.slots == ["final", "latest"])
    #expect(first.writtenNanos > 1_600_000_000_000_000_000)
    #expect(listing(sample.path).contains(first.segment))

    let second = try #require(lines.first { $0.key == SampleStore.second.description })
    #expect(second.kind == "checkpoint" && second.objective == 2 && second.run == "run 3")
    #expect(second.payloadBytes == 100_000 && second.slots == ["best"])
  }

  @Test func anotherProducerGetsTheBestAndNoFinal() throws {
    let sample = try SampleStore.filled()
    let run = Tool.run("ls", sample.path, "--json", "--producer", "fit 2")
    let lines = try run.objects(EntryLine.self)
    let first = try #require(lines.first { $0.key == SampleStore.first.description })
    #expect(first.kind == "checkpoint" && first.objective == -1.25 && first.iteration == .max)
    let third = try #require(lines.first { $0.key == SampleStore.third.description })
    #expect(third.kind == "final")
  }

  @Test func theNewestComesLast() throws {
    let sample = try SampleStore.filled()
    let lines = try Tool.run("ls", sample.path, "--json").objects(EntryLine.self)
    #expect(lines.map(\.writtenNanos) == lines.map(\.writtenNanos).sorted())
  }

  @Test func theTableHasItsColumnsUnderTheirHeadings() throws {
    let sample = try SampleStore.filled()
    let run = Tool.run("ls", sample.path)
    #expect(run.status == 0 && run.lines.count == 4)
    let heading = try #require(run.lines.first)
    #expect(
      heading.split(separator: " ").map(String.init)
        == ["KEY", "LABEL", "KIND", "SLOTS", "OBJECTIVE", "ITERATION", "AGE", "SIZE", "RUN"])
    let label = try #require(heading.range(of: "LABEL"))
    let column = heading.distance(from: heading.startIndex, to: label.lowerBound)
    #expect(run.lines.contains { $0.dropFirst(column).hasPrefix("first \"fit\"") })
    #expect(!run.text.contains("\u{1b}"))
  }

  @Test func anEmptyStoreHasNoLines() throws {
    let directory = TemporaryDirectory()
    let run = Tool.run("ls", directory.path)
    #expect(run.status == 0 && run.output.isEmpty && run.errors.isEmpty)
  }

  @Test func aStoreInUseIsListedWithWhatWasSavedLast() throws {
    let sample = SampleStore()
    var options = StoreOptions()
    options.durability = .buffered
    let store = try WarmStartStore.open(at: sample.path, options: options)
    try store.save([1, 2, 3], for: SampleStore.first)
    #expect(Tool.run("ls", sample.path).lines.count == 2)
    try store.save([1, 2, 3], for: SampleStore.third)
    #expect(Tool.run("ls", sample.path).lines.count == 3)
    try store.close()
  }

  @Test func aThousandKeysAreListedOnceEach() throws {
    let sample = SampleStore()
    let keys = (0..<1000).map { number -> Fingerprint in
      var fingerprinter = Fingerprinter()
      fingerprinter.write(UInt64(number))
      return fingerprinter.finalize()
    }
    try sample.save { store in try store.save(keys.map { NewEntry([0], for: $0) }) }
    try sample.save { store in try store.save(keys.map { NewEntry([1], for: $0, kind: .final) }) }
    let lines = try Tool.run("ls", sample.path, "--json").objects(EntryLine.self)
    #expect(lines.map(\.key).sorted() == keys.sorted().map(\.description))
    #expect(lines.allSatisfy { $0.kind == "final" })
  }
}
