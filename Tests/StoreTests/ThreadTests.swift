// Many threads on one store, and on several stores of one directory.

import Glibc
import TestSupport
import Testing
import WarmStart

@Suite struct ThreadTests {
  private let bench = Bench()

  @Test func manyThreadsSaveAndLookUpWithoutLosingAnything() throws {
    let store = try bench.open {
      $0.durability = .buffered
      $0.segmentLimit = 128 << 10
    }
    let failures = Notes<String>()
    onThreads(8) { thread in
      for step in 0..<300 {
        do {
          let number = thread * 1000 + step
          try store.save(noise(number, count: 200), for: key(number), objective: Double(step))
          try store.save(payload(number), for: key(step % 10), objective: Double(-number))
          let back = try store.lookup(key(number))
          if back?.payload != noise(number, count: 200), number >= 10 {
            failures.add("\(number) is not there")
          }
          if step % 50 == 0 { _ = try store.keys }
          if step % 60 == 0 { _ = try store.statistics }
        } catch { failures.add("\(error)") }
      }
    }
    #expect(failures.all == [])
    #expect(try store.statistics.records >= 4800)
    try store.close()
    let reopened = try bench.open()
    for thread in 0..<8 {
      for step in 10..<300 {
        let number = thread * 1000 + step
        #expect(try reopened.lookup(key(number))?.payload == noise(number, count: 200))
      }
    }
    #expect(try reopened.lookup(key(9))?.objective == -7299)
    #expect(try reopened.statistics.damagedRecords == 0)
  }

  /// Two threads look at the directory, and the one that looked first gets the store last.
  @Test func aLookThatAnotherOvertookIsNoClockSetBack() throws {
    let files = FaultyFiles()
    let gate = Gate()
    let looks = Notes<Int>()
    let clock = bench.clock
    var host = bench.host(files)
    // The last that a look reads.
    host.monotonicClock = {
      let now = clock.uptime
      looks.add(0)
      if looks.all.count == 1 { gate.pass() }
      return now
    }
    let store = try bench.open(host: host)
    let other = try bench.open()
    try other.save(payload(1), for: key(1))
    func settle() throws {
      for _ in 0..<3 {
        bench.clock.advance(seconds: 5)
        #expect(try store.lookup(key(1))?.payload == payload(1))
      }
    }
    try settle()
    let before = files.listCount
    try settle()
    #expect(files.listCount == before)

    let newcomer = try bench.open()
    gate.shut()
    looks.removeAll()
    onThreads(2) { thread in
      if thread == 0 {
        #expect((try? store.lookup(key(1)))??.payload == payload(1))
        return
      }
      gate.waitForSomebody()
      clock.advance(seconds: 5)
      // Into a log of its own, so that the directory changes.
      #expect((try? newcomer.save(payload(2), for: key(2))) != nil)
      for _ in 0..<3 {
        clock.advance(seconds: 5)
        #expect((try? store.lookup(key(2)))??.payload == payload(2))
      }
      gate.open()
    }
    try settle()
    let after = files.listCount
    try settle()
    #expect(files.listCount == after)
    try other.save(payload(3), for: key(1))
    #expect(try store.lookup(key(1))?.payload == payload(3))
  }

  @Test func stampsOfManyThreadsAllDiffer() throws {
    let store = try bench.open { $0.durability = .buffered }
    onThreads(8) { thread in
      for step in 0..<100 { _ = try? store.save(payload(thread * 100 + step), for: key(1)) }
    }
    let listed = try store.engine().entries(of: key(1))
    #expect(listed.count == 800)
    #expect(Set(listed.map(\.record.header.stamp)).count == 800)
  }

  @Test func syncedSavesOfManyThreadsAreAllOnStableStorage() throws {
    let files = FaultyFiles()
    let store = try bench.open(host: bench.host(files))
    try store.save(payload(0), for: key(0))
    let before = files.syncCount
    let failures = Notes<String>()
    onThreads(16) { thread in
      for step in 0..<25 {
        do { try store.save(payload(step), for: key(thread * 100 + step + 1)) } catch {
          failures.add("\(error)")
        }
      }
    }
    #expect(failures.all == [])
    #expect(files.unsyncedFiles == 0)
    #expect(files.syncCount - before <= 400)
    #expect(try store.keys.count == 401)
  }

  @Test func severalStoresOnOneDirectoryLoseNothing() throws {
    let stores = try (0..<3).map { number in
      try bench.open(as: "p\(number)") {
        $0.durability = .buffered
        $0.segmentLimit = 64 << 10
      }
    }
    let failures = Notes<String>()
    onThreads(6) { thread in
      let store = stores[thread % 3]
      for step in 0..<150 {
        do {
          let number = thread * 1000 + step
          try store.save(noise(number, count: 400), for: key(number), kind: .checkpoint)
          let reader = stores[(thread + step) % 3]
          if try reader.lookup(key(number))?.payload != noise(number, count: 400) {
            failures.add("\(number) is not seen by another")
          }
        } catch { failures.add("\(error)") }
      }
    }
    #expect(failures.all == [])
    for store in stores { #expect(try store.keys.count == 900) }
    for store in stores { try store.close() }
    #expect(try bench.open().keys.count == 900)
    #expect(try bench.open().statistics.damagedRecords == 0)
  }

  @Test func closingWhileOthersWorkThrowsClosedAndLosesNothingAcknowledged() throws {
    let store = try bench.open()
    let saved = Notes<Int>()
    let failures = Notes<String>()
    let path = bench.path
    onThreads(5) { thread in
      if thread == 4 {
        while saved.all.count < 40 {}
        do { try store.close() } catch { failures.add("\(error)") }
        return
      }
      for step in 0..<5000 {
        do {
          try store.save(payload(step), for: key(thread * 10_000 + step))
          saved.add(thread * 10_000 + step)
          _ = try store.lookup(key(thread * 10_000 + step))
        } catch {
          if error as? StoreError != .closed(path: path) { failures.add("\(error)") }
          return
        }
      }
    }
    #expect(failures.all == [])
    let keys = Set(try bench.open().keys)
    #expect(saved.all.allSatisfy { keys.contains(key($0)) })
  }
}
