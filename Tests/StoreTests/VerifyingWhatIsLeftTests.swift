// A store of which a part cannot be read, or is not what it seems: the rest is verified all the same.

import Glibc
import Synchronization
import TestSupport
import Testing
import WarmStart

@Suite struct VerifyingWhatIsLeftTests {
  private let bench = Bench()
  private let files = FaultyFiles()

  private func saveAlone(_ number: Int) throws -> String {
    let before = Set(listing(bench.path))
    bench.clock.advance(seconds: 1)
    let store = try bench.open()
    try store.save(noise(number, count: 3000), for: key(number))
    try store.close()
    return try #require(listing(bench.path).first { !before.contains($0) })
  }

  @Test func aSegmentThatCannotBeReadKeepsNoOtherFromBeingVerified() throws {
    _ = try saveAlone(1)
    let bad = try saveAlone(2)
    _ = try saveAlone(3)
    files.failReads { $0.hasSuffix(bad) ? EIO : nil }
    // A fit that starts is told; a verifier goes on.
    #expect(throws: StoreError.self) { try bench.open(.readOnly, host: bench.host(files)) }
    let store = try bench.open(.verifying, host: bench.host(files))
    let report = try store.engine().verify(.payloads)
    #expect(report.records == 2)
    #expect(report.damage.isEmpty)
    #expect(report.unread.count == 1)
    #expect(report.unread.first.map { "\($0)".contains(bad) } == true)
  }

  @Test func aBadSectorHidesNoOtherDamageOfItsSegment() throws {
    let store = try bench.open()
    for number in 0..<4 { try store.save(noise(number, count: 60_000), for: key(number)) }
    try store.close()
    let name = listing(bench.path).first { SegmentName($0) != nil }!
    // The second payload begins in a bad sector; the third is damaged, so is the header of the fourth, and the footer.
    var bytes = contents("\(bench.path)/\(name)")
    let headers = bytes.indices.dropLast(3).filter { bytes[$0..<$0 + 4].elementsEqual("WREc".utf8) }
    try #require(headers.count == 4)
    bytes[headers[2] + 30_000] ^= 1
    bytes[headers[3] + 60] ^= 1
    let footer = headers[3] + 60_200
    bytes[footer + (bytes.count - footer) / 2] ^= 1
    write(bytes, to: "\(bench.path)/\(name)")
    let bad = UInt64(headers[1] + 1000)
    files.failReads(at: { $0.contains(bad) ? EIO : nil })
    let broken = try bench.open(.verifying, host: bench.host(files))
    let report = try broken.engine().verify(.payloads)
    #expect(report.unread.count == 1 && report.records == 3)
    let told = report.damage.map(\.what)
    for what in ["stored payload checksum", "no intact record header", "footer"] {
      #expect(told.contains { $0.contains(what) }, "\(told)")
    }
  }

  /// One segment of so many records, and where each begins.
  private func saveTogether(_ count: Int, _ length: Int) throws -> (String, [UInt8], [Int]) {
    let store = try bench.open()
    try store.save((0..<count).map { NewEntry(noise($0, count: length), for: key($0)) })
    try store.close()
    let name = listing(bench.path).first { SegmentName($0) != nil }!
    let bytes = contents("\(bench.path)/\(name)")
    let starts = bytes.indices.dropLast(3).filter {
      bytes[$0] == 0x57 && bytes[$0..<$0 + 4].elementsEqual("WREc".utf8)
    }
    try #require(starts.count == count)
    return ("\(bench.path)/\(name)", bytes, starts)
  }

