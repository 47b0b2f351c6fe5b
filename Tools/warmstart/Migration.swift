// Takes over what the ancestor kept, key by key.
//
// Every entry is read and checked, whether it is taken or not. Those that would fill a slot of their key are read a second time and
// written, a few MiB at a time, each batch with one write and one sync. What is there already, and what
// would be dead, is not written: so a second migration adds nothing, and one that was killed can be run
// again.

import WarmStart

/// A migration under way.
struct Migration {
  /// What was done, or would be.
  struct Tally {
    /// Keys whose folders were looked into.
    var keys = 0
    /// Entries, and what should be one.
    var entries: Int { taken + alreadyThere + dead + damaged }
    var taken = 0
    var alreadyThere = 0
    /// Those that would fill no slot.
    var dead = 0
    var damaged = 0
    /// Lookups that are noted.
    var lookups = 0
    /// Bytes of the payloads that are taken.
    var payloadBytes: UInt64 = 0
  }

  private(set) var tally = Tally()
  /// Where to; nil if there is no store, and none is to be made.
  private let store: OpenStore?
  private let isForecast: Bool
  private var progress: ProgressLine
  private let payloadLimit = StoreOptions().payloadLimit
  private var batch: [PendingRecord<[UInt8]>] = []
  private var batchBytes = 0

  private static let batchLimit = 4 << 20
  private static let batchRecords = 1024

  /// A migration into a store; or a forecast of what one would do, which changes nothing.
  init(into store: OpenStore?, isForecast: Bool, quiet: Bool) {
    precondition(isForecast || store != nil, "a migration needs a store")
    self.store = store
    self.isForecast = isForecast
    progress = ProgressLine("importing", quiet: quiet) { Quantity.count(Int($0), "key") }
  }

  /// Takes over what the folder has of these keys.
  mutating func run(_ keys: [Fingerprint], of source: GamFolder) throws(Failure) {
    defer { progress.clear() }
    for (number, key) in keys.enumerated() {
      progress.show(UInt64(number), of: UInt64(keys.count))
      try take(key, of: source)
    }
    try writeBatch()
    guard !isForecast else { return }
    // What was not taken because it is there may be in a log whose writer did not live to sync it.
    try store?.ask { open throws(StoreError) in try open.engine.syncLogsOfOthers() }
  }

  // MARK: One key

  private mutating func take(
    _ key: Fingerprint, of source: GamFolder
  ) throws(Failure) {
    tally.keys += 1
    let folder: GamFolder
    let runs: [RunID]
    do throws(GamFlaw) {
      folder = try GamFolder(key.description, in: source)
      runs = try self.runs(in: folder)
    } catch { return skip(source.pathOf(key.description), error) }
    var entries: [GamEntry] = []
    for run in runs {
      do throws(GamFlaw) {
        entries.append(try GamEntry(key: key, run: run, in: folder, payloadLimit: payloadLimit))
      } catch { skip(folder.pathOf(run.description), error) }
    }
    // Of the same time, a final counts as the newer.
    entries.sort { left, right in
      (left.stamp, left.draft.kind.rawValue, left.draft.runID)
        < (right.stamp, right.draft.kind.rawValue, right.draft.runID)
    }
    try take(entries, of: key, in: folder)
  }

  /// The runs that have a file in the folder.
  private mutating func runs(in folder: GamFolder) throws(GamFlaw) -> [RunID] {
    let names = try folder.names(limit: GamFolder.nameLimit + 1)
    guard names.count <= GamFolder.nameLimit else {
      throw GamFlaw("it holds over \(GamFolder.nameLimit) names")
    }
    var stems: Set<String> = []
    for name in names.sorted() {
      if let suffix = [".json", ".bin"].first(where: name.hasSuffix) {
        stems.insert(String(name.dropLast(suffix.count)))
      } else if !name.contains(".tmp.") {
        // With those letters it is what a writer left that died.
        skip(folder.pathOf(name), GamFlaw("it is no part of an entry"))
      }
    }
    var runs: [RunID] = []
    for stem in stems.sorted() {
      if let run = RunID(stem) {
        runs.append(run)
      } else {
        skip(folder.pathOf(stem), GamFlaw("its name is no run id: 1 to 64 printable ASCII letters"))
      }
    }
    return runs
  }

