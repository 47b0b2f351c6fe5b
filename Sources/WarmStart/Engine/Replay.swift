// Replays a segment: its records, and what the bad places between them mean.
//
// After a bad place the scan goes on at the next intact header, so that one place never hides what
// stands behind it. Whether the place is damage depends on what was known to be on stable storage:
// in a log, a later record says how far that was. Beyond it a crash may have torn anything, which is
// no damage, and a record counts only once its payload's checksum has passed.

/// What a replay remembers of a record.
protocol ReplayedRecord {
  init(_ record: FoundRecord)
  /// Where it begins.
  var offset: UInt64 { get }
  /// Where it ends.
  var end: UInt64 { get }
  var headerLength: Int { get }
  var storedLength: Int { get }
  var storedChecksum: UInt32 { get }
}

extension FoundRecord: ReplayedRecord {
  init(_ record: FoundRecord) { self = record }

  var headerLength: Int { header.length }
  var storedLength: Int { header.storedLength }
  var storedChecksum: UInt32 { header.storedChecksum }
}

/// Where a record is, and no more: of very many records little is held.
struct RecordExtent: ReplayedRecord {
  var offset: UInt64
  private var stored: UInt32
  private var headerUnits: UInt16
  var storedChecksum: UInt32

  init(_ record: FoundRecord) {
    offset = record.offset
    stored = UInt32(record.header.storedLength)
    headerUnits = UInt16(record.header.length / 8)
    storedChecksum = record.header.storedChecksum
  }

  var headerLength: Int { Int(headerUnits) * 8 }
  var storedLength: Int { Int(stored) }
  var length: UInt64 { UInt64(headerLength + storedLength.aligned(to: 8)) }
  var end: UInt64 { offset + length }
}

/// Bytes that should be records and are not.
struct ReplayGap {
  var range: Range<UInt64>
  var what: String
  /// No crash does that, wherever it is.
  var isNoTear = false

  /// Gaps of one segment that are told of one by one; the last one goes on to the end.
  static let limit = 10_000
}

extension [ReplayGap] {
  /// Adds a gap behind the others.
  fileprivate mutating func add(_ gap: ReplayGap) {
    guard count >= ReplayGap.limit, let last else { return append(gap) }
    self[count - 1].range = last.range.lowerBound..<gap.range.upperBound
    self[count - 1].what = "very many bad places"
  }
}

/// Whose segment it is decides about its end.
enum SegmentLife {
  /// Its writer lives: a record that is half there is not there yet.
  case live
  /// A log that nobody writes any more.
  case dead
  /// Sealed: everything in it was on stable storage.
  case sealed
}

/// What a replay found.
struct Replay<Record: ReplayedRecord> {
  typealias Gap = ReplayGap

  /// In the order of the file.
  var records: [Record] = []
  /// Bytes that should be records and are not.
  var damage: [Gap] = []
  /// The same beyond what was known to be on stable storage: the torn tail of a crash.
  var torn: [Gap] = []
  /// Where the next record will begin, if the log is still being written.
  var tail: UInt64
  /// How far the log was known to be on stable storage, bytes.
  var syncedBytes: UInt64

  /// Replays `scanner` from `start`; `syncedBytes` is what was known from the records before. `visit` sees each
  /// record when it is found: in a sealed segment each of these counts.
  static func run(
    _ scanner: SegmentScanner, from start: UInt64, life: SegmentLife, syncedBytes: UInt64,
    visit: (FoundRecord) throws(FileError) -> Void = { _ in }
  ) throws(FileError) -> Replay {
    var replay = Replay(tail: start, syncedBytes: syncedBytes)
    var gaps: [Gap] = []
    var offset = start
    while offset < scanner.end {
      switch try scanner.look(at: offset) {
      case .record(let record):
        guard replay.records.count < FormatLimits.records else {
          gaps.add(
            Gap(
              range: offset..<scanner.end, what: "more records than a segment can have",
              isNoTear: true))
          return try replay.settled(scanner, gaps: gaps, life: life)
        }
        replay.records.append(Record(record))
        replay.syncedBytes = max(replay.syncedBytes, record.header.syncedBytes)
        try visit(record)
        offset = record.end
      case .unknown(let length, let syncedBytes):
        replay.syncedBytes = max(replay.syncedBytes, syncedBytes)
        offset += length
      case .impossible(let length, let why):
        gaps.add(Gap(range: offset..<offset + length, what: why))
        offset += length
      case .beyond where life == .live:
        replay.tail = offset
        return try replay.settled(scanner, gaps: gaps, life: life)
      case .nothing, .beyond:
        if life == .live, try scanner.isUnwritten(at: offset) {
          // Its writer puts one record behind the other: there is none behind space that is still empty.
          replay.tail = offset
          return try replay.settled(scanner, gaps: gaps, life: life)
        }
        let next = try scanner.nextHeader(from: offset + 8)
        // A living writer may have finished this record while the rest was searched.
        if life == .live, next != nil, case .record = try scanner.lookAgain(at: offset) { continue }
        if let next {
          gaps.add(Gap(range: offset..<next, what: "no intact record header"))
          offset = next
          continue
        }
        replay.tail = offset
        if life == .live { return try replay.settled(scanner, gaps: gaps, life: life) }
        if try !scanner.isZero(from: offset) || life == .sealed {
          gaps.add(Gap(range: offset..<scanner.end, what: "no intact record header"))
        }
        return try replay.settled(scanner, gaps: gaps, life: life)
      }
      replay.tail = offset
    }
    return try replay.settled(scanner, gaps: gaps, life: life)
  }

  /// Sorts gaps into damage and torn places, and drops what was never whole.
  private func settled(
    _ scanner: SegmentScanner, gaps: [Gap], life: SegmentLife
  ) throws(FileError) -> Replay {
    var result = self
    for gap in gaps {
      if life == .sealed || gap.isNoTear || gap.range.lowerBound < syncedBytes {
        result.damage.append(gap)
      } else {
        result.torn.append(gap)
      }
    }
    guard life != .sealed else { return result }
    // What was read a moment ago of a log that grows may be whole by now.
    if life == .live { scanner.forget() }
    result.records = []
    for (index, record) in records.enumerated() {
      if record.end > syncedBytes, try !scanner.payloadIsIntact(record) {
        if life == .live, index == records.count - 1, record.end == tail {
          result.tail = record.offset
        } else {
          result.torn.append(Gap(range: record.offset..<record.end, what: "payload checksum"))
        }
      } else {
        result.records.append(record)
      }
    }
    return result
  }
}

extension SegmentScanner {
  /// Whether a page of zeros, or the end, stands where a record would begin: more than a lost sector.
  func isUnwritten(at offset: UInt64) throws(FileError) -> Bool {
    let count = Int(min(4096, end - offset))
    guard let page = try bytes(count, at: offset) else { return false }
    return page.bytes.isZero(0..<count)
  }

  /// What stands at `offset` now, whatever was read before.
  func lookAgain(at offset: UInt64) throws(FileError) -> Look {
    forget()
    return try look(at: offset)
  }
}
