// One simulated life of a store, from one seed: several processes work on it in rounds, things go
// wrong, and everything that is found is held against the model.

import WarmStart

/// What came of one seed.
package struct Outcome: Sendable {
  package var seed: UInt64
  /// What was wrong, and at which step; nil if nothing was.
  package var failure: String?
  package var counts: Counts
  /// Two runs with the same digest were the same, call by call.
  package var digest: UInt64
}

package final class Simulator: @unchecked Sendable {
  let seed: UInt64
  let dice: Dice
  let machine: Machine
  let circumstances: Circumstances
  let mutant: Mutant?
  var model = Model()
  var slots: [Slot] = []
  /// Hears of every step, for reading along.
  var log: ((String) -> Void)?

  /// Runs a seed. With `mutant` the disk is used as a store with that bug would.
  package static func run(
    seed: UInt64, mutant: Mutant? = nil, log: ((String) -> Void)? = nil
  ) -> Outcome {
    let dice = Dice(seed)
    return run(Simulator(seed: seed, dice: dice, gate: dice, mutant: mutant), log)
  }

  /// Runs a life that bytes decide, which somebody mutates. The first says how many of the others, in parts
  /// of 256, decide what is done, until they are used up; the rest decides what goes wrong meanwhile and who
  /// runs.
  package static func run(bytes: [UInt8], log: ((String) -> Void)? = nil) -> Outcome {
    let rest = bytes.dropFirst()
    let steps = rest.prefix(1 + rest.count * Int(bytes.first ?? 0) / 256)
    let gate = Dice(bytes: rest.dropFirst(steps.count))
    return run(Simulator(seed: 0, dice: Dice(bytes: steps), gate: gate, mutant: nil), log)
  }

  private static func run(_ simulator: Simulator, _ log: ((String) -> Void)?) -> Outcome {
    simulator.log = log
    simulator.run()
    let machine = simulator.machine
    machine.finish()
    return Outcome(
      seed: simulator.seed, failure: machine.failure, counts: machine.counts,
      digest: machine.digest)
  }

  private init(seed: UInt64, dice: Dice, gate: Dice, mutant: Mutant?) {
    self.seed = seed
    self.mutant = mutant
    self.dice = dice
    circumstances = Circumstances(dice)
    machine = Machine(
      dice: gate, switchesOnceIn: circumstances.switchesOnceIn, wall: circumstances.wall)
    machine.faults = circumstances.faults
    slots = (0..<circumstances.processes).map { Slot(number: $0) }
    machine.scheduler.onDeadlock = { what in preconditionFailure("seed \(seed): \(what)") }
  }

  // MARK: Rounds

  private func run() {
    model.keepsTheDead = circumstances.upkeep == nil
    machine.onCrash = { [unowned self] in
      tell("crash")
      if let wrong = audit.run(&model, afterCrash: true) { machine.fail("after a crash: \(wrong)") }
    }
    for _ in 0..<circumstances.rounds where !dice.isUsedUp {
      round()
      for slot in slots where slot.process?.isDead == true { leave(slot) }
      guard machine.failure == nil else { break }
      lookAround()
      betweenRounds()
      guard machine.failure == nil else { break }
    }
    if machine.failure == nil { finish() }
    machine.onCrash = {}
    for slot in slots { slot.leave() }
  }

  private func round() {
    if slots.count == 1 { return work(slots[0]) }
    let threads = slots.map { slot in
      try! machine.scheduler.start { self.work(slot) }
    }
    for thread in threads { thread.join() }
  }

  private func work(_ slot: Slot) {
    for _ in 0..<dice.within(1...circumstances.steps) {
      guard machine.failure == nil else { return }
      if dice.isUsedUp { break }
      step(slot)
      if slot.process?.isDead == true { leave(slot) }
    }
    drain(slot)
  }

  /// What was accepted is written, and what is worth it merged, so that nobody is in the middle of anything.
  func drain(_ slot: Slot) {
    guard let process = slot.process, !slot.isReadOnly else { return }
    if slot.durability == .background {
      _ = try? slot.store!.keys
      drained(process)
    }
    try? slot.store!.engine().waitForUpkeep()
    if process.isDead { leave(slot) }
  }

  /// The process of a slot has ended; nothing of it will be written any more.
  func leave(_ slot: Slot) {
    let process = slot.process
    slot.leave()
    if let process { drained(process) }
  }

  private func drained(_ process: SimulatedProcess) {
    let now = machine.moment()
    model.drained(process.number, since: now, at: now)
  }

  /// Nobody is in the middle of anything: what is on the disk, and what each store has in mind of it.
  private func lookAround() {
    if let wrong = audit.run(&model, afterCrash: false) { return machine.fail(wrong) }
    machine.undisturbed {
      for slot in slots where slot.process != nil && slot.reverts == reverts {
        do throws(StoreError) {
          if let wrong = try audit.compare(slot.store!) {
            return machine.fail("store of process \(slot.process!.number): \(wrong)")
          }
        } catch { machine.fail("a store that nobody disturbs: \(error)") }
      }
    }
  }

  private func betweenRounds() {
    if circumstances.jumps, dice.once(in: 2) { jump() }
    if dice.once(in: 3) {
      machine.faults.capacity = dice.once(in: 2) ? circumstances.faults.capacity : 0
    }
  }

  /// Everybody comes to an end, well or badly, and at last the power goes.
  private func finish() {
    tell("end")
    machine.faults = Faults()
    for slot in slots where slot.process != nil {
      if dice.once(in: 3) { machine.kill(slot.process!) } else { close(slot) }
      leave(slot)
    }
    guard machine.failure == nil else { return }
    if let wrong = audit.run(&model, afterCrash: false) {
      return machine.fail("at the end: \(wrong)")
    }
    machine.crash()
  }

  // MARK: Parts

  var audit: Audit {
    Audit(machine: machine, keys: circumstances.keys, producers: Circumstances.producers)
  }

  /// How many times a file went back to what was synced, under the feet of those who had read it.
  var reverts: Int {
    machine.faults.syncFailure == .likeBtrfs ? failedSyncs : 0
  }
  var failedSyncs = 0

  func tell(_ what: @autoclosure () -> String) {
    log?("\(machine.counts.operations) thread \(machine.scheduler.current.number): \(what())")
  }

  /// The calendar clock is set, forward or back.
  func jump() {
    let year: UInt64 = 365 * 86_400_000_000_000
    let distance = dice.next() % (dice.once(in: 2) ? 60_000_000_000 : year)
    let before = machine.now
    if dice.once(in: 2) {
      machine.setWall(before + distance)
    } else {
      machine.setWall(before - min(before, distance))
      model.clockWentBack()
    }
    tell("clock from \(before) to \(machine.now)")
  }
}

