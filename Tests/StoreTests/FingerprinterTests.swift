// The fingerprinter against the vectors of the crate it is compatible with.

import Foundation
import Testing
import WarmStart

@Suite struct FingerprinterTests {
  /// One list of calls and what they must give.
  struct Vector: Sendable, CustomStringConvertible {
    var description: String
    var calls: [@Sendable (inout Fingerprinter) -> Void]
    var fingerprint: String
    var finishUInt64: UInt64?
    var finishHexadecimal: String?
  }

  @Test func theFileHasEveryVector() throws {
    let vectors = try Self.vectors()
    #expect(vectors.count == 83)
    #expect(Set(vectors.map(\.description)).count == 83)
    #expect(vectors.contains { $0.finishUInt64 != nil })
    #expect(vectors.contains { $0.finishHexadecimal != nil })
  }

  @Test func everyVectorGivesItsFingerprint() throws {
    for vector in try Self.vectors() {
      var fingerprinter = Fingerprinter()
      for call in vector.calls { call(&fingerprinter) }
      #expect(fingerprinter.finalize().description == vector.fingerprint, "\(vector)")
      let word = fingerprinter.finishUInt64()
      if let expected = vector.finishUInt64 { #expect(word == expected, "\(vector)") }
      if let expected = vector.finishHexadecimal {
        let digits = String(word, radix: 16)
        let padding = String(repeating: "0", count: 16 - digits.count)
        #expect(padding + digits == expected, "\(vector)")
      }
    }
  }

  @Test func anArrayGivesTheSameAsItsElementsOneByOne() {
    var values = (0..<1_000_000).map { Double($0) * 0.5 - 1000 }
    for index in stride(from: 0, to: values.count, by: 4095) { values[index] = -0.0 }
    values[4096] = Double(bitPattern: 0x7ff8_0000_0000_0123)
    values[4097] = -.infinity
    var atOnce = Fingerprinter()
    atOnce.write(values)
    var oneByOne = Fingerprinter()
    oneByOne.write(count: values.count)
    for value in values { oneByOne.write(value) }
    #expect(atOnce.finalize() == oneByOne.finalize())
  }

  @Test(arguments: [0, 1, 4095, 4096, 4097, 8192])
  func noLengthFallsBetweenBlocks(_ count: Int) {
    let values = (0..<count).map { Double($0).squareRoot() }
    var atOnce = Fingerprinter()
    atOnce.write(values)
    var oneByOne = Fingerprinter()
    oneByOne.write(count: count)
    for value in values { oneByOne.write(value) }
    #expect(atOnce.finalize() == oneByOne.finalize())
  }

  @Test func aMatrixIsItsShapeAndItsElements() {
    let elements = [1.0, -0.0, 3, 4, 5, 6]
    var matrix = Fingerprinter()
    matrix.write(rows: 2, columns: 3, elements)
    var byHand = Fingerprinter()
    byHand.write(count: 2)
    byHand.write(count: 3)
    for element in elements { byHand.write(element) }
    #expect(matrix.finalize() == byHand.finalize())
    var turned = Fingerprinter()
    turned.write(rows: 3, columns: 2, elements)
    #expect(turned.finalize() != matrix.finalize())
  }

  @Test func aTextTagIsItsBytes() {
    var text = Fingerprinter()
    text.absorb(tag: "größe")
    text.absorb([1, 2], tag: "größe")
    text.absorb("x", tag: "größe")
    text.absorb(7, tag: "größe")
    let tag = Array("größe".utf8)
    var bytes = Fingerprinter()
    bytes.absorb(tag: tag)
    bytes.absorb([1, 2], tag: tag)
    bytes.absorb("x", tag: tag)
    bytes.absorb(7, tag: tag)
    #expect(text.finalize() == bytes.finalize())
  }

  @Test func finishingEndsNothing() {
    var fingerprinter = Fingerprinter()
    fingerprinter.write("a")
    let first = fingerprinter.finalize()
    #expect(fingerprinter.finalize() == first)
    #expect(
      fingerprinter.finishUInt64()
        == UInt64(
          littleEndian: first.bytes.withUnsafeBytes {
            $0.loadUnaligned(as: UInt64.self)
          }))
    fingerprinter.write("b")
    var whole = Fingerprinter()
    whole.write("a")
    whole.write("b")
    #expect(fingerprinter.finalize() == whole.finalize())
  }

