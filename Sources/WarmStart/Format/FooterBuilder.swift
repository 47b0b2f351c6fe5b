// Collects what the footer of a segment will say while its records are written.

package struct FooterBuilder {
  private var entries: [FooterEntry] = []
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

  /// Values by number, each once.
  private struct Table<Value: Hashable> {
    var values: [Value] = []
    private var numbers: [Value: Int] = [:]

    mutating func number(of value: Value) -> Int {
      if let last = values.last, last == value { return values.count - 1 }
      if let number = numbers[value] { return number }
      numbers[value] = values.count
      values.append(value)
      return values.count - 1
    }
  }

  package init() {}

  package var count: Int { entries.count }

  /// Whether `more` records would leave the limits of one segment.
  package func isFull(adding more: Int) -> Bool {
    entries.count + more > FormatLimits.records
      || max(origins.values.count, producers.values.count) + more > FormatLimits.tableEntries
  }

  /// Notes a record that stands at `offset`.
  package mutating func add(_ header: RecordHeader, at offset: UInt64) {
    entries.append(
      FooterEntry(
        header, offset: offset, producer: UInt16(producers.number(of: ExactText(header.producer))),
        run: UInt32(texts.number(of: ExactText(header.runID))),
        label: UInt32(texts.number(of: ExactText(header.label))),
        origin: UInt16(origins.number(of: header.origin.segment))))
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
    trailer.oldestStamp = entries.isEmpty ? 0 : oldestStamp
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
    bytes += Self.blockChecksums(bytes, salt: header.salt, footerOffset: footerOffset)
    var table = CRC32C(seed: header.salt, footerOffset + UInt64(trailer.bodyLength))
    bytes.withUnsafeBytes { table.add(UnsafeRawBufferPointer(rebasing: $0[trailer.bodyLength...])) }
    trailer.tableChecksum = table.value
    return bytes + trailer.encoded()
  }

  private func columns(_ trailer: FooterTrailer) -> [UInt8] {
    let order = entries.indices.sorted {
      (entries[$0].key, entries[$0].offsetUnits) < (entries[$1].key, entries[$1].offsetUnits)
    }
    return [UInt8](roomFor: trailer.headerOffset) { buffer, initialized in
      let bytes = UnsafeMutableRawBufferPointer(buffer)
      for (place, index) in order.enumerated() {
        entries[index].encodeIndex(to: bytes, at: place * FooterEntry.indexLength)
        entries[index].encodeDetail(
          to: bytes, at: trailer.detailOffset + place * FooterEntry.detailLength)
      }
      initialized = trailer.headerOffset
    }
  }

  private static func blockChecksums(
    _ body: [UInt8], salt: UInt64, footerOffset: UInt64
  ) -> [UInt8] {
    var table: [UInt8] = []
    for start in stride(from: 0, to: body.count, by: FooterTrailer.blockLength) {
      let end = min(start + FooterTrailer.blockLength, body.count)
      var checksum = CRC32C(seed: salt, footerOffset + UInt64(start))
      body.withUnsafeBytes { checksum.add(UnsafeRawBufferPointer(rebasing: $0[start..<end])) }
      table.append(littleEndian: checksum.value)
    }
    table.pad(toMultipleOf: 8)
    return table
  }
}
