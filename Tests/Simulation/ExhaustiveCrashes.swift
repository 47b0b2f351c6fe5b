// The power goes after every single system call of a fixed script, in every way that the disk knows.
//
// Before each call the state of the disk and of the model is taken; of the changes that were not synced
// the last few are kept or lost one by one, the older ones together; the last of those kept is whole or
// torn; lengths survive or not; and so does every subset of the names. Each disk that comes of it is
// opened and held against the model, and every eighth is written to again.

import WarmStart

package final class ExhaustiveCrashes: @unchecked Sendable {
  /// Distinct disks that were looked at.
  package private(set) var cases = 0
  /// System calls before which the power went.
  package private(set) var calls = 0
  package private(set) var operations = 0
  package private(set) var compactions = 0
  package private(set) var evictions = 0
  /// The first thing that was wrong.
  package private(set) var failure: String?

  private let machine: Machine
  private var model = Model()
  private var now = ""
  private static let keys = 4
  /// Changes of files, and of names, whose fates are chosen one by one.
  private static let single = 4

  package init() {
    machine = Machine(dice: Dice(20), wall: 1_700_000_000_000_000_000)
  }

  // MARK: The script

  /// Runs it; to be called once.
  package func run() throws {
    defer { machine.finish() }
    machine.beforeCall = { [unowned self] call in
      calls += 1
      losePower("before \(call) in \(now)")
    }
    let first = try open("fit 1", .synced)
    try save(first, 0, .checkpoint, 3, 100)
    try save(first, 0, .checkpoint, 2, 700)
    try save(first, 1, .final, 1, 0)
    try batch(first, [(0, 4), (1, 5), (2, nil)])
    let second = try open("fit 2", .buffered)
    try save(second, 0, .checkpoint, 1, 900)
    try save(second, 1, .checkpoint, nil, 300)
    try look(first, 0)
    try look(second, 1)
    try remove(first, 1)
    try save(second, 1, .checkpoint, 2, 40)
    try flush(second)
    try save(second, 2, .checkpoint, 1, 1500)
    try remove(second, 2)
    try save(second, 2, .final, 2, 60)
    try look(first, 2)
    for turn in 0..<4 { try save(first, 3, .checkpoint, Double(9 - turn), 20_000) }
    try save(first, 3, .final, 2, 10)
    try batch(second, [(3, 1), (3, 0)])
    try save(second, 0, .checkpoint, 7, 800)
    try close(second)
    try compact(first)
    try look(first, 3)
    try remove(first, 3)
    try close(first)
    let third = try open("fit 1", .buffered)
    try look(third, 0)
    try look(third, 2)
    try save(third, 3, .checkpoint, 5, 2000)
    try save(third, 1, .checkpoint, 5, 512)
    try batch(third, [(1, 2), (2, 3)])
    try remove(third, 0)
    try flush(third)
    let fourth = try open("fit 2", .synced)
    try compact(fourth)
    try save(fourth, 0, .final, 8, 50)
    try save(third, 0, .checkpoint, 0, 3000)
    try look(fourth, 0)
    try close(third)
    // Only looked at: its marks go to a log without any sync.
    let fifth = try open("fit 2", .synced)
    for key in 0..<4 { try look(fifth, key) }
    try close(fifth)
    try save(fourth, 1, .final, 1, 100)
    try close(fourth)
    let sixth = try open("fit 1", .synced, sizeBudget: 24_000)
    try compact(sixth)
    try look(sixth, 1)
    try close(sixth)
    losePower("after the end")
  }

  private struct Actor {
    let process: SimulatedProcess
    let store: WarmStartStore
    let durability: Durability
  }

  private func open(
    _ producer: String, _ durability: Durability, sizeBudget: UInt64 = 0
  ) throws -> Actor {
    begin("open as \(producer)")
    let process = machine.startProcess()
    var options = StoreOptions()
    options.compactsByItself = false
    options.sizeBudget = sizeBudget
    options.onEviction = { [unowned self] key, _ in
      let number = (0..<Self.keys).first { fingerprint($0) == key }!
      evictions += 1
      model.evicting(number, by: process.number, at: machine.moment())
    }
    options.producer = producer
    options.durability = durability
    options.segmentLimit = 64 << 10
    options.sealedAsideFrom = 0
    let store = try WarmStartStore(
      path: SimulatedFileSystem.path, options: options, access: .createIfMissing,
      host: machine.host(process))
    return Actor(process: process, store: store, durability: durability)
  }

  private func begin(_ what: String) {
    operations += 1
    now = "operation \(operations) (\(what))"
  }

  private func course(_ actor: Actor, _ operation: Int, isFinal: Bool) -> Course {
    Course(
      operation: operation, process: actor.process.number, start: operation,
      worth: Worth(actor.durability, isFinal: isFinal))
  }

  private func attempt(
    _ actor: Actor, _ operation: Int, _ key: Int, _ kind: EntryKind, _ objective: Double?,
    _ count: Int
  ) -> Attempt {
    let number = model.attempts.count
    let attempt = Attempt(
      number: number, key: key, kind: kind, objective: objective,
      payload: (0..<count).map { UInt8(truncatingIfNeeded: mixed(UInt64(number << 20 + $0))) },
      label: nil, run: RunID("run \(number)"), producer: actor.store.producer,
      course: course(actor, operation, isFinal: kind == .final))
    model.begin(attempt)
    return attempt
  }

  private func save(
    _ actor: Actor, _ key: Int, _ kind: EntryKind, _ objective: Double?, _ count: Int
  ) throws {
    begin("save a \(kind) of \(count) bytes, \(actor.durability)")
    let operation = machine.moment()
    let entry = attempt(actor, operation, key, kind, objective, count)
    try actor.store.save(
      entry.payload, for: fingerprint(key), kind: kind, objective: objective,
      iteration: UInt64(entry.number), run: entry.run!)
    model.end(operation, at: machine.moment(), acknowledged: true)
    if kind == .final {
      model.finalized(actor.process.number, since: operation, hasFailed: false)
    }
  }

  private func batch(_ actor: Actor, _ drafts: [(key: Int, objective: Double?)]) throws {
    begin("save \(drafts.count), \(actor.durability)")
    let operation = machine.moment()
    let entries = drafts.map {
      attempt(actor, operation, $0.key, .checkpoint, $0.objective, 400)
    }
    try actor.store.save(
      entries.map {
        NewEntry(
          $0.payload, for: fingerprint($0.key), objective: $0.objective,
          iteration: UInt64($0.number), run: $0.run)
      })
    model.end(operation, at: machine.moment(), acknowledged: true)
  }

  private func remove(_ actor: Actor, _ key: Int) throws {
    begin("remove, \(actor.durability)")
    let operation = machine.moment()
    model.begin(Removal(key: key, course: course(actor, operation, isFinal: false)))
    try actor.store.remove(fingerprint(key))
    model.end(operation, at: machine.moment(), acknowledged: true)
  }

  private func look(_ actor: Actor, _ key: Int) throws {
    begin("look up")
    for question in Question.allCases {
      let start = machine.moment()
      let entry = try actor.store.ask(question, fingerprint(key))
      let wrong = model.objection(
        to: entry, question, key: key, by: actor.store.producer, since: start, isWhole: true)
      if let wrong { fail("\(now): \(wrong)") }
    }
  }

  private func flush(_ actor: Actor) throws {
    begin("flush")
    let start = machine.moment()
    try actor.store.flush()
    model.flushed(actor.process.number, since: start)
  }

  private func compact(_ actor: Actor) throws {
    begin("compact")
    model.keepsTheDead = false
    compactions += 1
    let start = machine.moment()
    let report = try actor.store.compact()
    if report.mergedSegments == 0 || !report.damage.isEmpty { fail("\(now): \(report)") }
    // Its own log was sealed for it.
    model.flushed(actor.process.number, since: start)
  }

  private func close(_ actor: Actor) throws {
    begin("close, \(actor.durability)")
    let start = machine.moment()
    try actor.store.close()
    model.flushed(actor.process.number, since: start)
    machine.end(actor.process)
  }

  private func fail(_ what: String) { if failure == nil { failure = what } }

  // MARK: The crashes

  private func losePower(_ when: String) {
    guard failure == nil else { return }
    var seen: Set<Int> = []
    for plan in LossPlan.all(machine.disk, single: Self.single) {
      let disk = machine.disk.afterCrash(plan)
      var hasher = Hasher()
      disk.hash(into: &hasher)
      guard seen.insert(hasher.finalize()).inserted else { continue }
      cases += 1
      if let wrong = objection(to: disk) { return fail("\(when), case \(seen.count): \(wrong)") }
    }
  }

  /// What a compaction left that the power ended is finished by the next.
  private func objectionToCompacting(
    _ machine: Machine, _ model: inout Model, _ audit: Audit
  ) -> String? {
    let process = machine.startProcess()
    model.keepsTheDead = false
    do throws(StoreError) {
      let store = try WarmStartStore(
        path: SimulatedFileSystem.path, options: StoreOptions(), access: .createIfMissing,
        host: machine.host(process))
      try store.compact()
      try store.close()
    } catch { return "no compacting after the crash: \(error)" }
    if let wrong = audit.run(&model, afterCrash: false) { return "compacted, \(wrong)" }
    let left = machine.disk.names.map(\.name)
      .filter { $0.hasSuffix(".tmp") || $0.hasSuffix(".log") }
    let sealed = machine.disk.names.filter { $0.name.hasSuffix(".seg") }
    return left.isEmpty && sealed.count <= 1 ? nil : "compacted, and left \(left)"
  }

  /// What is wrong with a disk that a crash left.
  private func objection(to disk: Disk) -> String? {
    var model = model
    let machine = Machine(
      disk: disk, dice: Dice(UInt64(cases)), wall: machine.now, moments: machine.moments)
    defer { machine.finish() }
    let audit = Audit(machine: machine, keys: Self.keys, producers: Circumstances.producers)
    if let wrong = audit.run(&model, afterCrash: true) { return wrong }
    if cases % 8 == 4 { return objectionToCompacting(machine, &model, audit) }
    if cases % 8 != 0 { return nil }
    // The next fit goes on.
    let process = machine.startProcess()
    do throws(StoreError) {
      let store = try WarmStartStore(
        path: SimulatedFileSystem.path, options: StoreOptions(), access: .createIfMissing,
        host: machine.host(process))
      try store.save([1, 2, 3], for: fingerprint(Self.keys), objective: -9)
      guard try store.lookup(fingerprint(Self.keys))?.payload == [1, 2, 3] else {
        return "what is saved after the crash is not found"
      }
      try store.close()
    } catch { return "no going on after the crash: \(error)" }
    return audit.run(&model, afterCrash: false)
  }
}

