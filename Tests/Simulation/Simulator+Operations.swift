// What processes do with the store, and what of it is to be held against them.

import WarmStart

extension Simulator {
  /// One operation of a process, chosen by the dice.
  func step(_ slot: Slot) {
    machine.noteOperation()
    guard let process = slot.process else { return open(slot) }
    if slot.isReadOnly {
      if dice.once(in: 4) { return leave(slot) }
      return look(slot)
    }
    switch dice.below(100) {
    case 0..<34: save(slot)
    case 34..<40: saveBatch(slot)
    case 40..<50: runSession(slot)
    case 50..<72: look(slot)
    case 72..<78: remove(slot)
    case 78..<82: flush(slot)
    case 82..<85:
      close(slot)
      leave(slot)
    case 92..<94 where circumstances.compacts: compact(slot)
    case 94..<98 where circumstances.compacts: compactBeside()
    case 85..<87:
      tell("kill process \(process.number)")
      machine.kill(process)
    case 87..<92:
      machine.advance(dice.next() % (dice.once(in: 4) ? 7_200_000_000_000 : 3_000_000_000))
      if circumstances.jumps, circumstances.jumpsAtAnyTime, dice.once(in: 3) { jump() }
    default: if circumstances.duets { playTogether(slot) } else { save(slot) }
    }
  }

  /// Two or three threads of one process at once.
  private func playTogether(_ slot: Slot) {
    let parts = dice.within(1...2)
    let threads = (0..<parts).map { _ in try! machine.scheduler.start { self.part(slot) } }
    part(slot)
    for thread in threads { thread.join() }
  }

  private func part(_ slot: Slot) {
    for _ in 0..<dice.within(1...3) {
      guard let process = slot.process, !process.isDead, machine.failure == nil else { return }
      machine.noteOperation()
      switch dice.below(12) {
      case 0..<6: save(slot)
      case 11: runSession(slot)
      case 10 where circumstances.compacts: compact(slot)
      case 6: remove(slot)
      case 7: flush(slot)
      default: look(slot)
      }
    }
  }

  // MARK: Opening and closing

  private func open(_ slot: Slot) {
    let isReadOnly = dice.once(in: 6)
    let process = machine.startProcess(mayWrite: !isReadOnly)
    var files: any FileSystem = SimulatedFileSystem(process)
    if let mutant { files = mutant.around(files) }
    let host = machine.host(process, files: files)
    process.onError = { [unowned self] in model.metError(process.number) }
    process.onFailedSync = { [unowned self] in
      failedSyncs += 1
      tell("a sync of process \(process.number) fails")
      model.doubt(process.number, machine.faults.syncFailure)
    }
    var options = StoreOptions()
    options.producer = dice.pick(Circumstances.producers)
    options.durability = dice.pick(circumstances.durabilities)
    options.leastSegmentLimit = circumstances.segmentLimit
    options.segmentLimit = circumstances.segmentLimit
    options.sealedAsideFrom = dice.once(in: 3) ? nil : 0
    options.packedByTwoFrom = dice.once(in: 2) ? nil : 1
    options.openFiles = circumstances.openFiles
    options.backgroundMemory = circumstances.backgroundMemory
    options.footerBlocksReadWhole = circumstances.footerBlocksReadWhole
    options.cacheMemory = circumstances.cacheMemory
    options.timeToLive = circumstances.timeToLive
    options.compactionFlaw = mutant?.compactionFlaw
    options.compactsByItself = circumstances.upkeep != nil
    options.upkeepPolicy = circumstances.upkeep ?? options.upkeepPolicy
    options.sizeBudget = circumstances.sizeBudget
    options.onEviction = { [unowned self] key, _ in
      guard let number = (0..<circumstances.keys).first(where: { fingerprint($0) == key }) else {
        return machine.fail("what was never saved is evicted: \(key)")
      }
      tell("process \(process.number) evicts key \(number)")
      model.evicting(number, by: process.number, at: machine.moment())
    }
    tell("open as \(options.producer!), \(options.durability), read-only \(isReadOnly)")
    slot.reverts = reverts
    do throws(StoreError) {
      slot.store = try WarmStartStore(
        path: SimulatedFileSystem.path, options: options,
        access: isReadOnly ? .readOnly : .createIfMissing, host: host)
      slot.process = process
      slot.host = host
      slot.durability = options.durability
      slot.isReadOnly = isReadOnly
    } catch {
      let isMissing = isReadOnly && !machine.disk.exists
      if !process.isDead, process.errors == 0, !isMissing { machine.fail("cannot open: \(error)") }
      machine.end(process)
    }
  }

