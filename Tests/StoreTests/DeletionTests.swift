// Somebody deletes the directory, or the log, of a store that is in use.
//
// A save costs one write and one sync and no look at the name of the log, so that a deletion is
// noticed a little later: by the next look at the directory, by flush and close, when the segment
// is full, and by a save at the latest every ten seconds. What went with the log is owned up to,
// once, by flush or close; the next save goes to a new log. A directory is never made anew behind
// the back of whoever deleted it.

import Glibc
import TestSupport
import Testing
import WarmStart

@Suite struct DeletionTests {
  private let bench = Bench()

  /// A store with something saved; its log is the one file in the directory.
  private func storeWithLog() throws -> (store: WarmStartStore, log: String) {
    let store = try bench.open()
    try store.save(payload(1), for: key(1))
    return (store, try #require(listing(bench.path).first))
  }

  private func deleteDirectory() {
    for name in listing(bench.path) { #expect(bench.remove(name)) }
    #expect(rmdir(bench.path) == 0)
  }

  private func expectGone(_ body: () throws -> Void) {
    let error = #expect(throws: StoreError.self) { try body() }
    guard case .file(let file) = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(file.errno == ENOENT && file.path.hasPrefix(bench.path))
    #expect(file.description.contains("removed"))
  }

  /// Everything that makes a store look after its log.
  enum Occasion: CaseIterable {
    case lookup, keys, flush, time
  }

  @Test(arguments: Occasion.allCases)
  func aDeletedLogIsNoticedAndTheNextSaveGoesToANewOne(_ occasion: Occasion) throws {
    let (store, log) = try storeWithLog()
    #expect(bench.remove(log))
    try store.save(payload(2), for: key(2))
    switch occasion {
    case .lookup: #expect(try store.lookup(key(2)) == nil)
    case .keys: #expect(try store.keys == [])
    case .flush: expectGone { try store.flush() }
    case .time: bench.clock.advance(seconds: 11)
    }
    try store.save(payload(3), for: key(3))
    let names = listing(bench.path)
    #expect(names.count == 1 && names != [log])
    #expect(try bench.open(.readOnly).lookup(key(3))?.payload == payload(3))
    // The store sees what others see.
    #expect(try store.keys == [key(3)])
    #expect(try store.statistics.segments == 1)
    #expect(try store.statistics.damagedRecords == 0)
    // The loss is told once, if it has not been.
    if occasion != .flush { expectGone { try store.flush() } }
    try store.flush()
    try store.close()
    #expect(try bench.open().keys == [key(3)])
  }

  @Test func aLogDeletedBeforeTheSegmentIsFullIsToldByTheNextFlush() throws {
    let store = try bench.open { $0.segmentLimit = 64 << 10 }
    try store.save(noise(1, count: 30_000), for: key(1))
    #expect(bench.remove(listing(bench.path)[0]))
    for number in 2...5 { try store.save(noise(number, count: 30_000), for: key(number)) }
    expectGone { try store.flush() }
    let found = try bench.open().keys
    #expect(found.contains(key(5)) && !found.contains(key(1)))
    try store.close()
  }

  @Test func closeTellsThatTheLogIsGone() throws {
    let (store, log) = try storeWithLog()
    #expect(bench.remove(log))
    expectGone { try store.close() }
    #expect(listing(bench.path) == [])
    #expect(throws: StoreError.closed(path: bench.path)) { try store.keys }
  }

  /// A log that was moved away is as good as gone, whatever its count of names.
  @Test func aLogMovedAwayIsNoticedByALookup() throws {
    let (store, log) = try storeWithLog()
    #expect(rename("\(bench.path)/\(log)", bench.directory.appending(log)) == 0)
    #expect(try store.lookup(key(1)) == nil)
    try store.save(payload(2), for: key(2))
    #expect(try bench.open().keys == [key(2)])
    expectGone { try store.flush() }
  }

  @Test func sealedSegmentsThatSomebodyDeletesAreForgotten() throws {
    try bench.open().save(payload(1), for: key(1))
    let store = try bench.open()
    try store.save(payload(2), for: key(2))
    #expect(try store.keys == [key(1), key(2)])
    #expect(bench.remove(try #require(listing(bench.path).first { $0.hasSuffix(".seg") })))
    #expect(try store.keys == [key(2)])
    #expect(try store.lookup(key(1)) == nil)
    try store.close()
    #expect(try bench.open().keys == [key(2)])
  }

  @Test(arguments: [false, true])
  func inADeletedDirectoryEveryCallSaysSoAndNothingIsMadeAnew(_ isMadeAnew: Bool) throws {
    let (store, _) = try storeWithLog()
    let session = Session(store: store, key: key(1), checkpointInterval: 0)
    deleteDirectory()
    if isMadeAnew { #expect(mkdir(bench.path, 0o700) == 0) }
    expectGone { _ = try store.lookup(key(1)) }
    expectGone { try store.save(payload(2), for: key(2)) }
    expectGone { try store.save([NewEntry(payload(2), for: key(2))]) }
    expectGone { try store.remove(key(1)) }
    expectGone { _ = try store.keys }
    expectGone { _ = try store.entries(for: key(1)) }
    expectGone { _ = try store.statistics }
    #expect(!session.checkpoint(payload(2)))
    #expect(!session.finalize(payload(2)))
    #expect(session.tryLoad() == nil)
    #expect(session.lastError != nil)
    // Told once: what was saved to the log.
    expectGone { try store.flush() }
    #expect(listing(bench.path) == [])
    #expect((access(bench.path, F_OK) == 0) == isMadeAnew)
    try store.close()
    let reopened = try bench.open()
    try reopened.save(payload(3), for: key(3))
    #expect(try bench.open().keys == [key(3)])
  }

  @Test func aWriterThatNeverLooksNoticesADeletedDirectoryToo() throws {
    let (store, _) = try storeWithLog()
    let session = Session(store: store, key: key(1), checkpointInterval: 0)
    deleteDirectory()
    bench.clock.advance(seconds: 11)
    #expect(!session.checkpoint(payload(2)))
    #expect(session.lastError != nil)
    expectGone { try store.close() }
  }

  @Test func aReaderOfADeletedDirectorySaysSo() throws {
    let (writer, _) = try storeWithLog()
    let reader = try bench.open(.readOnly)
    #expect(try reader.lookup(key(1)) != nil)
    deleteDirectory()
    expectGone { _ = try reader.lookup(key(1)) }
    expectGone { _ = try reader.keys }
    try reader.close()
    expectGone { try writer.close() }
  }

  /// The store is where its directory is, whatever that is called.
  @Test func aDirectoryThatIsRenamedIsStillTheStore() throws {
    let (store, _) = try storeWithLog()
    let path = bench.path
    bench.path = bench.directory.appending("elsewhere")
    #expect(rename(path, bench.path) == 0)
    try store.save(payload(2), for: key(2))
    #expect(try store.keys == [key(1), key(2)])
    try store.close()
    #expect(try bench.open().keys == [key(1), key(2)])
    #expect(access(path, F_OK) != 0)
  }

  @Test func deletionUnderManyThreadsLosesNothingThatIsSavedAfterIt() throws {
    let store = try bench.open()
    try store.save(payload(0), for: key(0))
    let failures = Notes<String>()
    let path = bench.path
    onThreads(4) { thread in
      for step in 0..<60 {
        if thread == 0 {
          for name in listing(path) { unlink("\(path)/\(name)") }
        }
        do {
          let number = thread * 1000 + step
          try store.save(payload(number), for: key(number))
          if let found = try store.lookup(key(number)), found.payload != payload(number) {
            failures.add("\(number) is another")
          }
        } catch { failures.add("\(error)") }
      }
    }
    #expect(failures.all == [])
    _ = try store.keys
    for number in 1...5 { try store.save(payload(number), for: key(number)) }
    let other = try bench.open()
    for number in 1...5 { #expect(try other.lookup(key(number))?.payload == payload(number)) }
    #expect(throws: StoreError.self) { try store.flush() }
    try store.close()
    #expect(try bench.open().statistics.damagedRecords == 0)
  }
}
