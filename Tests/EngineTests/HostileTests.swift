// Segments that somebody made up: every checksum right, and every number a lie.

import Glibc
import TestSupport
import Testing
import WarmStart

@Suite struct HostileTests {
  private let directory = TemporaryDirectory()
  private let header = SegmentHeader(
    id: SegmentID(creation: 0x1000, random: 7), salt: 99, creation: 0x1000)
  private let key = Fingerprint(bytes: Array(repeating: 1, count: 32))!

  private func path(_ phase: SegmentName.Phase, _ id: SegmentID? = nil) -> String {
    directory.appending(SegmentName(id: id ?? header.id, phase: phase).description)
  }

  private func open() throws -> WarmStartStore {
    try WarmStartStore(
      path: directory.path, options: StoreOptions(), access: .readOnly,
      host: .test(clock: ManualClock()))
  }

  private func put(_ bytes: [UInt8], at offset: UInt64, in path: String) {
    let file = Glibc.open(path, O_WRONLY | O_CREAT, 0o600)
    #expect(pwrite(file, bytes, bytes.count, off_t(offset)) == bytes.count)
    close(file)
  }

  /// A record of an optional kind that no version knows, so that its lengths alone count.
  private func unknown(at offset: UInt64, storedLength: UInt32) -> [UInt8] {
    var record = makeHeader(kind: .removal)
    record.syncedBytes = 0
    var bytes = [UInt8](repeating: 0, count: record.length)
    bytes.withUnsafeMutableBytes { bytes in
      _ = record.encode(to: bytes, offset: offset, salt: header.salt)
      bytes.storeBytes(of: storedLength.littleEndian, toByteOffset: 4, as: UInt32.self)
      bytes[10] = 200
      for end in [20, bytes.count - 4] {
        var checksum = CRC32C(seed: header.salt, offset)
        checksum.add(UnsafeRawBufferPointer(rebasing: bytes[..<end]))
        bytes.storeBytes(of: checksum.value.littleEndian, toByteOffset: end, as: UInt32.self)
      }
    }
    return bytes
  }

  @Test func aLogThatJumpsBeyondTheLimitOfAFileIsDamageAndNoCrash() throws {
    put(header.encoded(), at: 0, in: path(.log))
    var offset = header.recordsStart
    // Jumps of 2 GiB, a shorter one to just before the limit, and one across it.
    let length = UInt64(unknown(at: offset, storedLength: 0).count)
    while offset < FormatLimits.file {
      let left = FormatLimits.file - offset - length
      let jump = left > 4096 ? min(left - 4096, 1 << 31 - 8) : left + 4096
      put(unknown(at: offset, storedLength: UInt32(jump)), at: offset, in: path(.log))
      offset += length + jump
    }
    var last = makeHeader()
    (last.codec, last.rawLength, last.storedLength) = (.stored, 0, 0)
    (last.rawChecksum, last.storedChecksum, last.syncedBytes) = (0, 0, 0)
    var bytes = [UInt8](repeating: 0, count: last.length)
    bytes.withUnsafeMutableBytes { _ = last.encode(to: $0, offset: offset, salt: header.salt) }
    put(bytes, at: offset, in: path(.log))
    let store = try open()
    #expect(try store.lookup(key) == nil)
    #expect(try store.statistics.damagedRecords > 0)
    #expect(try !store.engine().verify(.payloads).damage.isEmpty)
  }

  /// A record without a payload.
  private func record(
    _ number: Int, key: Int? = nil, producer: String = "fit 1", at offset: UInt64,
    syncedBytes: UInt64 = 0
  ) -> [UInt8] {
    var record = makeHeader(number: UInt32(number), stamp: 1000 + UInt64(number))
    record.key = Fingerprint(words: (0, 0, 0, UInt64(key ?? number)))
    record.producer = producer
    (record.codec, record.rawLength, record.storedLength) = (.stored, 0, 0)
    (record.rawChecksum, record.storedChecksum) = (0, 0)
    record.syncedBytes = syncedBytes
    var bytes = [UInt8](repeating: 0, count: record.length)
    bytes.withUnsafeMutableBytes { _ = record.encode(to: $0, offset: offset, salt: header.salt) }
    return bytes
  }

