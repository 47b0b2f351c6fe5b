// Verifying: everything in a store is read and held against every checksum and its second copy.
//
// Nothing is written. What a living writer has not finished is not there yet and no damage.

/// What a verification found.
public struct VerificationReport: Sendable {
  /// Segments that were looked at.
  public internal(set) var segments = 0
  /// Records in them whose headers are intact.
  public internal(set) var records = 0
  /// Bytes of the segments' files.
  public internal(set) var bytes: UInt64 = 0
  /// Logs that end in what a crash left half written, which is no damage.
  public internal(set) var tornTails = 0
  /// What is not as it was written, in the order of the segments and of their bytes.
  public internal(set) var damage: [Damage] = []
  /// Names in the directory that are not of the store, in their order; the first thousand.
  public internal(set) var foreign: [String] = []
  /// Why segments could not be read: of those nothing is known.
  public internal(set) var unread: [StoreError] = []

  /// Nothing of anything.
  public init() {}
}

extension Engine {
  /// How much is read.
  package enum Depth: Sendable {
    /// Headers and footers.
    case structure
    /// Every payload too, decompressed.
    case payloads
  }

  /// What a verification found in one segment.
  struct Finding {
    var name: SegmentName
    var damage: [Damage]
    var damagedRecords: [(header: RecordHeader, offset: UInt64)]
    var isLost: Bool
  }

  /// Verifies every segment, so many at once; `progress` hears of the bytes done and of all bytes, one thread
  /// at a time.
  package func verify(
    _ depth: Depth, atOnce: Int = verifyingThreads,
    progress: @escaping (UInt64, UInt64) -> Void = { _, _ in }
  ) throws(StoreError) -> VerificationReport {
    try verifying(depth, atOnce, progress).report
  }

  func verifying(
    _ depth: Depth, _ atOnce: Int, _ progress: @escaping (UInt64, UInt64) -> Void
  ) throws(StoreError) -> (report: VerificationReport, findings: [Finding]) {
    let results = VerificationResults(host.threads.makeLock(), progress)
    var known: Set<SegmentID> = []
    var foreign: Set<String> = []
    // What a compaction has made meanwhile holds what was in segments that were gone before anybody looked.
    for round in 0..<Self.mostListings {
      let all = try names()
      let new = Self.segments(among: all).filter { known.insert($0.id).inserted }
      guard !new.isEmpty || round == 0 else { break }
      foreign.formUnion(Self.foreign(among: all))
      results.expect(totalSize(of: new))
      host.threads.forEach(new, atOnce: atOnce) { [self] name in
        do throws(StoreError) { try inspect(name, depth, results) } catch {
          results.add(error, of: name)
        }
      }
    }
    var (report, findings) = results.all
    foreign.formUnion(results.impostors)
    report.foreign = Array(foreign.sorted().prefix(Self.mostForeign))
    return (report, findings)
  }

  private static let mostListings = 8

  /// Bytes of the files, as far as they can be told.
  private func totalSize(of names: [SegmentName]) -> UInt64 {
    names.reduce(0) { total, name in
      guard let size = try? directory.open(name.description).size() else { return total }
      return total + min(size, FormatLimits.file)
    }
  }

  /// Every name that one of two listings has: one alone may leave out a file that is renamed meanwhile.
  private func names() throws(StoreError) -> Set<String> {
    try StoreError.wrapping { () throws(FileError) in
      var names = Set(try directory.list(limit: Catalog.nameLimit))
      names.formUnion(try directory.list(limit: Catalog.nameLimit))
      return names
    }
  }

  private func inspect(
    _ listed: SegmentName, _ depth: Depth, _ results: VerificationResults
  ) throws(StoreError) {
    for _ in 0..<Catalog.attempts {
      guard let (name, file) = try open(listed, results) else { return }
      var read: UInt64 = 0
      let inspector = SegmentInspector(file: file, name: name, depth: depth) { bytes in
        read += UInt64(bytes)
        results.took(UInt64(bytes))
      }
      var failure: StoreError?
      do throws(StoreError) { try inspector.run() } catch { failure = error }
      // A log that was sealed meanwhile has a footer that was taken for records.
      if name.phase == .log, !isThere(name) { continue }
      results.add(name, inspector, rest: inspector.fileSize - min(read, inspector.fileSize))
      if let failure { throw failure }
      return
    }
  }

