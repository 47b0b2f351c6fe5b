// Texts of unknown origin: keys as they are typed, names of files and runs, what is shown of either.

import ArgumentParser
import FoundationEssentials
import WarmStart
import WarmStartTool

enum TextTarget {
  /// A byte that says what it is, and the text.
  static func run(_ bytes: [UInt8]) throws(Finding) {
    var input = Input(bytes)
    let what = input.byte()
    let text = String(decoding: input.all(), as: UTF8.self)
    switch what % 6 {
    case 0: try fingerprint(text)
    case 1: try prefix(text)
    case 2: try names(text)
    case 3: try shown(text)
    case 4: try quantities(text)
    default: try commandLine(text)
    }
  }

  private static func fingerprint(_ text: String) throws(Finding) {
    guard let key = Fingerprint(text) else { return }
    try require(key.description == text.lowercased(), "a key of other digits")
    try require(Fingerprint(bytes: key.bytes) == key, "a key of other bytes")
    try require(Fingerprint(key.description) == key, "a key that is not itself")
  }

  private static func prefix(_ text: String) throws(Finding) {
    guard let prefix = try? KeyPrefix(text) else { return }
    try require((1...64).contains(prefix.digits.utf8.count), "a prefix of no length")
    let keys = [0, 1, 0x8000_0000_0000_0000, UInt64.max].flatMap { first in
      [0, 1, UInt64.max].map { Fingerprint(words: (first, 0, 0, $0)) }
    }
    let fitting = keys.filter { $0.description.hasPrefix(prefix.digits) }
    let found = try? prefix.key(among: keys, in: "here")
    try require(
      found == (fitting.count == 1 ? fitting[0] : nil), "\(prefix.digits) is taken for another key")
    try require(
      prefix.complete.map { $0.description == prefix.digits } ?? (prefix.digits.utf8.count < 64),
      "a complete key is none")
  }

  private static func names(_ text: String) throws(Finding) {
    if let name = SegmentName(text) {
      try require(name.description.hasSameBytes(as: text), "a segment of another name")
    }
    if let run = RunID(text) {
      try require(run.description.hasSameBytes(as: text), "a run of another name")
      try require((1...FormatLimits.runID).contains(text.utf8.count), "a run of no length")
    }
  }

  private static func shown(_ text: String) throws(Finding) {
    let printable = text.printable
    try require(!printable.unicodeScalars.contains(where: \.isInvisible), "not printable")
    try require(printable.columns >= 0, "fewer than no columns")
    var object = JSONObject()
    object.add("text", text)
    object.add(text, "name")
    struct Read: Decodable { var text: String }
    guard text != "text" else { return }
    guard let read = try? JSONDecoder().decode(Read.self, from: Data(object.text.utf8)) else {
      throw Finding("no JSON: \(object.text)")
    }
    try require(read.text.hasSameBytes(as: text), "another text: \(object.text)")
  }

  private static func quantities(_ text: String) throws(Finding) {
    var input = Input(Array(text.utf8))
    let number = input.number(UInt64.self)
    try require(!Quantity.bytes(number).isEmpty, "no size")
    try require(!Quantity.moment(nanoseconds: number).isEmpty, "no moment")
    let value = Double(bitPattern: number)
    if value >= 0 { try require(!Quantity.duration(seconds: value).isEmpty, "no duration") }
    var object = JSONObject()
    object.add("value", value)
    struct Read: Decodable { var value: Double? }
    let read = try? JSONDecoder().decode(Read.self, from: Data(object.text.utf8))
    try require(
      read != nil && read?.value == (value.isFinite ? value : nil), "another number: \(object.text)"
    )
  }

  /// Words between line feeds: understood or refused, and what is refused is explained.
  private static func commandLine(_ text: String) throws(Finding) {
    let words = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
    do { _ = try Warmstart.parseAsRoot(words) } catch {
      let isExplained = !Warmstart.fullMessage(for: error).isEmpty
      try require(isExplained || Warmstart.exitCode(for: error) == .success, "no explanation")
    }
  }
}
