// What processes ask the store, and what it must answer.

import WarmStart

extension Simulator {
  private func reading<Value>(_ body: () throws(StoreError) -> Value) throws(StoreError) -> Value {
    let thread = machine.scheduler.current
    thread.isReading = true
    defer { thread.isReading = false }
    return try body()
  }

  func peeking<Value>(_ body: () -> Value) -> Value {
    let thread = machine.scheduler.current
    thread.isReading = true
    defer { thread.isReading = false }
    return body()
  }

  func look(_ slot: Slot) {
    let process = slot.process!
    let store = slot.store!
    let key = dice.below(circumstances.keys)
    let start = machine.moment()
    let errors = process.errors
    let question = dice.pick(Question.allCases)
    let way = dice.below(8)
    tell("look for \(question) of key \(key), way \(way), by process \(process.number)")
    do throws(StoreError) {
      switch way {
      case 0: try list(slot, process, key, start, errors)
      case 1:
        let present = Set(try reading { () throws(StoreError) in try store.keys })
        let missed = model.attempts.first {
          model.isOwed($0, since: start, by: process.errors == 0 ? process.number : nil)
            && !present.contains(fingerprint($0.key))
        }
        if let missed, process.errors == errors, !process.isDead {
          machine.fail("key \(missed.key) is not listed, owed \(model.tell(missed))")
        }
      default:
        let entry = try reading { () throws(StoreError) in
          try store.ask(question, fingerprint(key))
        }
        check(slot, process, errors, entry, question, key, start)
      }
    } catch {
      tell("failed: \(error)")
      if !process.isDead, process.errors == errors {
        machine.fail("a lookup failed without a cause: \(error)")
      }
    }
  }

  func check(
    _ slot: Slot, _ process: SimulatedProcess, _ errors: Int, _ entry: WarmStartEntry?,
    _ question: Question, _ key: Int, _ start: Int
  ) {
    guard !process.isDead else { return }
    if let wrong = model.objection(
      to: entry, question, key: key, by: slot.store!.producer, since: start,
      isWhole: process.errors == errors, process: process.errors == 0 ? process.number : nil)
    {
      machine.fail("process \(process.number): \(wrong)")
    }
  }

  private func list(
    _ slot: Slot, _ process: SimulatedProcess, _ key: Int, _ start: Int, _ errors: Int
  ) throws(StoreError) {
    let store = slot.store!
    let entries = try reading { () throws(StoreError) in
      try store.entries(for: fingerprint(key))
    }
    guard !process.isDead else { return }
    for entry in entries {
      if let wrong = model.objection(
        to: entry, key: key, by: store.producer, since: start, isWhole: process.errors == errors)
      {
        return machine.fail("process \(process.number), entries of key \(key): \(wrong)")
      }
    }
    let present = Set(entries.compactMap(model.number))
    let missed = model.attempts.first {
      model.keepsTheDead && $0.key == key && model.isOwed($0, since: start)
        && !$0.course.maySupersede && !present.contains($0.number)
    }
    if let missed, process.errors == errors {
      machine.fail("process \(process.number): \(model.tell(missed)) is owed and not listed")
    }
  }
}