  @Test func moreRecordsThanASegmentCanHaveAreDamage() throws {
    var bytes = header.encoded()
    bytes.reserveCapacity(40 << 20)
    for number in 0..<FormatLimits.records + 3 {
      bytes += record(number, at: UInt64(bytes.count))
    }
    write(bytes, to: path(.log))
    let store = try open()
    let last = FormatLimits.records - 1
    #expect(try store.lookup(Fingerprint(words: (0, 0, 0, UInt64(last)))) != nil)
    #expect(try store.lookup(Fingerprint(words: (0, 0, 0, UInt64(last + 1)))) == nil)
    let report = try store.verify()
    #expect(report.records == FormatLimits.records)
    #expect(report.damage.map(\.what) == ["more records than a segment can have"])
  }

  @Test func veryManyBadPlacesAreToldOfAsOne() throws {
    var bytes = header.encoded()
    let count = 10_050
    for number in 0...count {
      let synced = number == count ? UInt64(bytes.count) : 0
      bytes += record(number, at: UInt64(bytes.count), syncedBytes: synced)
      if number < count { bytes += [UInt8](repeating: 7, count: 8) }
    }
    write(bytes, to: path(.log))
    let store = try open()
    // None hides what stands behind it.
    for number in [0, 1, count - 1, count] {
      #expect(try store.lookup(Fingerprint(words: (0, 0, 0, UInt64(number)))) != nil)
    }
    let report = try store.verify()
    #expect(report.records == count + 1)
    #expect(report.damage.count <= 10_000)
    #expect(report.damage.last?.what.contains("very many bad places") == true)
  }

  /// Of this thread: what others do at the same time does not count.
  private static var processorSeconds: Double {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
  }

  @Test func aKeyWithVeryManyProducersIsFoundInTime() throws {
    // To pass all texts anew for each of the entries would take minutes.
    var bytes = header.encoded()
    var footer = FooterBuilder()
    let count = 20_000
    for number in 0..<count {
      let offset = UInt64(bytes.count)
      bytes += record(number, key: 1, producer: "fit \(number)", at: offset)
      footer.add(
        try RecordHeader.decode(
          bytes.span.bytes.extracting(Int(offset)..<bytes.count), offset: offset,
          salt: header.salt), at: offset)
    }
    write(
      bytes + footer.encoded(header: header, footerOffset: UInt64(bytes.count)), to: path(.sealed))
    let key = Fingerprint(words: (0, 0, 0, 1))
    let start = Self.processorSeconds
    #expect(try open().lookupLatest(key)?.producer == "fit \(count - 1)")
    #expect(Self.processorSeconds - start < 20)
    #expect(try open().lookupBest(key)?.objective == -2.5)
  }

  @Test func aRecordThatAFooterNamesVeryOftenIsCopiedOnce() throws {
    for segment in 0..<2 {
      let id = SegmentID(creation: 0x1000 + UInt64(segment), random: 7)
      let header = SegmentHeader(id: id, salt: header.salt, creation: 0x1000)
      var bytes = header.encoded()
      let offset = UInt64(bytes.count)
      bytes += record(segment, at: offset)
      let named = try RecordHeader.decode(
        bytes.span.bytes.extracting(Int(offset)..<bytes.count), offset: offset, salt: header.salt)
      var footer = FooterBuilder()
      for _ in 0..<5000 { footer.add(named, at: offset) }
      write(
        bytes + footer.encoded(header: header, footerOffset: UInt64(bytes.count)),
        to: path(.sealed, id))
    }
    func size() -> Int {
      listing(directory.path).reduce(0) { $0 + contents(directory.appending($1)).count }
    }
    let before = size()
    let store = try WarmStartStore(
      path: directory.path, options: StoreOptions(), access: .existing,
      host: .test(clock: ManualClock()))
    try store.compact()
    #expect(listing(directory.path).count { $0.hasSuffix(".seg") } == 1)
    #expect(size() < before / 10)
    for segment in 0..<2 {
      #expect(try store.lookupBest(Fingerprint(words: (0, 0, 0, UInt64(segment)))) != nil)
    }
  }