  @Test(arguments: [Engine.Depth.structure, .payloads], [false, true])
  func everyRecordOfAGapIsToldOfWithItsKey(_ depth: Engine.Depth, withPayloads: Bool) throws {
    var (name, bytes, starts) = try saveTogether(6, 300)
    for number in 1..<4 { bytes[starts[number] + 60] ^= 1 }
    if withPayloads { for index in starts[1]..<starts[4] { bytes[index] = 0 } }
    write(bytes, to: name)
    let damage = try bench.open(.readOnly).engine().verify(depth).damage
    #expect(damage.map(\.key) == (1..<4).map { key($0) })
    #expect(damage.map { Int($0.offset) } == Array(starts[1..<4]))
    let isLost = withPayloads && depth == .payloads
    #expect(
      damage.allSatisfy { $0.run != nil && $0.effect == (isLost ? .entryLost : .nothingLost) })
  }

  @Test(arguments: [Engine.Depth.structure, .payloads])
  func ofVeryManyRecordsInAGapTheWorstIsToldOfTheRest(_ depth: Engine.Depth) throws {
    var (name, bytes, starts) = try saveTogether(10_100, 8)
    for index in starts[20]..<starts[10_080] { bytes[index] = 0 }
    write(bytes, to: name)
    let damage = try bench.open(.readOnly).engine().verify(depth).damage
    #expect(damage.count == 10_001 && Set(damage.dropLast().map(\.key)).count == 10_000)
    #expect(damage.last?.what == "and 60 more places, which are not told one by one")
    let effect: Damage.Effect = depth == .payloads ? .entryLost : .nothingLost
    #expect(damage.allSatisfy { $0.effect == effect })
  }

  @Test func aStoreWithoutAnyIntactSegmentIsOneAllTheSame() throws {
    let name = try saveAlone(1)
    let length = contents("\(bench.path)/\(name)").count
    write([UInt8](repeating: 0xff, count: length), to: "\(bench.path)/\(name)")
    write([1], to: "\(bench.path)/notes.txt")
    for access in [Engine.Access.readOnly, .verifying] {
      let report = try bench.open(access).verify()
      #expect(report.damage.contains { $0.effect == .segmentLost })
      #expect(report.foreign == ["notes.txt"])
    }
    let store = try bench.open()
    #expect(try store.engine().repair().quarantined.count == 1)
    try store.close()
  }

  @Test func whatOnlyHasTheNameOfASegmentIsToldOf() throws {
    let name = try saveAlone(1)
    let link = SegmentName(id: SegmentID(creation: 1, random: 1), phase: .sealed).description
    let pipe = SegmentName(id: SegmentID(creation: 2, random: 2), phase: .log).description
    symlink(name, "\(bench.path)/\(link)")
    mkfifo("\(bench.path)/\(pipe)", 0o600)
    let report = try bench.open(.readOnly).verify()
    #expect(report.foreign == [link, pipe].sorted())
    #expect(report.damage.isEmpty && report.segments == 1)
  }

  /// A compaction was cut short before it unlinked what it had replaced, and its output went bad since.
  @Test(arguments: [true, false]) func aRepairDeletesNothingThatMayBeTheOnlyIntactCopy(
    isBad: Bool
  ) throws {
    let names = try (0..<3).map(saveAlone)
    let originals = names.map { contents("\(bench.path)/\($0)") }
    let compacting = try bench.open()
    try compacting.compact()
    try compacting.close()
    let output = try #require(listing(bench.path).first { $0.hasSuffix(".seg") })
    #expect(!names.contains(output))
    for (name, bytes) in zip(names, originals) { write(bytes, to: "\(bench.path)/\(name)") }
    if isBad {
      var bytes = contents("\(bench.path)/\(output)")
      bytes[bytes.count / 3] ^= 1
      write(bytes, to: "\(bench.path)/\(output)")
    }
    let repairing = try bench.open()
    let report = try repairing.engine().repair()
    try repairing.close()
    #expect(report.errors.isEmpty)
    #expect(report.quarantined.isEmpty == !isBad)
    for (name, bytes) in zip(names, originals) {
      #expect(!listing(bench.path).contains(name))
      guard isBad else { continue }
      #expect(contents("\(bench.path)/quarantine/\(name)") == bytes)
    }
    #expect(try bench.open(.readOnly).verify().damage.isEmpty)
  }

  @Test func nothingIsConcludedFromAFooterThatTheDiskDoesNotGive() throws {
    let name = try saveAlone(1)
    let store = try bench.open(host: bench.host(files))
    #expect(try store.lookup(key(2)) == nil)
    var bytes = contents("\(bench.path)/\(name)")
    bytes[SegmentHeader.fixedLength + 40] ^= 1
    write(bytes, to: "\(bench.path)/\(name)")
    // The record is read; its header is damaged; the footer has a copy.
    let reads = Atomic<Int>(0)
    files.failReads { path in
      guard path.hasSuffix(name) else { return nil }
      return reads.add(1, ordering: .relaxed).newValue > 1 ? EIO : nil
    }
    #expect(throws: StoreError.self) { try store.lookup(key(1)) }
    #expect(reads.load(ordering: .relaxed) > 1)
    files.failReads(nil)
    #expect(try store.lookup(key(1))?.payload == noise(1, count: 3000))
  }
}