  func close(_ slot: Slot) {
    let process = slot.process!
    tell("close \(process.number)")
    if dice.once(in: 5) { return }  // it is dropped
    vouch(slot, process) { store throws(StoreError) in try store.close() }
  }

  private func flush(_ slot: Slot) {
    tell("flush \(slot.process!.number)")
    vouch(slot, slot.process!) { store throws(StoreError) in try store.flush() }
  }

  private func compact(_ slot: Slot) {
    let process = slot.process!
    tell("compact by process \(process.number)")
    let errors = process.errors
    model.keepsTheDead = false
    do throws(StoreError) {
      let report = try slot.store!.compact()
      tell("merged \(report.mergedSegments), copied \(report.copiedRecords)")
      if !report.damage.isEmpty, !process.isDead {
        machine.fail("a compaction met damage: \(report.damage[0])")
      }
      // What it took for gone, for the sake of what others have not synced, is best missed at once.
      if report.mergedSegments > 0, !process.isDead, dice.once(in: 4) { machine.crash() }
    } catch {
      tell("failed: \(error)")
      if !process.isDead, process.errors == errors {
        machine.fail("a compaction failed without a cause: \(error)")
      }
    }
  }

  /// Somebody runs the compaction tool beside the processes that are there.
  private func compactBeside() {
    let tool = Slot(number: slots.count)
    open(tool)
    guard tool.process != nil else { return }
    if !tool.isReadOnly {
      compact(tool)
      drain(tool)
    }
    if tool.process?.isDead == false { close(tool) }
    leave(tool)
  }

  /// Runs what says that everything accepted is on stable storage.
  private func vouch(
    _ slot: Slot, _ process: SimulatedProcess,
    _ body: (WarmStartStore) throws(StoreError) -> Void
  ) {
    let start = machine.moment()
    process.vouchesBegun += 1
    process.vouchesUnderWay += 1
    let (begun, wasAlone) = (process.vouchesBegun, process.vouchesUnderWay == 1)
    defer { process.vouchesUnderWay -= 1 }
    do throws(StoreError) {
      try body(slot.store!)
      guard !process.isDead else { return }
      model.drained(process.number, since: start, at: machine.moment())
      // A failure is told once: of two at a time that may be the other's.
      if process.errors == 0 || wasAlone && process.vouchesBegun == begun {
        model.flushed(process.number, since: start)
      }
    } catch {
      guard !process.isDead else { return }
      tell("failed: \(error)")
      model.drained(process.number, since: start, at: machine.moment())
      if process.errors == 0 { machine.fail("flush or close failed without a cause: \(error)") }
      model.disowned(process.number)
    }
  }

  // MARK: Saving

  private func course(_ slot: Slot, _ operation: Int, isFinal: Bool) -> Course {
    Course(
      operation: operation, process: slot.process!.number, start: operation,
      worth: Worth(slot.durability, isFinal: isFinal))
  }

  /// Makes up an entry and books it as tried.
  private func attempt(
    _ slot: Slot, _ operation: Int, key: Int, kind: EntryKind, objective: Double?, run: RunID?,
    label: String?, isFinal: Bool
  ) -> Attempt {
    let attempt = Attempt(
      number: model.attempts.count, key: key, kind: kind, objective: objective,
      payload: payload(), label: label, run: run, producer: slot.store!.producer,
      course: course(slot, operation, isFinal: isFinal))
    model.begin(attempt)
    tell("save \(model.tell(attempt)) under key \(key)")
    return attempt
  }

  private func payload() -> [UInt8] {
    let count = dice.once(in: 10) ? 0 : dice.below(circumstances.payload)
    var bytes = [UInt8](repeating: UInt8(dice.below(256)), count: count)
    guard dice.once(in: 2) else { return bytes }
    let seed = dice.next()
    bytes.withUnsafeMutableBytes { bytes in
      for index in 0..<count / 8 {
        bytes.storeBytes(of: mixed(seed &+ UInt64(index)), toByteOffset: index * 8, as: UInt64.self)
      }
    }
    return bytes
  }

  private func objective() -> Double? {
    dice.once(in: 5) ? nil : Double(dice.below(12)) / 4 - 1
  }

  /// Runs a save or removal and books how it ended.
  private func book(
    _ slot: Slot, _ operation: Int, _ body: (WarmStartStore) throws(StoreError) -> Void
  ) {
    let process = slot.process!
    let errors = process.errors
    var acknowledged = false
    do throws(StoreError) {
      try body(slot.store!)
      acknowledged = !process.isDead
    } catch {
      tell("failed: \(error)")
      // What was lost behind the caller's back is told by the next save.
      let hasCause = process.errors > (slot.durability == .background ? 0 : errors)
      if !process.isDead, !hasCause {
        machine.fail("a save failed without a cause: \(error)")
      }
    }
    model.end(operation, at: machine.moment(), acknowledged: acknowledged)
    if process.errors > errors { model.loosen(operation) }
  }