  @Test func aFooterInAnyOrderEndsEverySearch() throws {
    // Every checksum right, the keys in the order of the records: what is found is right, and fsck tells.
    var bytes = header.encoded()
    var footer = FooterBuilder()
    var offsets: [UInt64] = []
    for number in 0..<300 {
      let offset = UInt64(bytes.count)
      bytes += record(number, at: offset)
      offsets.append(offset)
      footer.add(
        try RecordHeader.decode(
          bytes.span.bytes.extracting(Int(offset)..<bytes.count), offset: offset,
          salt: header.salt), at: offset)
    }
    var tail = footer.encoded(header: header, footerOffset: UInt64(bytes.count))
    let length = FooterEntry.indexLength
    for number in 0..<150 {
      for at in 0..<length { tail.swapAt(number * length + at, (299 - number) * length + at) }
    }
    let trailer = try FooterTrailer(
      decoding: tail.span.bytes.extracting(last: 128), id: header.id,
      fileSize: UInt64(bytes.count + tail.count))
    write(bytes + resealed(tail, trailer), to: path(.sealed))
    for number in stride(from: 0, to: 300, by: 17) {
      let key = Fingerprint(words: (0, 0, 0, UInt64(number)))
      let found = try open().lookup(key)
      #expect(found == nil || found?.payload == [])
    }
    #expect(try !open().verify().damage.isEmpty)
  }

  /// The footer with the checksums that its blocks should have.
  private func resealed(_ footer: [UInt8], _ trailer: FooterTrailer) -> [UInt8] {
    var trailer = trailer
    var table: [UInt8] = []
    for block in 0..<trailer.blockCount {
      let range = trailer.range(ofBlock: block)
      var checksum = CRC32C(
        seed: trailer.salt, trailer.footerOffset + UInt64(range.lowerBound))
      footer[range].withUnsafeBytes { checksum.add($0) }
      withUnsafeBytes(of: checksum.value.littleEndian) { table += $0 }
    }
    table += [UInt8](repeating: 0, count: trailer.tableLength - table.count)
    var checksum = CRC32C(
      seed: trailer.salt, trailer.footerOffset + UInt64(trailer.bodyLength))
    table.withUnsafeBytes { checksum.add($0) }
    trailer.tableChecksum = checksum.value
    return footer[..<trailer.bodyLength] + table + trailer.encoded()
  }

  @Test func aFooterWhoseSumsOverflowIsDamageAndNoCrash() throws {
    for number in 0..<3 {
      let id = SegmentID(creation: 0x1000 + UInt64(number), random: 7)
      let head = SegmentHeader(id: id, salt: 5, creation: id.creation)
      let file = head.encoded() + FooterBuilder().encoded(header: head, footerOffset: 128)
      var trailer = try FooterTrailer(
        decoding: file.span.bytes.extracting(last: 128), id: id, fileSize: UInt64(file.count))
      trailer.rawBytes = 1 << 63
      trailer.storedBytes = 1 << 63
      write(Array(file.dropLast(128)) + trailer.encoded(), to: path(.sealed, id))
    }
    let store = try open()
    #expect(try store.statistics.storedBytes == 0)
    #expect(try store.statistics.damagedRecords > 0)
  }

