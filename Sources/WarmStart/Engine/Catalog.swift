// What the directory holds: its segments, and the index of their records.
//
// Not safe for several threads, but where it says so; the engine's lock guards it. Everything here follows from the files:
// a refresh brings it up to what other processes finished before the refresh began.

internal import Glibc
internal import Logging
internal import Synchronization

/// The segments of a directory and the index over them.
final class Catalog {
  let directory: any Directory
  let host: Host
  let options: EngineOptions
  let index = Index()
  private(set) var segments: [SegmentID: Segment] = [:]
  private var byNumber: [Segment?] = []
  /// The logs of others that may still grow.
  var live: [Segment] = []
  /// The log that this process writes; nobody else adds to it.
  var own: Segment?
  /// The one that it does not write any more and is about to seal.
  var beingSealed: Segment?
  /// Whether somebody deleted it, or the whole directory. May be asked without the lock.
  let ownIsGone = Atomic(false)
  /// The log that this process is about to have: it is nobody else's.
  var announced: SegmentID?
  /// The largest stamp that was seen, of what is there still.
  var lastStamp: UInt64 = 0
  /// The largest that was there and is gone: somebody may be about to go on from it.
  var forgottenStamp: UInt64 = 0
  /// Every damaged place met so far, at most `damageLimit`.
  var damage: [Damage] = []
  /// The segments that have any, whether it is told above or not.
  var damagedSegments: Set<SegmentID> = []
  var tornTails = 0
  /// Records that could not be read: they fill no slot.
  var unreadable: Set<Spot> = []
  /// How many there ever were.
  var setAsideCount = 0
  /// Goes up with whatever may make something count again that was dead: removals, what is set aside, segments that go.
  var doubts: UInt64 = 0
  /// The removals of each segment, by its number: their keys, by their offsets.
  var removals: [UInt32: [UInt64: Fingerprint]] = [:]
  /// Segments that a compaction replaced: what they hold does not count, even while they are there.
  private var replaced: Set<SegmentID> = []
  /// Those of them that were there when the directory was last listed, and the bytes of their files.
  private var leaving: [SegmentID: UInt64] = [:]
  /// Segments that cannot be used, so that they are not tried again and again.
  var refused: Set<SegmentID> = []
  /// Those of them of which no copy of the header is intact.
  var headerless: [SegmentID: SegmentName] = [:]
  /// Logs of which a power cut left nothing.
  var headless: Set<SegmentID> = []
  /// Keys whose slots must be filled anew from all records.
  @exclusivity(unchecked) var unsettled: Set<Fingerprint> = []
  /// Keys that a removal has unsettled since this was last emptied.
  var hasUnsettled: Set<Fingerprint> = []
  /// Those of the unsettled that could not be filled, which is tried again when the directory changes or one is asked for.
  @exclusivity(unchecked) var unsettleable: Set<Fingerprint> = []
  /// Why they could not be.
  var unsettledBecause: StoreError?
  /// Keys removed, or with a record set aside, since a merge began; nil while there is none.
  var changedSince: Set<Fingerprint>?
  /// Records whose payloads a merge has found intact.
  var verified: Set<Spot> = []
  /// What was there at first, and has yet to go into the index.
  @exclusivity(unchecked) var deferred = DeferredFooters()
  @exclusivity(unchecked) private var watch = DirectoryWatch()
  /// Both clocks for a look. By itself: lookups would copy all of the host.
  private let lookClocks: @Sendable () -> (wall: UInt64, monotonic: UInt64)
  /// Why a segment could not be read when the directory was last listed, or since; and which were told of.
  private(set) var skippedBecause: FileError?
  private var complainedOf: Set<SegmentID> = []
  var clockWatch: ClockWatch
  private var openFiles: OpenFiles
  private(set) var temporaries: [SegmentName] = []

  /// One place in one segment.
  struct Spot: Hashable {
    var segment: UInt32
    var offset: UInt64
  }