  private func save(_ slot: Slot) {
    let operation = machine.moment()
    let kind: EntryKind = dice.once(in: 4) ? .final : .checkpoint
    let run = dice.once(in: 3) ? nil : RunID("run \(dice.below(4))")
    let label = dice.once(in: 2) ? nil : "a fit"
    let entry = attempt(
      slot, operation, key: dice.below(circumstances.keys), kind: kind, objective: objective(),
      run: run, label: label, isFinal: kind == .final)
    let process = slot.process!.number
    book(slot, operation) { store throws(StoreError) in
      if let run {
        try store.save(
          entry.payload, for: fingerprint(entry.key), kind: kind, objective: entry.objective,
          iteration: UInt64(entry.number), label: label, run: run)
      } else {
        let run = try store.save(
          entry.payload, for: fingerprint(entry.key), kind: kind, objective: entry.objective,
          iteration: UInt64(entry.number), label: label)
        model.attempts[entry.number].run = run
      }
    }
    if kind == .final, model.attempts[entry.number].course.state == .acknowledged {
      model.finalized(process, since: operation, hasFailed: slot.process!.errors > 0)
    }
  }

  private func saveBatch(_ slot: Slot) {
    let operation = machine.moment()
    let kinds: [EntryKind] = (0..<dice.within(1...6)).map { _ in
      dice.once(in: 6) ? .final : .checkpoint
    }
    let entries = kinds.map { kind in
      attempt(
        slot, operation, key: dice.below(circumstances.keys), kind: kind, objective: objective(),
        run: RunID("run \(dice.below(4))"), label: nil,
        isFinal: kinds.contains(.final) || slot.durability == .background)
    }
    book(slot, operation) { store throws(StoreError) in
      try store.save(
        entries.map {
          NewEntry(
            $0.payload, for: fingerprint($0.key), kind: $0.kind, objective: $0.objective,
            iteration: UInt64($0.number), run: $0.run)
        })
    }
  }

  private func remove(_ slot: Slot) {
    let operation = machine.moment()
    let key = dice.below(circumstances.keys)
    tell("remove key \(key) by process \(slot.process!.number)")
    model.begin(
      Removal(key: key, course: course(slot, operation, isFinal: slot.durability == .background)))
    book(slot, operation) { store throws(StoreError) in try store.remove(fingerprint(key)) }
  }

  // MARK: Sessions

  /// A short fit.
  private func runSession(_ slot: Slot) {
    let key = dice.below(circumstances.keys)
    let process = slot.process!
    let session = Session(
      store: slot.store!, key: fingerprint(key), label: "a session", host: slot.host!)
    let start = machine.moment()
    let errors = process.errors
    let found = peeking { session.tryLoad() }
    check(slot, process, errors, found, .resume, key, start)
    var best = Double.infinity
    for _ in 0..<dice.within(1...3) {
      let objective = objective()
      let mustWrite = (objective ?? .infinity) < best
      if note(slot, session, key, .checkpoint, objective, mustWrite: mustWrite) {
        best = min(best, objective ?? .infinity)
      }
      guard !process.isDead, machine.failure == nil else { return }
    }
    if dice.once(in: 2) { _ = note(slot, session, key, .final, objective(), mustWrite: true) }
  }

  private func note(
    _ slot: Slot, _ session: Session, _ key: Int, _ kind: EntryKind, _ objective: Double?,
    mustWrite: Bool
  ) -> Bool {
    let process = slot.process!
    let operation = machine.moment()
    let errors = process.errors
    let entry = attempt(
      slot, operation, key: key, kind: kind, objective: objective, run: session.runID,
      label: session.label, isFinal: kind == .final)
    model.attempts[entry.number].course.maySupersede =
      slot.durability == .background && kind == .checkpoint
    let iteration = UInt64(entry.number)
    let hasWritten =
      kind == .final
      ? session.finalize(entry.payload, objective: objective, iteration: iteration)
      : session.checkpoint(entry.payload, objective: objective, iteration: iteration)
    let hasCause = process.errors > (slot.durability == .background ? 0 : errors)
    if mustWrite, !hasWritten, !process.isDead, !hasCause {
      machine.fail(
        "a session did not write \(entry.number): \(String(describing: session.lastError))")
    }
    let acknowledged = hasWritten && !process.isDead
    model.end(operation, at: machine.moment(), acknowledged: acknowledged)
    if process.errors > errors { model.loosen(operation) }
    if acknowledged, kind == .final {
      model.finalized(process.number, since: operation, hasFailed: process.errors > 0)
    }
    return hasWritten
  }
}