  @Test func aFooterOfAnotherHeaderIsDamageAndNoCrash() throws {
    // Begins its records behind the footer that it has.
    let head = SegmentHeader(
      id: header.id, salt: header.salt, creation: header.creation,
      replaced: [SegmentID(creation: 1, random: 1)])
    var file = head.encoded()[..<128] + FooterBuilder().encoded(header: header, footerOffset: 128)
    file.replaceSubrange(64..<128, with: head.encoded()[64..<128])
    let list = head.encoded()[128...]
    write(
      Array(file[..<128] + list) + FooterBuilder().encoded(header: header, footerOffset: 152),
      to: path(.sealed))
    let store = try open()
    #expect(try store.statistics.damagedRecords > 0)
    #expect(try store.lookup(key) == nil)
    #expect(try !store.engine().verify(.payloads).damage.isEmpty)
  }

  @Test func aFooterThatGivesARecordAnotherKeyServesNothingOfIt() throws {
    var record = makeHeader()
    (record.codec, record.rawLength, record.storedLength) = (.stored, 0, 0)
    (record.rawChecksum, record.storedChecksum, record.syncedBytes) = (0, 0, 0)
    let offset = header.recordsStart
    var bytes = [UInt8](repeating: 0, count: record.length)
    bytes.withUnsafeMutableBytes { _ = record.encode(to: $0, offset: offset, salt: header.salt) }
    let other = Fingerprint(bytes: Array(repeating: 2, count: 32))!
    var footer = FooterBuilder()
    record.key = other
    footer.add(record, at: offset)
    let end = offset + UInt64(bytes.count)
    write(
      header.encoded() + bytes + footer.encoded(header: header, footerOffset: end),
      to: path(.sealed))
    let store = try open()
    #expect(try store.entries(for: other).isEmpty)
    #expect(try store.lookup(other) == nil)
    #expect(try store.entries(for: key).isEmpty)
    #expect(try !store.verify().damage.isEmpty)
  }

  @Test func aSyncedOffsetBeyondItsOwnRecordIsRefused() throws {
    var record = makeHeader()
    record.syncedBytes = 129
    var bytes = [UInt8](repeating: 0, count: record.length)
    bytes.withUnsafeMutableBytes { _ = record.encode(to: $0, offset: 128, salt: 99) }
    #expect(throws: FormatError.self) {
      try RecordHeader.decode(bytes.span.bytes, offset: 128, salt: 99)
    }
  }

  @Test func whatACompactionReplacedNeverCountsAgain() throws {
    let store = try WarmStartStore(
      path: directory.path, options: StoreOptions(), access: .createIfMissing,
      host: .test(clock: ManualClock()))
    try store.save([1, 2, 3], for: key, objective: 1)
    try store.close()
    let victim = try #require(SegmentName(listing(directory.path)[0])).id
    #expect(try open().lookup(key)?.payload == [1, 2, 3])
    // The output of a compaction that dropped everything and was cut short before it unlinked.
    let watching = try open()
    let id = SegmentID(creation: victim.creation + 1, random: 1)
    let head = SegmentHeader(id: id, salt: 5, creation: id.creation, replaced: [victim])
    let footer = FooterBuilder().encoded(header: head, footerOffset: head.recordsStart)
    write(head.encoded() + footer, to: path(.sealed, id))
    #expect(try open().lookup(key) == nil)
    #expect(try watching.lookup(key) == nil)
    #expect(try watching.engine().verify(.payloads).damage.isEmpty)
  }

  @Test func whatIsNoRegularFileIsLeftAlone() throws {
    symlink("/etc/passwd", path(.log))
    mkdir(path(.sealed, SegmentID(creation: 1, random: 1)), 0o700)
    mkfifo(path(.sealed, SegmentID(creation: 2, random: 2)), 0o600)
    let store = try WarmStartStore.open(at: directory.path)
    try store.save([1], for: key)
    #expect(try store.lookup(key)?.payload == [1])
    #expect(try store.engine().verify(.payloads).damage.isEmpty)
  }
}
