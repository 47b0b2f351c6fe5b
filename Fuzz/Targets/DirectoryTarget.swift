// A directory that somebody filled with anything, repaired.
//
// A repair must keep what is intact, make nothing up, leave nothing that is damaged, and change no damaged
// byte.

import Simulation
import WarmStart

enum DirectoryTarget {
  private static let mostFiles = 8

  /// Files, one behind the other: a byte that says what is mended, one that says what it is called, two of
  /// length, then its bytes.
  static func run(_ bytes: [UInt8]) throws(Finding) {
    let files = files(bytes)
    var testimony = Testimony()
    for (name, bytes) in files {
      if let name = SegmentName(name) { testimony.add(bytes, id: name.id) }
    }
    let machine = Machine(files: files, wall: Look.now)
    defer { machine.finish() }
    // Where a footer whose checksums are right has texts that are wrong, a search meets none of them, and who
    // reads it whole does not believe it: such a key has no one answer that a repair could keep.
    guard let before = try look(machine, testimony),
      let read = try look(machine, testimony, readsWhole: true)
    else { return }
    let report: RepairReport
    do throws(StoreError) {
      let store = try open(machine, .existing)
      report = try withExtendedLifetime(store) { () throws(StoreError) in
        try store.engine().repair()
      }
      try store.close()
    } catch { return }
    try checkFiles(machine.files, from: files, report, testimony)
    guard report.errors.isEmpty else { return }
    guard let after = try look(machine, testimony) else {
      throw Finding("a store that was repaired cannot be opened")
    }
    try checkIsClean(machine, report)
    for (key, answers) in before.answers
    where !testimony.ambiguous.contains(key) && read.answers[key] == answers {
      try require(
        after.answers[key] == answers,
        "before a repair \(answers), and after it \(String(describing: after.answers[key]))")
    }
  }

  // MARK: The files

  private static func files(_ bytes: [UInt8]) -> [String: [UInt8]] {
    var input = Input(bytes)
    var files: [String: [UInt8]] = [:]
    while !input.isEmpty, files.count < mostFiles {
      let mending = Mending(rawValue: input.byte())
      let naming = input.byte()
      let count = Int(input.number(UInt16.self))
      let bytes = Mender.mend(input.bytes(count), mending, isSealed: naming & 7 == 0)
      files[name(bytes, naming)] = bytes
    }
    return files
  }

  private static func name(_ bytes: [UInt8], _ naming: UInt8) -> String {
    var id = SegmentID(creation: 1, random: 1)
    if bytes.count >= 40 { id = SegmentID(creation: bytes.u64(24), random: bytes.u64(32)) }
    // Somebody may have renamed it.
    if naming & 8 != 0 { id = SegmentID(creation: UInt64(naming >> 4), random: 7) }
    switch naming & 7 {
    case 1, 2: return SegmentName(id: id, phase: .log).description
    case 3: return SegmentName(id: id, phase: .temporary).description
    case 4: return "compaction.lock"
    case 5: return "a stranger"
    case 6: return SegmentName(id: id, phase: .sealed).description + ".bak"
    default: return SegmentName(id: id, phase: .sealed).description
    }
  }

  // MARK: The store

  private static func open(
    _ machine: Machine, _ access: Engine.Access, readsWhole: Bool = false
  ) throws(StoreError) -> WarmStartStore {
    var options = Look.options
    if readsWhole { options.footerBlocksReadWhole = .max }
    return try WarmStartStore(
      path: SimulatedFileSystem.path, options: options, access: access,
      host: machine.hostWithOneThread())
  }

  /// What a reader finds; nil if the store cannot be opened.
  private static func look(
    _ machine: Machine, _ testimony: Testimony, readsWhole: Bool = false
  ) throws(Finding) -> Look? {
    let store = Look.unlessItFails { () throws(StoreError) in
      try open(machine, .readOnly, readsWhole: readsWhole)
    }
    guard let store else { return nil }
    return try Look(at: store, testimony)
  }

  // MARK: What a repair owes

  private static func checkIsClean(_ machine: Machine, _ report: RepairReport) throws(Finding) {
    let found: VerificationReport
    do throws(StoreError) {
      let store = try open(machine, .readOnly)
      found = try store.verify()
    } catch { throw Finding("a store that was repaired cannot be verified: \(error)") }
    let left = Set(report.left.map(\.segment))
    if let damage = found.damage.first(where: { !left.contains($0.segment) }) {
      throw Finding("a repair left damage that it did not name: \(damage)")
    }
    try require(found.unread.isEmpty, "a repair left what cannot be read: \(found.unread)")
  }

  /// Every file that was damaged is set aside as it was; every other is there as it was, or was replaced.
  private static func checkFiles(
    _ after: [String: [UInt8]], from before: [String: [UInt8]], _ report: RepairReport,
    _ testimony: Testimony
  ) throws(Finding) {
    let quarantine = "quarantine/"
    for (name, bytes) in after where name.hasPrefix(quarantine) {
      let original = before[String(name.dropFirst(quarantine.count))]
      try require(original == bytes, "\(name) is not what was damaged")
    }
    let damaged = Set(report.found.damage.map(\.segment))
    for (name, bytes) in before {
      guard let segment = SegmentName(name), segment.phase != .temporary else {
        if SegmentName(name) == nil, name != "compaction.lock" {
          try require(after[name] == bytes, "a repair changed \(name), which is none of its files")
        }
        continue
      }
      if let there = after[name] {
        try require(there == bytes, "a repair changed \(name)")
      } else if damaged.contains(name) {
        try require(after[quarantine + name] == bytes, "\(name) was damaged, and is gone")
      } else if segment.phase == .sealed {
        try require(
          testimony.replaced.contains(segment.id) || after[quarantine + name] == bytes,
          "\(name) was not damaged, and is gone")
      }
    }
  }
}
