import Foundation
import TestSupport
import Testing
import WarmStart

@Suite struct ReadingTests {
  static let readings = [
    ["ls"], ["ls", "--json"], ["show", "ab01"], ["get", "ab01"],
    ["get", "ab02", "--which", "latest"], ["stat"], ["fsck"], ["fsck", "--quick"],
  ]

  static func run(_ reading: [String], on path: String) -> Tool {
    Tool.run(command: [Tool.path, reading[0], path] + reading.dropFirst())
  }

  @Test func readingLeavesTheDirectoryAsItWas() throws {
    let sample = try SampleStore.filled()
    // A segment whose writer was killed, and names that are not the store's.
    let store = try WarmStartStore.open(at: sample.path)
    try store.save([1], for: SampleStore.third)
    let crashed = SampleStore()
    copyDirectory(sample.path, to: crashed.path)
    write([1], to: crashed.path + "/notes.txt")
    let before = crashed.image
    for reading in Self.readings {
      #expect(Self.run(reading, on: crashed.path).status == 0, "\(reading)")
      #expect(crashed.image == before, "\(reading)")
    }
    try store.close()
  }

  @Test func readingDoesNotCountAsUse() throws {
    let sample = try SampleStore.filled()
    for _ in 0..<3 { #expect(Tool.run("get", sample.path, "cd").status == 0) }
    let found = Tool.run("stat", sample.path, "--json").text
    #expect(found.contains("\"records\":5"))
  }

  @Test func keysOfAnyAgeAreShown() throws {
    let sample = SampleStore()
    let host = Host.test(clock: ManualClock(wall: 1_000_000_000_000_000_000))
    let store = try WarmStartStore(
      path: sample.path, options: StoreOptions(), access: .createIfMissing, host: host)
    try store.save([1], for: SampleStore.first)
    try store.close()
    #expect(Tool.run("ls", sample.path, "--json").lines.count == 1)
    #expect(Tool.run("get", sample.path, "ab").output == [1])
  }

  @Test(.enabled(if: Mount.isPossible, "mounting a file system takes root"))
  func aStoreOnAReadOnlyFileSystemIsRead() throws {
    let mount = try #require(Mount(megabytes: 8))
    let sample = try SampleStore.filled()
    let path = mount.path + "/store"
    copyDirectory(sample.path, to: path)
    mount.makeReadOnly()
    for reading in Self.readings {
      let run = Self.run(reading, on: path)
      #expect(run.status == 0 && run.errors.isEmpty, "\(reading)")
    }
    for verb in [["put"], ["rm"]] {
      let run = BadInputTests.run(verb, on: path)
      #expect(run.status == 74 && run.complainsOnce && run.errors.contains("read-only"), "\(verb)")
    }
  }

  @Test(.enabled(if: Mount.isPossible, "mounting a file system takes root"))
  func aFullDiskIsAnErrorAndLosesNothing() throws {
    let mount = try #require(Mount(megabytes: 1))
    let path = mount.path + "/store"
    let (first, third) = (SampleStore.first.description, SampleStore.third.description)
    #expect(Tool.run("put", path, first, input: [1, 2, 3]).status == 0)
    let full = Tool.run("put", path, third, input: SampleStore.noise(3_000_000))
    #expect(full.status == 74 && full.complainsOnce && full.errors.contains("No space left"))
    #expect(full.output.isEmpty)
    #expect(Tool.run("fsck", path).status == 0)
    #expect(Tool.run("get", path, first).output == [1, 2, 3])
    #expect(Tool.run("put", path, third, input: [4]).status == 0)
    #expect(Tool.run("get", path, third).output == [4])
  }

  @Test(.enabled(if: Stranger.isPossible, "becoming another user takes root and setpriv"))
  func aStoreOfSomebodyElseIsAnError() throws {
    let sample = try SampleStore.filled()
    chmod(sample.directory.path, 0o755)
    for verb in [["ls"], ["show"], ["get"], ["rm"], ["stat"], ["put"], ["fsck"]] {
      let takesKey = ["show", "get", "rm", "put"].contains(verb[0])
      let key = takesKey ? [SampleStore.first.description] : []
      let run = Stranger.run(verb + [sample.path] + key, in: sample.directory)
      #expect(run.status == (verb == ["fsck"] ? 8 : 74), "\(verb)")
      #expect(run.complainsOnce && run.errors.contains("Permission denied"), "\(verb)")
    }
    chmod(sample.path, 0o755)
    for file in listing(sample.path) { chmod("\(sample.path)/\(file)", 0o644) }
    for reading in Self.readings {
      let run = Stranger.run([reading[0], sample.path] + reading.dropFirst(), in: sample.directory)
      #expect(run.status == 0, "\(reading)")
    }
    let rm = Stranger.run(["rm", sample.path, "cd"], in: sample.directory)
    #expect(rm.status == 74 && rm.complainsOnce)
  }
}

/// Another user, who can do nothing with the store but what its permissions say.
enum Stranger {
  private static let become = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]

  static let isPossible =
    geteuid() == 0 && Tool.run(command: ["sh", "-c", "command -v setpriv"]).status == 0
    && Tool.run(command: become + ["true"]).status == 0

  /// Runs a copy of the program, since the original may lie where the other user cannot go.
  static func run(_ arguments: [String], in directory: TemporaryDirectory) -> Tool {
    let copy = directory.appending("program")
    // Copied by another process: had this one the copy open for writing, a child that any other test
    // starts at that moment would inherit the descriptor, and the copy could not be run (ETXTBSY)
    // until that child ends.
    if access(copy, F_OK) != 0 {
      _ = Tool.run(command: ["install", "-m", "755", Tool.path, copy])
    }
    return Tool.run(command: become + [copy] + arguments, input: [1])
  }
}
