// Which keys are in use: what lookups note.

extension Engine {
  /// Whether a key was neither saved nor looked up for longer than the time to live.
  package func isExpired(_ key: Fingerprint) -> Bool {
    options.timeToLive > 0 && catalog.isExpired(key, at: host.wallClock())
  }

  /// Notes a lookup: in memory at once, on disk with the next write if what is noted there is older
  /// than a thirtieth of the time to live (than a day where keys live for ever), or up to 16 seconds later.
  func noteUse(_ key: Fingerprint, _ row: Int, _ use: Index.Use, at now: UInt64) {
    guard !isReadOnly else { return }
    catalog.index.noteLookup(row: row, at: UInt32(clamping: now / 1_000_000_000))
    guard isMarkDue(use, at: now), !wasMarkSeenTo(use, at: now) else { return }
    guard pendingMarks.count < Self.pendingMarkLimit || pendingMarks[key] != nil else { return }
    pendingMarks[key] = now
  }

  /// The same with a part of the state lock only; false, and nothing is noted, if a mark has to be.
  func noteUseAtAGlance(
    _ key: Fingerprint, _ row: Int, _ use: Index.Use, at now: UInt64
  ) -> Bool {
    guard !isReadOnly else { return true }
    guard index.notesLookups else { return false }
    if isMarkDue(use, at: now), !wasMarkSeenTo(use, at: now) {
      if let mark = pendingMarks[key] {
        guard now < mark || now - mark < min(markInterval, Self.markGrain) else { return false }
      } else {
        guard pendingMarks.count >= Self.pendingMarkLimit else { return false }
      }
    }
    index.noteLookup(row: row, at: UInt32(clamping: now / 1_000_000_000))
    return true
  }

  /// Whether a lookup in the same 16 seconds has looked whether a mark waits: whoever asks for few keys again and again
  /// would else look as often. Where marks are renewed as often as that each lookup looks.
  private func wasMarkSeenTo(_ use: Index.Use, at now: UInt64) -> Bool {
    markInterval >= Self.markGrain + Self.markSeconds * 1_000_000_000
      && UInt64(use.lookedUp) / Self.markSeconds == now / 1_000_000_000 / Self.markSeconds
  }

  private func isMarkDue(_ use: Index.Use, at now: UInt64) -> Bool {
    let marked = UInt64(use.marked) * 1_000_000_000
    return marked == 0 || now > marked && now - marked > markInterval
  }

  /// How old what is noted on disk may be, nanoseconds.
  private var markInterval: UInt64 {
    options.timeToLive == 0 ? 86_400_000_000_000 : options.timeToLive / 30
  }

  /// How often it is looked whether a key's mark waits.
  private static let markSeconds: UInt64 = 16
  /// How old a mark that waits to be written may be, at most, when it is looked for, nanoseconds: so it tells of a
  /// key's last lookup to within a minute.
  private static let markGrain: UInt64 = 44_000_000_000
  private static let pendingMarkLimit = 1 << 16
}