  static let damageLimit = 1000
  static let attempts = 64
  /// Names in one directory; far beyond any store, and bounded in memory.
  static let nameLimit = 1 << 22

  let isReadOnly: Bool
  private(set) var isClosed = false
  private var hasLoaded = false

  init(directory: any Directory, host: Host, options: EngineOptions, isReadOnly: Bool) {
    self.isReadOnly = isReadOnly
    self.directory = directory
    self.host = host
    lookClocks = host.coarseClocks ?? { (host.wallClock(), host.monotonicClock()) }
    self.options = options
    openFiles = OpenFiles(limit: options.openFiles)
    clockWatch = ClockWatch(wall: host.wallClock(), monotonic: host.monotonicClock())
  }

  /// Why a step must be taken again or given up.
  enum Interruption: Error {
    /// A file is not there any more under its name: the directory must be listed again.
    case vanished
    case store(StoreError)

    init(_ error: FileError) {
      self = error.isStale ? .vanished : .store(.file(error))
    }
  }

  // MARK: Refresh

  /// Reads the directory for the first time. What cannot be used is an error now, with `strict`; of large
  /// footers no more is read than a search needs.
  func load(strict: Bool) throws(StoreError) {
    defer { hasLoaded = true }
    try refresh(strict: strict)
  }

  /// Takes in everything that others finished before. Costs one system call for the directory and
  /// one for each log that another process writes, if nothing changed.
  func refresh() throws(StoreError) {
    try refresh(strict: false)
  }

  private func refresh(strict: Bool) throws(StoreError) {
    try untilPresent(strict: strict) { _ in }
  }

  /// Runs `body` after a refresh, and again after another if a file it needs has gone or was renamed. `look` is one
  /// that was taken since the question was asked, without the lock.
  func untilPresent<Value>(
    strict: Bool = false, look: DirectoryLook? = nil,
    _ body: (Catalog) throws(Interruption) -> Value
  ) throws(StoreError) -> Value {
    guard !isClosed else { throw .closed(path: directory.path) }
    var look = look
    for _ in 0..<Self.attempts {
      do throws(Interruption) {
        try relistIfChanged(strict: strict, look.take())
        for segment in live where segment.isLive {
          try tolerating(strict: strict, segment.id) { () throws(Interruption) in try poll(segment)
          }
        }
        try settle()
        return try body(self)
      } catch {
        if case .store(let error) = error { throw error }
        lookAnew()
      }
    }
    throw .unreadableDirectory(path: directory.path, why: "its files keep changing their names")
  }

  /// A look at the directory, as it is now. Any thread may take one at any time.
  func look() throws(FileError) -> DirectoryLook {
    let modified = try directory.modificationTime()
    let clocks = lookClocks()
    return DirectoryLook(modified: modified, wall: clocks.wall, now: clocks.monotonic)
  }

  /// Whether a look shows that a refresh would find nothing. Several threads may ask at once, and ask the index then of
  /// keys that it ``knowsAll(of:)``, while none changes the catalog.
  func isUpToDate(_ look: DirectoryLook) -> Bool {
    !isClosed && live.isEmpty && unsettled.isEmpty && unsettleable.isEmpty
      && watch.isUnchanged(look)
  }

  /// The end. Files that somebody unlinks take space for as long as they are open.
  func close() {
    isClosed = true
    for segment in segments.values { segment.file = nil }
    lookAnew()
  }

  /// What was seen does not hold any more: a file went, or a server forgot its handle.
  func lookAnew() {
    openFiles.closeAll()
    watch.invalidate()
  }

  private func relistIfChanged(strict: Bool, _ early: DirectoryLook?) throws(Interruption) {
    if let early, let mustList = watch.mustList(early: early) {
      guard mustList else { return }
    } else {
      let look: DirectoryLook
      do throws(FileError) { look = try self.look() } catch { throw .store(.file(error)) }
      guard watch.mustList(look) else { return }
    }
    unsettleable = []
    skippedBecause = nil
    try adopt(try names(), strict: strict)
    // What could not be read is tried again with the next look.
    if skippedBecause == nil { watch.listed() }
  }

