// Several merges of one compaction at once.

import Foundation
import Glibc
import Synchronization
import TestSupport
import Testing
import WarmStart

@Suite struct MergesAtOnceTests {
  private let bench = Bench()
  private let files = FaultyFiles()

  private var segments: [String] { listing(bench.path).filter { SegmentName($0) != nil } }

  /// Closed segments that fill several outputs; of each key the second entry is the best.
  private func fill() throws {
    let store = try bench.open {
      $0.durability = .buffered
      $0.segmentLimit = 1 << 20
    }
    for number in 0..<1200 {
      bench.clock.advance(seconds: 1)
      try store.save(
        noise(number, count: 8000), for: key(number / 2), objective: -Double(number % 2))
    }
    try store.close()
  }

  private func open() throws -> WarmStartStore {
    var host = bench.host()
    host.files = files
    return try bench.open(host: host) { $0.segmentLimit = 1 << 20 }
  }

  private func check() throws {
    let store = try bench.open(.readOnly)
    for number in 0..<600 {
      #expect(
        try store.lookup(key(number))?.payload == noise(2 * number + 1, count: 8000), "\(number)")
    }
    let found = try store.engine().verify(.payloads)
    #expect(found.damage.isEmpty)
    #expect(found.records == 600)
    #expect(found.segments == segments.count)
    #expect(!listing(bench.path).contains { $0.hasSuffix(".tmp") })
  }

  /// Lets two threads by once both are there.
  private final class Meeting: @unchecked Sendable {
    private let arrived = Atomic<Int>(0)
    private let isComplete = DispatchSemaphore(value: 0)

    /// `whenBoth` is called before the first goes on.
    func meet(whenBoth: () -> Void = {}) {
      switch arrived.add(1, ordering: .sequentiallyConsistent).newValue {
      case 1:
        isComplete.wait()
      case 2:
        whenBoth()
        isComplete.signal()
      default: break
      }
    }
  }

  @Test(.timeLimit(.minutes(20))) func twoMergesAreUnderWayAtOnce() throws {
    try fill()
    let meeting = Meeting()
    files.failWrites { _ in
      meeting.meet()
      return nil
    }
    try open().compact()
    files.failWrites(nil)
    try check()
  }

  @Test(.timeLimit(.minutes(20))) func aMergeThatHadNoSpaceBesideAnotherIsMadeAlone() throws {
    try fill()
    let before = segments.count
    let meeting = Meeting()
    let isFull = Atomic<Bool>(false)
    let failures = Atomic<Int>(0)
    let path = bench.path
    // As long as there are two outputs the disk is full.
    files.failWrites { _ in
      meeting.meet { isFull.store(true, ordering: .sequentiallyConsistent) }
      guard isFull.load(ordering: .sequentiallyConsistent),
        listing(path).filter({ $0.hasSuffix(".tmp") }).count > 1
      else { return nil }
      failures.add(1, ordering: .relaxed)
      return ENOSPC
    }
    let report = try open().compact()
    files.failWrites(nil)
    #expect(failures.load(ordering: .relaxed) > 0)
    #expect(report.mergedSegments >= before)
    try check()
  }

  @Test(.timeLimit(.minutes(20))) func anErrorOfOneIsToldAndTheOthersAreMerged() throws {
    try fill()
    let before = segments.count
    let bad = segments.sorted()[2]
    let store = try open()
    // All that the footers say is known by then.
    #expect(try store.keys.count == 600)
    files.failReads { $0.hasSuffix(bad) ? EIO : nil }
    #expect(throws: StoreError.self) { try store.compact() }
    files.failReads(nil)
    #expect(segments.count < before)
    #expect(segments.contains(bad))
    #expect(try bench.open(.readOnly).lookup(key(599))?.payload == noise(1199, count: 8000))
  }
}
