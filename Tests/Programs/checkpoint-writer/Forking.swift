// Processes that fork with a store open.

import Glibc
import WarmStart

/// fork(2), which Swift does not offer.
private func forkProcess() -> pid_t {
  typealias Fork = @convention(c) () -> pid_t
  guard let address = dlsym(nil, "fork") else { fail("no fork") }
  let process = unsafeBitCast(address, to: Fork.self)()
  if process < 0 { fail("fork: errno \(errno)") }
  return process
}

private struct Pipe {
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
private func endedWell(_ child: pid_t) -> Bool {
  var status: Int32 = 0
  while waitpid(child, &status, 0) < 0, errno == EINTR {}
  return status == 0
}

private let patience: Int32 = 30

/// What this process has open of the files in the store, and the store itself.
private func openFiles(in store: WarmStartStore) -> [String] {
  (0..<1024).compactMap { number in
    var buffer = [UInt8](repeating: 0, count: 4096)
    let length = buffer.withUnsafeMutableBytes {
      readlink("/proc/self/fd/\(number)", $0.baseAddress!.assumingMemoryBound(to: CChar.self), 4096)
    }
    guard length > 0 else { return nil }
    let path = String(decoding: buffer[..<length], as: UTF8.self)
    return path.hasPrefix(store.path) ? path : nil
  }
}

private func write(_ writer: Int, _ index: Int) -> Write {
  Write(seed: 1, writer: writer, index: index, to: writer)
}

/// That the newest entry of the writer's key is the one of the index.
private func expect(_ store: WarmStartStore, _ writer: Int, _ index: Int) {
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
}

/// Forks again and again while another thread saves and looks up all the time, so that its locks are
/// held; no child may hang, and none may keep a descriptor of its parent's.
func forkWhileSaving(_ arguments: Arguments) {
  let store = arguments.openStore()
  orFail("save") { try store.save(write(0, 0)) }
  let saver = Saver(store)
  saver.start()
  let count = arguments.number("count")
  for number in 1...count {
    let end = Pipe()
    let child = forkProcess()
    if child == 0 {
      let kept = openFiles(in: store)
      if !kept.isEmpty { fail("child \(number) has its parent's \(kept)") }
      orFail("save") { try store.save(write(number, 0)) }
      expect(store, number, 0)
      let parents = orFail("lookup") { try store.lookupLatest(Write.fingerprint(0)) }
      if parents == nil { fail("child \(number) finds nothing of its parent") }
      orFail("close") { try store.close() }
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
    expect(store, number, 0)
  }
  let saved = saver.stop()
  expect(store, 0, saved)
  orFail("close") { try store.close() }
  say("forked \(count) saved \(saved)")
}

/// A thread that saves as fast as it can.
private final class Saver: @unchecked Sendable {
  private let store: WarmStartStore
  private let lock = Lock()
  private var mustEnd = false
  private var index = 0
  private var thread = pthread_t()

  init(_ store: WarmStartStore) { self.store = store }

  func start() {
    let result = pthread_create(
      &thread, nil,
      { context in
        Unmanaged<Saver>.fromOpaque(context!).takeUnretainedValue().run()
        return nil
      }, Unmanaged.passRetained(self).toOpaque())
    if result != 0 { fail("pthread_create: errno \(result)") }
  }

  private func run() {
    while !lock.withLock({ mustEnd }) {
      index += 1
      orFail("save") { try store.save(write(0, index)) }
      expect(store, 0, index)
    }
  }

  /// Ends the thread; how often it saved.
  func stop() -> Int {
    lock.withLock { mustEnd = true }
    pthread_join(thread, nil)
    return index
  }
}
