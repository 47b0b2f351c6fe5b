import TestSupport
import Testing
import WarmStart

func makeHeader(
  number: UInt32 = 0, stamp: UInt64 = 1000, key: UInt8 = 1, kind: RecordKind = .checkpoint
) -> RecordHeader {
  var header = RecordHeader(
    kind: kind, stamp: stamp, writeTime: 1_700_000_000_123_456_789,
    origin: Origin(segment: SegmentID(creation: 5, random: 6), number: number + 3),
    key: Fingerprint(bytes: Array(repeating: key, count: 32))!, number: number)
  guard kind.isEntry else { return header }
  header.objective = -2.5
  header.iteration = 77
  header.runID = "run-00000042"
  header.producer = "mygam 2.1"
  header.label = "fold 3 of ä"
  header.codec = .lz4
  header.rawLength = 1024
  header.storedLength = 563
  header.rawChecksum = 0x1234_5678
  header.storedChecksum = 0x9abc_def0
  header.syncedBytes = 128
  return header
}

private func encoded(_ header: RecordHeader, offset: UInt64 = 128, salt: UInt64 = 99) -> [UInt8] {
  var bytes = [UInt8](repeating: 0xee, count: header.length)
  bytes.withUnsafeMutableBytes { _ = header.encode(to: $0, offset: offset, salt: salt) }
  return bytes
}

private func decode(
  _ bytes: [UInt8], offset: UInt64 = 128, salt: UInt64 = 99
) throws(FormatError) -> RecordHeader {
  try RecordHeader.decode(bytes.span.bytes, offset: offset, salt: salt)
}

@Suite struct RecordHeaderTests {
  @Test(arguments: [RecordKind.checkpoint, .final, .removal, .accessMark])
  func aHeaderComesBackAsItWas(_ kind: RecordKind) throws {
    let header = makeHeader(kind: kind)
    #expect(try decode(encoded(header)) == header)
  }

  @Test func absentAndExtremeValuesComeBack() throws {
    var header = makeHeader()
    header.objective = nil
    header.iteration = nil
    header.label = ""
    header.producer = String(repeating: "p", count: 256)
    header.runID = String(repeating: "~", count: 64)
    header.stamp = FormatLimits.stamp - 1
    #expect(try decode(encoded(header)) == header)
    header.objective = -0.0
    header.iteration = .max
    #expect(try decode(encoded(header)).objective?.sign == .minus)
    #expect(try decode(encoded(header)).iteration == .max)
  }

  @Test func everyFlippedBitIsSeen() {
    let bytes = encoded(makeHeader())
    for bit in 0..<8 * bytes.count {
      var bad = bytes
      bad[bit / 8] ^= 1 << UInt8(bit % 8)
      #expect(throws: FormatError.self) { try decode(bad) }
    }
  }

  @Test func aHeaderOfAnotherPlaceOrSegmentIsNone() {
    let bytes = encoded(makeHeader())
    #expect(throws: FormatError.self) { try decode(bytes, offset: 136) }
    #expect(throws: FormatError.self) { try decode(bytes, salt: 98) }
    #expect(RecordHeader.decodePrefix(bytes.span.bytes, offset: 136, salt: 99) == nil)
  }

  @Test func whatNoWriterWritesIsRefused() {
    func refused(_ change: (inout RecordHeader) -> Void) {
      var header = makeHeader()
      change(&header)
      #expect(throws: FormatError.self) { try decode(encoded(header)) }
    }
    refused { $0.stamp = FormatLimits.stamp }
    refused { $0.objective = .nan }
    refused { $0.objective = .infinity }
    refused { $0.runID = "" }
    refused { $0.runID = "tab\t" }
    refused { $0.storedLength = 1025 }
    refused { $0.rawLength = 255 * 563 + 65 }
    refused { $0.codec = .stored }
    refused { $0.kind = .removal }
  }
}

@Suite struct SegmentHeaderTests {
  private let header = SegmentHeader(
    id: SegmentID(creation: 1, random: 2), salt: 3, creation: 1,
    replaced: [SegmentID(creation: 4, random: 5), SegmentID(creation: 6, random: 7)])

  @Test func aSegmentHeaderComesBackAsItWas() throws {
    let bytes = header.encoded()
    #expect(bytes.count == Int(header.recordsStart))
    #expect(Array(bytes[..<64]) == Array(bytes[64..<128]))
    var (decoded, count) = try SegmentHeader.decodeCopy(
      bytes.span.bytes.extracting(0..<64), id: header.id)
    decoded.replaced = try SegmentHeader.decodeReplaced(
      bytes.span.bytes.extracting(128..<bytes.count), count: count, salt: 3)
    #expect(decoded == header)
  }

