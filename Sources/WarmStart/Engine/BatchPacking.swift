// Packing a batch: its records become one frame, on two threads where there is enough to do.
//
// The calling thread takes groups of records from the front, the assistant from the back, until they meet: so neither
// waits for the other for longer than one group takes, however late the assistant wakes and however unlike the payloads
// are. What the assistant has packed is then copied behind what the caller has.

extension Engine {
  /// Adds so many records of a batch to a frame, in this order.
  func pack<Payload>(
    _ batch: [PendingRecord<Payload>], _ range: Range<Int>, into frame: Frame
  ) throws(StoreError) {
    let groups = RecordGroups(range, options.packedByTwoFrom) { batch[$0].payload.count }
    guard groups.areWorthTwo else {
      for index in 0..<groups.count { try pack(batch, group: groups[index], into: frame) }
      return
    }
    let packing = BatchPacking(self, batch, groups)
    try withFrame { other throws(StoreError) in
      let parts = BatchPacking.Parts(packing: packing, other: other)
      assistant.share({ parts.packing.packFromBack(into: parts.other) }) {
        packing.packFromFront(into: frame)
      }
      try packing.finish()
      frame.add(other, lastFirst: packing.fromBack)
    }
  }

  /// So many records take longer than memory does to answer.
  private static var ahead: Int { 4 }

  fileprivate func pack<Payload>(
    _ batch: [PendingRecord<Payload>], group: Range<Int>, into frame: Frame
  ) throws(StoreError) {
    let mayBeExpired = mayBeExpired(batch, group)
    for index in group { try batch[index].add(to: frame, by: self, mayBeExpired: mayBeExpired) }
  }

  /// Whether the key of one of these may be expired. One look for all of them: hardly ever one is.
  private func mayBeExpired<Payload>(
    _ batch: [PendingRecord<Payload>], _ group: Range<Int>
  ) -> Bool {
    guard options.timeToLive > 0 else { return false }
    for index in group.prefix(Self.ahead) { batch[index].prefetch(by: self) }
    return stateLock.withLock {
      let now = host.wallClock()
      for index in group {
        if index + Self.ahead < group.upperBound {
          batch[index + Self.ahead].prefetch(by: self)
        }
        if batch[index].mayBeExpired(by: self, at: now) { return true }
      }
      return false
    }
  }
}

/// Records of a batch in groups, each of which one thread packs.
private struct RecordGroups {
  // Where groups begin, and where the last one ends.
  private var bounds: [Int]
  /// Whether there is more to do than it takes to wake a thread, and not mostly payloads so long that two work on each
  /// anyway.
  let areWorthTwo: Bool

  // Some 40 us of work: the longest that one thread waits for the other at the end.
  private static let records = 32
  // What is worth two threads is six groups at least, or else has short payloads.
  private static let leastGroups = 6
  // What a record costs beside its payload, in bytes of a payload.
  private static let recordCost = 128

  init(_ range: Range<Int>, _ worthTwo: Int, _ payloadLength: (Int) -> Int) {
    let longestGroup = worthTwo / Self.leastGroups
    var (start, bytes, total, long) = (range.lowerBound, 0, 0, 0)
    bounds = [start]
    for index in range {
      if index - start == Self.records || index > start && bytes >= longestGroup {
        (start, bytes) = (index, 0)
        bounds.append(start)
      }
      let length = payloadLength(index)
      bytes += length + Self.recordCost
      total += length + Self.recordCost
      if length >= PayloadEncoder.lengthForTwo { long += length }
    }
    bounds.append(range.upperBound)
    areWorthTwo =
      bounds.count > 2 && total >= worthTwo && long <= total / 2
  }

  var count: Int { bounds.count - 1 }
  subscript(index: Int) -> Range<Int> { bounds[index]..<bounds[index + 1] }
}

/// A batch that is being packed by two threads.
private final class BatchPacking<Payload: PayloadBytes>: @unchecked Sendable {
  /// What the assistant works with.
  struct Parts: @unchecked Sendable {
    let packing: BatchPacking
    let other: Frame
  }

  /// What was packed from the back, the last group first. Its thread's alone until that is done.
  private(set) var fromBack: [Frame.Extent] = []

  private let engine: Engine
  private let batch: [PendingRecord<Payload>]
  private let groups: RecordGroups
  private let lock: any Lock
  // Guarded by lock.
  private var left: Range<Int>
  private var failure: StoreError?

  init(_ engine: Engine, _ batch: [PendingRecord<Payload>], _ groups: RecordGroups) {
    self.engine = engine
    self.batch = batch
    self.groups = groups
    lock = engine.host.threads.makeLock()
    left = 0..<groups.count
  }

  /// Packs groups, the first that is left first, until none is.
  func packFromFront(into frame: Frame) {
    while let group = lock.withLock({ left.popFirst() }), pack(group, into: frame) {}
  }

  /// The same with the last that is left.
  func packFromBack(into frame: Frame) {
    while let group = lock.withLock({ left.popLast() }) {
      let (records, bytes) = (frame.recordCount, frame.length)
      guard pack(group, into: frame) else { return }
      fromBack.append(
        Frame.Extent(records: records..<frame.recordCount, bytes: bytes..<frame.length))
    }
  }

  /// Throws what kept a group from being packed.
  func finish() throws(StoreError) { if let failure = lock.withLock({ failure }) { throw failure } }

  /// False if that failed; then nobody need go on.
  private func pack(_ group: Int, into frame: Frame) -> Bool {
    do throws(StoreError) {
      try engine.pack(batch, group: groups[group], into: frame)
      return true
    } catch {
      lock.withLock {
        failure = failure ?? error
        left = 0..<0
      }
      return false
    }
  }
}