  private func isThere(_ name: SegmentName) -> Bool {
    do throws(FileError) { _ = try directory.open(name.description) } catch {
      return !error.isStale
    }
    return true
  }

  /// More gain nothing where there is one disk.
  package static let verifyingThreads = 2
  private static let mostForeign = 1000

  private static func segments(among names: Set<String>) -> [SegmentName] {
    var phases: [SegmentID: SegmentName.Phase] = [:]
    for name in names.compactMap({ SegmentName($0) }) where name.phase != .temporary {
      // Under both names it is the sealed one.
      if phases[name.id] != .sealed { phases[name.id] = name.phase }
    }
    return phases.map { SegmentName(id: $0.key, phase: $0.value) }.sorted { $0.id < $1.id }
  }

  private static func foreign(among names: Set<String>) -> Set<String> {
    let own = [Compactor.lockName, Compactor.quarantine]
    return names.filter { SegmentName($0) == nil && !own.contains($0) }
  }

  /// A segment under the name that it has by now; nil if it is gone.
  private func open(
    _ name: SegmentName, _ results: VerificationResults
  ) throws(StoreError) -> (SegmentName, any File)? {
    // Where something that is no file has the name of the sealed one, the log counts.
    for phase in [name.phase, .sealed, .log] {
      let name = SegmentName(id: name.id, phase: phase)
      do throws(FileError) { return (name, try directory.open(name.description)) } catch {
        // A link, a pipe, a folder that has the name of a segment.
        if error.isForeign { results.note(impostor: name) }
        if !error.isStale, !error.isForeign { throw .file(error) }
      }
    }
    return nil
  }
}

/// What the threads of one verification found.
private final class VerificationResults: @unchecked Sendable {
  private let lock: any Lock
  private let progress: (UInt64, UInt64) -> Void
  // Guarded by lock.
  private var total: UInt64 = 0
  private var done: UInt64 = 0
  private var report = VerificationReport()
  private var findings: [Engine.Finding] = []
  private var unread: [(name: SegmentName, error: StoreError)] = []
  private var foreign: Set<String> = []

  init(_ lock: any Lock, _ progress: @escaping (UInt64, UInt64) -> Void) {
    self.lock = lock
    self.progress = progress
  }

  /// So many bytes are to be read, beside what was told before.
  func expect(_ bytes: UInt64) {
    lock.withLock { total += bytes }
  }

  func took(_ bytes: UInt64) {
    lock.withLock {
      done += bytes
      progress(done, max(total, done))
    }
  }

  /// `rest` are bytes that were not told of.
  func add(_ name: SegmentName, _ inspector: SegmentInspector, rest: UInt64) {
    lock.withLock {
      report.segments += 1
      report.records += inspector.recordCount
      report.bytes += inspector.fileSize
      report.tornTails += inspector.isTorn ? 1 : 0
      findings.append(
        Engine.Finding(
          name: name, damage: inspector.damage, damagedRecords: inspector.damagedRecords,
          isLost: inspector.isLost))
      done += rest
      progress(done, max(total, done))
    }
  }

  func add(_ error: StoreError, of name: SegmentName) {
    lock.withLock { unread.append((name, error)) }
  }

  func note(impostor name: SegmentName) {
    lock.withLock { _ = foreign.insert(name.description) }
  }

  /// Names that look like those of segments and are not of files.
  var impostors: Set<String> { lock.withLock { foreign } }

  /// In the order of the segments, however the threads went.
  var all: (VerificationReport, [Engine.Finding]) {
    lock.withLock {
      var report = report
      let findings = findings.sorted { $0.name.id < $1.name.id }
      report.damage = findings.flatMap { finding in
        finding.damage.sorted { ($0.offset, $0.length) < ($1.offset, $1.length) }
      }
      report.unread = unread.sorted { $0.name.id < $1.name.id }.map(\.error)
      return (report, findings)
    }
  }
}