  /// The files of the store. A listing is no snapshot of a directory that changes: it may leave out a
  /// file that is renamed meanwhile, under both its names. A segment is renamed once in its life, so
  /// that of two listings one has it; what only the first has may be gone. To wait until two agree
  /// would be to wait for others to pause.
  private func names() throws(Interruption) -> [SegmentName] {
    var found: Set<SegmentName> = []
    for _ in 0..<2 {
      let all: [String]
      do throws(FileError) { all = try directory.list(limit: Self.nameLimit) } catch {
        // The directory was deleted, with all that was in it.
        if error.errno == ENOENT, own != nil { ownIsGone.store(true, ordering: .releasing) }
        throw .store(.file(error))
      }
      guard all.count < Self.nameLimit else {
        throw .store(
          .unreadableDirectory(path: directory.path, why: "it holds over \(Self.nameLimit) files"))
      }
      for name in all { if let name = SegmentName(name) { found.insert(name) } }
    }
    return withoutImpostors(
      found.sorted { ($0.id, $0.phase.rawValue) < ($1.id, $1.phase.rawValue) })
  }

  /// What is no file of a store takes the place of none.
  private func withoutImpostors(_ names: [SegmentName]) -> [SegmentName] {
    names.enumerated().filter { index, name in
      // The log of the same segment comes right before.
      guard name.phase == .sealed, index > 0,
        names[index - 1] == SegmentName(id: name.id, phase: .log)
      else { return true }
      do throws(FileError) { _ = try directory.open(name.description) } catch {
        return !error.isForeign
      }
      return true
    }.map(\.element)
  }

  private func adopt(_ names: [SegmentName], strict: Bool) throws(Interruption) {
    temporaries = names.filter { $0.phase == .temporary }
    var present: [SegmentID: SegmentName.Phase] = [:]
    for name in names where name.phase != .temporary {
      if present[name.id] != .sealed { present[name.id] = name.phase }
    }
    for name in names where name.phase != .temporary && name.phase == present[name.id] {
      if let segment = segments[name.id] {
        if segment.phase == .log, name.phase == .sealed, !isOwn(segment) {
          try tolerating(strict: strict, name.id) { () throws(Interruption) in
            try becomeSealed(segment)
          }
        }
      } else if !refused.contains(name.id), !headless.contains(name.id),
        !replaced.contains(name.id), name.id != announced
      {
        try tolerating(strict: strict, name.id) { () throws(Interruption) in
          try load(name, strict: strict)
        }
      }
    }
    if let own, present[own.id] == nil {
      ownIsGone.store(true, ordering: .releasing)
      self.own = nil
    }
    refused.formIntersection(present.keys)
    headerless = headerless.filter { refused.contains($0.key) }
    headless.formIntersection(present.keys)
    for segment in segments.values { replaced.formUnion(segment.header.replaced) }
    let dropped = segments.values.filter {
      $0 !== own && (present[$0.id] == nil || replaced.contains($0.id))
    }
    for segment in dropped { leaving[segment.id] = max(segment.fileBytes, segment.tail) }
    leaving = leaving.filter { present[$0.key] != nil }
    drop(dropped)
    // In the order of their ids: what is done to the disk follows from what is on it.
    let others = segments.values.filter { $0.isLive && !isOwn($0) }.sorted { $0.id < $1.id }
    for segment in others {
      try tolerating(strict: strict, segment.id) { () throws(Interruption) in
        try retireIfAbandoned(segment)
      }
    }
    live = others.filter(\.isLive)
  }

  /// Runs `body`, which reads one segment of another process. A running fit goes on with what can be read
  /// where the disk refuses that segment; nothing is concluded, and the next look tries again.
  private func tolerating(
    strict: Bool, _ id: SegmentID, _ body: () throws(Interruption) -> Void
  ) throws(Interruption) {
    do throws(Interruption) { try body() } catch {
      guard !strict, case .store(.file(let why)) = error, why.isDiskError else { throw error }
      skippedBecause = why
      // So that the next look begins anew, and knows whether it still cannot be read.
      watch.invalidate()
      if complainedOf.insert(id).inserted { options.logger?.error("segment not read: \(why)") }
    }
  }

