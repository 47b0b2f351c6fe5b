// Verifies one segment: both copies of every header, every checksum, and that they agree.

/// Verifies one segment. For one thread.
final class SegmentInspector {
  private let file: any File
  private let name: SegmentName
  private let depth: Engine.Depth
  private let reader: SegmentReader
  private let window: ReadWindow
  private let payloads: PayloadInspector

  private(set) var damage: [Damage] = []
  /// Records whose payloads are not what was written.
  private(set) var damagedRecords: [(header: RecordHeader, offset: UInt64)] = []
  private(set) var recordCount = 0
  private(set) var fileSize: UInt64 = 0
  private(set) var isTorn = false
  /// No copy of the segment's header is intact.
  private(set) var isLost = false
  /// Why the first of the payloads that could not be read was not.
  private var unread: FileError?

  /// Damaged places of one segment that are told of one by one.
  private static let damageLimit = 10_000
  // Places beyond those, and the worst that they mean.
  private var untold = 0
  private var worstUntold = Damage.Effect.nothingLost

  /// `progress` hears of the bytes of payloads that were read.
  init(
    file: any File, name: SegmentName, depth: Engine.Depth,
    progress: @escaping (Int) -> Void = { _ in }
  ) {
    self.file = file
    self.name = name
    self.depth = depth
    reader = SegmentReader(file: file, id: name.id)
    window = ReadWindow(file)
    payloads = PayloadInspector(window, progress: progress)
  }

