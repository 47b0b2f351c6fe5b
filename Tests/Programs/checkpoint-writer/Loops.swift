// Loops whose system calls are counted: between "loop begins" and "loop ends" there is nothing but
// what the store does.

import Glibc
import WarmStart

private func betweenMarks(_ body: () -> Void) {
  mark("loop begins")
  body()
  mark("loop ends")
}

/// Checkpoints of a session that is already running, each better than the one before.
func loopOverCheckpoints(_ arguments: Arguments) {
  let store = arguments.openStore()
  let session = Session(store: store, key: Write.fingerprint(0))
  let payload = Write(seed: 1, writer: 0, index: 0, to: 0).payload
  guard session.checkpoint(payload, objective: 1e9) else { fail("the first checkpoint") }
  var written = 0
  betweenMarks {
    for index in 0..<arguments.number("count") {
      let objective = Double(-index)
      let wrote = session.checkpoint(payload, objective: objective, iteration: UInt64(index))
      if wrote { written += 1 }
    }
  }
  say("written \(written)")
  orFail("close") { try store.close() }
}

/// Lookups of every kind, of keys that are there and one that is not.
func loopOverLookups(_ arguments: Arguments) {
  let store = arguments.openStore()
  if arguments.number("own") != 0 {
    orFail("save") { try store.save(Write(seed: 1, writer: 0, index: 0, to: 0)) }
  }
  var found = 0
  func lookUp(_ index: Int) {
    let key = Write.fingerprint(index / 3 % (Write.keys + 1))
    let entry = orFail("lookup") {
      switch index % 3 {
      case 0: try store.lookup(key)
      case 1: try store.lookupBest(key)
      default: try store.lookupLatest(key)
      }
    }
    if entry != nil { found += 1 }
  }
  // A directory that changed a moment ago is not yet known to be unchanged.
  let settled = wallClock() + 50_000_000
  while wallClock() < settled { for index in 0..<15 { lookUp(index) } }
  found = 0
  betweenMarks { for index in 0..<arguments.number("count") { lookUp(index) } }
  say("found \(found)")
  _exit(0)
}
