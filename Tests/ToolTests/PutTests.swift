import Foundation
import TestSupport
import Testing
import WarmStart

@Suite struct PutTests {
  @Test func theStoreIsMadeAndTheRunPrinted() throws {
    let sample = SampleStore()
    let payload = SampleStore.noise(200_000)
    let key = SampleStore.first.description
    let run = Tool.run("put", sample.path, key, input: payload)
    #expect(run.status == 0 && run.errors.isEmpty && run.lines.count == 1)
    let store = try WarmStartStore.openReadOnly(at: sample.path)
    let entry = try #require(try store.lookup(SampleStore.first))
    #expect(entry.payload == payload && entry.kind == .checkpoint)
    #expect(entry.objective == nil && entry.iteration == nil && entry.label == nil)
    #expect(entry.runID.description == run.lines.first)
  }

  @Test func everythingThatIsSaidIsKept() throws {
    let sample = SampleStore()
    let run = Tool.run(
      "put", sample.path, SampleStore.first.description, "--run", "-my run-", "--label", "-é-",
      "--objective", "-1.5e-3", "--iteration", "18446744073709551615", "--final", "--producer",
      "mygam 2", "--durability", "buffered", "--json", input: [7])
    #expect(run.status == 0)
    #expect(run.text == "{\"key\":\"\(SampleStore.first)\",\"run\":\"-my run-\"}\n")
    let line = try #require(
      try Tool.run("ls", sample.path, "--json").objects(EntryLine.self).first)
    #expect(line.run == "-my run-" && line.label == "-é-" && line.objective == -0.0015)
    #expect(line.iteration == .max && line.kind == "final" && line.producer == "mygam 2")
  }

  @Test(arguments: ["nan", "inf", "-inf"])
  func anObjectiveThatIsNotFiniteIsNone(text: String) throws {
    let sample = SampleStore()
    #expect(
      Tool.run("put", sample.path, SampleStore.first.description, "--objective", text).status == 0)
    let run = Tool.run("ls", sample.path, "--json")
    #expect(run.text.contains("\"objective\":null"))
  }

  @Test func anEmptyPayloadIsAPayload() throws {
    let sample = SampleStore()
    #expect(Tool.run("put", sample.path, SampleStore.first.description).status == 0)
    let run = Tool.run("get", sample.path, "ab01")
    #expect(run.status == 0 && run.output.isEmpty)
  }

  @Test func aPrefixNamesAnExistingKeyOnly() throws {
    let sample = try SampleStore.filled()
    #expect(Tool.run("put", sample.path, "cd", input: [1]).status == 0)
    #expect(Tool.run("show", sample.path, "cd", "--json").lines.count == 2)
    let unknown = Tool.run("put", sample.path, "ef", input: [1])
    #expect(unknown.status == 1 && unknown.complainsOnce)
    let missing = Tool.run("put", sample.path + "2", "ef", input: [1])
    #expect(missing.status == 1 && missing.complainsOnce)
    #expect(!FileManager.default.fileExists(atPath: sample.path + "2"))
  }

  @Test func aClosedStandardOutputNeverBecomesAFileOfTheStore() throws {
    let sample = SampleStore()
    let run = Tool.run(
      command: [
        "sh", "-c", "exec \"$@\" >&- 2>&-", "sh", Tool.path, "put", sample.path,
        SampleStore.first.description,
      ], input: [1, 2, 3])
    #expect(run.status == 74)
    #expect(Tool.run("fsck", sample.path).status == 0)
    #expect(Tool.run("get", sample.path, "ab").output == [1, 2, 3])
  }

  @Test(arguments: [SIGKILL, SIGTERM, SIGINT])
  func aPutThatIsEndedBeforeItsInputChangesNothing(signal: Int32) throws {
    let sample = try SampleStore.filled()
    let before = sample.image
    let pipe = Pipe(in: sample.directory)
    let child = RunningTool(
      [Tool.path, "put", sample.path, SampleStore.first.description], input: pipe.path,
      output: "/dev/null", errors: "/dev/null")
    pipe.write(SampleStore.noise(50_000))
    usleep(50_000)
    child.kill(signal)
    #expect(child.wait().signal == signal)
    #expect(sample.image == before)
  }

  @Test func aPutThatIsKilledLosesNothingThatWasSaid() throws {
    let sample = SampleStore()
    let payload = SampleStore.noise(1_000_000)
    let input = sample.directory.appending("payload")
    write(payload, to: input)
    var said: [String] = []
    for turn in 0..<12 {
      let output = sample.directory.appending("said\(turn)")
      let key = SampleStore.key("c\(100 + turn)").description
      let child = RunningTool(
        [Tool.path, "put", sample.path, key],
        input: input, output: output, errors: "/dev/null")
      usleep(UInt32(turn) * 4000)
      child.kill(SIGKILL)
      _ = child.wait()
      if contents(output).count > 0 { said.append(key) }
    }
    let last = Tool.run("put", sample.path, SampleStore.first.description, input: payload)
    #expect(last.status == 0)
    #expect(Tool.run("fsck", sample.path).status == 0)
    for key in said { #expect(Tool.run("get", sample.path, key).output == payload) }
    #expect(Tool.run("get", sample.path, "ab").output == payload)
  }
}
