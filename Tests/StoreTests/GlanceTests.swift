// Threads that look things up together, while nothing changes and while it does.

import Glibc
import Synchronization
import TestSupport
import Testing
import WarmStart

@Suite struct GlanceTests {
  private let bench = Bench()
  private let files = FaultyFiles()
  private let locks = CountedLocks()
  /// What the directory tells until a test says otherwise: no whole second, which would have to be old.
  private static let still: Int64 = 10_000_000_001

  /// A store over sealed segments with so many keys, whose directory has been still for long enough.
  private func settledStore(keys: Int) throws -> WarmStartStore {
    let writer = try bench.open()
    for number in 0..<keys { try writer.save(payload(number), for: key(number), objective: 1) }
    try writer.close()
    files.setDirectoryTime(Self.still)
    var host = bench.host(files)
    host.threads = locks
    let store = try bench.open(host: host)
    for _ in 0..<3 {
      bench.clock.advance(seconds: 0.1)
      for number in 0..<keys { #expect(try store.lookup(key(number)) != nil) }
    }
    return store
  }

  @Test func partsOfALockAreToBeHadFromWhenItIsSharedUntilSomebodyWantsAllOfIt() {
    let lock = ThreadLock()
    #expect(!lock.tryAcquireShared())
    lock.acquire()
    lock.share()
    #expect(!lock.tryAcquireShared())
    lock.release()
    for _ in 0..<2 {
      #expect(lock.tryAcquireShared())
      #expect(lock.tryAcquireShared())
      lock.releaseShared()
      lock.releaseShared()
    }
    lock.withLock {}
    #expect(!lock.tryAcquireShared())
  }

  @Test func whoHasAPartOfALockSeesNothingHalfChanged() {
    final class Guarded: @unchecked Sendable {
      var first = 0
      var second = 0
    }
    let lock = ThreadLock()
    let guarded = Guarded()
    let failures = Notes<String>()
    let glances = Atomic(0)
    onThreads(4) { thread in
      for step in 0..<20_000 {
        if thread == 0 {
          lock.withLock {
            guarded.first += 1
            guarded.second += 1
            if step % 3 == 0 { lock.share() }
          }
        } else if lock.tryAcquireShared() {
          if guarded.first != guarded.second { failures.add("\(step)") }
          lock.releaseShared()
          glances.add(1, ordering: .relaxed)
        } else {
          lock.withLock { lock.share() }
        }
      }
    }
    #expect(failures.all == [])
    #expect(guarded.first == 20_000 && guarded.second == 20_000)
    #expect(glances.load(ordering: .relaxed) > 0)
  }

  @Test func aWaitForASignalWaitsForThoseWhoLookToo() {
    final class Guarded: @unchecked Sendable {
      var isTold = false
      var first = 0
      var second = 0
    }
    let lock = ThreadLock()
    let signal = lock.makeSignal()
    let guarded = Guarded()
    let failures = Notes<Int>()
    let isOver = Atomic(false)
    onThreads(3) { thread in
      switch thread {
      case 0:
        lock.withLock {
          for _ in 0..<1000 {
            while !guarded.isTold { signal.wait() }
            guarded.isTold = false
            guarded.first += 1
            for _ in 0..<5 { sched_yield() }
            guarded.second += 1
          }
        }
        isOver.store(true, ordering: .relaxed)
      case 1:
        while !isOver.load(ordering: .relaxed) {
          guard lock.tryAcquireShared() else { continue }
          if guarded.first != guarded.second { failures.add(guarded.first) }
          lock.releaseShared()
        }
      default:
        while !isOver.load(ordering: .relaxed) {
          lock.withLock {
            guarded.isTold = true
            lock.share()
            signal.wakeAll()
          }
        }
      }
    }
    #expect(failures.all == [] && guarded.second == 1000)
  }

  @Test func lookupsThatFindNothingChangedListNothingAndReadNothing() throws {
    let store = try settledStore(keys: 20)
    let (lists, bytes) = (files.listCount, files.bytesRead)
    locks.resetCounts()
    let failures = Notes<Int>()
    onThreads(4) { thread in
      for step in 0..<500 {
        let number = (thread * 7 + step) % 20
        if (try? store.lookup(key(number)))??.payload != payload(number) { failures.add(number) }
      }
    }
    #expect(failures.all == [])
    #expect(files.listCount == lists && files.bytesRead == bytes)
    // Nobody waited for the whole lock.
    #expect(locks.shared >= 2000 && locks.whole == 0)
  }

  /// Saves of this store, and of others that come and go, while two threads look.
  @Test func whatWasSavedBeforeALookupBeganIsFoundByIt() throws {
    let store = try settledStore(keys: 3)
    let own = Atomic(0)
    let others = Atomic(0)
    let looks = Atomic(0)
    let isOver = Atomic(false)
    let failures = Notes<String>()
    let (path, options, host) = (bench.path, bench.options, bench.host())
    let (files, clock) = (files, bench.clock)
    locks.resetCounts()
    /// Until others have looked so often.
    @Sendable func waitForLooks(_ count: Int) {
      let before = looks.load(ordering: .relaxed)
      while looks.load(ordering: .relaxed) < before + count,
        !isOver.load(ordering: .sequentiallyConsistent)
      {
        sched_yield()
      }
    }
    onThreads(4) { thread in
      do {
        switch thread {
        case 0:
          for number in 1...100 {
            try store.save(payload(number), for: key(0), iteration: UInt64(number))
            own.store(number, ordering: .sequentiallyConsistent)
            waitForLooks(20)
          }
        case 1:
          for number in 1...20 {
            let other = try WarmStartStore(
              path: path, options: options, access: .createIfMissing, host: host)
            try other.save(payload(number), for: key(1), iteration: UInt64(number))
            try other.close()
            files.setDirectoryTime(Self.still + Int64(number) * 1_000_000_000)
            others.store(number, ordering: .sequentiallyConsistent)
            for _ in 0..<3 {
              clock.advance(seconds: 0.1)
              waitForLooks(50)
            }
          }
          isOver.store(true, ordering: .sequentiallyConsistent)
        default:
          while !isOver.load(ordering: .sequentiallyConsistent) {
            for (key, saved) in [
              (key(0), own.load(ordering: .sequentiallyConsistent)),
              (key(1), others.load(ordering: .sequentiallyConsistent)), (key(2), 0),
            ] {
              let found = try store.lookupLatest(key)
              if Int(found?.iteration ?? 0) < saved || found == nil {
                failures.add("\(saved) was saved, \(found?.iteration ?? 0) found")
              }
              looks.add(1, ordering: .relaxed)
            }
          }
        }
      } catch {
        failures.add("\(error)")
        isOver.store(true, ordering: .sequentiallyConsistent)
      }
    }
    #expect(failures.all == [])
    #expect(locks.shared > 1000)
  }

  /// A lookup at a glance counts as use, in this process and for the next.
  @Test func lookupsAtAGlanceKeepAKeyAlive() throws {
    bench.options.timeToLive = 300
    let store = try settledStore(keys: 2)
    bench.clock.advance(seconds: 5)
    #expect(try store.lookup(key(0)) != nil)
    // Not yet so much later that it would have to be marked anew; and nothing to be found, but the clocks are looked at.
    bench.clock.advance(seconds: 9)
    #expect(try store.lookup(key(99)) == nil)
    locks.resetCounts()
    #expect(try store.lookup(key(0)) != nil)
    #expect(locks.shared == 1 && locks.whole == 0)
    bench.clock.advance(seconds: 295)
    #expect(try store.lookup(key(0)) != nil)
    #expect(try store.lookup(key(1)) == nil)
    try store.close()
    bench.clock.advance(seconds: 280)
    let next = try bench.open()
    #expect(try next.lookup(key(0)) != nil)
    #expect(try next.lookup(key(1)) == nil)
  }

  /// However often a key is looked up, the mark of it that waits tells of the last time to within a minute. The first
  /// lookup comes four seconds after marks are looked for; the last right before they would be again.
  @Test(arguments: [238, 302, 494])
  func theMarkOfAKeyThatIsLookedUpAllTheTimeFollows(lookups: Int) throws {
    bench.options.timeToLive = 6000
    bench.clock.advance(seconds: 4)
    let store = try settledStore(keys: 2)
    locks.resetCounts()
    for _ in 0..<lookups {
      bench.clock.advance(seconds: 0.25)
      #expect(try store.lookup(key(0)) != nil)
    }
    #expect(locks.shared > lookups / 2)
    try store.close()
    bench.clock.advance(seconds: 5940)
    #expect(try bench.open(.readOnly).lookup(key(0)) != nil)
    bench.clock.advance(seconds: 61)
    #expect(try bench.open(.readOnly).lookup(key(0)) == nil)
  }

  @Test func aFileThatIsReadAtAGlanceIsNotTheFirstToBeClosed() throws {
    for number in 0..<3 {
      let writer = try bench.open()
      try writer.save(payload(number), for: key(number))
      try writer.close()
    }
    files.setDirectoryTime(Self.still)
    var host = bench.host(files)
    host.threads = locks
    let store = try bench.open(host: host) {
      $0.openFiles = 2
      $0.cacheMemory = 0
    }
    for number in [0, 1, 2, 0, 1] {
      bench.clock.advance(seconds: 0.1)
      #expect(try store.lookup(key(number))?.payload == payload(number))
    }
    locks.resetCounts()
    #expect(try store.lookup(key(0))?.payload == payload(0))
    #expect(locks.shared == 1 && locks.whole == 0)
    // One of the two that are open must go for this.
    #expect(try store.lookup(key(2))?.payload == payload(2))
    let before = files.openCount
    #expect(try store.lookup(key(0))?.payload == payload(0))
    #expect(files.openCount == before)
    #expect(try store.lookup(key(1))?.payload == payload(1))
    #expect(files.openCount == before + 1)
  }

  @Test func aClockThatIsSetBackIsNoticedAtAGlance() throws {
    let store = try settledStore(keys: 2)
    let before = files.listCount
    bench.clock.advance(seconds: 0.1)
    #expect(try store.lookup(key(0)) != nil)
    #expect(files.listCount == before)
    bench.clock.set(wall: bench.clock.now - 50_000_000)
    bench.clock.advance(seconds: 0.06)
    #expect(try store.lookup(key(0)) != nil)
    #expect(files.listCount > before)
  }

  @Test func aClockThatIsSetBackWithinATickIsNoticedToo() throws {
    let store = try settledStore(keys: 2)
    // Notes the clocks of this moment.
    bench.clock.advance(seconds: 5)
    #expect(try store.lookup(key(0)) != nil)
    let before = files.listCount
    #expect(try store.lookup(key(0)) != nil)
    #expect(files.listCount == before)
    bench.clock.set(wall: bench.clock.now - 1_000_000)
    #expect(try store.lookup(key(0)) != nil)
    #expect(files.listCount > before)
  }

  @Test func afterTheEndNothingIsFound() throws {
    let store = try settledStore(keys: 2)
    #expect(try store.lookup(key(0)) != nil)
    try store.close()
    #expect(throws: StoreError.self) { try store.lookup(key(0)) }
  }
}

/// Locks of the operating system that count how they are taken.
private final class CountedLocks: Threads {
  private let wholes = Atomic(0)
  private let parts = Atomic(0)

  /// How often somebody took a whole lock.
  var whole: Int { wholes.load(ordering: .relaxed) }
  /// How often somebody took a part of one.
  var shared: Int { parts.load(ordering: .relaxed) }

  func resetCounts() {
    wholes.store(0, ordering: .relaxed)
    parts.store(0, ordering: .relaxed)
  }

  func makeLock() -> any Lock { CountedLock(self) }
  func start(
    _ body: @escaping @Sendable () -> Void
  ) throws(ThreadError) -> any RunningThread { try POSIXThreads().start(body) }

  private final class CountedLock: Lock {
    private let lock = ThreadLock()
    private let counts: CountedLocks

    init(_ counts: CountedLocks) { self.counts = counts }

    func acquire() {
      counts.wholes.add(1, ordering: .relaxed)
      lock.acquire()
    }
    func release() { lock.release() }
    func tryAcquireShared() -> Bool {
      let isHad = lock.tryAcquireShared()
      if isHad { counts.parts.add(1, ordering: .relaxed) }
      return isHad
    }
    func releaseShared() { lock.releaseShared() }
    func share() { lock.share() }
    func makeSignal() -> any Signal { lock.makeSignal() }
  }
}
