// Segments of which more than one part is damaged, and names that are taken by what is no file.

import Glibc
import TestSupport
import Testing
import WarmStart

@Suite struct TwofoldDamageTests {
  private let directory = TemporaryDirectory()
  private var path: String { directory.appending("store") }
  private let key = Fingerprint(words: (1, 2, 3, 4))

  private func segments() -> [String] { listing(path).filter { SegmentName($0) != nil } }

  private func fill(_ count: Int) throws {
    for number in 0..<count {
      let store = try WarmStartStore.open(at: path)
      try store.save([UInt8(number)], for: key, objective: -Double(number))
      try store.save([7], for: Fingerprint(words: (UInt64(number), 0, 0, 9)))
      try store.close()
    }
  }

  /// The path of the one segment that a compaction has left, and its bytes.
  private func compacted() throws -> (name: String, bytes: [UInt8]) {
    try fill(3)
    let store = try WarmStartStore.open(at: path)
    try store.compact()
    try store.close()
    let name = "\(path)/" + segments()[0]
    return (name, contents(name))
  }

  @Test func withoutItsListAndItsFooterASegmentIsReadByItsRecords() throws {
    var (name, bytes) = try compacted()
    #expect(bytes[128..<132] != [0x57, 0x52, 0x45, 0x63])
    // The list of replaced segments, and the trailer.
    bytes[130] ^= 1
    bytes[bytes.count - 60] ^= 1
    write(bytes, to: name)
    let store = try WarmStartStore.open(at: path)
    #expect(try store.lookup(key)?.payload == [2])
    #expect(try store.verify().damage.count >= 2)
    let report = try store.engine().repair()
    #expect(report.quarantined.count == 1 && report.lost.isEmpty)
    #expect(try store.lookup(key)?.payload == [2])
    #expect(try store.verify().damage.isEmpty)
  }

  @Test func withoutBothHeadersTheListIsStillLookedAt() throws {
    var (name, bytes) = try compacted()
    // Both copies of the header, and a byte of the list of replaced segments.
    for offset in [20, 84, 130] { bytes[offset] ^= 1 }
    write(bytes, to: name)
    let store = try WarmStartStore.openReadOnly(at: path)
    #expect(try store.lookup(key)?.payload == [2])
    let damage = try store.verify().damage
    #expect(damage.map(\.offset) == [0, 64, 128])
    #expect(damage.allSatisfy { $0.effect == .nothingLost })
  }

  @Test func whatWasWrittenAndIsNotWhatWasSavedIsToldOf() throws {
    let writer = try WarmStartStore.open(at: path)
    try writer.save([UInt8](repeating: 7, count: 4000), for: key)
    let log = segments()[0]
    var bytes = contents("\(path)/\(log)")
    let salt = try SegmentHeader.decodeCopy(
      bytes.span.bytes.extracting(0..<64), id: SegmentName(log)!.id
    ).header.salt
    let start = 128
    let offset = UInt64(start)
    let prefix = RecordHeader.decodePrefix(
      bytes.span.bytes.extracting(start..<start + 24), offset: offset, salt: salt)!
    var header = try RecordHeader.decode(
      bytes.span.bytes.extracting(start..<start + prefix.headerLength), offset: offset, salt: salt)
    header.rawChecksum ^= 1
    bytes.withUnsafeMutableBytes {
      _ = header.encode(
        to: UnsafeMutableRawBufferPointer(rebasing: $0[start...]), offset: offset, salt: salt)
    }
    let copy = directory.appending("copy")
    mkdir(copy, 0o700)
    write(bytes, to: "\(copy)/\(log)")
    let store = try WarmStartStore.openReadOnly(at: copy)
    #expect(try store.lookup(key) == nil)
    #expect(try store.statistics.damagedRecords == 1)
    try writer.close()
  }

  @Test(arguments: [true, false]) func whatIsNoFileTakesTheNameOfNoLog(isLink: Bool) throws {
    let writer = try WarmStartStore.open(at: path)
    try writer.save([7], for: key)
    let log = segments()[0]
    let sealed = "\(path)/" + log.replacing(".log", with: ".seg")
    if isLink { symlink("/etc/passwd", sealed) } else { mkdir(sealed, 0o700) }
    let reader = try WarmStartStore.openReadOnly(at: path)
    #expect(try reader.lookup(key)?.payload == [7])
    #expect(try reader.verify().segments == 1)
    try? writer.close()
  }

  @Test func aStampOfNothingIsNone() throws {
    var header = RecordHeader(
      kind: .checkpoint, stamp: 0, writeTime: 1,
      origin: Origin(segment: SegmentID(creation: 1, random: 1), number: 0), key: key, number: 0)
    header.runID = "run"
    #expect(throws: FormatError.self) { try header.check() }
    header.stamp = 1
    #expect(throws: Never.self) { try header.check() }
    header.codec = .lz4
    #expect(throws: FormatError.self) { try header.check() }
    // Nothing is stored, and something is to come out of it.
    header.rawLength = 10
    #expect(throws: FormatError.self) { try header.check() }
  }
}
