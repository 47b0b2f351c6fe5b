// The segments of this process: the one that it writes, and the one that it seals.

internal import Synchronization

extension Catalog {
  /// From here on this process writes the segment.
  func beginOwn(_ segment: Segment) {
    own = segment
    ownIsGone.store(false, ordering: .releasing)
    announced = nil
  }

  /// From here on this process writes the segment, which takes the place of the one that it wrote before, and begins with
  /// the records that count in that.
  func beginOwn(_ segment: Segment, succeeding former: SegmentID, with records: [FoundRecord]) {
    for record in records {
      take(record.header, at: record.offset, in: segment)
      segment.count(record.header)
    }
    segment.tail = records.last?.end ?? segment.tail
    segment.syncedBytes = segment.tail
    segment.fileBytes = segment.tail
    beginOwn(segment)
    dropReplaced(former)
  }

  /// Whether this process alone knows what becomes of the segment.
  func isOwn(_ segment: Segment) -> Bool { segment === own || segment === beingSealed }

  /// The segment is not written any more by this process, and keeps its log's name.
  func endOwn() {
    guard let segment = own else { return }
    own = nil
    leave(segment, sealed: false)
  }

  /// The segment is not written any more by this process, which is about to seal it.
  func beginSealing() {
    beingSealed = own
    own = nil
  }

  /// It is sealed, or could not be.
  func endSealing(sealed: Bool) {
    guard let segment = beingSealed else { return }
    beingSealed = nil
    leave(segment, sealed: sealed)
  }

  private func leave(_ segment: Segment, sealed: Bool) {
    if sealed { segment.phase = .sealed }
    if let file = segment.file {
      if let size = try? file.size() { segment.fileBytes = size }
      keep(file, of: segment)
    }
    // A write that failed may have left whole records that others have read already: then this process
    // must know them as well. So the log is looked through like that of another whose writer died.
    segment.isLive = !sealed
    if !sealed { live.append(segment) }
  }

  /// The segment is not written any more by this process, and what it holds is not what was written: the
  /// next refresh finds it as if somebody else had left it.
  func forgetOwn() {
    guard let segment = own else { return }
    own = nil
    forget(segment.id)
  }

  /// The same of the one that was to be sealed.
  func forgetSealing() {
    guard let segment = beingSealed else { return }
    beingSealed = nil
    forget(segment.id)
  }
}
