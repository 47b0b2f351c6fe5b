// Forks at the worst moment: other threads of the parent hold locks, or wait for the disk.

import Glibc
import Synchronization
import WarmStart

/// While a thread saves all the time, a child is made; then the parent waits to be killed. The
/// child says "child saved", and goes on once it gets a word.
func leaveAnOrphanOfABusyParent(_ arguments: Arguments) {
  let store = arguments.openStore()
  rehearse(arguments, beside: store)
  let saver = Busy { round in
    orFail("save") { try store.save(write(0, round)) }
    expect(store, 0, round)
  }
  if forkProcess() != 0 {
    while true { pause() }
  }
  withExtendedLifetime(saver) {}
  // Whoever waits for its output must not wait for ever.
  alarm(60)
  // The thread that saves is the parent's alone, and so are its files.
  let kept = openFiles(in: store)
  if !kept.isEmpty { fail("the child has its parent's \(kept)") }
  orFail("save") { try store.save(write(1, 0)) }
  expect(store, 1, 0)
  say("child saved")
  waitForWord()
  let last = orFail("lookup") { try store.lookupLatest(Write.fingerprint(0)) }
  guard let last, let number = last.iteration else { fail("nothing of the parent") }
  expect(store, 0, Int(number))
  for index in 1...40 {
    orFail("save") { try store.save(write(1, index)) }
    expect(store, 1, index)
    expect(store, 0, Int(number))
  }
  orFail("close") { try store.close() }
  say("child closed")
  // What the parent's other threads had is nobody's here.
  _exit(0)
}

/// A save of the parent has written its record and waits for its sync while the parent forks. The
/// child saves and looks up meanwhile; then the sync is let go, and the parent's save is
/// acknowledged.
func forkWhileASaveWaitsForItsSync(_ arguments: Arguments) {
  let syncs = HeldSyncs()
  let store = orFail("open") {
    var options = StoreOptions()
    options.producer = arguments.text("producer")
    return try WarmStartStore(
      path: arguments.text("store"), options: options, access: .createIfMissing, host: syncs.host)
  }
  orFail("save") { try store.save(write(0, 0)) }
  rehearse(arguments, beside: store)
  syncs.hold()
  let waiting = orFail("thread") {
    try POSIXThreads().start { orFail("save") { try store.save(write(0, 1)) } }
  }
  syncs.waitForASync()
  let child = forkProcess()
  if child == 0 {
    let kept = openFiles(in: store)
    if !kept.isEmpty { fail("the child has its parent's \(kept)") }
    // What waits for its sync in the parent will be let go by nobody here.
    syncs.letGo()
    orFail("save") { try store.save(write(1, 0)) }
    expect(store, 1, 0)
    let parents = orFail("lookup") { try store.lookupLatest(Write.fingerprint(0)) }
    if parents == nil { fail("the child finds nothing of its parent") }
    orFail("close") { try store.close() }
    _exit(0)
  }
  if !endedWell(child) { fail("the child") }
  say("child ended")
  expect(store, 1, 0)
  syncs.letGo()
  waiting.join()
  expect(store, 0, 1)
  orFail("close") { try store.close() }
  say("closed")
}

/// Forks again and again while two threads look a key up together, and nothing changes. Each child looks it up, saves and
/// finds that; the parent's threads go on.
func forkWhileLookingUp(_ arguments: Arguments) {
  let first = arguments.openStore()
  orFail("save") { try first.save(write(0, 0)) }
  orFail("close") { try first.close() }
  let store = arguments.openStore()
  rehearse(arguments, beside: store)
  let lookups = Atomic(0)
  let askers = (0..<2).map { _ in
    Busy { _ in
      expect(store, 0, 0)
      lookups.add(1, ordering: .relaxed)
    }
  }
  let count = arguments.number("count")
  for number in 1...count {
    // So that the directory has been still for a while.
    let before = lookups.load(ordering: .relaxed)
    while lookups.load(ordering: .relaxed) < before + 50_000 { sched_yield() }
    forkChild(number) {
      expect(store, 0, 0)
      orFail("save") { try store.save(write(number, 0)) }
      expect(store, number, 0)
      orFail("close") { try store.close() }
    }
    expect(store, number, 0)
  }
  for asker in askers { asker.stop() }
  orFail("close") { try store.close() }
  say("forked \(count)")
}

/// Everything once: the Swift runtime has locks of its own, taken where a generic type is used for
/// the first time, and no child may find them taken.
private func rehearse(_ arguments: Arguments, beside store: WarmStartStore) {
  let rehearsal = arguments.openStore()
  orFail("save") { try rehearsal.save(write(100, 0)) }
  expect(rehearsal, 100, 0)
  expect(store, 100, 0)
  _ = openFiles(in: store)
  orFail("close") { try rehearsal.close() }
  rehearseCompaction(arguments)
}

/// The same of what a store does by itself.
func rehearseCompaction(_ arguments: Arguments) {
  for turn in 1...20 {
    let rehearsal = arguments.openStore()
    orFail("save") { try rehearsal.save(write(100, turn)) }
    orFail("upkeep") { try rehearsal.engine().waitForUpkeep() }
    orFail("close") { try rehearsal.close() }
  }
  // And a merge beside what is not on stable storage yet.
  var options = StoreOptions()
  options.durability = .buffered
  let unsynced = orFail("open") {
    try WarmStartStore.open(at: arguments.text("store"), options: options)
  }
  orFail("save") { try unsynced.save(write(100, 21)) }
  let rehearsal = arguments.openStore()
  for turn in 22...24 { orFail("save") { try rehearsal.save(write(100, turn)) } }
  orFail("compact") { _ = try rehearsal.compact() }
  orFail("close") { try rehearsal.close() }
  orFail("close") { try unsynced.close() }
}
