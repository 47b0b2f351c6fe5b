// Several stores on one directory: what one has saved, a lookup that begins later in any other finds.

import TestSupport
import Testing
import WarmStart

@Suite struct SharingTests {
  private let bench = Bench()

  @Test func eachSeesWhatTheOthersSavedAtOnce() throws {
    let stores = try (0..<3).map { try bench.open(as: "p\($0)") }
    for number in 0..<60 {
      try stores[number % 3].save(payload(number), for: key(1), objective: Double(-number))
      for store in stores {
        #expect(try store.lookup(key(1))?.payload == payload(number))
        #expect(try store.entries(for: key(1)).count == number + 1)
      }
    }
  }

  @Test func eachSeesWhatTheOthersSavedAcrossRotations() throws {
    let stores = try (0..<2).map { _ in try bench.open { $0.segmentLimit = 64 << 10 } }
    for number in 0..<120 {
      let bytes = noise(number, count: 6000)
      try stores[number % 2].save(bytes, for: key(number % 7), objective: Double(-number))
      for store in stores { #expect(try store.lookup(key(number % 7))?.payload == bytes) }
    }
    #expect(listing(bench.path).filter { $0.hasSuffix(".seg") }.count > 8)
    for store in stores {
      #expect(try store.keys == (0..<7).map { key($0) })
      let counts = try (0..<7).map { try store.entries(for: key($0)).count }
      #expect(counts.reduce(0, +) == 120)
      #expect(try store.statistics.damagedRecords == 0)
    }
  }

  @Test func aReaderWithTwoDescriptorsReadsManySegments() throws {
    let writer = try bench.open { $0.segmentLimit = 64 << 10 }
    let reader = try bench.open(.readOnly) { $0.openFiles = 1 }
    for number in 0..<80 {
      try writer.save(noise(number, count: 9000), for: key(number))
      #expect(try reader.lookup(key(number))?.payload == noise(number, count: 9000))
    }
    #expect(listing(bench.path).count > 10)
    for number in (0..<80).reversed() {
      #expect(try reader.lookup(key(number))?.payload == noise(number, count: 9000))
    }
  }

  @Test func aReaderSeesAnUnsealedLogBecomeASegment() throws {
    let reader = try bench.open()
    let writer = try bench.open()
    try writer.save(payload(1), for: key(1))
    #expect(try reader.lookup(key(1))?.payload == payload(1))
    try writer.save(payload(2), for: key(2))
    try writer.close()
    #expect(listing(bench.path).allSatisfy { $0.hasSuffix(".seg") })
    #expect(try reader.lookup(key(2))?.payload == payload(2))
    #expect(try reader.lookup(key(1))?.payload == payload(1))
    #expect(try reader.statistics.records == 2)
  }

  @Test func aStoreThatSealedItsSegmentGoesOnWithANewOne() throws {
    let store = try bench.open { $0.segmentLimit = 64 << 10 }
    for number in 0..<50 {
      try store.save(noise(number, count: 5000), for: key(number))
      for earlier in 0...number {
        #expect(try store.lookup(key(earlier))?.payload == noise(earlier, count: 5000))
      }
    }
  }

  @Test func copyingFilesTogetherMergesStores() throws {
    let other = Bench(wall: bench.clock.now + 1)
    let theirs = try other.open(host: bench.host(clock: other.clock))
    try theirs.save(payload(1), for: key(1), objective: 1)
    try theirs.save(payload(2), for: key(2), objective: 5)
    try theirs.close()
    let ours = try bench.open()
    try ours.save(payload(3), for: key(2), objective: 4)
    for name in listing(other.path) {
      write(contents("\(other.path)/\(name)"), to: "\(bench.path)/\(name)")
    }
    #expect(try ours.keys == [key(1), key(2)])
    #expect(try ours.lookup(key(1))?.payload == payload(1))
    #expect(try ours.lookup(key(2))?.payload == payload(3))
    #expect(try ours.lookupLatest(key(2))?.payload == payload(2))
  }

  @Test func filesThatAreNoSegmentsAreLeftAlone() throws {
    let store = try bench.open()
    try store.save(payload(1), for: key(1))
    let strangers = [
      "notes.txt", "0123456789abcdef0123456789ABCDEF.seg", "0123456789abcdef0123456789abcdef.bak",
      "0123456789abcdef0123456789abcdef.seg~", ".hidden",
    ]
    for name in strangers { write([1, 2, 3], to: "\(bench.path)/\(name)") }
    try store.save(payload(2), for: key(2))
    try store.close()
    let reopened = try bench.open()
    #expect(try reopened.keys == [key(1), key(2)])
    #expect(try reopened.statistics.segments == 1)
    #expect(try reopened.statistics.damagedRecords == 0)
    for name in strangers { #expect(contents("\(bench.path)/\(name)") == [1, 2, 3]) }
  }
}
