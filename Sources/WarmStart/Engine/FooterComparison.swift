// Holds a footer against the records of its segment, one at a time in the order of the file.

/// What a footer says of records, and whether they say the same. For one thread.
struct FooterComparison {
  private let footer: Footer
  /// The footer's entries in the order of the file.
  private let order: [(offset: UInt64, number: Int32)]
  private var next = 0
  private var findings: [String] = []
  /// Where the footer names records that were not taken.
  private var unmatched: [UInt64] = []
  /// What the trailer should say.
  private var expected: FooterTrailer
  private var misnumbered: String?
  /// A record could not be looked at, so that nothing can be counted.
  private var isIncomplete = false

  /// Findings that are told of one by one.
  private static let findingLimit = 10_000

  init(_ footer: Footer) {
    self.footer = footer
    var order: [(offset: UInt64, number: Int32)] = []
    order.reserveCapacity(footer.count)
    var previous: FooterEntry?
    for number in 0..<footer.count {
      guard let entry = footer.entry(number) else {
        if findings.count < Self.findingLimit {
          findings.append("entry \(number) is out of limits")
        }
        continue
      }
      if let previous, (entry.key, entry.offset) <= (previous.key, previous.offset),
        findings.count < Self.findingLimit
      {
        findings.append("entry \(number) is out of order")
      }
      previous = entry
      order.append((entry.offset, Int32(number)))
    }
    order.sort { $0 < $1 }
    self.order = order
    expected = footer.trailer
    expected.recordCount = 0
    (expected.removalCount, expected.markCount) = (0, 0)
    (expected.rawBytes, expected.storedBytes) = (0, 0)
    (expected.oldestStamp, expected.newestStamp) = (0, 0)
  }

  /// What the footer says of a record.
  enum Verdict {
    case same
    /// `hidesIt` says that lookups go by what differs.
    case different(hidesIt: Bool)
    case missing
  }

  /// Takes the next record.
  mutating func take(_ header: RecordHeader, at offset: UInt64) -> Verdict {
    count(header)
    guard let entry = entry(at: offset) else { return .missing }
    var header = header
    header.syncedBytes = 0
    let copy = try? footer.header(of: entry)
    if let copy, copy.isIdentical(to: header), !entry.writeSecondsDisagree { return .same }
    let isGiven =
      entry.key == header.key && entry.stamp == header.stamp && entry.kind == header.kind.rawValue
      && entry.headerLength == header.length && Int(entry.storedLength) == header.storedLength
      && copy?.origin == header.origin
    return .different(hidesIt: !isGiven)
  }

  /// Takes the next record by its place alone; the footer's copy of its header, if there is one.
  mutating func take(at offset: UInt64) -> RecordHeader? {
    isIncomplete = true
    return entry(at: offset).flatMap { try? footer.header(of: $0) }
  }

  private mutating func entry(at offset: UInt64) -> FooterEntry? {
    while next < order.count, order[next].offset < offset {
      unmatched.append(order[next].offset)
      next += 1
    }
    guard next < order.count, order[next].offset == offset else { return nil }
    next += 1
    return footer.entry(Int(order[next - 1].number))
  }

  private mutating func count(_ header: RecordHeader) {
    if header.number != UInt32(expected.recordCount), misnumbered == nil {
      misnumbered = "record \(expected.recordCount) is numbered \(header.number)"
    }
    let isFirst = expected.recordCount == 0
    expected.recordCount += 1
    expected.removalCount += header.kind == .removal ? 1 : 0
    expected.markCount += header.kind == .accessMark ? 1 : 0
    expected.oldestStamp = isFirst ? header.stamp : min(expected.oldestStamp, header.stamp)
    expected.newestStamp = max(expected.newestStamp, header.stamp)
    expected.rawBytes += UInt64(header.rawLength)
    expected.storedBytes += UInt64(header.storedLength)
  }

  /// What is wrong with the footer, once all records were taken, but for what it says of records in `gaps`,
  /// which are in the order of the file.
  func problems(besides gaps: [ReplayGap]) -> [String] {
    var problems = findings
    for offset in unmatched + order[next...].map(\.offset) where gaps.index(of: offset) == nil {
      guard problems.count < Self.findingLimit else { break }
      problems.append("names a record at \(offset) that is not there, or twice")
    }
    guard gaps.isEmpty, !isIncomplete else { return problems }
    if expected != footer.trailer { problems.append("counts differ from the records") }
    if let misnumbered { problems.append(misnumbered) }
    return problems
  }
}

extension FooterEntry {
  fileprivate var writeSecondsDisagree: Bool {
    writeSeconds != UInt32(clamping: writeTime / 1_000_000_000)
  }
}

extension [ReplayGap] {
  /// Which of the gaps, which are in the order of the file, has the byte.
  func index(of offset: UInt64) -> Int? {
    var (low, high) = (0, count)
    while low < high {
      let middle = (low + high) / 2
      if self[middle].range.upperBound <= offset { low = middle + 1 } else { high = middle }
    }
    return low < count && self[low].range.contains(offset) ? low : nil
  }
}
