// The end of a sealed segment: the headers again, sorted by key, so that opening a store reads
// no records and a key is found without an index, and so that a damaged header has a second copy elsewhere.
//
//   index column | detail column | segment header | origins | texts | zeros
//   | a checksum for every 4096 bytes of these | trailer
//
// The trailer repeats the salt; its own checksum is not seeded, since it must be readable when the
// head of the segment is not. It names the segment instead.

/// The last 128 bytes of a sealed segment.
package struct FooterTrailer: Equatable, Sendable {
  package var id: SegmentID
  package var salt: UInt64
  /// Where the records end and the footer begins.
  package var footerOffset: UInt64
  package var bodyLength = 0
  package var recordCount = 0
  package var originCount = 0
  package var producerCount = 0
  package var textCount = 0
  package var replacedCount = 0
  package var removalCount = 0
  package var markCount = 0
  /// Smallest and largest stamp; 0 without records.
  package var oldestStamp: UInt64 = 0
  package var newestStamp: UInt64 = 0
  /// Bytes of all payloads before and after compression.
  package var rawBytes: UInt64 = 0
  package var storedBytes: UInt64 = 0
  package var tableChecksum: UInt32 = 0

  package static let length = 128
  package static let magic: UInt64 = 0x0a0d_746f_6f46_5357  // "WSFoot\r\n"
  package static let blockLength = 4096

  package var tableLength: Int { (4 * blockCount).aligned(to: 8) }
  package var blockCount: Int { (bodyLength + Self.blockLength - 1) / Self.blockLength }
  /// Length of the whole file.
  package var fileSize: UInt64 {
    footerOffset + UInt64(bodyLength + tableLength + Self.length)
  }
  var detailOffset: Int { recordCount * FooterEntry.indexLength }
  var headerOffset: Int { detailOffset + recordCount * FooterEntry.detailLength }
  var originOffset: Int {
    headerOffset + SegmentHeader.recordsStart(replaced: replacedCount) - SegmentHeader.copyLength
  }
  var textOffset: Int { originOffset + 16 * originCount }

  /// Where a block is in the footer.
  package func range(ofBlock block: Int) -> Range<Int> {
    let start = block * Self.blockLength
    return start..<min(start + Self.blockLength, bodyLength)
  }

  /// Whether an entry points nowhere but into the segment and its footer's tables.
  func holds(_ entry: FooterEntry) -> Bool {
    Int(entry.producer) < producerCount && Int(entry.origin) < originCount
      && Int(entry.run) < textCount && Int(entry.label) < textCount
      && entry.stamp > 0 && entry.stamp < FormatLimits.stamp
      && entry.storedLength <= FormatLimits.payload && entry.objective?.isFinite ?? true
      && (RecordHeader.length(texts: 0)...RecordHeader.longest).contains(entry.headerLength)
      && entry.offset >= SegmentHeader.recordsStart(replaced: replacedCount)
      && entry.offset + UInt64(entry.recordLength) <= footerOffset
  }

  /// More than this the texts and the zeros behind them cannot take.
  private var longestTexts: Int {
    producerCount * (2 + FormatLimits.producer) + textCount * (2 + FormatLimits.label) + 8
  }

  package func encoded() -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(Self.length)
    bytes.append(littleEndian: Self.magic)
    bytes.append(littleEndian: FormatLimits.version)
    bytes.append(littleEndian: UInt16(0))
    bytes.append(littleEndian: UInt32(replacedCount))
    bytes.append(littleEndian: id.creation)
    bytes.append(littleEndian: id.random)
    bytes.append(littleEndian: salt)
    bytes.append(littleEndian: footerOffset)
    bytes.append(littleEndian: UInt64(bodyLength))
    for count in [recordCount, originCount, producerCount, textCount, removalCount, markCount] {
      bytes.append(littleEndian: UInt32(count))
    }
    for word in [oldestStamp, newestStamp, rawBytes, storedBytes] {
      bytes.append(littleEndian: word)
    }
    bytes.append(littleEndian: UInt64(0))
    bytes.append(littleEndian: tableChecksum)
    bytes.append(littleEndian: bytes.withUnsafeBytes(CRC32C.of))
    assert(bytes.count == Self.length)
    return bytes
  }

  package init(header: SegmentHeader, footerOffset: UInt64) {
    id = header.id
    salt = header.salt
    self.footerOffset = footerOffset
    replacedCount = header.replaced.count
  }

  /// The trailer of a file of `fileSize` bytes that is called after `id`.
  package init(decoding bytes: RawSpan, id: SegmentID, fileSize: UInt64) throws(FormatError) {
    guard bytes.byteCount == Self.length, bytes.u64(0) == Self.magic else {
      throw .malformed("no trailer")
    }
    var checksum = CRC32C()
    bytes.checksum(0..<124, into: &checksum)
    guard checksum.value == bytes.u32(124) else { throw .malformed("trailer checksum") }
    guard bytes.u16(8) == FormatLimits.version else {
      throw .laterFormat(version: bytes.u16(8), features: 0)
    }
    self.id = SegmentID(creation: bytes.u64(16), random: bytes.u64(24))
    salt = bytes.u64(32)
    footerOffset = bytes.u64(40)
    let body = bytes.u64(48)
    replacedCount = Int(bytes.u32(12))
    recordCount = Int(bytes.u32(56))
    originCount = Int(bytes.u32(60))
    producerCount = Int(bytes.u32(64))
    textCount = Int(bytes.u32(68))
    removalCount = Int(bytes.u32(72))
    markCount = Int(bytes.u32(76))
    oldestStamp = bytes.u64(80)
    newestStamp = bytes.u64(88)
    rawBytes = bytes.u64(96)
    storedBytes = bytes.u64(104)
    tableChecksum = bytes.u32(120)
    guard bytes.u16(10) == 0, bytes.u64(112) == 0 else { throw .malformed("trailer reserved bits") }
    guard self.id == id else { throw .malformed("trailer of another segment") }
    guard fileSize <= FormatLimits.file, footerOffset % 8 == 0, footerOffset <= fileSize,
      body <= fileSize - footerOffset, body % 8 == 0
    else { throw .malformed("trailer lengths") }
    bodyLength = Int(body)
    guard self.fileSize == fileSize, recordCount <= FormatLimits.records,
      replacedCount <= FormatLimits.replaced, originCount <= FormatLimits.tableEntries,
      producerCount <= FormatLimits.tableEntries, textCount <= 2 * FormatLimits.records + 1,
      textOffset <= bodyLength, bodyLength - textOffset < longestTexts, oldestStamp <= newestStamp,
      newestStamp < FormatLimits.stamp,
      storedBytes <= footerOffset, removalCount + markCount <= recordCount,
      rawBytes <= 255 * storedBytes + 64 * UInt64(recordCount),
      footerOffset >= UInt64(SegmentHeader.recordsStart(replaced: replacedCount))
    else { throw .malformed("trailer out of limits") }
  }
}

