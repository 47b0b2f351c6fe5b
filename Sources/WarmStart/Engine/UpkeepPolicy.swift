// When a store that is in use is worth a merge, and of which segments. Pure figures.
//
// Two things make a store larger than it need be. What is dead takes space: a merge is worth it once
// more is wasted than kept, so that to give a byte back costs no more than to copy one. And every fit
// leaves a segment: those of about one size are merged as soon as there are eight of them, so that a
// byte is copied once for every eightfold growth of its segment, and the number of segments grows
// with the logarithm of the store. (Tiers by size, as in O'Neil et al., "The log-structured
// merge-tree", Acta Informatica 33, 1996, and as Cassandra's size-tiered compaction has them.)

/// What decides when segments are merged without anybody having asked.
package struct UpkeepPolicy: Sendable, Hashable {
  /// Bytes that may be wasted beyond as much as is kept.
  package var freeWaste: UInt64 = 1 << 20
  /// Segments of about one size that are merged into one.
  package var fanIn = 8
  /// Bytes of the smallest tier's largest segments.
  package var smallestTier: UInt64 = 64 << 10
  /// Bytes of the segments that `close` merges at most, four times as many if there are very many.
  package var closeLimit: UInt64 = 4 << 20
  /// So many segments are very many.
  package var veryMany = 20
  /// A full log of which no more than one part in so many counts is not sealed: the next begins with that.
  package var legacyShare: UInt64 = 8
  /// Of so many processes that add little, one reads all that others have left before it decides.
  package var lookers: UInt64 = 8

  package init() {}

  /// Segments of which less than this part is waste are not merged for the sake of it.
  static let fewestGain = 0.25
  static let fewestGainInNeed = 1.0 / 32

  /// The segments that are to be merged next; nil if nothing is worth it.
  func next(_ plan: CompactionPlan) -> [SegmentFigures]? {
    let isWasteful = plan.wasteBytes > plan.keptBytes + freeWaste
    return (isWasteful ? mostWasteful(plan) : nil) ?? fullTier(plan)
  }

  /// Those segments that give back most for what has to be copied, those of which nothing is kept first;
  /// nil if none gives back much.
  func mostWasteful(
    _ plan: CompactionPlan, worthwhile: Double = fewestGain
  ) -> [SegmentFigures]? {
    let wasteful = plan.closed.filter { $0.wasteShare >= worthwhile }
      .sorted { ($1.wasteShare, $0.id) < ($0.wasteShare, $1.id) }
    return wasteful.isEmpty ? nil : plan.take(wasteful)
  }

  /// Every segment of a tier that is full, and the smaller ones.
  private func fullTier(_ plan: CompactionPlan) -> [SegmentFigures]? {
    let small = plan.closed.filter { plan.isSmall($0) }
    let tiers = Dictionary(grouping: small) { tier(of: $0) }
    guard let full = tiers.filter({ $0.value.count >= fanIn }).keys.max() else { return nil }
    let group = plan.take(
      small.filter { tier(of: $0) <= full }.sorted { ($0.keptBytes, $0.id) < ($1.keptBytes, $1.id) }
    )
    return group.count > 1 ? group : nil
  }

  private func tier(of segment: SegmentFigures) -> Int {
    var (tier, bytes) = (0, smallestTier)
    while segment.keptBytes > bytes, tier < 32 { (tier, bytes) = (tier + 1, bytes * UInt64(fanIn)) }
    return tier
  }

  /// Whether a save that begins a log had better let the compactor catch up first. With a log, and the
  /// output of a merge, the directory then stays below three times what is kept and four times the waste
  /// that is free, where no segment is larger than that, and as far as what is waste is known.
  func isBehind(_ plan: CompactionPlan) -> Bool {
    plan.wasteBytes + plan.leavingBytes > 2 * plan.keptBytes + freeWaste
  }

  /// Whether the compactor has no time to rest.
  func isInHaste(_ plan: CompactionPlan, budget: UInt64) -> Bool {
    plan.wasteBytes > plan.keptBytes + plan.keptBytes / 4 + freeWaste
      || plan.fileBytes > budget / 16 * 15
  }

  /// Whether `close` may merge these.
  func mayMergeAtClose(_ group: [SegmentFigures], of plan: CompactionPlan) -> Bool {
    group.reduce(0) { $0 + $1.fileBytes } <= limit(plan)
  }

  /// Bytes that `close` may merge: more than usual where there are very many small segments.
  private func limit(_ plan: CompactionPlan) -> UInt64 {
    plan.closed.count { plan.isSmall($0) } > veryMany ? 4 * closeLimit : closeLimit
  }

  /// Those of a group that `close` may merge, otherwise of a full tier; nil if that would not be worth it.
  func part(_ group: [SegmentFigures], of plan: CompactionPlan) -> [SegmentFigures]? {
    if mayMergeAtClose(group, of: plan) { return group }
    return smallest(group, of: plan) ?? fullTier(plan).flatMap { smallest($0, of: plan) }
  }

  private func smallest(
    _ group: [SegmentFigures], of plan: CompactionPlan
  ) -> [SegmentFigures]? {
    let limit = limit(plan)
    var part: [SegmentFigures] = []
    var bytes: UInt64 = 0
    for segment in group.sorted(by: { $0.fileBytes < $1.fileBytes }) {
      guard bytes + segment.fileBytes <= limit else { break }
      part.append(segment)
      bytes += segment.fileBytes
    }
    return 2 * part.count >= fanIn ? part : nil
  }
}
