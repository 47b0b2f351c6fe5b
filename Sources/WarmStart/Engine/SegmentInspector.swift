// Verifies one segment: both copies of every header, every checksum, and that they agree.

/// Verifies one segment. For one thread.
final class SegmentInspector {
  private let file: any File
  private let name: SegmentName
  private let reader: SegmentReader
  private let payloads: PayloadInspector?

  private(set) var damage: [Damage] = []
  /// Records whose payloads are not what was written.
  private(set) var damagedRecords: [(header: RecordHeader, offset: UInt64)] = []
  private(set) var recordCount = 0
  private(set) var fileSize: UInt64 = 0
  private(set) var isTorn = false
  /// No copy of the segment's header is intact.
  private(set) var isLost = false

  /// Damaged places of one segment that are told of one by one.
  private static let damageLimit = 10_000

  /// `progress` hears of the bytes of payloads that were read.
  init(
    file: any File, name: SegmentName, depth: Engine.Depth,
    progress: @escaping (Int) -> Void = { _ in }
  ) {
    self.file = file
    self.name = name
    reader = SegmentReader(file: file, id: name.id)
    payloads = depth == .payloads ? PayloadInspector(file, progress: progress) : nil
  }

  func run() throws(StoreError) {
    // The lock first: once it was seen to be free, nothing is added any more.
    let life = try life()
    let size = try StoreError.wrapping { () throws(FileError) in try file.size() }
    fileSize = min(size, FormatLimits.file)
    if size > fileSize {
      note(
        fileSize, size - fileSize, "the file is longer than a segment can be", effect: .nothingLost)
    }
    let (footer, footerDamage) =
      name.phase == .sealed ? try reader.footer(fileSize: fileSize) : (nil, nil)
    let head = try reader.head(footer: footer)
    guard let header = head.header else {
      return try noteMissing([footerDamage].compactMap(\.self) + head.damage)
    }
    head.damage.forEach(noteRedundant)
    if let footer, footer.header != header {
      note(
        0, UInt64(SegmentHeader.fixedLength), "segment header differs from its copy in the footer",
        effect: .nothingLost)
    }
    if payloads != nil { file.willRead(0..<fileSize) }
    let end: UInt64
    if let footer { end = footer.trailer.footerOffset } else { end = try recordsEnd() }
    let scanner = SegmentScanner(file: file, salt: header.salt, end: end)
    let replay = try StoreError.wrapping { () throws(FileError) in
      try Replay.run(scanner, from: header.recordsStart, life: life, syncedBytes: 0)
    }
    isTorn = !replay.torn.isEmpty
    recordCount = replay.records.count
    let badPlaces = badPlaces(replay, footer)
    // A file that was cut may have had more records.
    var hasAllRecords = try recordsEnd() < fileSize
    for place in badPlaces where try note(place, footer, header, end: end) { hasAllRecords = true }
    if let footerDamage {
      note(footerDamage.with(effect: hasAllRecords ? .nothingLost : .unknownLost))
    }
    if let footer { compare(replay, footer) }
    for record in replay.records { try inspect(record.header, at: record.offset) }
    if let footer { for place in badPlaces { try inspect(place, footer) } }
  }

  // MARK: Bad places

  /// Bytes that should be records, and the headers that the footer has of those.
  private struct BadPlace {
    var gap: Replay.Gap
    var spares: [(header: RecordHeader, offset: UInt64)] = []
  }

  private func badPlaces(_ replay: Replay, _ footer: Footer?) -> [BadPlace] {
    var places = replay.damage.map { BadPlace(gap: $0) }
    guard let footer, !places.isEmpty else { return places }
    for number in 0..<footer.count {
      guard let entry = footer.entry(number), let index = replay.damage.index(of: entry.offset),
        let header = try? footer.header(of: entry)
      else { continue }
      places[index].spares.append((header, entry.offset))
    }
    for index in places.indices { places[index].spares.sort { $0.offset < $1.offset } }
    return places
  }

