// What the runs on one store were promised, and what a lookup may find after that.

import WarmStart
import checkpoint_writer

/// Every write tried, in order, and which of them are owed.
struct Ledger {
  let seed: UInt64
  /// What was tried and may be found, by number; and of whom it must be.
  private var tried: [UInt64: Trial] = [:]
  private var keys = [KeyLedger](repeating: KeyLedger(), count: Write.keys)
  /// The steps that were acknowledged, and those that were cut off.
  private(set) var acknowledged = 0
  private(set) var cutOff = 0
  /// Entries that were found though nobody had acknowledged them.
  private(set) var foundUnacknowledged = 0

  private struct Trial {
    var write: Write
    var producer: String
    var run: RunID?
    var isOwed = false
  }

  private struct KeyLedger {
    /// What must be found, or something better or newer.
    var owed: [Write] = []
    /// At and below this number everything has been removed.
    var removed: UInt64 = 0
  }

  init(seed: UInt64) { self.seed = seed }

  // MARK: Booking

  /// Takes in what a run said. Gives what it complained about.
  mutating func book(_ script: Script, lines: [String], producer: String) -> [String] {
    var sessions: [Int: RunID] = [:]
    var complaints: [String] = []
    for line in lines {
      let words = line.split(separator: " ", maxSplits: 2).map(String.init)
      switch words[0] {
      case "session": sessions[Int(words[1])!] = RunID(words[2])
      case "try":
        cutOff += 1
        attempt(script.steps[Int(words[1])!], sessions, producer)
      case "ack":
        cutOff -= 1
        acknowledged += 1
        acknowledge(script.steps[Int(words[1])!])
      case "open", "close", "closed": break
      default: complaints.append(line)
      }
    }
    return complaints
  }

  private mutating func attempt(_ step: Script.Step, _ sessions: [Int: RunID], _ producer: String) {
    switch step {
    case .save(let write): attempt(write, write.run, producer)
    case .session(let write): attempt(write, sessions[write.key], producer)
    case .batch(let writes): for write in writes { attempt(write, write.run, producer) }
    // It may have been removed: nothing before it is owed any more.
    case .remove(let key, _): keys[key].owed = []
    case .load: break
    }
  }

  private mutating func attempt(_ write: Write, _ run: RunID?, _ producer: String) {
    tried[write.number] = Trial(write: write, producer: producer, run: run)
  }

  private mutating func acknowledge(_ step: Script.Step) {
    switch step {
    case .save(let write), .session(let write): owe(write)
    case .batch(let writes): for write in writes { owe(write) }
    case .remove(let key, let number): keys[key].removed = number
    case .load: break
    }
  }

  private mutating func owe(_ write: Write) {
    tried[write.number]!.isOwed = true
    keys[write.key].owed.append(write)
  }

  // MARK: Holding the store to it

  /// Looks up everything in every way, as every producer, and gives what is wrong. What was found once
  /// is owed from then on.
  mutating func audit(_ store: WarmStartStore) throws -> [String] {
    var faults: [String] = []
    for key in 0..<Write.keys {
      let fingerprint = Write.fingerprint(key)
      let best = admit(try store.lookupBest(fingerprint), key, "best", store, &faults)
      if let owed = keys[key].owed.max(by: { $1.isBetter(than: $0) }), best?.number != owed.number,
        best.map({ owed.isBetter(than: $0) }) ?? true
      {
        faults.append("best of key \(key): owed \(owed.number), found \(tell(best))")
      }
      let latest = admit(try store.lookupLatest(fingerprint), key, "latest", store, &faults)
      if let owed = keys[key].owed.map(\.number).max(), latest.map({ $0.number < owed }) ?? true {
        faults.append("latest of key \(key): owed \(owed), found \(tell(latest))")
      }
      let entry = try store.lookup(fingerprint)
      let found = admit(entry, key, "resume", store, &faults)
      let final = keys[key].owed.filter {
        $0.kind == .final && tried[$0.number]?.producer == store.producer
      }.map(\.number).max()
      if let final {
        if entry?.kind != .final || (found?.number ?? 0) < final {
          faults.append("final of key \(key): owed \(final), found \(tell(found))")
        }
      } else if entry?.kind != .final, found != best {
        faults.append("resuming key \(key): best is \(tell(best)), found \(tell(found))")
      }
    }
    let present = Set(try store.keys)
    for key in 0..<Write.keys where !keys[key].owed.isEmpty {
      if !present.contains(Write.fingerprint(key)) { faults.append("key \(key) is not listed") }
    }
    return faults
  }

  /// Reads every entry that is on disk and gives what is wrong.
  mutating func auditEntries(_ store: WarmStartStore) throws -> [String] {
    var faults: [String] = []
    for key in 0..<Write.keys {
      var previous = UInt64.max
      for entry in try store.entries(for: Write.fingerprint(key)) {
        let number = admit(entry, key, "entry", store, &faults)?.number ?? 0
        if number >= previous { faults.append("entries of key \(key): \(number) out of order") }
        previous = number
      }
    }
    return faults
  }

  /// Checks that an entry is true in all its parts: somebody tried to write just that.
  private mutating func admit(
    _ entry: WarmStartEntry?, _ key: Int, _ question: String, _ store: WarmStartStore,
    _ faults: inout [String]
  ) -> Write? {
    guard let entry else { return nil }
    let number = entry.iteration ?? 0
    guard let trial = tried[number] else {
      faults.append("\(question) of key \(key): nobody wrote \(number)")
      return nil
    }
    var wrong: [String] = []
    if let what = trial.write.discrepancy(entry) { wrong.append(what) }
    if trial.write.key != key { wrong.append("is of key \(trial.write.key)") }
    if entry.producer != trial.producer { wrong.append("has producer \(entry.producer)") }
    if entry.runID != trial.run { wrong.append("has run \(entry.runID)") }
    let isOwn = trial.producer == store.producer
    if entry.kind != (isOwn ? trial.write.kind : .checkpoint) { wrong.append("is a \(entry.kind)") }
    if number <= keys[key].removed { wrong.append("was removed") }
    faults += wrong.map { "\(question) of key \(key): \(number) \($0)" }
    if wrong.isEmpty, !trial.isOwed {
      foundUnacknowledged += 1
      owe(trial.write)
    }
    return trial.write
  }

  private func tell(_ write: Write?) -> String {
    write.map { "\($0.number) with \($0.objective.map { "\($0)" } ?? "no objective")" } ?? "nothing"
  }
}
