// Lookups that find nothing changed: threads look together, and none waits for another.
//
// Nothing here may change what others look at, but what several may change at once, and whatever all lookups touch is
// touched without counting a reference: two threads that count the same one take ten times as long as one.

internal import Synchronization

extension Engine {
  /// What a lookup finds at a glance.
  enum Glance {
    case found(Answer)
    case onDisk(Chosen)
    /// That can only be told with the whole lock.
    case unclear
  }

  /// Looks for an answer with a part of the state lock only.
  func glance(
    _ key: Fingerprint, hash: UInt64, _ question: Question, _ look: DirectoryLook,
    countsAsUse: Bool
  ) -> Glance {
    guard stateLock.tryAcquireShared() else { return .unclear }
    defer { stateLock.releaseShared() }
    guard catalog.isUpToDate(look), catalog.knowsAll(of: key) else { return .unclear }
    recordCache.prefetchRecord(hash)
    guard let row = index.row(ofKnown: key, hash: hash) else { return .unclear }
    let use = index.lastUse(row: row)
    guard !catalog.isExpired(use, at: look.wall), let place = place(question, row: row),
      !countsAsUse || noteUseAtAGlance(key, row, use, at: look.wall)
    else { return .unclear }
    if let record = recordCache.record(hash: hash, at: Catalog.Spot(place.place)) {
      return .found(Answer(record: record, place: place.place, slots: place.slots))
    }
    guard let segment = catalog.segment(place.place.segment), let file = segment.file else {
      return .unclear
    }
    if !segment.wasUsed.load(ordering: .relaxed) { segment.wasUsed.store(true, ordering: .relaxed) }
    recordCache.prefetchAdmission(Catalog.Spot(place.place))
    return .onDisk(chosen(place, segment, file: file))
  }
}