  @Test func aCopyGoesItsOwnWay() {
    var stem = Fingerprinter()
    stem.write("data")
    var left = stem
    var right = stem
    left.write(1 as UInt64)
    right.write(2 as UInt64)
    #expect(left.finalize() != right.finalize())
    stem.write(1 as UInt64)
    #expect(stem.finalize() == left.finalize())
  }
}

// MARK: Reading the vectors

extension FingerprinterTests {
  private struct Malformed: Error { var what: String }

  private static func vectors() throws -> [Vector] {
    let file = URL(filePath: #filePath).deletingLastPathComponent()
      .appending(path: "Vectors/fingerprints.json")
    let root = try JSONSerialization.jsonObject(with: Data(contentsOf: file))
    guard let list = (root as? [String: Any])?["vectors"] as? [[String: Any]] else {
      throw Malformed(what: "no vectors")
    }
    return try list.map { vector in
      Vector(
        description: try text(vector, "name"),
        calls: try (vector["ops"] as? [[String: Any]] ?? []).map(call),
        fingerprint: try text(vector, "fingerprint"),
        finishUInt64: (vector["finish_u64"] as? String).flatMap { UInt64($0) },
        finishHexadecimal: vector["finish_hex"] as? String)
    }
  }

  private static func call(
    _ object: [String: Any]
  ) throws -> @Sendable (inout Fingerprinter) -> Void {
    switch try text(object, "op") {
    case "absorb_tag":
      let tag = try bytes(object, "tag_hex")
      return { $0.absorb(tag: tag) }
    case "absorb_bytes":
      let (tag, data) = (try bytes(object, "tag_hex"), try bytes(object, "data_hex"))
      return { $0.absorb(data, tag: tag) }
    case "absorb_str":
      let (tag, content) = (try bytes(object, "tag_hex"), try utf8(object, "str_hex"))
      return { $0.absorb(content, tag: tag) }
    case "absorb_u64":
      let (tag, value) = (try bytes(object, "tag_hex"), try number(object, "u64"))
      return { $0.absorb(value, tag: tag) }
    default: return try untagged(object)
    }
  }

  private static func untagged(
    _ object: [String: Any]
  ) throws -> @Sendable (inout Fingerprinter) -> Void {
    switch try text(object, "op") {
    case "write_bytes":
      let data = try bytes(object, "data_hex")
      return { $0.write(data) }
    case "write_u8":
      guard let value = object["u8"] as? Int else { throw Malformed(what: "u8") }
      return { $0.write(UInt8(value)) }
    case "write_bool":
      guard let value = object["bool"] as? Bool else { throw Malformed(what: "bool") }
      return { $0.write(value) }
    case "write_u64":
      let value = try number(object, "u64")
      return { $0.write(value) }
    case "write_usize":
      let value = try number(object, "u64")
      // Lengths beyond Int cannot be had in Swift; they are the same eight bytes.
      return { fingerprinter in
        if let count = Int(exactly: value) {
          fingerprinter.write(count: count)
        } else {
          fingerprinter.write(value)
        }
      }
    case "write_str":
      let content = try utf8(object, "str_hex")
      return { $0.write(content) }
    case "write_f64":
      let value = try double(try text(object, "bits_hex"))
      return { $0.write(value) }
    case "write_f64_slice":
      guard let digits = object["bits_hex"] as? [String] else { throw Malformed(what: "bits") }
      let values = try digits.map(double)
      return { $0.write(values) }
    case let unknown: throw Malformed(what: unknown)
    }
  }

  private static func text(_ object: [String: Any], _ name: String) throws -> String {
    guard let value = object[name] as? String else { throw Malformed(what: name) }
    return value
  }

  private static func number(_ object: [String: Any], _ name: String) throws -> UInt64 {
    guard let value = UInt64(try text(object, name)) else { throw Malformed(what: name) }
    return value
  }

  private static func double(_ digits: String) throws -> Double {
    guard digits.count == 16, let bits = UInt64(digits, radix: 16) else {
      throw Malformed(what: digits)
    }
    return Double(bitPattern: bits)
  }

  private static func bytes(_ object: [String: Any], _ name: String) throws -> [UInt8] {
    let digits = Array(try text(object, name))
    return try stride(from: 0, to: digits.count, by: 2).map { index in
      guard let byte = UInt8(String(digits[index...index + 1]), radix: 16) else {
        throw Malformed(what: name)
      }
      return byte
    }
  }

  private static func utf8(_ object: [String: Any], _ name: String) throws -> String {
    String(decoding: try bytes(object, name), as: UTF8.self)
  }
}
