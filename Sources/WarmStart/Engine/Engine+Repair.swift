// Repair: what is intact in segments with damage is written into new ones, and they are set aside as they are.
//
// It is a compaction of just these segments, so that it can be cut short at any point and nothing comes back
// that was removed or superseded. No damaged byte is ever changed.

/// What a repair found and did, or would do.
package struct RepairReport: Sendable {
  package var found = VerificationReport()
  /// Where segments with damage lie now, from the store's directory on; of a dry run, those that a repair
  /// would set aside, beside what an earlier one left.
  package var quarantined: [String] = []
  /// Keys that have entries that count in segments with damage, and keep them.
  package var salvaged: [Fingerprint] = []
  /// Keys of which an entry that counted is lost.
  package var lost: [Fingerprint] = []
  /// Damage that is still there: in logs whose writers live, or that an error kept from being set aside.
  package var left: [Damage] = []
  /// What kept it.
  package var errors: [StoreError] = []

  /// Nothing of anything.
  package init() {}

  /// Places of which nobody knows whose they were.
  package var unknownLosses: Int {
    found.damage.count { $0.effect == .unknownLost || $0.effect == .segmentLost }
  }
}

extension Engine {
  /// Sets every segment with damage aside in `quarantine/`, unless a living writer has it, after what counts
  /// in it was copied. With `isDryRun` nothing is written; then the store may be open read-only.
  ///
  /// Waits for a compactor of the same directory. A crash, or an error, at any moment leaves everything that
  /// counts as it was; another run goes on.
  package func repair(
    _ depth: Depth = .payloads, isDryRun: Bool = false,
    progress: @escaping (UInt64, UInt64) -> Void = { _, _ in }
  ) throws(StoreError) -> RepairReport {
    guard !isDryRun else { return try repair(depth, with: nil, progress) }
    guard !isReadOnly else { throw .readOnly(path: path) }
    let compactor = try waitForCompactor(Compactor.Control())
    defer { compactor.finish() }
    try compactor.clearAway(verifying: depth)
    return try repair(depth, with: compactor, progress)
  }

  private func repair(
    _ depth: Depth, with compactor: Compactor?, _ progress: @escaping (UInt64, UInt64) -> Void
  ) throws(StoreError) -> RepairReport {
    var report = RepairReport()
    let findings: [Finding]
    (report.found, findings) = try verifying(depth, Self.verifyingThreads, progress)
    report.errors = report.found.unread
    report.lost = try giveUp(findings).sorted()
    var salvaged: Set<Fingerprint> = []
    for finding in findings where !finding.damage.isEmpty {
      let living = try livingKeys(in: finding.name.id)
      guard let compactor else {
        report.left += finding.damage
        do throws(StoreError) {
          guard try canSetAside(finding) else { continue }
          report.quarantined.append(finding.name.description)
          salvaged.formUnion(living)
        } catch { report.errors.append(error) }
        continue
      }
      do throws(StoreError) {
        guard try compactor.setAside(finding) else {
          report.left += finding.damage
          continue
        }
        salvaged.formUnion(living)
      } catch {
        report.errors.append(error)
        report.left += finding.damage
      }
    }
    if let compactor { report.quarantined = compactor.report.quarantined }
    report.salvaged = salvaged.sorted()
    return report
  }

  /// Takes the records that are damaged out of the running. Gives the keys of those that filled a slot and
  /// of which there is no copy.
  private func giveUp(_ findings: [Finding]) throws(StoreError) -> Set<Fingerprint> {
    try withFreshCatalog { catalog throws(StoreError) in
      var lost: [(key: Fingerprint, place: Place)] = []
      for finding in findings {
        for damage in finding.damage { catalog.report(damage) }
        guard let segment = catalog.segments[finding.name.id] else { continue }
        for (header, offset) in finding.damagedRecords {
          let places = catalog.index.places(of: header.key).map(\.place)
          if let place = places.first(where: {
            $0.segment == segment.number && $0.offset == offset
          }) {
            lost.append((header.key, place))
          }
          guard let place = catalog.place(of: header, at: offset, in: segment.number) else {
            continue
          }
          catalog.noteUnreadable(place, key: header.key, what: "payload is not what was written")
        }
      }
      try catalog.refresh()
      return Set(
        lost.filter { key, place in
          !catalog.index.places(of: key).contains { $0.place.isCopy(of: place) }
        }.map(\.key))
    }
  }

  /// Whether no living writer has the segment.
  private func canSetAside(_ finding: Finding) throws(StoreError) -> Bool {
    guard finding.isLost else { return try isClosed(finding.name.id) }
    guard finding.name.phase == .log else { return true }
    do throws(FileError) {
      let file = try directory.open(finding.name.description)
      guard try file.tryLock(.shared) else { return false }
      try file.unlock()
      return true
    } catch {
      if error.isStale || error.isWithoutLocks { return false }
      throw .file(error)
    }
  }

  /// Whether a segment is known, and nobody writes to it any more.
  fileprivate func isClosed(_ id: SegmentID) throws(StoreError) -> Bool {
    try withFreshCatalog { catalog in catalog.closedSegments.contains { $0.id == id } }
  }

  private func livingKeys(in id: SegmentID) throws(StoreError) -> Set<Fingerprint> {
    try withFreshCatalog { catalog in
      guard let segment = catalog.segments[id] else { return [] }
      var keys: Set<Fingerprint> = []
      catalog.index.forEachKey { key, places in
        if places.contains(where: { $0.place.segment == segment.number }) { keys.insert(key) }
      }
      return keys
    }
  }
}

extension Compactor {
  /// Copies what counts in a segment with damage, and sets it aside; false if its writer lives.
  fileprivate func setAside(_ finding: Engine.Finding) throws(StoreError) -> Bool {
    let id = finding.name.id
    if finding.isLost { return try quarantineUnread(finding.name) }
    guard try engine.isClosed(id) else { return false }
    try merge([id])
    return true
  }
}

extension Place {
  /// Whether both are the same record, in different places.
  fileprivate func isCopy(of other: Place) -> Bool {
    stamp == other.stamp && originSegment == other.originSegment
      && originNumber == other.originNumber
  }
}