  func run() throws(StoreError) {
    defer { noteUntold() }
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
    let head = try reader.head(spare: footer?.header)
    guard let header = head.header else {
      return try noteMissing([footerDamage].compactMap(\.self) + head.damage)
    }
    head.damage.forEach(noteRedundant)
    if let footer, footer.header != header {
      note(
        0, UInt64(SegmentHeader.fixedLength), "segment header differs from its copy in the footer",
        effect: .nothingLost)
    }
    if depth == .payloads { file.willRead(0..<fileSize) }
    let end: UInt64
    if let footer { end = footer.trailer.footerOffset } else { end = try recordsEnd() }
    var comparison = footer.map { FooterComparison($0) }
    let (replay, isInspected) = try StoreError.wrapping { () throws(FileError) in
      try self.replay(header, life, end: end, &comparison)
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
    try StoreError.wrapping { () throws(FileError) in
      if !isInspected { try inspect(replay, life, &comparison, salt: header.salt) }
      guard let footer, let comparison else { return }
      // Where the header of a record in the footer is damaged, the replay told of the gap already.
      for problem in comparison.problems(besides: replay.damage) { noteFooter(footer, problem) }
      for place in badPlaces { try inspect(place, footer) }
    }
    if let unread { throw .file(unread) }
  }

  // MARK: Records

  /// The records. What was sealed is read once, headers and payloads together, and so inspected at once; of a log it
  /// is not known before the end what counts.
  private func replay(
    _ header: SegmentHeader, _ life: SegmentLife, end: UInt64,
    _ comparison: inout FooterComparison?
  ) throws(FileError) -> (Replay<RecordExtent>, isInspected: Bool) {
    let isInspected = depth == .payloads && life == .sealed
    let scanner = SegmentScanner(
      file: file, salt: header.salt, end: end, shared: isInspected ? window : nil)
    let replay = try Replay<RecordExtent>.run(
      scanner, from: header.recordsStart, life: life, syncedBytes: 0
    ) { record throws(FileError) in
      guard isInspected else { return }
      try inspect(record.header, at: record.offset, &comparison)
    }
    return (replay, isInspected)
  }

  /// Every record, one after the other: of all of them together only where they are is held.
  private func inspect(
    _ replay: Replay<RecordExtent>, _ life: SegmentLife, _ comparison: inout FooterComparison?,
    salt: UInt64
  ) throws(FileError) {
    for record in replay.records {
      // Some file systems take back what could not be synced.
      let mayBeTakenBack = life == .live && record.end > replay.syncedBytes
      guard let header = try header(of: record, salt: salt) else {
        let spare = comparison?.take(at: record.offset)
        if mayBeTakenBack {
          isTorn = true
        } else {
          note(
            record.offset, record.length, "record header, which was intact a moment ago", of: spare,
            effect: spare == nil ? .unknownLost : .nothingLost)
        }
        if let spare { try inspect(spare, at: record.offset) }
        continue
      }
      try inspect(header, at: record.offset, &comparison, mayBeTakenBack: mayBeTakenBack)
    }
  }

  /// One record: whether the footer says the same, and its payload.
  private func inspect(
    _ header: RecordHeader, at offset: UInt64, _ comparison: inout FooterComparison?,
    mayBeTakenBack: Bool = false
  ) throws(FileError) {
    let length = UInt64(header.recordLength)
    switch comparison?.take(header, at: offset) {
    case .missing:
      note(
        offset, length, "record is missing in the footer", of: header,
        effect: header.kind.isEntry ? .entryLost : .nothingLost)
    case .different(let hidesIt):
      note(
        offset, length, "header and footer disagree", of: header,
        effect: hidesIt && header.kind.isEntry ? .entryLost : .nothingLost)
    case .same, nil: break
    }
    try inspect(header, at: offset, mayBeTakenBack: mayBeTakenBack)
  }

  /// The header of a record that a replay found; nil if it is not intact any more.
  private func header(of record: RecordExtent, salt: UInt64) throws(FileError) -> RecordHeader? {
    // Where payloads are skipped no more is read than a few headers.
    let ahead = depth == .payloads ? ReadWindow.length : 4096
    guard let bytes = try window.bytes(record.headerLength, at: record.offset, ahead: ahead) else {
      return nil
    }
    return try? RecordHeader.decode(bytes.bytes, offset: record.offset, salt: salt)
  }

  // MARK: Bad places

  /// Bytes that should be records, and the headers that the footer has of those.
  private struct BadPlace {
    var gap: ReplayGap
    var spares: [(header: RecordHeader, offset: UInt64)] = []
  }

  private func badPlaces(_ replay: Replay<RecordExtent>, _ footer: Footer?) -> [BadPlace] {
    let damage = replay.damage
    var places = damage.map { BadPlace(gap: $0) }
    guard let footer, !places.isEmpty else { return places }
    // Of very many gaps the last has records between.
    let found = damage.count < ReplayGap.limit ? [] : Set(replay.records.map(\.offset))
    for number in 0..<footer.count {
      guard let entry = footer.entry(number), let index = damage.index(of: entry.offset),
        !found.contains(entry.offset), let header = try? footer.header(of: entry)
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
    // Of records that the footer knows each is told of with its payload.
    if place.spares.isEmpty {
      note(
        gap.range.lowerBound, length, gap.what,
        effect: footer == nil ? .unknownLost : .nothingLost)
    }
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

  private func inspect(_ place: BadPlace, _ footer: Footer) throws(FileError) {
    guard !place.spares.isEmpty else { return }
    let (what, gap) = (place.gap.what, place.gap.range)
    var end = gap.lowerBound
    for (header, offset) in place.spares {
      let recordEnd = offset + UInt64(header.recordLength)
      // What overlaps would be read again and again.
      guard offset >= end, recordEnd <= gap.upperBound else {
        noteFooter(footer, "names records that overlap at \(offset)")
        continue
      }
      if offset > end { note(end, offset - end, what, effect: .nothingLost) }
      let told = damage.count + untold
      try inspect(header, at: offset)
      if damage.count + untold == told {
        note(
          offset, UInt64(header.recordLength), what + "; read by the footer", of: header,
          effect: .nothingLost)
      }
      end = recordEnd
    }
    if end < gap.upperBound { note(end, gap.upperBound - end, what, effect: .nothingLost) }
  }

  private func life() throws(StoreError) -> SegmentLife {
    guard name.phase == .log else { return .sealed }
    return try StoreError.wrapping { () throws(FileError) in
      do throws(FileError) {
        guard try file.tryLock(.shared) else { return .live }
      } catch {
        // Without locks nobody can tell; then it is read as one that is still written.
        guard error.isWithoutLocks else { throw error }
        return .live
      }
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

  // MARK: Payloads

  private func inspect(
    _ header: RecordHeader, at offset: UInt64, mayBeTakenBack: Bool = false
  ) throws(FileError) {
    guard depth == .payloads else { return }
    let fault: PayloadInspector.Fault?
    do throws(FileError) { fault = try payloads.fault(of: header, at: offset) } catch {
      // That the disk refuses this one is no reason not to look at the others.
      guard error.isDiskError else { throw error }
      unread = unread ?? error
      return
    }
    let length = UInt64(header.recordLength)
    switch fault {
    case .lost where mayBeTakenBack: isTorn = true
    case .lost(let what), .unfaithful(let what):
      note(
        offset, length, what, of: header, effect: header.kind.isEntry ? .entryLost : .nothingLost)
      damagedRecords.append((header, offset))
    case .harmless(let what): note(offset, length, what, of: header, effect: .nothingLost)
    case nil: return
    }
  }

  // MARK: Notes

  private func note(_ found: Damage?) {
    guard let found else { return }
    guard damage.count < Self.damageLimit else {
      untold += 1
      if let effect = found.effect, effect.isWorse(than: worstUntold) { worstUntold = effect }
      return
    }
    damage.append(found)
  }

  private func noteUntold() {
    guard untold > 0, let last = damage.last else { return }
    damage.append(
      Damage(
        segment: last.segment, offset: max(fileSize, last.offset), length: 0,
        what: "and \(untold) more places, which are not told one by one",
        effect: worstUntold))
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
