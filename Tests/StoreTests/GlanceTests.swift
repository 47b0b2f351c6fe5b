// Threads that look things up together, while nothing changes and while it does.

import Synchronization
import TestSupport
import Testing
import WarmStart

@Suite struct GlanceTests {
  private let bench = Bench()
  private let files = FaultyFiles()

  /// A store over sealed segments with so many keys, whose directory has been still for long enough.
  private func settledStore(keys: Int) throws -> WarmStartStore {
    let writer = try bench.open()
    for number in 0..<keys { try writer.save(payload(number), for: key(number), objective: 1) }
    try writer.close()
    let store = try bench.open(host: bench.host(files))
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
    let lock = ThreadLock()
    let signal = lock.makeSignal()
    final class Guarded: @unchecked Sendable {
      var isTold = false
      var changes = 0
    }
    let guarded = Guarded()
    let failures = Notes<Int>()
    onThreads(3) { thread in
      switch thread {
      case 0:
        lock.withLock {
          while !guarded.isTold { signal.wait() }
          guarded.changes += 1
        }
      case 1:
        for _ in 0..<1000 {
          guard lock.tryAcquireShared() else { continue }
          if guarded.changes > 1 { failures.add(guarded.changes) }
          lock.releaseShared()
        }
      default:
        for _ in 0..<100 { lock.withLock { lock.share() } }
        lock.withLock {
          guarded.isTold = true
          lock.share()
          signal.wakeAll()
        }
      }
    }
    #expect(failures.all == [] && guarded.changes == 1)
  }

  @Test func lookupsThatFindNothingChangedListNothingAndReadNothing() throws {
    let store = try settledStore(keys: 20)
    let (lists, bytes) = (files.listCount, files.bytesRead)
    let failures = Notes<Int>()
    onThreads(4) { thread in
      for step in 0..<500 {
        let number = (thread * 7 + step) % 20
        if (try? store.lookup(key(number)))??.payload != payload(number) { failures.add(number) }
      }
    }
    #expect(failures.all == [])
    #expect(files.listCount == lists && files.bytesRead == bytes)
  }

  /// Saves of this store, and of others that come and go, while two threads look.
  @Test func whatWasSavedBeforeALookupBeganIsFoundByIt() throws {
    let store = try settledStore(keys: 3)
    let own = Atomic(0)
    let others = Atomic(0)
    let isOver = Atomic(false)
    let failures = Notes<String>()
    let (path, options, host) = (bench.path, bench.options, bench.host())
    onThreads(4) { thread in
      do {
        switch thread {
        case 0:
          for number in 1...120 {
            try store.save(payload(number), for: key(0), iteration: UInt64(number))
            own.store(number, ordering: .sequentiallyConsistent)
          }
          isOver.store(true, ordering: .sequentiallyConsistent)
        case 1:
          // The directory is still until then.
          while own.load(ordering: .sequentiallyConsistent) < 60,
            !isOver.load(ordering: .sequentiallyConsistent)
          {}
          var number = 0
          while number < 20, !isOver.load(ordering: .sequentiallyConsistent) {
            number += 1
            let other = try WarmStartStore(
              path: path, options: options, access: .createIfMissing, host: host)
            try other.save(payload(number), for: key(1), iteration: UInt64(number))
            try other.close()
            others.store(number, ordering: .sequentiallyConsistent)
          }
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
            }
          }
        }
      } catch {
        failures.add("\(error)")
        isOver.store(true, ordering: .sequentiallyConsistent)
      }
    }
    #expect(failures.all == [])
  }

  /// A lookup at a glance counts as use, in this process and for the next.
  @Test func lookupsAtAGlanceKeepAKeyAlive() throws {
    bench.options.timeToLive = 300
    let store = try settledStore(keys: 2)
    for _ in 0..<60 {
      bench.clock.advance(seconds: 10)
      for _ in 0..<3 { #expect(try store.lookup(key(0)) != nil) }
    }
    bench.clock.advance(seconds: 280)
    #expect(try store.lookup(key(0)) != nil)
    #expect(try store.lookup(key(1)) == nil)
    try store.close()
    bench.clock.advance(seconds: 280)
    let next = try bench.open()
    #expect(try next.lookup(key(0)) != nil)
    #expect(try next.lookup(key(1)) == nil)
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

  @Test func afterTheEndNothingIsFound() throws {
    let store = try settledStore(keys: 2)
    #expect(try store.lookup(key(0)) != nil)
    try store.close()
    #expect(throws: StoreError.self) { try store.lookup(key(0)) }
  }
}
