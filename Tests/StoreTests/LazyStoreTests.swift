// A store that may fail to open without anybody noticing.

import Glibc
import Logging
import TestSupport
import Testing
import WarmStart

@Suite struct LazyStoreTests {
  private let bench = Bench()

  /// A logger that keeps every line.
  private struct Recorder: LogHandler {
    let lines: Notes<String>
    var metadata: Logger.Metadata = [:]
    var logLevel = Logger.Level.trace

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
      get { metadata[key] }
      set { metadata[key] = newValue }
    }

    func log(event: LogEvent) { lines.add("\(event.level): \(event.message)") }
  }

  private let lines = Notes<String>()

  init() {
    let lines = lines
    bench.options.logger = Logger(label: "test") { _ in Recorder(lines: lines) }
  }

  private func lazyStore() -> LazyStore {
    LazyStore(path: bench.path, options: bench.options, host: bench.host())
  }

  /// A directory cannot be made below a file.
  private func obstruct() {
    write([1], to: bench.path)
    bench.path += "/store"
  }

  @Test func nothingIsTouchedBeforeTheFirstUse() {
    let lazyStore = lazyStore()
    #expect(lazyStore.path == bench.path)
    #expect(listing(bench.directory.path) == [])
    #expect(lazyStore.store != nil)
    #expect(listing(bench.directory.path) == ["store"])
    #expect(lines.all == [])
  }

  @Test func copiesShareTheOneStore() throws {
    let lazyStore = lazyStore()
    let copy = lazyStore
    let session = lazyStore.session(for: key(1), label: "l", checkpointInterval: 5)
    #expect(copy.store === lazyStore.store)
    #expect(copy.session(for: key(2)).store === session.store)
    #expect(copy.error == nil)
    #expect(session.label == "l" && session.checkpointInterval == 5 && session.key == key(1))
    #expect(session.checkpoint(payload(1), objective: 1))
    #expect(copy.session(for: key(1)).tryLoad()?.payload == payload(1))
    #expect(lines.all == [])
  }

  @Test func theFirstUseFromManyThreadsOpensOneStore() {
    let lazyStore = lazyStore()
    let stores = Notes<ObjectIdentifier>()
    onThreads(8) { _ in stores.add(ObjectIdentifier(lazyStore.store!)) }
    #expect(Set(stores.all).count == 1)
  }

  @Test func aRefusalTurnsEveryCopyOffForGoodAndIsToldOnce() throws {
    obstruct()
    let lazyStore = lazyStore()
    let copy = lazyStore
    for store in [lazyStore, copy, lazyStore] {
      #expect(store.store == nil)
      #expect(store.error != nil)
    }
    #expect(copy.error == lazyStore.error)
    #expect(lines.all.count == 1)
    #expect(lines.all.first?.hasPrefix("warning: ") == true)
    // The way is free now, but off is off.
    bench.path = String(bench.path.dropLast("/store".count))
    #expect(unlink(bench.path) == 0)
    #expect(lazyStore.store == nil && copy.store == nil)
    #expect(lazyStore.session(for: key(1)).store == nil)
    #expect(lines.all.count == 1)
    #expect(listing(bench.directory.path) == [])
  }

  @Test func aSessionOfAStoreThatIsOffIsASilentNoOp() {
    obstruct()
    let session = lazyStore().session(for: key(1), label: "l")
    #expect(session.store == nil && session.key == key(1))
    for _ in 0..<3 {
      #expect(!session.checkpoint(payload(1), objective: 1))
      #expect(!session.checkpoint(numbers: [1.5], objective: 0))
      #expect(!session.finalize(payload(1)))
      #expect(session.tryLoad() == nil)
      #expect(session.tryLoadWithSource() == nil)
      #expect(session.peekLoad() == nil)
      #expect(session.peekLoadWithSource() == nil)
    }
    #expect(session.description.contains(session.runID.description))
    #expect(lines.all.count == 1)
  }

  @Test func aProducerOverItsLimitTurnsItOffToo() {
    bench.options.producer = String(repeating: "p", count: 300)
    #expect(lazyStore().error == .textTooLong(what: "producer", bytes: 300, limit: 256))
  }

  @Test func aSessionThatFailsSaysSoInTheLog() throws {
    bench.options.payloadLimit = 1
    let session = lazyStore().session(for: key(1))
    #expect(!session.checkpoint(payload(1)))
    #expect(lines.all.count == 1)
    #expect(lines.all.first?.contains(session.runID.description) == true)
  }

  @Test func damageIsToldInTheLog() throws {
    let store = try bench.open()
    try store.save(noise(1, count: 300), for: key(1))
    try store.close()
    let name = try #require(listing(bench.path).first)
    var bytes = contents("\(bench.path)/\(name)")
    bytes[400] ^= 1
    write(bytes, to: "\(bench.path)/\(name)")
    let session = lazyStore().session(for: key(1))
    #expect(session.tryLoad() == nil)
    #expect(session.lastError == nil)
    #expect(lines.all.contains { $0.hasPrefix("warning: ") && $0.contains(name) })
  }
}
