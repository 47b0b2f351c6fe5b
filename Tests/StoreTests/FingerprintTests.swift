// The key of a fit as text, as bytes, and in order.

import Foundation
import Testing
import WarmStart

@Suite struct FingerprintTests {
  private static let digits = "00112233445566778899aabbccddeeff0123456789abcdef0fedcba987654321"

  @Test func eitherCaseIsReadAndLowerCaseIsWritten() throws {
    let lower = try #require(Fingerprint(Self.digits))
    let upper = try #require(Fingerprint(Self.digits.uppercased()))
    #expect(lower == upper)
    #expect(upper.description == Self.digits)
    #expect("\(lower)" == Self.digits)
  }

  private static let noFingerprints: [String] = {
    let (head, tail) = (digits.dropLast(), digits.dropFirst())
    var texts = ["", "00", "\(head)", "\(digits)0", " \(head)", "\(head) ", "\(head)\n"]
    texts += ["-", "+", "g", "G", "_", "@", "`", ":", "/", "\u{0}"].map { $0 + tail }
    texts += ["0x" + head.dropLast(), "é" + tail.dropFirst(), "٣" + tail.dropFirst()]
    return texts + [String(repeating: "０", count: 64), String(repeating: "é", count: 32)]
  }()

  @Test(arguments: noFingerprints)
  func everythingElseIsRefused(_ text: String) {
    #expect(Fingerprint(text) == nil)
  }

  @Test func bytesGoInAndComeOut() throws {
    let bytes = (0..<32).map { UInt8($0 * 7) }
    let fingerprint = try #require(Fingerprint(bytes: bytes))
    #expect(fingerprint.bytes == bytes)
    #expect(Fingerprint(fingerprint.description) == fingerprint)
    #expect(Fingerprint(bytes: bytes[1...]) == nil)
    #expect(Fingerprint(bytes: bytes + [0]) == nil)
    #expect(Fingerprint(bytes: [] as [UInt8]) == nil)
  }

  @Test func theOrderIsThatOfTheBytesAndOfTheDigits() {
    let fingerprints = (0..<200).map { number in
      Fingerprint(bytes: noise(number, count: 32))!
    }
    let sorted = fingerprints.sorted()
    #expect(sorted.map(\.description) == fingerprints.map(\.description).sorted())
    for (left, right) in zip(sorted, sorted.dropFirst()) {
      #expect(left.bytes.lexicographicallyPrecedes(right.bytes))
      #expect(!(right < left))
    }
    for byte in 0..<32 {
      var bytes = [UInt8](repeating: 0, count: 32)
      let zero = Fingerprint(bytes: bytes)!
      bytes[byte] = 0x80
      #expect(zero < Fingerprint(bytes: bytes)!)
      #expect(zero != Fingerprint(bytes: bytes)!)
    }
  }

  @Test func codingGivesTheDigitsAndReadsEitherCase() throws {
    let fingerprint = Fingerprint(Self.digits)!
    let json = try JSONEncoder().encode([fingerprint])
    #expect(String(decoding: json, as: UTF8.self) == "[\"\(Self.digits)\"]")
    let upper = Data("[\"\(Self.digits.uppercased())\"]".utf8)
    #expect(try JSONDecoder().decode([Fingerprint].self, from: upper) == [fingerprint])
    for bad in ["[\"00\"]", "[\"\(Self.digits)0\"]", "[7]", "[null]"] {
      #expect(throws: DecodingError.self) {
        try JSONDecoder().decode([Fingerprint].self, from: Data(bad.utf8))
      }
    }
  }

  @Test func keysMadeByHandAreTold() {
    let keys = Set((0..<1000).map { key($0) })
    #expect(keys.count == 1000)
    #expect(keys.contains(key(999)))
    #expect(!keys.contains(key(1000)))
  }
}

@Suite struct RunIDTests {
  @Test func printableTextOfOneToSixtyFourBytesIsAName() {
    for text in ["a", " ", "~", "run 7, fold 3", String(repeating: "x", count: 64)] {
      #expect(RunID(text)?.description == text)
    }
    let printable = String(decoding: (0x20...0x7e).map { UInt8($0) }, as: UTF8.self)
    #expect(RunID(String(printable.prefix(64))) != nil)
    #expect(RunID(String(printable.dropFirst(64))) != nil)
  }

  @Test(arguments: [
    "", String(repeating: "x", count: 65), "a\n", "\t", "\u{0}", "\u{7f}", "é", "run–1", "\u{1f}",
  ])
  func everythingElseIsNone(_ text: String) {
    #expect(RunID(text) == nil)
  }

  @Test func codingRefusesWhatIsNone() throws {
    let run = RunID("run 1")!
    let json = try JSONEncoder().encode([run])
    #expect(try JSONDecoder().decode([RunID].self, from: json) == [run])
    #expect(throws: DecodingError.self) {
      try JSONDecoder().decode([RunID].self, from: Data("[\"\"]".utf8))
    }
  }

  @Test func madeNamesDifferAndAreNames() {
    let names = (0..<100).map { RunID(process: 4_194_304, nanoseconds: .max, random: $0) }
    #expect(Set(names).count == 100)
    for name in names { #expect(RunID(name.description) == name) }
  }
}
