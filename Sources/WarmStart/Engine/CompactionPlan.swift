// Which segments are merged, and with which others. Pure figures.

/// What a plan knows of a segment that nobody writes any more.
struct SegmentFigures {
  var id: SegmentID
  /// Bytes of the file.
  var fileBytes: UInt64
  /// Bytes of what a merge would keep, its share of the footer included: an estimate.
  var keptBytes: UInt64
  var recordCount: Int

  /// Bytes that a merge gives back.
  var wasteBytes: UInt64 { fileBytes - min(keptBytes, fileBytes) }

  init(id: SegmentID, fileBytes: UInt64, keptBytes: UInt64, recordCount: Int) {
    self.id = id
    self.fileBytes = fileBytes
    self.keptBytes = keptBytes
    self.recordCount = recordCount
  }
}

/// Chooses the segments of one merge.
struct CompactionPlan {
  var closed: [SegmentFigures]
  /// Bytes that an output should not exceed.
  var outputLimit: UInt64

  /// Groups of segments, each to be merged into one, so that little waste and no needless segment is
  /// left.
  func everything() -> [[SegmentFigures]] {
    var groups: [[SegmentFigures]] = []
    var rest = closed.filter {
      32 * $0.wasteBytes >= $0.fileBytes || 2 * $0.keptBytes <= outputLimit
    }
    .sorted { $0.id < $1.id }
    while !rest.isEmpty {
      let group = take(rest)
      rest.removeAll { segment in group.contains { $0.id == segment.id } }
      let isWorth = group.count > 1 || 32 * group[0].wasteBytes >= group[0].fileBytes
      if isWorth { groups.append(group) }
    }
    return groups
  }

  /// As many of the segments, in this order, as fit into one output; at least one.
  private func take(_ segments: [SegmentFigures]) -> [SegmentFigures] {
    var chosen: [SegmentFigures] = []
    var (bytes, records) = (0 as UInt64, 0)
    for segment in segments where chosen.count < FormatLimits.replaced {
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
