// Collects what the footer of a segment will say while its records are written.

package struct FooterBuilder {
  private var entries = Entries()
  private var origins = Table<SegmentID>()
  private var producers = Table<ExactText>()
  private var texts = Table<ExactText>()
  private var removalCount = 0
  private var markCount = 0
  private var oldestStamp = UInt64.max
  private var newestStamp: UInt64 = 0
  private var rawBytes: UInt64 = 0
  private var storedBytes: UInt64 = 0
  /// Bytes of all texts, were each different.
  private var textBytes = 0
  // What the record before had, which the next one mostly has as well.
  private var (lastProducer, lastRun, lastLabel, lastOrigin) = (0, 0, 0, 0)

  /// Values by number, each once.
  private struct Table<Value: Hashable> {
    var values: [Value] = []
    private var numbers: [Value: Int] = [:]

    /// The number of the value, which is `likely` that one; it is noted there.
    mutating func number(of value: Value, _ likely: inout Int) -> Int {
      if likely < values.count, values[likely] == value { return likely }
      if let number = numbers[value] {
        likely = number
      } else {
        likely = values.count
        numbers[value] = values.count
        values.append(value)
      }
      return likely
    }
  }

  /// Entries in the order of arrival, in pieces: an array of so many that doubles again and again copies all of them each
  /// time, to memory that nobody has touched yet.
  private struct Entries {
    private var full: [[FooterEntry]] = []
    private var last: [FooterEntry] = []
    private(set) var count = 0

    private static let pieceLength = 1024

    mutating func append(_ entry: FooterEntry) {
      if last.count == Self.pieceLength {
        full.append(last)
        last = []
        last.reserveCapacity(Self.pieceLength)
      }
      last.append(entry)
      count += 1
    }

    subscript(_ index: Int) -> FooterEntry {
      let (piece, place) = index.quotientAndRemainder(dividingBy: Self.pieceLength)
      return piece < full.count ? full[piece][place] : last[place]
    }
  }

  package init() {}

  package var count: Int { entries.count }

  /// What was noted of the record of this number.
  package subscript(_ number: Int) -> FooterEntry { entries[number] }

  /// Whether `more` records would leave the limits of one segment.
  package func isFull(adding more: Int) -> Bool {
    entries.count + more > FormatLimits.records
      || max(origins.values.count, producers.values.count) + more > FormatLimits.tableEntries
  }

  /// Notes a record that stands at `offset`.
  package mutating func add(_ header: RecordHeader, at offset: UInt64) {
    entries.append(
      FooterEntry(
        header, offset: offset,
        producer: UInt16(producers.number(of: ExactText(header.producer), &lastProducer)),
        run: UInt32(texts.number(of: ExactText(header.runID), &lastRun)),
        label: UInt32(texts.number(of: ExactText(header.label), &lastLabel)),
        origin: UInt16(origins.number(of: header.origin.segment, &lastOrigin))))
    if header.kind == .removal { removalCount += 1 }
    if header.kind == .accessMark { markCount += 1 }
    oldestStamp = min(oldestStamp, header.stamp)
    newestStamp = max(newestStamp, header.stamp)
    rawBytes += UInt64(header.rawLength)
    storedBytes += UInt64(header.storedLength)
    textBytes += header.length - RecordHeader.length(texts: 0)
  }

  /// Bytes that the footer has at most with `more` records, whose texts have `texts` bytes.
  package func longestLength(adding more: Int, texts: Int) -> Int {
    let entry = FooterEntry.indexLength + FooterEntry.detailLength
    let body =
      (entries.count + more) * (entry + Self.textOverhead) + textBytes + texts
      + (origins.values.count + more) * Self.originLength
    // A checksum of 4 bytes for every block, the header, and what ends it.
    return body + body / FooterTrailer.blockLength * 4 + 1024
  }

  /// Two lengths of texts, and up to eight bytes that a header is rounded up by.
  private static let textOverhead = 14
  private static let originLength = 16

  /// Everything from the end of the records to the end of the file.
  package func encoded(header: SegmentHeader, footerOffset: UInt64) -> [UInt8] {
    var trailer = FooterTrailer(header: header, footerOffset: footerOffset)
    trailer.recordCount = entries.count
    trailer.originCount = origins.values.count
    trailer.producerCount = producers.values.count
    trailer.textCount = texts.values.count
    trailer.removalCount = removalCount
    trailer.markCount = markCount
    trailer.oldestStamp = entries.count == 0 ? 0 : oldestStamp
    trailer.newestStamp = newestStamp
    trailer.rawBytes = rawBytes
    trailer.storedBytes = storedBytes
    var bytes = columns(trailer)
    bytes += header.encodedCopy() + header.encodedReplaced()
    for origin in origins.values {
      bytes.append(littleEndian: origin.creation)
      bytes.append(littleEndian: origin.random)
    }
    for text in producers.values + texts.values {
      bytes.append(littleEndian: UInt16(text.text.utf8.count))
      bytes.append(contentsOf: text.text.utf8)
    }
    bytes.pad(toMultipleOf: 8)
    trailer.bodyLength = bytes.count
    Self.appendBlockChecksums(&bytes, salt: header.salt, footerOffset: footerOffset)
    var table = CRC32C(seed: header.salt, footerOffset + UInt64(trailer.bodyLength))
    bytes.withUnsafeBytes { table.add(UnsafeRawBufferPointer(rebasing: $0[trailer.bodyLength...])) }
    trailer.tableChecksum = table.value
    bytes += trailer.encoded()
    return bytes
  }

  /// With room behind them for the rest of the footer.
  private func columns(_ trailer: FooterTrailer) -> [UInt8] {
    let order = order
    return [UInt8](roomFor: longestLength(adding: 0, texts: 0)) { buffer, initialized in
      let bytes = UnsafeMutableRawBufferPointer(buffer)
      for (place, entry) in order.enumerated() {
        let entry = entries[Int(entry.index)]
        entry.encodeIndex(to: bytes, at: place * FooterEntry.indexLength)
        entry.encodeDetail(to: bytes, at: trailer.detailOffset + place * FooterEntry.detailLength)
      }
      initialized = trailer.headerOffset
    }
  }

  /// The entries by their keys and places. What is sorted is small, so that it stays in the processor's caches.
  private var order: [(start: UInt64, index: UInt32)] {
    var order = (0..<entries.count).map {
      (start: entries[$0].key.words.0, index: UInt32($0))
    }
    order.sort { left, right in
      if left.start != right.start { return left.start < right.start }
      let (one, other) = (entries[Int(left.index)], entries[Int(right.index)])
      return (one.key, one.offsetUnits) < (other.key, other.offsetUnits)
    }
    return order
  }

  private static func appendBlockChecksums(
    _ body: inout [UInt8], salt: UInt64, footerOffset: UInt64
  ) {
    let length = body.count
    for start in stride(from: 0, to: length, by: FooterTrailer.blockLength) {
      let end = min(start + FooterTrailer.blockLength, length)
      var checksum = CRC32C(seed: salt, footerOffset + UInt64(start))
      body.withUnsafeBytes { checksum.add(UnsafeRawBufferPointer(rebasing: $0[start..<end])) }
      body.append(littleEndian: checksum.value)
    }
    body.pad(toMultipleOf: 8)
  }
}