  /// Gives whether the place is a footer, so that all records stand before it.
  private func note(
    _ place: BadPlace, _ footer: Footer?, _ header: SegmentHeader, end: UInt64
  ) throws(StoreError) -> Bool {
    let gap = place.gap
    let length = gap.range.upperBound - gap.range.lowerBound
    if footer == nil, gap.range.upperBound == end, try isFooter(at: gap.range.lowerBound, header) {
      note(gap.range.lowerBound, length, "damaged footer", effect: .nothingLost)
      return true
    }
    // Its payload is looked at for itself.
    note(
      gap.range.lowerBound, length,
      place.spares.isEmpty ? gap.what : gap.what + "; read by the footer",
      of: place.spares.count == 1 ? place.spares[0].header : nil,
      effect: footer == nil ? .unknownLost : .nothingLost)
    return false
  }

  /// Whether the body of a footer begins there, of as many records as were found.
  private func isFooter(at offset: UInt64, _ header: SegmentHeader) throws(StoreError) -> Bool {
    guard name.phase == .sealed else { return false }
    let at = offset + UInt64(recordCount * (FooterEntry.indexLength + FooterEntry.detailLength))
    let bytes = try StoreError.wrapping { () throws(FileError) in
      try file.read(SegmentHeader.copyLength, at: at)
    }
    guard let bytes,
      let copy = try? SegmentHeader.decodeCopy(
        bytes.span.bytes.extracting(0..<bytes.count), id: name.id)
    else { return false }
    return copy.header.salt == header.salt
  }

  private func inspect(_ place: BadPlace, _ footer: Footer) throws(StoreError) {
    var end = place.gap.range.lowerBound
    for spare in place.spares {
      let recordEnd = spare.offset + UInt64(spare.header.recordLength)
      // What overlaps would be read again and again.
      guard spare.offset >= end, recordEnd <= place.gap.range.upperBound else {
        noteFooter(footer, "names records that overlap at \(spare.offset)")
        continue
      }
      try inspect(spare.header, at: spare.offset)
      end = recordEnd
    }
  }

  private func life() throws(StoreError) -> Replay.Life {
    guard name.phase == .log else { return .sealed }
    return try StoreError.wrapping { () throws(FileError) in
      guard try file.tryLock(.shared) else { return .live }
      try file.unlock()
      return .dead
    }
  }

  private func recordsEnd() throws(StoreError) -> UInt64 {
    guard name.phase == .sealed else { return fileSize }
    return try reader.trailer(fileSize: fileSize).trailer?.footerOffset ?? fileSize
  }

  /// No copy of the header is intact. Of a log without a head it never was on stable storage.
  private func noteMissing(_ found: [Damage]) throws(StoreError) {
    let isHeadless = try StoreError.wrapping { () throws(FileError) in
      try reader.isHeadless(fileSize: fileSize)
    }
    if name.phase == .log, isHeadless {
      isTorn = fileSize > 0
    } else {
      isLost = true
      for damage in found { note(damage.with(effect: .segmentLost)) }
    }
  }

  // MARK: Footer against records

  private func compare(_ replay: Replay, _ footer: Footer) {
    var entries: [UInt64: FooterEntry] = [:]
    var previous: FooterEntry?
    for index in 0..<footer.count {
      guard let entry = footer.entry(index) else {
        noteFooter(footer, "entry \(index) is out of limits")
        continue
      }
      if let previous, (entry.key, entry.offset) <= (previous.key, previous.offset) {
        noteFooter(footer, "entry \(index) is out of order")
      }
      previous = entry
      entries[entry.offset] = entry
    }
    for record in replay.records {
      guard let entry = entries.removeValue(forKey: record.offset) else {
        note(
          record.offset, record.length, "record is missing in the footer", of: record.header,
          effect: record.header.kind.isEntry ? .entryLost : .nothingLost)
        continue
      }
      var header = record.header
      header.syncedBytes = 0
      if !((try? footer.header(of: entry))?.isIdentical(to: header) ?? false)
        || entry.writeSecondsDisagree
      {
        note(
          record.offset, record.length, "header and footer disagree", of: header,
          effect: .nothingLost)
      }
    }
    // Where the header of a record in the footer is damaged, the replay told of the gap already.
    for entry in entries.values
    where replay.damage.index(of: entry.offset) == nil {
      noteFooter(footer, "names a record at \(entry.offset) that is not there")
    }
    if replay.damage.isEmpty { compareCounts(replay, footer) }
  }

