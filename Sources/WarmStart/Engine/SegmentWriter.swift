// Writes one segment: creates it, appends, syncs, seals.
//
// Appending is for one thread at a time, which the engine's append lock sees to; sealing, too, and nothing is appended
// from there on. Syncing is for any number of threads: those that wait at the same moment share one sync of the disk.

internal import Glibc
internal import Synchronization

final class SegmentWriter: @unchecked Sendable {
  let file: any File
  let header: SegmentHeader
  /// Where the next record begins.
  @exclusivity(unchecked) private(set) var tail: UInt64
  // Changed by nothing but an append, which the append lock keeps alone: see ``Index``.
  @exclusivity(unchecked) private(set) var footer = FooterBuilder()
  /// Up to where records were accepted that nobody waits to see synced, bytes.
  private(set) var acceptedBytes: UInt64 = 0
  /// Up to where stretches of it were given out, and where the last one might have been.
  private var stretchEnd: UInt64 = 0
  private var stretchConsidered: UInt64 = 0
  /// Up to where the file has been filled with zeros, or need not be.
  private var filledEnd: UInt64
  private let directory: any Directory

  private let syncLock: any Lock
  private let syncSignal: any Signal
  // Up to where the file has been written, and is known to be on stable storage.
  private let written: Atomic<UInt64>
  private let synced: Atomic<UInt64>
  /// Whether what the file holds may not be known any more.
  let syncDoubt = SyncDoubt()
  // Guarded by syncLock.
  private var isSyncing = false
  private var syncFailure: FileError?

  private init(
    file: any File, header: SegmentHeader, records: [FoundRecord], directory: any Directory,
    threads: any Threads, isSynced: Bool
  ) {
    self.file = file
    self.header = header
    self.directory = directory
    syncLock = threads.makeLock()
    syncSignal = syncLock.makeSignal()
    tail = records.last?.end ?? header.recordsStart
    filledEnd = tail
    written = Atomic(tail)
    synced = Atomic(isSynced ? tail : 0)
    for index in records.indices { records[index].add(to: &footer) }
  }

  // MARK: Creation

  /// Makes a new log. It becomes visible under its name only with a complete header on stable storage
  /// and already locked. Without `synced` it survives SIGKILL but not a power cut, which is enough for
  /// a log that holds nothing but access marks. `announce` hears of its id before others can see it.
  ///
  /// One that succeeds another begins with what is left of that, its `legacy`. From the moment that it may be seen it has
  /// taken the other's place, so that it is not taken back, whatever fails then.
  static func create(
    in directory: any Directory, host: Host, permissions: Permissions, synced: Bool,
    legacy: Legacy? = nil, announce: (SegmentID) -> Void
  ) throws(FileError) -> SegmentWriter {
    while true {
      let now = host.wallClock()
      let id = SegmentID(creation: now, random: host.random())
      let header = SegmentHeader(
        id: id, salt: host.random(), creation: now, replaced: legacy?.replaced ?? [])
      let bytes = legacy?.encode(in: header) ?? []
      let temporary = SegmentName(id: id, phase: .temporary).description
      let file = try directory.create(temporary, permissions: permissions)
      do throws(FileError) {
        // Somebody may have taken the file for an abandoned one, between its creation and its lock.
        guard try file.tryLock(.exclusive), try file.linkCount() > 0 else { continue }
        try writeWhole(header.encoded() + bytes, to: file, at: 0)
        if synced { try file.syncData() }
        announce(id)
        let name = SegmentName(id: id, phase: .log).description
        try directory.rename(temporary, to: name)
        file.renamed(to: name)
        if synced { try directory.sync() }
      } catch {
        if error.operation == .rename, error.errno == ENOENT { continue }
        // What remains of the attempt is cleared away; the first error is the one to tell.
        let failedToSync = error.operation == .sync && error.path == directory.path
        if failedToSync, legacy != nil { throw error }
        let left = failedToSync ? SegmentName(id: id, phase: .log).description : temporary
        try? directory.unlink(left)
        throw error
      }
      return SegmentWriter(
        file: file, header: header, records: legacy?.found ?? [], directory: directory,
        threads: host.threads, isSynced: synced)
    }
  }

  private static func writeWhole(
    _ bytes: [UInt8], to file: any File, at offset: UInt64
  ) throws(FileError) {
    try bytes.withBytesThrowing { (bytes) throws(FileError) in try file.write(bytes, at: offset) }
  }

  // MARK: Appending

  /// Whether a frame of this many bytes and records, with texts of so many bytes, still fits, and the
  /// footer that the segment will have.
  func hasRoom(bytes: Int, records: Int, texts: Int, limit: UInt64) -> Bool {
    if footer.isFull(adding: records) { return false }
    let end = tail + UInt64(bytes + footer.longestLength(adding: records, texts: texts))
    return end <= limit || footer.count == 0
  }

  /// How far the segment is known to be on stable storage, bytes.
  var syncedBytes: UInt64 { synced.load(ordering: .acquiring) }

  /// Writes a frame of whole records behind the last one.
  func append(_ frame: UnsafeRawBufferPointer, _ records: [FoundRecord]) throws(FileError) {
    try file.write(frame, at: tail)
    for index in records.indices { records[index].add(to: &footer) }
    tail += UInt64(frame.count)
    written.store(tail, ordering: .releasing)
  }

