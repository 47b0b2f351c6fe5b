// Runs a script: "try n" before step n, "ack n" once it was acknowledged.

import Glibc
import WarmStart

func runScript(_ arguments: Arguments) {
  let seed = UInt64(arguments.number("seed"))
  let script = Script(
    seed: seed, run: UInt64(arguments.number("run")), steps: arguments.number("steps"))
  let store = arguments.openStore()
  say("open")
  var sessions: [Int: Session] = [:]
  for (index, step) in script.steps.enumerated() {
    func session(_ key: Int) -> Session {
      if let session = sessions[key] { return session }
      let session = Session(
        store: store, key: Write.fingerprint(key), label: "key \(key)", checkpointInterval: 0)
      say("session \(key) \(session.runID)")
      sessions[key] = session
      return session
    }
    switch step {
    case .save(let write):
      let payload = write.payload
      say("try \(index)")
      orFail("save \(index)") { try store.save(write, payload) }
    case .session(let write):
      let session = session(write.key)
      let payload = write.payload
      say("try \(index)")
      guard session.save(write, payload) else {
        fail("session \(index): \(session.lastError.map { "\($0)" } ?? "no error")")
      }
    case .batch(let writes):
      let entries = writes.map {
        NewEntry(
          $0.payload, for: Write.fingerprint($0.key), kind: $0.kind, objective: $0.objective,
          iteration: $0.number, label: $0.label, run: $0.run)
      }
      say("try \(index)")
      orFail("batch \(index)") { try store.save(entries) }
    case .remove(let key, _):
      say("try \(index)")
      orFail("remove \(index)") { try store.remove(Write.fingerprint(key)) }
    case .load(let key):
      say("try \(index)")
      let session = session(key)
      if let entry = session.tryLoad() {
        guard let number = entry.iteration else { fail("entry without iteration") }
        if let what = Write(seed: seed, number: number).discrepancy(entry) {
          fail("entry \(number) \(what)")
        }
      }
      if let error = session.lastError { fail("load \(index): \(error)") }
    }
    // What is merely accepted is not owed yet.
    if arguments.text("durability") == Durability.background.rawValue {
      orFail("flush \(index)") { try store.flush() }
    }
    say("ack \(index)")
  }
  if arguments.text("then") == "hold" {
    say("hold")
    waitForWord()
  }
  say("close")
  orFail("close") { try store.close() }
  say("closed")
}

extension WarmStartStore {
  /// Saves a write under its own run.
  func save(_ write: Write, _ payload: [UInt8]? = nil) throws(StoreError) {
    try save(
      payload ?? write.payload, for: Write.fingerprint(write.key), kind: write.kind,
      objective: write.objective, iteration: write.number, label: write.label, run: write.run)
  }
}

extension Session {
  /// Saves a write under the session's run.
  func save(_ write: Write, _ payload: [UInt8]? = nil) -> Bool {
    let payload = payload ?? write.payload
    return write.kind == .final
      ? finalize(payload, objective: write.objective, iteration: write.number)
      : checkpoint(payload, objective: write.objective, iteration: write.number)
  }
}
