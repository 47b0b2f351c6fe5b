// Batches so large that two threads pack them.

import Glibc
import Synchronization
import TestSupport
import Testing
import WarmStart

@Suite(.timeLimit(.minutes(10))) struct BatchTests {
  private let bench = Bench()

  /// Entries of many keys, some of them again and again, with payloads that are short and long, and shrink or do not.
  private static func entries(_ count: Int) -> [NewEntry] {
    (0..<count).map { number in
      let length = [0, 9, 256, 700, 3000, 40][number % 6]
      let bytes =
        number % 5 == 0 ? noise(number, count: length) : payload(number, count: max(length, 8))
      return NewEntry(
        bytes, for: key(number % 4 == 0 ? number % 28 : 1000 + number),
        kind: number % 11 == 0 ? .final : .checkpoint, objective: Double(number % 3),
        iteration: UInt64(number), label: number % 2 == 0 ? "label \(number)" : nil,
        run: RunID("run \(number % 17)"))
    }
  }

  @Test(arguments: [1, nil] as [Int?], Witness.allCases)
  func aBatchIsFoundAsItWasGiven(_ packedByTwoFrom: Int?, _ way: Witness) throws {
    let batch = Self.entries(900)
    let threads = UnevenThreads()
    var store: WarmStartStore? = try bench.open(host: bench.host(threads)) {
      $0.durability = .buffered
      $0.packedByTwoFrom = packedByTwoFrom
    }
    try store!.save([], for: key(9999))
    try threads.share { try store!.save(batch) }
    #expect(threads.shares == 1)
    try bench.witness(way, of: &store)
    // Of each key the last of the batch is the latest: the order is the one given.
    for (key, saved) in Dictionary(grouping: batch, by: \.key) {
      let found = try store!.lookupLatest(key)
      #expect(found?.payload == saved.last!.payload)
      #expect(found?.iteration == saved.last!.iteration)
      #expect(found?.label == saved.last!.label)
      #expect(found?.runID == saved.last!.run)
      let final = saved.last { $0.kind == .final }
      #expect(try store!.lookup(key)?.kind == (final == nil ? .checkpoint : .final))
      if let final { #expect(try store!.lookup(key)?.payload == final.payload) }
    }
    #expect(try store!.engine().verify(.payloads).damage.isEmpty)
  }

  @Test(arguments: Durability.allCases)
  func eachOfSeveralThreadsFindsItsBatches(_ durability: Durability) throws {
    let store = try bench.open {
      $0.durability = durability
      $0.packedByTwoFrom = 1
    }
    let failures = Notes<any Error>()
    onThreads(4) { thread in
      for round in 0..<5 {
        do {
          try store.save(
            (0..<100).map { number in
              NewEntry(
                payload(round * 100 + number, count: 500),
                for: key(thread * 1000 + number), iteration: UInt64(round))
            })
        } catch { failures.add(error) }
      }
    }
    #expect(failures.all.isEmpty)
    for thread in 0..<4 {
      for number in 0..<100 {
        let found = try store.lookupLatest(key(thread * 1000 + number))
        #expect(found?.iteration == 4 && found?.payload == payload(400 + number, count: 500))
      }
    }
    try store.close()
    #expect(try bench.open().engine().verify(.payloads).damage.isEmpty)
  }

  @Test func whatIsExpiredDoesNotComeBackWithABatch() throws {
    let ttl = 30_000.0
    bench.options.timeToLive = UInt64(ttl)
    bench.options.packedByTwoFrom = 1
    let threads = UnevenThreads()
    var store: WarmStartStore? = try bench.open(host: bench.host(threads))
    // Every third key, so that groups of the next batch begin and end with any.
    let old = stride(from: 0, to: 300, by: 3)
    try store!.save(old.map { NewEntry([1], for: key($0), kind: .final, objective: 0) })
    bench.clock.advance(seconds: ttl + 10)
    try threads.share {
      try store!.save((0..<300).map { NewEntry(payload($0), for: key($0), objective: 5) })
    }
    #expect(threads.shares == 1)
    try bench.witness(.reopened, of: &store)
    for number in 0..<300 {
      #expect(try store!.entries(for: key(number)).map(\.payload) == [payload(number)])
    }
    #expect(try store!.engine().verify(.payloads).damage.isEmpty)
  }

  /// A store that has just been opened has yet to ask large footers for each key.
  @Test(arguments: [1, nil] as [Int?])
  func whatIsExpiredDoesNotComeBackFromAFooter(_ packedByTwoFrom: Int?) throws {
    let ttl = 30_000.0
    bench.options.timeToLive = UInt64(ttl)
    bench.options.footerBlocksReadWhole = 0
    var store: WarmStartStore? = try bench.open()
    try store!.save((0..<40).map { NewEntry([1], for: key($0), kind: .final, objective: 0) })
    try store!.close()
    bench.clock.advance(seconds: ttl + 10)
    store = try bench.open { $0.packedByTwoFrom = packedByTwoFrom }
    try store!.save((0..<30).map { NewEntry(payload($0), for: key($0), objective: 5) })
    try store!.save(payload(30), for: key(30), objective: 5)
    try bench.witness(.reopened, of: &store)
    for number in 0...30 {
      #expect(try store!.entries(for: key(number)).map(\.payload) == [payload(number)])
    }
  }

  @Test func aBatchOfWhichItCannotBeToldWhatIsExpiredIsNotAcknowledged() throws {
    let ttl = 30_000.0
    bench.options.timeToLive = UInt64(ttl)
    bench.options.packedByTwoFrom = 1
    let files = FaultyFiles()
    let store = try bench.open(host: bench.host(files))
    try store.save((0..<20).map { NewEntry([1], for: key($0)) })
    bench.clock.advance(seconds: ttl + 10)
    let batch = (0..<200).map { NewEntry(payload($0), for: key(199 - $0)) }
    files.failLists { EIO }
    #expect(throws: StoreError.self) { try store.save(batch) }
    files.failLists(nil)
    for number in 0..<200 { #expect(try store.lookupLatest(key(number)) == nil) }
    try store.save(batch)
    for number in 0..<200 {
      #expect(try store.lookupLatest(key(199 - number))?.payload == payload(number))
    }
  }

  @Test func withoutThreadsABatchIsPackedByItsCaller() throws {
    var host = bench.host()
    host.threads = NoThreads()
    let store = try bench.open(host: host) { $0.packedByTwoFrom = 1 }
    try store.save((0..<200).map { NewEntry(payload($0), for: key($0 % 100)) })
    for number in 0..<100 {
      #expect(try store.lookupLatest(key(number))?.payload == payload(100 + number))
    }
  }

  @Test func aStoreThatIsClosedMeanwhileHasWholeBatchesOrRefusesThem() throws {
    let store = try bench.open { $0.packedByTwoFrom = 1 }
    let saved = Notes<Int>()
    let wrong = Notes<any Error>()
    onThreads(3) { thread in
      if thread == 0 {
        while saved.all.count < 6, wrong.all.isEmpty { sched_yield() }
        do { try store.close() } catch { wrong.add(error) }
        return
      }
      for round in 0..<10_000 {
        do {
          try store.save(
            (0..<60).map { NewEntry(payload(round, count: 400), for: key(thread * 100 + $0)) })
          saved.add(thread * 100_000 + round)
        } catch StoreError.closed { return } catch { return wrong.add(error) }
      }
    }
    #expect(wrong.all.isEmpty)
    let again = try bench.open()
    for thread in 1...2 {
      let last = saved.all.filter { $0 / 100_000 == thread }.max()
      guard let last else { continue }
      for number in 0..<60 {
        #expect(
          try again.lookupLatest(key(thread * 100 + number))?.payload
            == payload(last % 100_000, count: 400))
      }
    }
  }

  // MARK: Limits

  /// What is packed at once is not what goes with one sync.
  @Test func aFrameEndsByWhatItTakesOnDisk() throws {
    let files = FaultyFiles()
    let store = try bench.open(host: bench.host(files)) { $0.durability = .synced }
    try store.save([1], for: key(0))
    var before = files.syncCount
    try store.save((0..<4096).map { NewEntry(payload($0, count: 4096), for: key($0)) })
    #expect(files.syncCount - before == 1)
    before = files.syncCount
    try store.save((0..<1100).map { NewEntry(noise($0, count: 8192), for: key($0)) })
    #expect(files.syncCount - before == 3)
  }

  @Test func theTextsOfABatchCountWhereASegmentEnds() throws {
    let (threads, limit) = (UnevenThreads(), 64 << 10)
    for fill in stride(from: 1000, to: 60_000, by: 1500) {
      let bench = Bench()
      let store = try bench.open(host: bench.host(threads)) {
        $0.packedByTwoFrom = 1
        $0.segmentLimit = UInt64(limit)
      }
      try store.save(noise(fill, count: fill), for: key(1))
      try threads.share {
        try store.save(
          (0..<100).map {
            NewEntry([], for: key($0), label: String(repeating: "l", count: 120) + "\($0)")
          })
      }
      try store.close()
      for (name, bytes) in everything(in: bench.path) { #expect(bytes.count <= limit, "\(name)") }
    }
    #expect(threads.shares == 40)
  }

  /// To wake a thread takes as long as to pack some 20 KiB. On a payload of 128 KiB two work anyway, but only on one at
  /// a time.
  @Test(arguments: [
    (1, 40 << 10, 0), (10, 4 << 10, 0), (100, 360, 0), (100, 370, 1), (3, 20 << 10, 1),
    (4000, 8, 1),
  ])
  func aSecondThreadTakesPartWhereItIsWorthIt(_ count: Int, _ length: Int, _ threads: Int) throws {
    let counted = CountingThreads()
    var host = bench.host()
    host.threads = counted
    let store = try bench.open(host: host)
    try store.save((0..<count).map { NewEntry(payload($0, count: length), for: key($0)) })
    #expect(counted.started == threads)
    try store.close()
  }
}

/// Threads of which another than the caller's has its part in a batch, whoever is awake first.
private final class UnevenThreads: Threads {
  private let isUneven = Flag()
  private let shared = Atomic(0)

  /// In how many batches so far another thread had a part.
  var shares: Int { shared.load(ordering: .relaxed) }

  /// Calls `body`, which saves a batch: who packs it is the first that makes a lock.
  func share(_ body: () throws -> Void) rethrows {
    isUneven.raise()
    defer { isUneven.lower() }
    try body()
  }

  func makeLock() -> any Lock {
    isUneven.lower() ? UnevenLock { self.shared.add(1, ordering: .relaxed) } : ThreadLock()
  }
  func start(
    _ body: @escaping @Sendable () -> Void
  ) throws(ThreadError) -> any RunningThread { try POSIXThreads().start(body) }
}

/// A lock that who made it has a second time only after others had it three times.
private final class UnevenLock: Lock, @unchecked Sendable {
  private let lock = ThreadLock()
  private let changed: any Signal
  private let maker = pthread_self()
  private let enough: @Sendable () -> Void
  // Guarded by lock.
  private var makers = 0
  private var others = 0

  init(_ enough: @escaping @Sendable () -> Void) {
    self.enough = enough
    changed = lock.makeSignal()
  }

  func acquire() {
    lock.acquire()
    if pthread_equal(pthread_self(), maker) == 0 {
      others += 1
      if others == 3 { enough() }
      return changed.wakeAll()
    }
    makers += 1
    while makers == 2, others < 3 { changed.wait() }
  }
  func release() { lock.release() }
  func makeSignal() -> any Signal { lock.makeSignal() }
}

extension Bench {
  fileprivate func host(_ threads: UnevenThreads) -> Host {
    var host = host()
    host.threads = threads
    return host
  }
}