extension UpkeepPolicy {
  /// For stores of a few hundred kibibytes.
  fileprivate static var simulated: UpkeepPolicy {
    var policy = UpkeepPolicy()
    policy.freeWaste = 16 << 10
    policy.fanIn = 3
    policy.smallestTier = 4 << 10
    policy.closeLimit = 48 << 10
    policy.veryMany = 6
    return policy
  }
}

/// One place for a process; when one has ended the next takes it.
final class Slot: @unchecked Sendable {
  let number: Int
  var process: SimulatedProcess?
  var store: WarmStartStore?
  var host: Host?
  var durability = Durability.synced
  var isReadOnly = false
  var reverts = 0

  init(number: Int) { self.number = number }

  /// The process ends; its store is dropped.
  func leave() {
    if let process { process.machine.end(process) }
    store = nil
    host = nil
    process = nil
  }
}

/// What differs from seed to seed beside what is done.
struct Circumstances {
  static let producers = ["fit 1", "fit 2"]

  let processes: Int
  let rounds: Int
  let steps: Int
  let keys: Int
  let switchesOnceIn: Int
  let wall: UInt64
  let jumps: Bool
  let jumpsAtAnyTime: Bool
  let duets: Bool
  let compacts: Bool
  /// When stores compact themselves; nil for never.
  let upkeep: UpkeepPolicy?
  /// Bytes after which a log is full.
  let segmentLimit: UInt64
  /// Bytes; 0 for no limit.
  let sizeBudget: UInt64
  let durabilities: [Durability]
  let backgroundMemory: Int
  let openFiles: Int
  let footerBlocksReadWhole: Int
  let cacheMemory: Int
  let payload: Int
  let timeToLive: UInt64
  let faults: Faults

  init(_ dice: Dice) {
    processes = dice.pick([1, 1, 2, 2, 3, 4])
    rounds = dice.within(3...7)
    steps = dice.within(2...6)
    keys = dice.within(3...6)
    switchesOnceIn = dice.pick([2, 4, 8, 20])
    // A machine without a clock of its own begins in 1970.
    wall = dice.once(in: 12) ? 0 : 1_700_000_000_000_000_000 + dice.next() % 1_000_000_000
    jumps = dice.once(in: 4)
    jumpsAtAnyTime = dice.once(in: 2)
    duets = dice.once(in: 2)
    compacts = dice.once(in: 2)
    durabilities = dice.pick([
      [.synced], [.buffered], [.background], [.synced, .buffered], Durability.allCases,
    ])
    backgroundMemory = dice.pick([8 << 10, 64 << 10, 64 << 20])
    openFiles = dice.pick([2, 3, 64])
    footerBlocksReadWhole = dice.pick([0, 4])
    cacheMemory = dice.pick([0, 4 << 10, 8 << 20])
    payload = dice.pick([600, 6_000, 20_000])
    // Nothing is to expire: whether it did would be the clock's affair.
    timeToLive = jumps || dice.once(in: 2) ? 0 : 10 * 365 * 86_400
    var faults = Faults()
    if dice.once(in: 2) { faults.kill = dice.pick([100, 300]) }
    if dice.once(in: 2) { faults.crash = dice.pick([100, 300]) }
    if dice.once(in: 3) {
      faults.writeError = dice.pick([0, 10, 60])
      faults.syncError = dice.pick([0, 8, 30])
      faults.directorySyncError = dice.pick([0, 0, 8])
      faults.unlinkError = dice.pick([0, 0, 4])
      faults.readError = dice.pick([0, 0, 60])
      faults.capacity = dice.pick([0, 0, 30_000, 150_000])
    }
    faults.syncFailure = dice.pick(SyncFailure.allCases)
    self.faults = faults
    var policy = UpkeepPolicy.simulated
    policy.legacyShare = dice.pick([1, 2, 8])
    upkeep = dice.once(in: 2) ? policy : nil
    sizeBudget = upkeep == nil || dice.once(in: 2) ? 0 : dice.pick([8_000, 20_000, 60_000])
    // Near its budget a save waits before it begins a log: with many of them nothing else would happen.
    segmentLimit = sizeBudget > 0 ? 64 << 10 : dice.pick([64 << 10, 16 << 10, 8 << 10])
  }
}
