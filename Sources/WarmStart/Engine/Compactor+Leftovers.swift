// What earlier compactions left, and what cannot be read: cleared away, or set aside.

internal import Glibc

extension Compactor {
  /// Clears away what a compaction left that did not come to its end: its temporary files, and segments
  /// that a published one replaced. If something in either of the two proves damaged, with `verifying` to so
  /// much, the old ones are set aside instead: they may have the only intact copy.
  func clearAway(verifying depth: Engine.Depth? = nil) throws(StoreError) {
    let engine = engine
    let (temporaries, headless) = try engine.withFreshCatalog { catalog in
      (catalog.temporaries, catalog.headless.sorted())
    }
    // A creator that finds its file gone, once it has the lock, starts over.
    let logs = headless.map { SegmentName(id: $0, phase: .log) }
    for name in temporaries + logs { engine.directory.unlinkUnlessLocked(name.description) }
    let names = try StoreError.wrapping { () throws(FileError) in
      try engine.directory.list(limit: Catalog.nameLimit).compactMap { SegmentName($0) }
    }
    try setHiddenLogsAside(among: names)
    let left = try engine.withFreshCatalog { catalog in catalog.replacedButPresent(among: names) }
      .filter { isFile($0) && !isBeingWritten($0) }
    guard !left.isEmpty else { return }
    // The name of what replaced them must be there to stay, before they go.
    try StoreError.wrapping { () throws(FileError) in try engine.directory.sync() }
    if let depth, try !areIntact(left, depth) {
      for name in left.sorted(by: { $0.id < $1.id }) { _ = try quarantine(name) }
      return
    }
    try StoreError.wrapping { () throws(FileError) in
      for name in left.sorted(by: { $0.id < $1.id }) { try unlinkIfPresent(name.description) }
      try engine.directory.sync()
    }
  }

  /// Whether replaced segments, and those that replaced them, are as they were written.
  private func areIntact(_ left: [SegmentName], _ depth: Engine.Depth) throws(StoreError) -> Bool {
    let replacing = try engine.withFreshCatalog { catalog in
      catalog.segments.values.filter { segment in
        left.contains { segment.header.replaced.contains($0.id) }
      }.map { SegmentName(id: $0.id, phase: $0.phase) }
    }
    for name in left + replacing {
      // A log that was succeeded may go at any time, and one that succeeds be sealed.
      guard let (name, file) = try open(name) else { continue }
      let inspector = SegmentInspector(file: file, name: name, depth: depth)
      try inspector.run()
      guard inspector.damage.isEmpty else { return false }
    }
    return true
  }

  /// A log beside the sealed segment of the same name, as in a directory that was copied over an older copy of
  /// itself, is hidden by it. It must not be in force again when the segment goes.
  private func setHiddenLogsAside(among names: [SegmentName]) throws(StoreError) {
    let sealed = Set(names.lazy.filter { $0.phase == .sealed }.map(\.id))
    for name in names where name.phase == .log && sealed.contains(name.id) {
      // If it has been sealed while the names were listed it is gone.
      guard isFile(SegmentName(id: name.id, phase: .sealed)) else { continue }
      _ = try quarantine(name)
    }
  }

  /// Sets all segments aside of which nothing can be read: as long as one is there nobody knows what it has
  /// that is older than a removal.
  func quarantineAllUnread() throws(StoreError) {
    let unread = try engine.withFreshCatalog { $0.unreadSegments }
    for name in unread where try quarantineUnread(name) {
      let damage = engine.stateLock.withLock {
        engine.catalog.damage.filter { SegmentName($0.segment)?.id == name.id }
      }
      note { $0.damage += damage }
    }
  }

  /// Whether there is a file of a store under the name.
  private func isFile(_ name: SegmentName) -> Bool {
    do throws(FileError) { _ = try engine.directory.open(name.description) } catch {
      return !error.isForeign && !error.isStale
    }
    return true
  }

  /// Whether a living writer has the log: it clears away by itself what it leaves.
  private func isBeingWritten(_ name: SegmentName) -> Bool {
    guard name.phase == .log, let file = try? engine.directory.open(name.description) else {
      return false
    }
    // Those who only look whether there is a writer do not exclude each other.
    return (try? file.tryLock(.shared)) == false
  }

  /// A segment under the name that it has by now; nil if it is gone.
  private func open(_ name: SegmentName) throws(StoreError) -> (SegmentName, any File)? {
    for name in [name, SegmentName(id: name.id, phase: .sealed)] {
      do throws(FileError) { return (name, try engine.directory.open(name.description)) } catch {
        guard error.isStale else { throw .file(error) }
      }
    }
    return nil
  }

  /// Sets a segment aside of which no copy of the header is intact; false if a living writer has it, or it is
  /// gone, or a later format's.
  func quarantineUnread(_ name: SegmentName) throws(StoreError) -> Bool {
    do throws(StoreError) {
      let file = try StoreError.wrapping { () throws(FileError) in
        try engine.directory.open(name.description)
      }
      let inspector = SegmentInspector(file: file, name: name, depth: .structure)
      try inspector.run()
      guard inspector.isLost else { return false }
    } catch {
      switch error {
      case .laterFormat: return false
      case .file(let why) where why.isStale: return false
      default: throw error
      }
    }
    return try quarantine(name)
  }

  /// Sets a file of the store aside; false if a living writer has it, or it is gone.
  private func quarantine(_ name: SegmentName) throws(StoreError) -> Bool {
    do throws(FileError) {
      let file = try engine.directory.open(name.description)
      guard try file.tryLock(.exclusive) else { return false }
      defer { try? file.unlock() }
      let place = try engine.directory.setAside(
        name.description, into: Self.quarantine, permissions: engine.options.permissions)
      note { $0.quarantined.append(place) }
    } catch {
      if error.isStale { return false }
      throw .file(error)
    }
    try engine.withFreshCatalog { _ in }
    return true
  }

  func unlinkIfPresent(_ name: String) throws(FileError) {
    do throws(FileError) { try engine.directory.unlink(name) } catch {
      guard error.errno == ENOENT else { throw error }
    }
  }
}