  @Test func everyFlippedBitIsSeen() {
    let bytes = header.encoded()
    for bit in 0..<8 * bytes.count where !(512..<1024).contains(bit) {
      var bad = bytes
      bad[bit / 8] ^= 1 << UInt8(bit % 8)
      #expect(throws: FormatError.self) {
        _ = try SegmentHeader.decodeCopy(bad.span.bytes.extracting(0..<64), id: header.id)
        _ = try SegmentHeader.decodeReplaced(
          bad.span.bytes.extracting(128..<bad.count), count: 2, salt: 3)
      }
    }
  }

  @Test func aLaterVersionOrAnUnknownReadingFeatureIsToldFromDamage() {
    for offset in [12, 16] {
      var bytes = Array(header.encoded()[..<64])
      bytes[offset] = 9
      let crc = bytes.withUnsafeBytes { CRC32C.of(UnsafeRawBufferPointer(rebasing: $0[..<60])) }
      for index in 0..<4 { bytes[60 + index] = UInt8(truncatingIfNeeded: crc >> (8 * index)) }
      do {
        _ = try SegmentHeader.decodeCopy(bytes.span.bytes, id: header.id)
        Issue.record("decoded a later format")
      } catch {
        guard case .laterFormat = error else {
          Issue.record("taken for \(error)")
          continue
        }
      }
    }
  }

  @Test func namesThatDoNotFitToTheLetterAreForeign() {
    let id = SegmentID(creation: 0x17_9ab, random: 0xfeed)
    let name = SegmentName(id: id, phase: .log).description
    #expect(name == "00000000000179ab000000000000feed.log")
    #expect(SegmentName(name) == SegmentName(id: id, phase: .log))
    for bad in [
      name.uppercased(), "x" + name, name + "~", String(name.dropFirst()), "README.md", "",
      "00000000000179ab000000000000feed.LOG", "00000000000179ab000000000000feed.sst",
      "00000000000179ab000000000000fEed.log", "0000000000000000000000000000000é.log",
    ] { #expect(SegmentName(bad) == nil) }
  }
}

@Suite struct FooterTests {
  private let segment = SegmentHeader(id: SegmentID(creation: 1, random: 2), salt: 3, creation: 1)

  private func make(_ count: Int) -> (
    bytes: [UInt8], headers: [(UInt64, RecordHeader)], offset: UInt64
  ) {
    var builder = FooterBuilder()
    var headers: [(UInt64, RecordHeader)] = []
    var offset = segment.recordsStart
    for number in 0..<count {
      var header = makeHeader(
        number: UInt32(number), stamp: 1000 + UInt64(number),
        key: UInt8(number * 37 % 200),
        kind: [.checkpoint, .final, .removal, .accessMark][number % 4])
      header.syncedBytes = 0
      if header.kind.isEntry { header.runID = "run \(number % 5)" }
      builder.add(header, at: offset)
      headers.append((offset, header))
      offset += UInt64(header.recordLength)
    }
    return (builder.encoded(header: segment, footerOffset: offset), headers, offset)
  }

  private func open(_ bytes: [UInt8], at offset: UInt64) throws(FormatError) -> Footer {
    let trailer = try FooterTrailer(
      decoding: bytes.span.bytes.extracting(last: 128), id: segment.id,
      fileSize: offset + UInt64(bytes.count))
    return try Footer(decoding: Array(bytes.dropLast(128)), trailer: trailer)
  }

  @Test(arguments: [0, 1, 3, 64, 1024, 1025, 2049])
  func aFooterSaysAllThatTheHeadersSay(_ count: Int) throws {
    let (bytes, headers, offset) = make(count)
    let footer = try open(bytes, at: offset)
    #expect(footer.count == count)
    #expect(footer.header == segment)
    var found: [UInt64: RecordHeader] = [:]
    for index in 0..<count {
      let entry = try #require(footer.entry(index))
      found[entry.offset] = try footer.header(of: entry)
    }
    for (offset, header) in headers { #expect(found[offset] == header) }
    for (_, header) in headers {
      #expect(
        footer.entries(of: header.key).count == headers.filter { $0.1.key == header.key }.count)
    }
    #expect(footer.entries(of: Fingerprint(bytes: Array(repeating: 0xfe, count: 32))!).isEmpty)
  }

  @Test func everyFlippedBitIsSeen() {
    let (bytes, _, offset) = make(9)
    for bit in 0..<8 * bytes.count {
      var bad = bytes
      bad[bit / 8] ^= 1 << UInt8(bit % 8)
      #expect(throws: FormatError.self) { try open(bad, at: offset) }
    }
  }

  @Test func everyCutIsSeen() {
    let (bytes, _, offset) = make(9)
    for length in 128..<bytes.count {
      #expect(throws: FormatError.self) { try open(Array(bytes[..<length]), at: offset) }
      #expect(throws: FormatError.self) { try open(Array(bytes.suffix(length)), at: offset) }
    }
  }
}
