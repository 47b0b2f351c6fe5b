// What is used after it was closed: every call has an outcome, and none touches the disk.

import Glibc
import TestSupport
import Testing
import WarmStart

@Suite struct AfterCloseTests {
  private let bench = Bench()

  private func closedStore() throws -> WarmStartStore {
    let store = try bench.open()
    try store.save(payload(1), for: key(1), objective: 1)
    try store.close()
    return store
  }

  @Test func everyWayOfSavingIsRefusedAndWritesNothing() throws {
    let store = try closedStore()
    let before = everything(in: bench.path)
    let closed = StoreError.closed(path: bench.path)
    let run = RunID("r")!
    #expect(throws: closed) { try store.save([1], for: key(1)) }
    #expect(throws: closed) { try store.save([1], for: key(1), kind: .final) }
    #expect(throws: closed) { try store.save([1], for: key(1), run: run) }
    #expect(throws: closed) {
      try [UInt8](arrayLiteral: 1, 2).withUnsafeBytes { try store.save($0, for: key(1), run: run) }
    }
    #expect(throws: closed) { try store.save([NewEntry([1], for: key(1))]) }
    #expect(throws: closed) { try store.save([]) }
    #expect(throws: closed) { try store.remove(key(1)) }
    #expect(everything(in: bench.path) == before)
  }

  @Test func everyWayOfAskingIsRefused() throws {
    let store = try closedStore()
    let closed = StoreError.closed(path: bench.path)
    #expect(throws: closed) { try store.lookup(key(1)) }
    #expect(throws: closed) { try store.lookupBest(key(1)) }
    #expect(throws: closed) { try store.lookupLatest(key(1)) }
    #expect(throws: closed) { try store.entries(for: key(1)) }
    #expect(throws: closed) { try store.keys }
    #expect(throws: closed) { try store.statistics }
    #expect(throws: closed) { try store.flush() }
    #expect("\(closed)".contains("open it again"))
  }

  @Test func whatTheStoreIsCanStillBeAsked() throws {
    let store = try closedStore()
    #expect(store.path == bench.path && store.producer == "fit 1" && !store.isReadOnly)
    #expect(store.freshRunID() != store.freshRunID())
    try store.close()
  }

  @Test func aSessionThatOutlivesItsStoreFailsQuietlyAndKeepsItsSeed() throws {
    let store = try bench.open()
    try store.save(payload(1), for: key(1))
    let seed = try #require(try store.lookup(key(1)))
    let session = Session(
      store: store, key: key(2), label: nil, checkpointInterval: 0, host: bench.host())
    #expect(session.checkpoint(payload(2), objective: 2))
    session.preload(seed)
    try store.close()
    let before = everything(in: bench.path)
    let closed = StoreError.closed(path: bench.path)
    #expect(!session.checkpoint(payload(3), objective: 1))
    #expect(!session.checkpoint(numbers: [1.5, 2.5], objective: 0))
    #expect(!session.finalize(payload(3), objective: 1))
    #expect(!session.finalize(numbers: [1.5]))
    #expect(session.lastError == closed)
    // A seed needs no store.
    #expect(session.peekLoad() == seed)
    #expect(session.peekLoadWithSource()?.source == .preloaded)
    #expect(session.tryLoadWithSource() == LoadedEntry(entry: seed, source: .preloaded))
    #expect(session.tryLoad() == nil && session.tryLoadWithSource() == nil)
    #expect(session.peekLoad() == nil && session.peekLoadWithSource() == nil)
    #expect(everything(in: bench.path) == before)
    // A session of a store that is open goes on from what this one saved.
    let next = Session(store: try bench.open(), key: key(2))
    #expect(next.tryLoad()?.payload == payload(2))
  }

  @Test func aSessionMayBeMadeAfterTheClose() throws {
    let session = Session(store: try closedStore(), key: key(1))
    #expect(session.tryLoad() == nil && !session.checkpoint(payload(2)))
    #expect(session.lastError == .closed(path: bench.path))
  }

  @Test func aLazyStoreThatWasClosedIsOffForItsSessionsOldAndNew() throws {
    let lazyStore = LazyStore(path: bench.path, options: bench.options, host: bench.host())
    let session = lazyStore.session(for: key(1), checkpointInterval: 0)
    #expect(session.checkpoint(payload(1), objective: 1))
    lazyStore.close()
    lazyStore.close()
    #expect(!session.checkpoint(payload(2), objective: 0))
    #expect(session.lastError == .closed(path: bench.path))
    let late = lazyStore.session(for: key(1))
    #expect(late.tryLoad() == nil && !late.checkpoint(payload(3)) && !late.finalize(payload(3)))
    #expect(try bench.open().lookup(key(1))?.payload == payload(1))
    #expect(try bench.open().entries(for: key(1)).count == 1)
  }

  @Test func aLazyStoreClosedBeforeItsFirstUseIsNeverOpened() {
    let lazyStore = LazyStore(path: bench.path, options: bench.options, host: bench.host())
    lazyStore.close()
    #expect(lazyStore.store == nil)
    #expect(lazyStore.error == .closed(path: bench.path))
    let session = lazyStore.session(for: key(1))
    #expect(!session.checkpoint(payload(1)) && session.tryLoad() == nil)
    #expect(listing(bench.directory.path) == [])
  }

  /// A failed close ends the use of the store all the same; what could not be synced was told.
  @Test func aCloseThatFailsIsAClose() throws {
    let files = FaultyFiles()
    let store = try bench.open(host: bench.host(files)) { $0.durability = .buffered }
    try store.save(payload(1), for: key(1))
    files.failSyncs { EIO }
    #expect(throws: StoreError.self) { try store.close() }
    files.failSyncs(nil)
    #expect(throws: StoreError.closed(path: bench.path)) { try store.lookup(key(1)) }
    try store.close()
    #expect(try bench.open().lookup(key(1))?.payload == payload(1))
  }
}