  /// Everything written so far is accepted, and nobody waits to see it synced. Gives whether so much has come together,
  /// since it last did, that the system may begin to write it out.
  func accept() -> Bool {
    acceptedBytes = tail
    guard tail >= max(stretchConsidered, syncedBytes) + Self.stretch else { return false }
    stretchConsidered = tail
    return true
  }

  /// What is neither synced nor was given out before.
  func takeStretch() -> Range<UInt64> {
    defer { stretchEnd = tail }
    return max(stretchEnd, syncedBytes)..<tail
  }

  private static let stretch: UInt64 = 4 << 20

  /// Takes back what a failed append of one record left behind the last one. Gives whether nobody can
  /// have read it as whole; if not, it is left as it is. Throws if it cannot be taken back.
  func cutBack(frameLength: Int) throws(FileError) -> Bool {
    // Over zeros that were there before, a part of a record may be all of it.
    guard try file.size() < tail + UInt64(frameLength) else { return false }
    try file.truncate(to: tail)
    filledEnd = tail
    return true
  }

  // MARK: Zeros ahead

  /// Writes zeros ahead of the tail if the last frame, of `frameLength` bytes, reached beyond those
  /// that were there. To be called between an append and its sync, which pays for both.
  ///
  /// A sync of a file that has grown must commit the journal of the file system; over blocks that were
  /// written before it takes half the time. Without space on the disk there are no zeros, and what they
  /// took is given back.
  func fillAhead(frameLength: Int, limit: UInt64) {
    guard tail > filledEnd else { return }
    let step = Self.step(records: tail - header.recordsStart)
    guard UInt64(frameLength) * Self.fewestFrames <= step else { return }
    let end = min((tail + step) & ~4095, limit)
    guard end > tail else { return }
    filledEnd = end
    do throws(FileError) {
      for start in stride(from: tail, to: end, by: Self.zeros.count) {
        let count = min(Self.zeros.count, Int(end - start))
        try file.write(UnsafeRawBufferPointer(rebasing: Self.zeros[..<count]), at: start)
      }
    } catch { try? file.truncate(to: tail) }
  }

  /// As much as there are records, so that a fit that is killed early leaves little behind; never more
  /// than a quarter of a mebibyte while the segment is small.
  private static func step(records: UInt64) -> UInt64 {
    let most: UInt64 = records < 4 << 20 ? 256 << 10 : 1 << 20
    return min(max(records, 32 << 10), most)
  }

  /// Zeros that serve fewer syncs than this cost more than they save.
  private static let fewestFrames: UInt64 = 4

  private nonisolated(unsafe) static let zeros: UnsafeRawBufferPointer = {
    let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 << 10, alignment: 4096)
    bytes.initializeMemory(as: UInt8.self, repeating: 0)
    return UnsafeRawBufferPointer(bytes)
  }()

  // MARK: Syncing

  /// Returns once everything before `end` is on stable storage. Whoever finds no sync under way does
  /// it for all that has been written; the others wait for it.
  ///
  /// A sync that failed is never tried again: what the cache holds after it is unknown.
  func sync(through end: UInt64) throws(FileError) {
    let goal: UInt64? = try syncLock.withLock { () throws(FileError) -> UInt64? in
      while syncedBytes < end {
        if let syncFailure { throw syncFailure }
        if !isSyncing {
          isSyncing = true
          syncDoubt.begin()
          return written.load(ordering: .acquiring)
        }
        syncSignal.wait()
      }
      return nil
    }
    guard let goal else { return }
    var failure: FileError?
    do throws(FileError) { try file.syncData() } catch { failure = error }
    syncLock.withLock {
      isSyncing = false
      failure = failure ?? syncFailure
      if failure == nil {
        synced.max(goal, ordering: .releasing)
        syncDoubt.end()
      } else {
        syncFailure = failure
      }
      syncSignal.wakeAll()
    }
    if let failure { throw failure }
  }

  /// Has the system begin to write out a stretch. If it cannot, that is as if a sync had failed: what the cache holds is
  /// unknown.
  func writeOut(_ stretch: Range<UInt64>) throws(FileError) {
    do throws(FileError) { try file.writeOut(stretch) } catch {
      syncLock.withLock {
        syncDoubt.begin()
        syncFailure = syncFailure ?? error
      }
      throw error
    }
  }

  /// Whether what the file holds is not known any more.
  var hasFailedToSync: Bool { syncLock.withLock { syncFailure != nil } }

  // MARK: Sealing

  /// Writes the footer and gives the segment its final name. Everything is on stable storage when it
  /// returns. If it throws, the log is as good as before: what it may have of a footer is no record.
  func seal() throws(FileError) {
    let bytes = footer.encoded(header: header, footerOffset: tail)
    let end = tail + UInt64(bytes.count)
    do throws(FileError) {
      try Self.writeWhole(bytes, to: file, at: tail)
      if filledEnd > end { try file.truncate(to: end) }
    } catch {
      try? file.truncate(to: tail)
      throw error
    }
    written.store(end, ordering: .releasing)
    try sync(through: end)
    try directory.rename(
      SegmentName(id: header.id, phase: .log).description,
      to: SegmentName(id: header.id, phase: .sealed).description)
    try directory.sync()
  }

  /// Lets others see that nobody writes this segment any more.
  func release() { try? file.unlock() }
}

extension FoundRecord {
  // As a method: see ``PendingRecord``.
  fileprivate func add(to footer: inout FooterBuilder) { footer.add(header, at: offset) }
}