  private func compareCounts(_ replay: Replay, _ footer: Footer) {
    var expected = footer.trailer
    expected.recordCount = replay.records.count
    (expected.removalCount, expected.markCount) = (0, 0)
    (expected.rawBytes, expected.storedBytes) = (0, 0)
    (expected.oldestStamp, expected.newestStamp) = (replay.records.isEmpty ? 0 : .max, 0)
    for header in replay.records.lazy.map(\.header) {
      expected.removalCount += header.kind == .removal ? 1 : 0
      expected.markCount += header.kind == .accessMark ? 1 : 0
      expected.oldestStamp = min(expected.oldestStamp, header.stamp)
      expected.newestStamp = max(expected.newestStamp, header.stamp)
      expected.rawBytes += UInt64(header.rawLength)
      expected.storedBytes += UInt64(header.storedLength)
    }
    if expected != footer.trailer { noteFooter(footer, "counts differ from the records") }
    let misnumbered = replay.records.enumerated().first { $1.header.number != UInt32($0) }
    if let (number, record) = misnumbered {
      noteFooter(footer, "record \(number) is numbered \(record.header.number)")
    }
  }

  // MARK: Payloads

  private func inspect(_ header: RecordHeader, at offset: UInt64) throws(StoreError) {
    guard let payloads else { return }
    let fault = try StoreError.wrapping { () throws(FileError) in
      try payloads.fault(of: header, at: offset)
    }
    let length = UInt64(header.recordLength)
    switch fault {
    case .lost(let what):
      note(
        offset, length, what, of: header, effect: header.kind.isEntry ? .entryLost : .nothingLost)
      damagedRecords.append((header, offset))
    case .harmless(let what): note(offset, length, what, of: header, effect: .nothingLost)
    case nil: return
    }
  }

  // MARK: Notes

  private func note(_ found: Damage?) {
    guard let found, damage.count <= Self.damageLimit else { return }
    guard damage.count < Self.damageLimit else {
      damage.append(
        Damage(
          segment: found.segment, offset: found.offset, length: 0,
          what: "and more places, here and in others, that are not told one by one",
          effect: .unknownLost))
      return
    }
    damage.append(found)
  }

  /// Of what stands there is another copy.
  private func noteRedundant(_ found: Damage?) { note(found?.with(effect: .nothingLost)) }

  private func note(
    _ offset: UInt64, _ length: UInt64, _ what: String, of header: RecordHeader? = nil,
    effect: Damage.Effect
  ) {
    let run = header?.runID ?? ""
    note(
      Damage(
        segment: name.description, offset: offset, length: length, what: what, key: header?.key,
        run: run.isEmpty ? nil : run, effect: effect))
  }

  private func noteFooter(_ footer: Footer, _ what: String) {
    let offset = footer.trailer.footerOffset
    note(
      offset, footer.trailer.fileSize - offset, "footer: \(what)", effect: .nothingLost)
  }
}

extension FooterEntry {
  fileprivate var writeSecondsDisagree: Bool {
    writeSeconds != UInt32(clamping: writeTime / 1_000_000_000)
  }
}

extension [Replay.Gap] {
  /// Which of the gaps, which are in the order of the file, has the byte.
  fileprivate func index(of offset: UInt64) -> Int? {
    var (low, high) = (0, count)
    while low < high {
      let middle = (low + high) / 2
      if self[middle].range.upperBound <= offset { low = middle + 1 } else { high = middle }
    }
    return low < count && self[low].range.contains(offset) ? low : nil
  }
}
