// Processes that fork with a store open.

import Glibc
import Synchronization
import WarmStart

/// fork(2), which Swift does not offer.
func forkProcess() -> pid_t {
  typealias Fork = @convention(c) () -> pid_t
  guard let address = dlsym(nil, "fork") else { fail("no fork") }
  let process = unsafeBitCast(address, to: Fork.self)()
  if process < 0 { fail("fork: errno \(errno)") }
  return process
}

struct Pipe {
  let readEnd: Int32
  let writeEnd: Int32

  init() {
    var ends: [Int32] = [0, 0]
    guard pipe(&ends) == 0 else { fail("pipe: errno \(errno)") }
    readEnd = ends[0]
    writeEnd = ends[1]
  }

  /// Returns once the other side closed its end, or wrote; false if that took too long.
  func waitForEnd(seconds: Int32) -> Bool {
    var watched = pollfd(fd: readEnd, events: Int16(POLLIN), revents: 0)
    while true {
      let ready = poll(&watched, 1, seconds * 1000)
      if ready < 0, errno == EINTR { continue }
      return ready > 0
    }
  }
}

/// Reaps a child; false if it did not end well.
func endedWell(_ child: pid_t) -> Bool {
  var status: Int32 = 0
  while waitpid(child, &status, 0) < 0, errno == EINTR {}
  return status == 0
}

let patience: Int32 = 30

/// Makes a child that does what `body` says and ends, and waits for it.
func forkChild(_ number: Int, _ body: () -> Void) {
  let end = Pipe()
  let child = forkProcess()
  if child == 0 {
    body()
    _exit(0)
  }
  close(end.writeEnd)
  if !end.waitForEnd(seconds: patience) {
    kill(child, SIGKILL)
    _ = endedWell(child)
    fail("child \(number) hangs")
  }
  close(end.readEnd)
  if !endedWell(child) { fail("child \(number)") }
}

/// What this process has open of the files in the store, and the store itself.
func openFiles(in store: WarmStartStore) -> [String] { openFiles(below: store.path) }

/// What this process has open of a directory, and the directory itself.
func openFiles(below directory: String) -> [String] {
  (0..<1024).compactMap { number in
    var buffer = [UInt8](repeating: 0, count: 4096)
    let length = buffer.withUnsafeMutableBytes {
      readlink("/proc/self/fd/\(number)", $0.baseAddress!.assumingMemoryBound(to: CChar.self), 4096)
    }
    guard length > 0 else { return nil }
    let path = String(decoding: buffer[..<length], as: UTF8.self)
    return path == directory || path.hasPrefix(directory + "/") ? path : nil
  }
}

func write(_ writer: Int, _ index: Int) -> Write {
  Write(seed: 1, writer: writer, index: index, to: writer)
}

/// That the newest entry of the writer's key is the one of the index.
func expect(_ store: WarmStartStore, _ writer: Int, _ index: Int) {
  let entry = orFail("lookup") { try store.lookupLatest(Write.fingerprint(writer)) }
  guard let entry else { fail("nothing found of \(writer)") }
  if let what = write(writer, index).discrepancy(entry) { fail("entry of \(writer) \(what)") }
}

/// Parent 0, child 1 and grandchild 2 save through the same store, each before and after the other
/// did, and find all.
func saveInBothAfterFork(_ arguments: Arguments) {
  let store = arguments.openStore()
  let session = Session(
    store: store, key: Write.fingerprint(0), label: "key 0", checkpointInterval: 0)
  guard session.save(write(0, 0)) else { fail("the first checkpoint") }
  let words = [Pipe(), Pipe()]
  let child = forkProcess()
  if child == 0 {
    let kept = openFiles(in: store)
    if !kept.isEmpty { fail("the child has its parent's \(kept)") }
    expect(store, 0, 0)
    orFail("save") { try store.save(write(1, 0)) }
    let grandchild = forkProcess()
    if grandchild == 0 {
      orFail("save") { try store.save(write(2, 0)) }
      expect(store, 1, 0)
      orFail("close") { try store.close() }
      _exit(0)
    }
    if !endedWell(grandchild) { fail("the grandchild") }
    expect(store, 2, 0)
    orFail("save") { try store.save(write(1, 1)) }
    close(words[0].writeEnd)
    // The parent saved again.
    if !words[1].waitForEnd(seconds: patience) { fail("the parent is silent") }
    expect(store, 0, 1)
    orFail("close") { try store.close() }
    _exit(0)
  }
  close(words[0].writeEnd)
  if !words[0].waitForEnd(seconds: patience) { fail("the child is silent") }
  expect(store, 1, 1)
  expect(store, 2, 0)
  guard session.save(write(0, 1)) else { fail("the second checkpoint") }
  close(words[1].readEnd)
  _ = Glibc.write(words[1].writeEnd, "!", 1)
  close(words[1].writeEnd)
  if !endedWell(child) { fail("the child") }
  orFail("save") { try store.save(write(0, 2)) }
  expect(store, 0, 2)
  orFail("close") { try store.close() }
  say("closed")
}

