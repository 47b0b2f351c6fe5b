// Keys whose slots are filled anew from all records that are there, and every record of a key.

extension Catalog {
  /// Fills the slots of unsettled keys from all records that are there.
  func settle() throws(Interruption) {
    guard !unsettled.isEmpty else { return }
    // A removal that was not known hides what it lets forward again: with a second look it is known.
    for _ in 0..<2 {
      let keys = unsettled.subtracting(unsettleable)
      guard !keys.isEmpty else { return }
      try settle(keys)
    }
  }

  private func settle(_ keys: Set<Fingerprint>) throws(Interruption) {
    for key in keys { index.forget(key) }
    unsettledBecause = nil
    hasUnsettled = []
    for segment in segments.values.sorted(by: { $0.id < $1.id }) {
      do throws(Interruption) {
        try forEachRecord(of: keys, in: segment) { header, offset in
          take(header, at: offset, in: segment)
        }
      } catch {
        guard case .store(let why) = error else { throw error }
        unsettledBecause = why
      }
    }
    if unsettledBecause == nil {
      unsettled.subtract(keys.subtracting(hasUnsettled))
    } else {
      unsettleable.formUnion(keys)
    }
  }

  /// Throws if nothing can be said of a key, because a segment that may hold its entries cannot be read.
  func requireSettled(_ key: Fingerprint) throws(Interruption) {
    try bringIn(key)
    if unsettled.contains(key) { try settle() }
    guard !unsettleable.isEmpty, unsettleable.remove(key) != nil else { return }
    try settle()
    if let unsettledBecause, unsettleable.contains(key) { throw .store(unsettledBecause) }
  }

  /// Takes in what others finished before, and throws if nothing can be said of some key.
  func refreshForAllKeys() throws(StoreError) {
    try untilPresent { _ throws(Interruption) in
      try bringInAll()
      try settle()
      guard !unsettleable.isEmpty else { return }
      unsettleable = []
      try settle()
      if let unsettledBecause, !unsettleable.isEmpty { throw .store(unsettledBecause) }
    }
  }

  /// Everything on disk of the given keys, segment by segment.
  func records(of keys: Set<Fingerprint>) throws(StoreError) -> [(FoundRecord, Segment)] {
    try untilPresent { _ throws(Interruption) in
      var found: [(FoundRecord, Segment)] = []
      for segment in segments.values.sorted(by: { $0.id < $1.id }) {
        try forEachRecord(of: keys, in: segment) { header, offset in
          let record = FoundRecord(
            header: header, offset: offset, length: UInt64(header.recordLength))
          found.append((record, segment))
        }
      }
      return found
    }
  }
}