  private func load(_ name: SegmentName, strict: Bool) throws(Interruption) {
    do throws(Interruption) {
      let (name, file) = try open(name)
      try load(name, file, isFirst: !hasLoaded)
    } catch {
      guard case .store(let why) = error, why.isOfOneSegment(strict: strict) else { throw error }
      // A running fit goes on with what can be read.
      refused.insert(name.id)
      options.logger?.error("segment left out: \(why)")
    }
  }

  /// A segment under the name that it has by now: a log may have been sealed since it was listed.
  private func open(_ name: SegmentName) throws(Interruption) -> (SegmentName, any File) {
    do throws(FileError) { return (name, try directory.open(name.description)) } catch {
      guard error.isStale, name.phase == .log else { throw Interruption(error) }
    }
    let sealed = SegmentName(id: name.id, phase: .sealed)
    do throws(FileError) { return (sealed, try directory.open(sealed.description)) } catch {
      throw Interruption(error)
    }
  }

  /// A segment of this process's own was replaced by another, and is about to go.
  func dropReplaced(_ id: SegmentID) {
    replaced.insert(id)
    // It may have been gone before.
    guard let segment = segments[id] else { return }
    leaving[id] = max(segment.fileBytes, segment.tail)
    drop([segment])
  }

  private func drop(_ dropped: [Segment]) {
    doubts &+= dropped.isEmpty ? 0 : 1
    var numbers: Set<UInt32> = []
    for segment in dropped {
      if segment === beingSealed { beingSealed = nil }
      segments[segment.id] = nil
      segment.file = nil
      byNumber[Int(segment.number)] = nil
      dropDeferred(segment)
      // What its removals covered counts again, unless another segment has them too.
      for key in removals.removeValue(forKey: segment.number)?.values ?? [:].values {
        index.forgetRemoval(key)
        unsettled.insert(key)
      }
      if index.liveBytes(of: segment.number) > 0 { numbers.insert(segment.number) }
    }
    guard !numbers.isEmpty else { return }
    index.forEachKey { key, places in
      if places.contains(where: { numbers.contains($0.place.segment) }) { unsettled.insert(key) }
    }
  }

  // MARK: Segments

  /// Bytes of segments that were replaced and whose files are there still.
  var leavingBytes: UInt64 { leaving.values.reduce(0, +) }

  /// A number for a new segment, by which places name it.
  func register(
    _ id: SegmentID, phase: SegmentName.Phase, isLive: Bool, header: SegmentHeader
  ) -> Segment {
    let segment = Segment(
      id: id, number: UInt32(byNumber.count), phase: phase, isLive: isLive, header: header)
    byNumber.append(segment)
    segments[id] = segment
    return segment
  }

  /// Takes back the last registration, of a segment that could not be read and that no place names.
  func unregister(_ segment: Segment) {
    precondition(byNumber.count - 1 == Int(segment.number))
    byNumber.removeLast()
    segments[segment.id] = nil
    segment.file = nil
  }

  /// What was known of a segment does not hold: the next refresh reads it anew.
  func forget(_ id: SegmentID) {
    guard let segment = segments[id], !isOwn(segment) else { return }
    live.removeAll { $0 === segment }
    drop([segment])
    watch.invalidate()
  }

  func segment(_ number: UInt32) -> Segment? { byNumber[Int(number)] }

  /// The open file of a segment.
  func file(of segment: Segment) throws(Interruption) -> any File {
    do throws(FileError) { return try openFiles.file(of: segment, in: directory) } catch {
      throw Interruption(error)
    }
  }

  func keep(_ file: any File, of segment: Segment) { openFiles.keep(file, of: segment) }
}