  /// Takes those of the entries, which are in their order, that would fill a slot.
  private mutating func take(
    _ entries: [GamEntry], of key: Fingerprint, in folder: GamFolder
  ) throws(Failure) {
    let lastUse = entries.map(\.lastUse).max() ?? 0
    let before = try intake(of: key, lastUse: lastUse)
    let suspects = entries.filter { before.stamps.contains($0.stamp) }
    var present: Set<String> = []
    for entry in suspects where try isThere(entry) { present.insert(entry.draft.runID) }
    tally.alreadyThere += present.count
    // Looking may have shown that what was there is damaged.
    var intake = suspects.isEmpty ? before : try intake(of: key, lastUse: lastUse)
    let candidates = entries.filter { !present.contains($0.draft.runID) }
    for entry in candidates { intake.add(entry.draft) }
    let arrivals = intake.arrivals
    tally.dead += candidates.count - arrivals.count
    var isPresent = !intake.stamps.isEmpty
    for number in arrivals where try write(candidates[number], from: folder) { isPresent = true }
    let lookedUp = entries.map(\.lookedUp).max() ?? 0
    guard isPresent, UInt32(clamping: lookedUp / 1_000_000_000) > intake.markedSeconds else {
      return
    }
    tally.lookups += 1
    try add(Draft(kind: .accessMark, key: key, writeTime: lookedUp), payload: [])
  }

  private func intake(of key: Fingerprint, lastUse: UInt64) throws(Failure) -> Intake {
    guard let store else { return Intake(key) }
    return try store.ask { open throws(StoreError) in
      try open.engine.intake(of: key, lastUse: lastUse)
    }
  }

  /// Whether the store has the entry, as one that counts.
  private func isThere(_ entry: GamEntry) throws(Failure) -> Bool {
    guard let store else { return false }
    let draft = entry.draft
    return try store.ask { open throws(StoreError) in
      try open.engine.holds(draft.key, stamp: entry.stamp) { record in
        record.header.runID == draft.runID && record.header.kind == draft.kind
          && entry.isPayload(record.payload)
      }
    }
  }

  // MARK: Writing

  /// Gives whether the entry is what it was, and so is taken.
  private mutating func write(
    _ entry: GamEntry, from folder: GamFolder
  ) throws(Failure) -> Bool {
    if !isForecast {
      let payload: [UInt8]
      do throws(GamFlaw) { payload = try entry.payload(in: folder) } catch {
        skip(folder.pathOf(entry.draft.runID), error)
        return false
      }
      try add(entry.draft, payload: payload)
    }
    tally.taken += 1
    tally.payloadBytes += UInt64(entry.payloadBytes)
    return true
  }

  private mutating func add(_ draft: Draft, payload: [UInt8]) throws(Failure) {
    guard !isForecast else { return }
    batch.append(PendingRecord(draft, payload))
    batchBytes += payload.count
    if batchBytes >= Self.batchLimit || batch.count >= Self.batchRecords { try writeBatch() }
  }

  private mutating func writeBatch() throws(Failure) {
    guard let store, !batch.isEmpty else { return }
    let written = batch
    (batch, batchBytes) = ([], 0)
    try store.ask { open throws(StoreError) in
      try open.engine.append(written, durability: .synced)
    }
  }

  /// Names what is not taken because of a flaw.
  mutating func skip(_ path: String, _ flaw: GamFlaw) {
    tally.damaged += 1
    progress.clear()
    StandardStreams.complain("skipped \(path.printable): \(flaw.what)")
  }
}
