// A fit asks for one key, of many that are in the store: it need not wait for the index of all.
//
// What the footers say that a store finds when it is opened goes into the index key by key, as keys are
// asked for; the footers are sorted by key. Whoever asks for all keys, or for many, brings in all of it.
// The slots do not depend on the order in which records become known, so nothing else changes.

/// The footers of a catalog that the index has not taken in.
struct DeferredFooters {
  fileprivate var footers: [(segment: Segment, footer: Footer)] = []
  /// Keys that the index has whole all the same.
  fileprivate var broughtIn: Set<Fingerprint> = []

  /// Keys that are brought in one by one before all are.
  fileprivate static let patience = 64
}

extension Catalog {
  /// Takes in what a footer says of its segment, and leaves its records for later.
  func putOff(_ footer: Footer, of segment: Segment) {
    segment.count(footer.trailer)
    lastStamp = max(lastStamp, footer.trailer.newestStamp)
    deferred.footers.append((segment, footer))
  }

  /// The index knows everything of the key from here on; some of it may have to be settled.
  func bringIn(_ key: Fingerprint) {
    guard !deferred.footers.isEmpty, !deferred.broughtIn.contains(key) else { return }
    guard deferred.broughtIn.count < DeferredFooters.patience else { return bringInAll() }
    deferred.broughtIn.insert(key)
    for (segment, footer) in deferred.footers {
      let entries = footer.entries(of: key)
      // Few footers have the key, and all the names in one are many.
      guard !entries.isEmpty else { continue }
      let columns = columns(of: footer)
      for entry in entries { take(entry, columns, in: segment) }
    }
  }

  /// The index knows everything of every key from here on; some of it may have to be settled.
  func bringInAll() {
    let footers = deferred.footers
    guard !footers.isEmpty else { return }
    deferred = DeferredFooters()
    index.reserve(footers.reduce(0) { $0 + $1.footer.count })
    for (segment, footer) in footers { take(footer, in: segment) }
  }

  /// A segment is not there any more.
  func dropDeferred(_ segment: Segment) { deferred.footers.removeAll { $0.segment === segment } }
}
