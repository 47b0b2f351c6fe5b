// Processes that write until they may write no more, and go on when they may.

import Glibc
import WarmStart

private func isRefusal(_ error: StoreError, _ number: Int32) -> Bool {
  if case .file(let file) = error { return file.errno == number }
  return false
}

/// Saves until the disk is full, holds itself to what was acknowledged, says "full" and how many
/// that were, and saves as many again as `count` says when it gets a word.
func fillTheDisk(_ arguments: Arguments) {
  let store = arguments.openStore()
  let writer = arguments.number("writer")
  say("open")
  waitForWord()
  let session = Session(
    store: store, key: Write.fingerprint(writer), label: "key \(writer)", checkpointInterval: 0)
  var acknowledged = 0
  while acknowledged < 100_000 {
    do throws(StoreError) { try store.save(write(writer, acknowledged)) } catch {
      guard isRefusal(error, ENOSPC) else { fail("save: \(error)") }
      break
    }
    acknowledged += 1
  }
  for _ in 0..<3 {
    // The others may have left a little room, by giving up what was half written.
    if session.save(write(writer, acknowledged)) {
      acknowledged += 1
      continue
    }
    guard let error = session.lastError, isRefusal(error, ENOSPC) else {
      fail("session: \(String(describing: session.lastError))")
    }
    if acknowledged > 0 { expectAtLeast(store, writer, acknowledged - 1) }
  }
  say("full \(acknowledged)")
  waitForWord()
  for _ in 0..<arguments.number("count") {
    orFail("save after") { try store.save(write(writer, acknowledged)) }
    expect(store, writer, acknowledged)
    acknowledged += 1
  }
  guard session.save(write(writer, acknowledged)) else { fail("the session is stuck") }
  orFail("close") { try store.close() }
  say("closed \(acknowledged + 1)")
}

/// That what is found is no older than the index, and whole. What was refused may be there: all
/// that is promised is that it need not be.
private func expectAtLeast(_ store: WarmStartStore, _ writer: Int, _ index: Int) {
  let entry = orFail("lookup") { try store.lookupLatest(Write.fingerprint(writer)) }
  guard let entry, let number = entry.iteration else { fail("nothing found of \(writer)") }
  let found = Int(number & 0xffff_ffff)
  if found < index { fail("\(found) found of \(writer) instead of \(index)") }
  if let what = write(writer, found).discrepancy(entry) { fail("entry of \(writer) \(what)") }
}

/// Saves under a limit to the length of files, lifts it, and saves as much again.
func writeUpToALimit(_ arguments: Arguments) {
  signal(SIGXFSZ, SIG_IGN)
  let store = arguments.openStore()
  var limit = rlimit()
  getrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit)
  let most = limit.rlim_cur
  limit.rlim_cur = rlim_t(arguments.number("limit"))
  setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit)
  var index = 0
  while true {
    do throws(StoreError) { try store.save(write(0, index)) } catch {
      guard isRefusal(error, EFBIG) else { fail("save: \(error)") }
      say("refused \(index): \(error)")
      break
    }
    index += 1
  }
  if index == 0 { fail("nothing fits") }
  expect(store, 0, index - 1)
  // Refused again, and nothing half written is served.
  let again = Result { () throws(StoreError) in try store.save(write(0, index)) }
  if case .success = again { fail("not refused again") }
  expect(store, 0, index - 1)
  let before = openFiles(in: store)
  limit.rlim_cur = most
  setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit)
  for _ in 0..<index {
    orFail("save after") { try store.save(write(0, index)) }
    expect(store, 0, index)
    index += 1
  }
  if openFiles(in: store) != before { fail("a refused write cost the segment") }
  orFail("close") { try store.close() }
  say("closed \(index)")
}