/// What the blocks of a footer are held against, itself held against the trailer.
package struct FooterChecksums: Sendable {
  private let trailer: FooterTrailer
  private let table: [UInt8]

  /// `table` is everything between the blocks and the trailer.
  package init(decoding table: [UInt8], trailer: FooterTrailer) throws(FormatError) {
    var checksum = CRC32C(seed: trailer.salt, trailer.footerOffset + UInt64(trailer.bodyLength))
    table.withUnsafeBytes { checksum.add($0) }
    guard table.count == trailer.tableLength, checksum.value == trailer.tableChecksum else {
      throw .malformed("checksums of the footer")
    }
    self.trailer = trailer
    self.table = table
  }

  /// Throws unless `bytes` are those of the block that was written.
  package func check(_ block: Int, _ bytes: RawSpan) throws(FormatError) {
    let start = UInt64(block * FooterTrailer.blockLength)
    var checksum = CRC32C(seed: trailer.salt, trailer.footerOffset + start)
    bytes.checksum(0..<bytes.byteCount, into: &checksum)
    guard checksum.value == table.span.bytes.u32(4 * block) else {
      throw .malformed("footer block \(block) of \(trailer.blockCount) checksum")
    }
  }
}

/// A footer whose every block passed its checksum.
package struct Footer: Sendable {
  package let trailer: FooterTrailer
  private let body: [UInt8]
  package let header: SegmentHeader
  package let origins: [SegmentID]
  package let producers: [String]
  private let textOffsets: [UInt32]

  /// `bytes` is everything from the footer's offset to the trailer.
  package init(decoding bytes: [UInt8], trailer: FooterTrailer) throws(FormatError) {
    self.trailer = trailer
    let span = bytes.span.bytes
    let bodyLength = trailer.bodyLength
    guard span.byteCount == bodyLength + trailer.tableLength else {
      throw .malformed("footer length")
    }
    let checksums = try FooterChecksums(decoding: Array(bytes[bodyLength...]), trailer: trailer)
    for block in 0..<trailer.blockCount {
      try checksums.check(block, span.extracting(trailer.range(ofBlock: block)))
    }
    header = try Self.header(
      span.extracting(trailer.headerOffset..<trailer.originOffset), trailer)
    origins = (0..<trailer.originCount).map {
      let at = trailer.originOffset + 16 * $0
      return SegmentID(creation: span.u64(at), random: span.u64(at + 8))
    }
    (producers, textOffsets) = try Self.texts(span, trailer)
    body = bytes
  }

  /// The segment header of which `copy` is the footer's copy.
  package static func header(
    _ copy: RawSpan, _ trailer: FooterTrailer
  ) throws(FormatError) -> SegmentHeader {
    var (header, replaced) = try SegmentHeader.decodeCopy(copy, id: trailer.id)
    guard header.salt == trailer.salt, replaced == trailer.replacedCount else {
      throw .malformed("segment header in the footer")
    }
    if replaced > 0 {
      header.replaced = try SegmentHeader.decodeReplaced(
        copy.extracting(SegmentHeader.copyLength..<copy.byteCount), count: replaced,
        salt: header.salt)
    }
    return header
  }

  private static func texts(
    _ bytes: RawSpan, _ trailer: FooterTrailer
  ) throws(FormatError) -> (producers: [String], offsets: [UInt32]) {
    var at = trailer.textOffset
    var producers: [String] = []
    var offsets: [UInt32] = []
    offsets.reserveCapacity(trailer.textCount)
    for index in 0..<trailer.producerCount + trailer.textCount {
      guard at + 2 <= trailer.bodyLength else { throw .malformed("texts of the footer") }
      let length = Int(bytes.u16(at))
      guard at + 2 + length <= trailer.bodyLength else { throw .malformed("texts of the footer") }
      if index < trailer.producerCount {
        guard let text = bytes.text(at + 2..<at + 2 + length) else {
          throw .malformed("producer is not UTF-8")
        }
        producers.append(text)
      } else {
        offsets.append(UInt32(at))
      }
      at += 2 + length
    }
    guard bytes.isZero(at..<trailer.bodyLength), trailer.bodyLength - at < 8 else {
      throw .malformed("footer padding")
    }
    return (producers, offsets)
  }

  /// The number of records.
  package var count: Int { trailer.recordCount }

  /// The entry of one record, in the order of the keys; nil if it points outside of its tables.
  package func entry(_ index: Int) -> FooterEntry? {
    precondition(index < count)
    let span = body.span.bytes
    let entry = FooterEntry(
      index: span, at: index * FooterEntry.indexLength,
      detail: span, at: trailer.detailOffset + index * FooterEntry.detailLength)
    guard trailer.holds(entry) else { return nil }
    return entry
  }

  /// The record's header as it was, but for how far the log was synced; checked like a header that
  /// was read from its own place.
  package func header(of entry: FooterEntry) throws(FormatError) -> RecordHeader {
    guard let kind = RecordKind(rawValue: entry.kind), let codec = Codec(rawValue: entry.codec)
    else {
      throw .malformed("kind or codec in the footer")
    }
    var header = RecordHeader(
      kind: kind, stamp: entry.stamp, writeTime: entry.writeTime,
      origin: Origin(segment: origins[Int(entry.origin)], number: entry.originNumber),
      key: entry.key, number: entry.number)
    header.codec = codec
    header.objective = entry.objective
    guard entry.flags & ~FooterEntry.hasIteration == 0,
      entry.flags & FooterEntry.hasIteration != 0 || entry.iteration == 0
    else { throw .malformed("flags in the footer") }
    if entry.flags & FooterEntry.hasIteration != 0 { header.iteration = entry.iteration }
    header.runID = try text(entry.run)
    header.label = try text(entry.label)
    header.producer = producers[Int(entry.producer)]
    header.rawLength = Int(entry.rawLength)
    header.storedLength = Int(entry.storedLength)
    header.rawChecksum = entry.rawChecksum
    header.storedChecksum = entry.storedChecksum
    guard header.length == entry.headerLength else {
      throw .malformed("header length in the footer")
    }
    try header.check()
    return header
  }

  private func text(_ index: UInt32) throws(FormatError) -> String {
    let span = body.span.bytes
    let at = Int(textOffsets[Int(index)])
    guard let text = span.text(at + 2..<at + 2 + Int(span.u16(at))) else {
      throw .malformed("text in the footer is not UTF-8")
    }
    return text
  }

  /// The entries of one key, found by binary search.
  package func entries(of key: Fingerprint) -> [FooterEntry] {
    let span = body.span.bytes
    var low = 0
    var high = count
    while low < high {
      let middle = (low + high) / 2
      if span.fingerprint(middle * FooterEntry.indexLength) < key {
        low = middle + 1
      } else {
        high = middle
      }
    }
    var found: [FooterEntry] = []
    while low < count, span.fingerprint(low * FooterEntry.indexLength) == key {
      if let entry = entry(low) { found.append(entry) }
      low += 1
    }
    return found
  }
}
