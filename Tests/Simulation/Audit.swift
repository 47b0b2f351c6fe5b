// Looking at everything that is on the disk, as somebody does who comes new, while nobody else runs.

import WarmStart

/// One look at everything. Gives the first thing that is wrong.
struct Audit {
  let machine: Machine
  let keys: Int
  let producers: [String]

  /// Takes into the model what is there. After a crash that is the truth from then on.
  func run(_ model: inout Model, afterCrash: Bool) -> String? {
    machine.undisturbed {
      let process = machine.startProcess(mayWrite: false)
      defer { machine.end(process) }
      do throws(StoreError) {
        return try objection(&model, process, afterCrash: afterCrash)
      } catch { return "an audit failed: \(error)" }
    }
  }

  private func objection(
    _ model: inout Model, _ process: SimulatedProcess, afterCrash: Bool
  ) throws(StoreError) -> String? {
    let now = machine.moment()
    if afterCrash { model.crashed(at: now) }
    guard machine.disk.exists else {
      for key in 0..<keys {
        if let wrong = model.settle(key: key, present: [], afterCrash: afterCrash, now: now + 1) {
          return wrong
        }
      }
      if afterCrash { model.removals = [] }
      return nil
    }
    let start = machine.moment()
    for (turn, producer) in producers.enumerated() {
      let store = try open(producer, process)
      if turn == 0 {
        if let wrong = try settle(&model, store, start, afterCrash: afterCrash) { return wrong }
        if let wrong = try inspect(store) { return wrong }
      }
      for key in 0..<keys {
        for question in Question.allCases where turn == 0 || question == .resume {
          let entry = try store.ask(question, fingerprint(key))
          if let wrong = model.objection(
            to: entry, question, key: key, by: producer, since: start, isWhole: true)
          {
            return wrong
          }
        }
      }
    }
    if afterCrash { model.removals = [] }
    return nil
  }

  func open(
    _ producer: String, _ process: SimulatedProcess
  ) throws(StoreError) -> WarmStartStore {
    var options = StoreOptions()
    options.producer = producer
    options.timeToLive = 0
    return try WarmStartStore(
      path: SimulatedFileSystem.path, options: options, access: .readOnly,
      host: machine.host(process))
  }

  private func settle(
    _ model: inout Model, _ store: WarmStartStore, _ start: Int, afterCrash: Bool
  ) throws(StoreError) -> String? {
    for key in 0..<keys {
      var present: Set<Int> = []
      for entry in try store.entries(for: fingerprint(key)) {
        if let wrong = model.objection(to: entry, key: key, by: producers[0], since: start) {
          return "entries of key \(key): \(wrong)"
        }
        present.insert(model.number(of: entry)!)
      }
      if let wrong = model.settle(
        key: key, present: present, afterCrash: afterCrash, now: start)
      {
        return wrong
      }
    }
    return nil
  }

  /// The promises that the store makes to itself.
  private func inspect(_ store: WarmStartStore) throws(StoreError) -> String? {
    let engine = try store.engine()
    if let broken = try engine.freshIndex().brokenInvariant() { return broken }
    let damage = try engine.verify(.payloads, atOnce: 1).damage
    if let first = damage.first { return "damage: \(first)" }
    return nil
  }

  /// Whether what a running store has in mind is what the files say.
  func compare(_ store: WarmStartStore) throws(StoreError) -> String? {
    let process = machine.startProcess(mayWrite: false)
    defer { machine.end(process) }
    let newcomer = try open(producers[0], process)
    // A store that nobody refers to closes itself.
    defer { withExtendedLifetime(newcomer) {} }
    let fresh = try newcomer.engine().freshIndex()
    let running = try store.engine().freshIndex()
    if let broken = running.brokenInvariant() { return broken }
    for key in 0..<keys {
      let (there, here) = (fresh.slots(of: key), running.slots(of: key))
      if there != here { return "slots of key \(key) are \(here), a replay gives \(there)" }
    }
    return nil
  }
}

extension Index {
  /// The slots of a key in words that do not depend on numbers that the index gave out.
  fileprivate func slots(of key: Int) -> [String] {
    places(of: fingerprint(key)).map { slotted in
      let place = slotted.place
      return "\(place.stamp)#\(place.originNumber) \(place.objective ?? .infinity) "
        + "\(place.isFinal) \(producers[Int(place.producer)]) \(slotted.slots.rawValue)"
    }.sorted()
  }
}

extension WarmStartStore {
  func ask(_ question: Question, _ key: Fingerprint) throws(StoreError) -> WarmStartEntry? {
    switch question {
    case .resume: try lookup(key)
    case .best: try lookupBest(key)
    case .latest: try lookupLatest(key)
    }
  }
}

/// The key with this number.
func fingerprint(_ key: Int) -> Fingerprint {
  Fingerprint(words: (mixed(UInt64(key)), 2, 3, UInt64(key)))
}
