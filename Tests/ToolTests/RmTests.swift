import Testing
import WarmStart

@Suite struct RmTests {
  @Test func removedKeysAreGoneAndTheOthersStay() throws {
    let sample = try SampleStore.filled()
    let run = Tool.run("rm", sample.path, "ab01", "cd")
    #expect(run.status == 0 && run.output.isEmpty && run.errors.isEmpty)
    let left = try Tool.run("ls", sample.path, "--json").objects(EntryLine.self).map(\.key)
    #expect(left == [SampleStore.second.description])
    #expect(Tool.run("get", sample.path, SampleStore.first.description).status == 1)
    #expect(Tool.run("fsck", sample.path).status == 0)
  }

  @Test func withJSONEachRemovedKeyIsNamedOnce() throws {
    let sample = try SampleStore.filled()
    let run = Tool.run("rm", sample.path, "cd", "cd5", "--json")
    #expect(run.text == "{\"key\":\"\(SampleStore.third)\"}\n")
  }

  @Test(arguments: [("ef", 1 as Int32), ("ab", 64)])
  func oneKeyThatFitsNoneOrTwoKeepsAll(prefix: String, status: Int32) throws {
    let sample = try SampleStore.filled()
    let before = sample.image
    let run = Tool.run("rm", sample.path, "cd", prefix)
    #expect(run.status == status && run.complainsOnce)
    #expect(sample.image == before)
  }
}
