import Foundation
import TestSupport
import Testing
import WarmStart

@Suite struct TerminalTests {
  /// Text that would colour, move, ring, clear, turn around, or fake a line.
  private static let hostile = "\u{1b}[31mred\u{9b}2J\u{7}\u{202e}back\r\nline\u{7f}\u{2028}"

  private static func hostileStore() throws -> SampleStore {
    let sample = SampleStore()
    try sample.save(producer: hostile) { store in
      try store.save([1], for: SampleStore.first, kind: .final, label: hostile)
    }
    return sample
  }

  private static func isPlain(_ text: String) -> Bool {
    text.unicodeScalars.allSatisfy { scalar in
      switch scalar.properties.generalCategory {
      case .control: scalar == "\n"
      case .format, .lineSeparator, .paragraphSeparator: false
      default: true
      }
    }
  }

  @Test(arguments: [
    ["ls"], ["ls", "--json"], ["show", "ab"], ["show", "ab", "--json"], ["fsck"],
  ])
  func aStoreSendsNoEscapeSequences(reading: [String]) throws {
    let sample = try Self.hostileStore()
    let run = ReadingTests.run(reading, on: sample.path)
    #expect(run.status == 0 && Self.isPlain(run.text))
    if reading == ["ls"] { #expect(run.lines.count == 2) }
  }

  @Test func jsonGivesTheTextAsItWas() throws {
    let sample = try Self.hostileStore()
    let line = try #require(
      try Tool.run("ls", sample.path, "--json").objects(EntryLine.self).first)
    #expect(line.label == Self.hostile && line.producer == Self.hostile)
  }

  @Test func aPathSendsNoEscapeSequences() throws {
    let run = Tool.run("ls", "/nonexistent/" + Self.hostile)
    #expect(run.status == 66 && run.complainsOnce && Self.isPlain(run.errors))
  }

  @Test func colourIsForTerminalsOnly() throws {
    let sample = try SampleStore.filled()
    let command = [Tool.path, "ls", sample.path]
    #expect(try onTerminal(command, ["TERM=xterm"]).contains("\u{1b}[1mKEY"))
    #expect(try !onTerminal(command, ["TERM=xterm", "NO_COLOR=1"]).contains("\u{1b}"))
    #expect(try !onTerminal(command, ["TERM=dumb"]).contains("\u{1b}"))
    #expect(try onTerminal(command, ["TERM=xterm", "NO_COLOR="]).contains("\u{1b}[1mKEY"))
    #expect(!Tool.run(command: command, environment: ["TERM=xterm"]).text.contains("\u{1b}"))
  }

  @Test func aHostileLabelSendsNothingToATerminalEither() throws {
    let sample = try Self.hostileStore()
    let shown = try onTerminal([Tool.path, "ls", sample.path], ["TERM=xterm", "NO_COLOR=1"])
    #expect(Self.isPlain(shown.replacingOccurrences(of: "\r\n", with: "\n")))
  }

  /// What a program writes to a terminal that is its standard output.
  private func onTerminal(_ command: [String], _ environment: [String]) throws -> String {
    let master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC)
    defer { close(master) }
    var number: Int32 = 0
    // TIOCSPTLCK unlocks the other side, TIOCGPTN gives its number; Swift does not import them.
    try #require(ioctl(master, 0x4004_5431, &number) == 0)
    try #require(ioctl(master, 0x8004_5430, &number) == 0)
    let slave = "/dev/pts/\(number)"
    let child = RunningTool(
      command, input: "/dev/null", output: slave, errors: "/dev/null", environment: environment)
    var shown: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 4096)
    // The other side's end shows as an error of reading.
    while true {
      let got = read(master, &chunk, chunk.count)
      if got <= 0 { break }
      shown += chunk[..<got]
    }
    #expect(child.wait().status == 0)
    return String(decoding: shown, as: UTF8.self)
  }
}