/// Saves, forks, and waits to be killed; the child saves, says so and lives on until it gets a word.
func leaveAnOrphan(_ arguments: Arguments) {
  let store = arguments.openStore()
  orFail("save") { try store.save(write(0, 0)) }
  say("parent saved")
  if forkProcess() != 0 {
    while true { pause() }
  }
  orFail("save") { try store.save(write(1, 0)) }
  expect(store, 0, 0)
  say("child saved")
  waitForWord()
  orFail("save") { try store.save(write(1, 1)) }
  expect(store, 0, 0)
  orFail("close") { try store.close() }
  say("child closed")
  // What the parent's other threads had is nobody's here.
  _exit(0)
}

/// Forks again and again while one thread saves and looks up all the time and another takes the
/// shortest-held locks as often as it can, so that they are held; no child may hang, and none may
/// keep a descriptor of its parent's.
///
/// Not before everybody has done everything once: the Swift runtime has locks of its own, taken where
/// a generic type is used for the first time. A fork at such a moment leaves them locked in the child,
/// whatever the store does.
func forkWhileSaving(_ arguments: Arguments) {
  let store = arguments.openStore()
  orFail("save") { try store.save(write(0, 0)) }
  let session = Session(
    store: store, key: Write.fingerprint(0), label: "key 0", checkpointInterval: 0)
  let saver = Busy { round in
    orFail("save") { try store.save(write(0, round)) }
    expect(store, 0, round)
  }
  let asker = Busy { _ in
    if session.lastError != nil || (try? store.engine()) == nil { fail("asking") }
  }
  let count = arguments.number("count")
  let rehearsal = arguments.openStore()
  orFail("save") { try rehearsal.save(write(count + 1, 0)) }
  expect(rehearsal, count + 1, 0)
  expect(store, count + 1, 0)
  if openFiles(in: store).isEmpty { fail("the store has nothing open") }
  orFail("close") { try rehearsal.close() }
  rehearseCompaction(arguments)
  for number in 1...count {
    forkChild(number) {
      let kept = openFiles(in: store)
      if !kept.isEmpty { fail("child \(number) has its parent's \(kept)") }
      if session.lastError != nil { fail("the session of child \(number)") }
      orFail("save") { try store.save(write(number, 0)) }
      expect(store, number, 0)
      let parents = orFail("lookup") { try store.lookupLatest(Write.fingerprint(0)) }
      if parents == nil { fail("child \(number) finds nothing of its parent") }
      orFail("close") { try store.close() }
    }
    expect(store, number, 0)
  }
  asker.stop()
  let saved = saver.stop()
  expect(store, 0, saved)
  orFail("close") { try store.close() }
  say("forked \(count) saved \(saved)")
}

/// A thread that does something as often as it can.
final class Busy: @unchecked Sendable {
  private let body: (Int) -> Void
  private let mustEnd = Atomic(false)
  private var rounds = 0
  private var thread = pthread_t()
  private let warm = Pipe()

  /// Starts it and returns when it has gone round ten times. `body` is told how often it has been
  /// called, this time included.
  init(_ body: @escaping (Int) -> Void) {
    self.body = body
    let result = pthread_create(
      &thread, nil,
      { context in
        Unmanaged<Busy>.fromOpaque(context!).takeRetainedValue().run()
        return nil
      }, Unmanaged.passRetained(self).toOpaque())
    if result != 0 { fail("pthread_create: errno \(result)") }
    if !warm.waitForEnd(seconds: patience) { fail("a thread is stuck") }
  }

  private func run() {
    while !mustEnd.load(ordering: .relaxed) {
      rounds += 1
      body(rounds)
      if rounds == 10 { close(warm.writeEnd) }
    }
  }

  /// Ends the thread; how often it called.
  @discardableResult
  func stop() -> Int {
    mustEnd.store(true, ordering: .relaxed)
    pthread_join(thread, nil)
    return rounds
  }
}
