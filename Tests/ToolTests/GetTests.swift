import Foundation
import TestSupport
import Testing
import WarmStart

@Suite struct GetTests {
  @Test(arguments: [
    ([], "converged"), (["--which", "resume"], "converged"), (["--which", "best"], "better"),
    (["--which", "latest"], "converged"), (["--producer", "nobody"], "better"),
    (["--producer", "fit 1"], "converged"),
  ])
  func theQuestionDecides(options: [String], payload: String) throws {
    let sample = try SampleStore.filled()
    let run = Tool.run(command: [Tool.path, "get", sample.path, "ab01"] + options)
    #expect(run.status == 0 && run.errors.isEmpty)
    #expect(run.text == payload)
  }

  @Test func thePayloadComesOutByteForByte() throws {
    let sample = SampleStore()
    let payload = SampleStore.noise(3_000_001)
    try sample.save { try $0.save(payload, for: SampleStore.first) }
    #expect(Tool.run("get", sample.path, SampleStore.first.description).output == payload)
  }

  @Test func aDamagedEntryGivesTheNextBestAndSaysSo() throws {
    let sample = try SampleStore.filled()
    sample.damage(payload: Array("converged".utf8))
    let run = Tool.run("get", sample.path, "ab01")
    #expect(run.status == 65 && run.text == "better")
    #expect(run.complainsOnce && run.errors.contains("damaged data"))
  }

  @Test func aKeyWhoseEntriesAreAllDamagedGivesNothing() throws {
    let sample = try SampleStore.filled()
    sample.damage(payload: Array("other".utf8))
    let run = Tool.run("get", sample.path, "cd")
    #expect(run.status == 65 && run.output.isEmpty)
    #expect(run.complainsOnce && run.errors.contains(SampleStore.third.description))
  }

  @Test(arguments: [false, true])
  func aReaderThatIsGoneIsNoErrorMessage(signalIsIgnored: Bool) throws {
    let sample = SampleStore()
    try sample.save { try $0.save(SampleStore.noise(4_000_000), for: SampleStore.first) }
    let pipe = Pipe(in: sample.directory)
    let errors = sample.directory.appending("errors")
    let get = [Tool.path, "get", sample.path, "ab"]
    let child = RunningTool(
      signalIsIgnored ? ["sh", "-c", "trap '' PIPE; exec \"$@\"", "sh"] + get : get,
      input: "/dev/null", output: pipe.path, errors: errors)
    #expect(!pipe.read(1000).isEmpty)
    pipe.close()
    #expect(child.wait().signal == SIGPIPE)
    #expect(contents(errors).isEmpty)
  }
}
