// What the public face tells and does of a store as a whole: its keys, its space, whether it is sound.

extension WarmStartStore {
  /// Every key that has a living entry, in order. Does not count as use. Throws if the disk cannot read the
  /// directory or a segment, or the store is closed.
  public var keys: [Fingerprint] {
    get throws(StoreError) { try drainedEngine().keys() }
  }

  /// Every entry of a key that is still on disk, dead ones included, the newest first, with its payload;
  /// damaged ones are reported to the log and left out. Does not count as use. Throws if the disk cannot
  /// read the directory or an entry, or the store is closed.
  public func entries(for key: Fingerprint) throws(StoreError) -> [WarmStartEntry] {
    let engine = try drainedEngine()
    var entries: [WarmStartEntry] = []
    for listed in try engine.entries(of: key) {
      if let record = try engine.read(listed) {
        entries.append(WarmStartEntry(record, askedBy: producer))
      }
    }
    return entries
  }

  /// How much there is of everything, now. Throws if the disk cannot read the directory or a segment, or
  /// the store is closed.
  public var statistics: StoreStatistics {
    get throws(StoreError) { try drainedEngine().statistics() }
  }

  // MARK: Verification

  /// Reads everything in the store, by whomever it was written, and holds it against every checksum and its
  /// second copy, payloads decompressed too. On two threads, with memory that grows with the store only as its
  /// index does, beside some hundred bytes for each record of the two segments being read. Nothing is written,
  /// and nothing is changed about what lookups give; `warmstart fsck --repair` sets damage aside.
  ///
  /// The torn tail that a crash leaves is no damage, nor is what a living writer has not finished. A segment
  /// that the disk does not give is named in ``VerificationReport/unread``. Throws if the directory itself cannot
  /// be read.
  public func verify() throws(StoreError) -> VerificationReport {
    try engine().verify(.payloads)
  }

  // MARK: Space

  /// Merges the segments that nobody writes any more into fewer, without what is dead: superseded,
  /// removed, expired by ``StoreOptions/timeToLive``, or without room in ``StoreOptions/sizeBudget``, in
  /// that order. Others may go on reading and writing meanwhile;
  /// another compaction of the same directory is waited for. A crash at any moment leaves everything that
  /// counts in force.
  ///
  /// A segment with damage is set aside in the directory's folder `quarantine`, once what is intact in it
  /// has been copied, and named in the report. Throws if the disk refuses; then everything that
  /// counts is as before, and what was merged before the error stays merged.
  @discardableResult
  public func compact() throws(StoreError) -> CompactionReport {
    try drainedEngine().compact()
  }
}
