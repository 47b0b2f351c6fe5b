// Programs that are started by one with a store open: they get none of the store's files.

import Glibc
import TestSupport
import Testing
import WarmStart
import checkpoint_writer

extension CrashTests {
  private func arguments(_ directory: TemporaryDirectory) -> KeyValuePairs<String, Any> {
    [
      "store": directory.appending("store"), "producer": "exec", "durability": "synced",
      "segment": 64 << 20,
    ]
  }

  private func logs(_ directory: TemporaryDirectory) -> [String] {
    listing(directory.appending("store")).filter { $0.hasSuffix(".log") }
      .map { directory.appending("store/\($0)") }
  }

  /// What both stores of the program saved is there, and a fit can go on from it.
  private func expectBoth(in directory: TemporaryDirectory) throws {
    let store = try WarmStartStore.open(at: directory.appending("store"))
    #expect(try store.engine().verify(.payloads).damage.isEmpty)
    for writer in 0..<2 {
      let entry = try #require(try store.lookup(Write.fingerprint(writer)))
      #expect(Write(seed: 1, writer: writer, index: 0, to: writer).discrepancy(entry) == nil)
    }
  }

  @Test(.timeLimit(.minutes(20)))
  func aProgramThatBecomesAnotherLeavesItsLogsFree() throws {
    let directory = TemporaryDirectory()
    let program = try RunningProgram.start("exec", arguments(directory))
    try #require(program.read { $0 == "saved" }, "\(program.lines)")
    #expect(logs(directory).map(isLocked) == [true, true])
    program.sendWord()
    try #require(program.read { $0.hasPrefix("inherited") }, "\(program.lines)")
    #expect(program.lines.last == "inherited 0 ")
    // The process lives, and has neither a file of the store nor its lock.
    #expect(logs(directory).map(isLocked) == [false, false])
    try expectBoth(in: directory)
    program.sendWord()
    #expect(program.finish() == .exit(0))
    #expect(program.lines.last == "heir ends")
  }

  @Test(.timeLimit(.minutes(20)))
  func theLogsOfAKilledProgramAreFreeThoughOneThatItStartedLives() throws {
    let directory = TemporaryDirectory()
    let program = try RunningProgram.start("spawn", arguments(directory))
    try #require(program.read { $0.hasPrefix("inherited") }, "\(program.lines)")
    #expect(program.lines == ["inherited 0 "])
    #expect(logs(directory).map(isLocked) == [true, true])
    program.kill()
    #expect(program.wait() == .signal(SIGKILL))
    #expect(logs(directory).map(isLocked) == [false, false])
    try expectBoth(in: directory)
    // It has lived until now.
    program.endInput()
    program.readToEnd()
    #expect(program.lines.last == "heir ends")
  }
}
