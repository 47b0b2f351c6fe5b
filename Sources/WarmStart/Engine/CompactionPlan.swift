// Which segments are merged, and with which others. Pure figures.

/// What a plan knows of a segment that nobody writes any more.
struct SegmentFigures {
  var id: SegmentID
  /// Bytes of the file.
  var fileBytes: UInt64
  /// Bytes of what a merge would keep, its share of the footer included: an estimate.
  var keptBytes: UInt64
  var recordCount: Int
  /// Whether it is not what was written, and so is to be set aside.
  var isDamaged: Bool
  /// Whether anything in it counts only until the merge, which leaves it out.
  var holdsEvicted = false

  /// Bytes that a merge gives back.
  var wasteBytes: UInt64 { fileBytes - min(keptBytes, fileBytes) }

  /// Whether a merge of this segment alone is worth it.
  var isWorthAlone: Bool { isDamaged || holdsEvicted || 32 * wasteBytes >= fileBytes }

  /// The part of the file that a merge gives back.
  var wasteShare: Double { Double(wasteBytes) / Double(max(fileBytes, 1)) }
}

/// Chooses the segments of one merge.
struct CompactionPlan {
  var closed: [SegmentFigures]
  /// Bytes that an output should not exceed.
  var outputLimit: UInt64
  /// Bytes of segments that a merge has replaced and that are about to go.
  var leavingBytes: UInt64 = 0

  var fileBytes: UInt64 { closed.reduce(0) { $0 + $1.fileBytes } }
  var keptBytes: UInt64 { closed.reduce(0) { $0 + $1.keptBytes } }
  var wasteBytes: UInt64 { closed.reduce(0) { $0 + $1.wasteBytes } }

  /// Whether two of its kind fit into one.
  func isSmall(_ segment: SegmentFigures) -> Bool {
    2 * segment.keptBytes <= outputLimit && 2 * segment.recordCount <= FormatLimits.records
  }

  /// Segments of one merge: their files are open all at once.
  static let mostVictims = 128

  /// Groups of segments, each to be merged into one, so that little waste and no needless segment is
  /// left. Those come first of which nothing is kept: they need no space.
  func everything() -> [[SegmentFigures]] {
    var groups: [[SegmentFigures]] = []
    let worth = closed.filter { $0.isWorthAlone || isSmall($0) }
    var rest = worth.sorted { $0.id < $1.id }
    let empty = rest.filter { $0.keptBytes == 0 }
    rest.removeAll { $0.keptBytes == 0 }
    groups += empty.batches(of: Self.mostVictims).map(Array.init)
    while !rest.isEmpty {
      let group = take(rest)
      rest.removeAll { segment in group.contains { $0.id == segment.id } }
      if group.count > 1 || group[0].isWorthAlone { groups.append(group) }
    }
    return groups
  }

  /// Whether there are fewer segments than before, or they take less space, or damage has been found
  /// meanwhile: then another look may be worth it.
  func promisesMore(than before: CompactionPlan) -> Bool {
    closed.count < before.closed.count || fileBytes < before.fileBytes
      || closed.contains(where: \.isDamaged)
  }

  /// As many of the segments, in this order, as fit into one output; at least one.
  func take(_ segments: [SegmentFigures]) -> [SegmentFigures] {
    var chosen: [SegmentFigures] = []
    var (bytes, records) = (0 as UInt64, 0)
    for segment in segments where chosen.count < Self.mostVictims {
      let fits =
        bytes + segment.keptBytes <= outputLimit
        && records + segment.recordCount <= FormatLimits.records
      guard fits || chosen.isEmpty else { continue }
      chosen.append(segment)
      bytes += segment.keptBytes
      records += segment.recordCount
    }
    return chosen
  }
}
