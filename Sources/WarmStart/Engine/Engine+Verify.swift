// Verifying: everything in a store is read and held against every checksum and its second copy.
//
// Nothing is written. What a living writer has not finished is not there yet and no damage.

extension Engine {
  /// What a verification found.
  package struct Verification: Sendable {
    package var segments = 0
    package var records = 0
    package var bytes: UInt64 = 0
    package var tornTails = 0
    package var damage: [Damage] = []
  }

  /// How much is read.
  package enum Depth: Sendable {
    /// Headers and footers.
    case structure
    /// Every payload too, decompressed.
    case payloads
  }

  /// Verifies every segment; `progress` hears of the bytes done and of all bytes.
  package func verify(
    _ depth: Depth, progress: (UInt64, UInt64) -> Void = { _, _ in }
  ) throws(StoreError) -> Verification {
    var result = Verification()
    let names = try segmentNames()
    let total = try statistics().totalBytes
    for name in names {
      guard let (name, file) = try open(name) else { continue }
      let inspector = SegmentInspector(file: file, name: name, depth: depth)
      try inspector.run()
      result.add(inspector)
      progress(result.bytes, max(total, result.bytes))
    }
    return result
  }

  private func segmentNames() throws(StoreError) -> [SegmentName] {
    let names = try StoreError.wrapping { () throws(FileError) in
      try directory.list(limit: Catalog.nameLimit)
    }
    var phases: [SegmentID: SegmentName.Phase] = [:]
    for name in names.compactMap({ SegmentName($0) }) where name.phase != .temporary {
      // Under both names it is the sealed one.
      if phases[name.id] != .sealed { phases[name.id] = name.phase }
    }
    return phases.map { SegmentName(id: $0.key, phase: $0.value) }.sorted { $0.id < $1.id }
  }

  /// A segment under the name that it has by now; nil if it is gone.
  private func open(_ name: SegmentName) throws(StoreError) -> (SegmentName, any File)? {
    for phase in [name.phase, .sealed] {
      let name = SegmentName(id: name.id, phase: phase)
      do throws(FileError) { return (name, try directory.open(name.description)) } catch {
        if !error.isStale, !error.isForeign { throw .file(error) }
      }
    }
    return nil
  }
}

extension Engine.Verification {
  fileprivate mutating func add(_ inspector: SegmentInspector) {
    segments += 1
    records += inspector.recordCount
    bytes += inspector.fileSize
    tornTails += inspector.isTorn ? 1 : 0
    damage += inspector.damage
  }
}