extension LossPlan {
  /// Every way to lose power, as far as it is told apart here.
  static func all(_ disk: Disk, single: Int) -> [LossPlan] {
    let changes = disk.pendingChanges.map(\.sequence)
    let last = Array(changes.suffix(single))
    let older = Array(changes.dropLast(last.count))
    var plans: [LossPlan] = []
    for names in namePatterns(disk.pendingNames.count, single: single) {
      for keepsOlder in older.isEmpty ? [false] : [false, true] {
        for kept in 0..<(1 << last.count) {
          var plan = LossPlan()
          plan.names = names
          for sequence in older { plan.fates[sequence] = keepsOlder ? .whole : .dropped }
          for (bit, sequence) in last.enumerated() where kept >> bit & 1 == 1 {
            plan.fates[sequence] = .whole
          }
          plans.append(plan)
          if let newest = last.indices.last(where: { kept >> $0 & 1 == 1 }) {
            for bits in [UInt64(1), 2, 3] {
              plan.fates[last[newest]] = .torn(bits)
              plans.append(plan)
            }
          }
        }
      }
    }
    if changes.isEmpty { return plans }
    return plans.flatMap { plan in
      LengthFate.allCases.map { fate in
        var plan = plan
        plan.length = { _ in fate }
        return plan
      }
    }
  }

  /// Every subset of the last few changes of names; the older ones survive together or not.
  private static func namePatterns(_ count: Int, single: Int) -> [[Bool]] {
    let last = min(count, single)
    return (count > last ? [false, true] : [false]).flatMap { older in
      (0..<(1 << last)).map { kept in
        Array(repeating: older, count: count - last) + (0..<last).map { kept >> $0 & 1 == 1 }
      }
    }
  }
}
