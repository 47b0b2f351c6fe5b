import Foundation
import TestSupport
import Testing
import WarmStart

@Suite struct BadInputTests {
  /// The arguments of each verb that opens a store, but for fsck, whose statuses are its own.
  static let verbs = [["ls"], ["show"], ["get"], ["rm"], ["stat"]]

  /// Runs a verb on a store; those that take a key get the first.
  static func run(_ verb: [String], on path: String) -> Tool {
    let takesKey = ["show", "get", "rm", "put"].contains(verb[0])
    let key = takesKey ? [SampleStore.first.description] : []
    return Tool.run(command: [Tool.path, verb[0], path] + key + verb.dropFirst(), input: [1])
  }

  @Test(arguments: verbs)
  func whereThereIsNoStoreNothingIsMade(verb: [String]) throws {
    let directory = TemporaryDirectory()
    let run = Self.run(verb, on: directory.appending("none"))
    #expect(run.status == 66 && run.complainsOnce && run.output.isEmpty)
    #expect(listing(directory.path).isEmpty)
  }

  @Test(arguments: verbs + [["put"]])
  func aRelativePathIsToldOfLikeAnyOther(verb: [String]) throws {
    let directory = TemporaryDirectory()
    write([1, 2, 3], to: directory.appending("file"))
    let key = ["show", "get", "rm", "put"].contains(verb[0]) ? [SampleStore.first.description] : []
    for name in verb == ["put"] ? ["file"] : ["none", "file", "./none"] {
      let run = Tool.run(
        command: ["/usr/bin/env", "-C", directory.path, Tool.path, verb[0], name] + key)
      #expect(run.status == 66 && run.complainsOnce && run.errors.contains("no store in \(name)"))
    }
    #expect(listing(directory.path) == ["file"])
  }

  @Test(arguments: verbs + [["put"]])
  func aFileIsNoStore(verb: [String]) throws {
    let directory = TemporaryDirectory()
    write([1, 2, 3], to: directory.appending("file"))
    let run = Self.run(verb, on: directory.appending("file"))
    #expect(run.status == 66 && run.complainsOnce)
    #expect(contents(directory.appending("file")) == [1, 2, 3])
  }

  @Test(arguments: verbs)
  func aDirectoryOfOtherFilesIsNoStore(verb: [String]) throws {
    let directory = TemporaryDirectory()
    write([1, 2, 3], to: directory.appending("notes.txt"))
    let run = Self.run(verb, on: directory.path)
    #expect(run.status == 66 && run.complainsOnce)
    #expect(listing(directory.path) == ["notes.txt"])
  }

  @Test(arguments: ["show", "get", "rm", "put"])
  func aPrefixOfTwoKeysSaysHowManyItFits(verb: String) throws {
    let sample = try SampleStore.filled()
    let run = Tool.run(verb, sample.path, "ab")
    #expect(run.status == 64 && run.complainsOnce && run.errors.contains("fits 2 keys"))
    #expect(run.output.isEmpty)
  }

  @Test(arguments: ["show", "get", "rm"], ["ef", String(repeating: "0", count: 64)])
  func anUnknownKeyIsUnknown(verb: String, key: String) throws {
    let sample = try SampleStore.filled()
    let run = Tool.run(verb, sample.path, key)
    #expect(run.status == 1 && run.complainsOnce && run.output.isEmpty)
  }

  @Test(arguments: ["", "xyz", "ab 01", String(repeating: "a", count: 65), "é"])
  func whatIsNoKeyIsWrongUsage(key: String) throws {
    let sample = try SampleStore.filled()
    for verb in ["show", "get", "rm", "put"] {
      let run = Tool.run(verb, sample.path, key)
      #expect(run.status == 64 && run.complainsOnce)
    }
  }

  @Test(arguments: [
    [], ["frobnicate"], ["ls"], ["ls", ""], ["ls", "a", "b"], ["ls", "a", "--colour"],
    ["get", "a"],
    ["get", "a", "b", "--which", "worst"], ["put", "a"], ["rm", "a"],
    ["put", "a", "b", "--iteration", "-1"], ["put", "a", "b", "--objective", "low"],
    ["put", "a", "b", "--run", ""], ["put", "a", "b", "--run", "a\nb"],
    ["put", "a", "b", "--run", String(repeating: "r", count: 65)],
    ["put", "a", "b", "--label", String(repeating: "é", count: 65)],
    ["put", "a", "b", "--producer", String(repeating: "p", count: 257)],
    ["put", "a", "b", "--producer", ""], ["put", "a", "b", "--durability", "eventual"],
    ["fingerprint", "--tag"], ["stat"], ["import", "a"], ["import", "a", "--from-gam", ""],
    ["show", "\u{1b}[31m", "\u{1b}[31m"],
  ])
  func wrongUsageIsOneLineAndMakesNothing(arguments: [String]) throws {
    let directory = TemporaryDirectory()
    let run = Tool.run(
      command: ["sh", "-c", "cd \"$0\" && exec \"$@\"", directory.path, Tool.path] + arguments)
    #expect(run.status == 64 && run.complainsOnce && run.output.isEmpty)
    #expect(!run.errors.contains("\u{1b}"))
    #expect(listing(directory.path).isEmpty)
  }

  @Test func aLaterFormatIsRefusedAndLeftAlone() throws {
    let sample = try SampleStore.filled()
    sample.patch(sample.segments[0]) { bytes in
      for copy in [0, 64] {
        bytes[copy + 12] = 2
        let checksum = bytes[copy..<copy + 60].withUnsafeBytes { CRC32C.of($0) }
        for byte in 0..<4 {
          bytes[copy + 60 + byte] = UInt8(truncatingIfNeeded: checksum >> (8 * byte))
        }
      }
    }
    let before = sample.image
    for verb in Self.verbs + [["put"]] {
      let run = Self.run(verb, on: sample.path)
      #expect(run.status == 65 && run.complainsOnce && run.errors.contains("version 2"), "\(verb)")
    }
    let fsck = Tool.run("fsck", sample.path)
    #expect(fsck.status == 8 && fsck.complainsOnce && fsck.errors.contains("version 2"))
    #expect(sample.image == before)
  }

  @Test(arguments: [["ls"], ["show"], ["get"], ["stat"]])
  func aFullStandardOutputIsAnError(verb: [String]) throws {
    let sample = try SampleStore.filled()
    let key = ["show", "get"].contains(verb[0]) ? ["cd"] : []
    let run = Tool.run(command: [Tool.path, verb[0], sample.path] + key, output: "/dev/full")
    #expect(run.status == 74 && run.complainsOnce && run.errors.contains("No space left"))
  }

  @Test func aDamagedSegmentIsToldOfByEveryVerbThatReads() throws {
    let sample = try SampleStore.filled()
    sample.patch(sample.segments[0]) { $0.removeLast(8) }
    let before = sample.image
    for verb in [["ls"], ["show"], ["get"], ["stat"]] {
      let run = Self.run(verb, on: sample.path)
      #expect(run.status == 65 && run.complainsOnce && !run.output.isEmpty, "\(verb)")
    }
    #expect(sample.image == before)
  }
}
