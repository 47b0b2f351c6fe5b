// Records on their way to disk: one stretch of memory, written by one call.

/// One record that is to be written.
package struct Draft: Sendable {
  package var kind: RecordKind
  package var key: Fingerprint
  package var objective: Double?
  package var iteration: UInt64?
  package var runID: String
  package var producer: String
  package var label: String
  /// Of an access mark, when the key was looked up; everything else is written when it is written, unless
  /// it has a stamp.
  package var writeTime: UInt64
  /// The stamp that the record is to have, and no other: of what is older than its writing.
  package var stamp: UInt64?

  package init(
    kind: RecordKind, key: Fingerprint, objective: Double? = nil, iteration: UInt64? = nil,
    runID: String = "", producer: String = "", label: String = "", writeTime: UInt64 = 0,
    stamp: UInt64? = nil
  ) {
    self.kind = kind
    self.key = key
    self.objective = objective
    self.iteration = iteration
    self.runID = runID
    self.producer = producer
    self.label = label
    self.writeTime = writeTime
    self.stamp = stamp
  }
}

/// Memory in which records are put together: payloads first, since they need no place and can be
/// compressed before any lock is taken; headers when the place is known. Kept from save to save.
final class Frame {
  // One thread at a time has it, and nothing of it is called back into: see ``Index``.
  @exclusivity(unchecked) private var memory: UnsafeMutableRawBufferPointer
  private let encoder: PayloadEncoder
  @exclusivity(unchecked) private(set) var length = 0
  /// Bytes of the texts of all records, rounded up record by record.
  @exclusivity(unchecked) private(set) var textLength = 0
  /// The records. Where they are, and what they say of it, is known once the frame is finished.
  @exclusivity(unchecked) private(set) var records: [FoundRecord] = []
  @exclusivity(unchecked) private(set) var holdsRemoval = false
  /// The largest stamp that a removal in it has from before: what is saved with it must be newer.
  @exclusivity(unchecked) private(set) var removedThrough: UInt64 = 0
  /// The stamp and the write time that its first record was given, if it was written before: what others
  /// have seen once keeps its place in the order when it is written anew.
  @exclusivity(unchecked) private(set) var given: (stamp: UInt64, writeTime: UInt64)?

  // More than this is given back after use.
  private static let keptLength = 8 << 20

  /// Its place in the queue for the disk.
  let ticket: CommitQueue.Ticket

  init(_ ticket: CommitQueue.Ticket, _ assistant: Assistant) {
    self.ticket = ticket
    encoder = PayloadEncoder(assistant)
    memory = .allocate(byteCount: 16 << 10, alignment: 16)
  }
  deinit { memory.deallocate() }

  var recordCount: Int { records.count }
  /// Whether it holds more memory than most saves need.
  var isLarge: Bool { memory.count > 256 << 10 }

  func reset() {
    length = 0
    textLength = 0
    given = nil
    removedThrough = 0
    holdsRemoval = false
    records.removeAll(keepingCapacity: true)
    if memory.count > Self.keptLength { grow(to: 16 << 10) }
  }

  /// Adds a record; its payload is compressed into place.
  func add(_ draft: Draft, payload: UnsafeRawBufferPointer) {
    var header = RecordHeader(
      kind: draft.kind, stamp: draft.stamp ?? 0, writeTime: draft.writeTime,
      origin: Origin(segment: SegmentID(creation: 0, random: 0), number: 0), key: draft.key,
      number: 0)
    if draft.kind == .removal {
      holdsRemoval = true
      removedThrough = max(removedThrough, header.stamp)
    }
    header.objective = draft.objective.flatMap { $0.isFinite ? $0 : nil }
    header.iteration = draft.iteration
    header.runID = draft.runID
    header.producer = draft.producer
    header.label = draft.label
    let headerLength = header.length
    let start = length + headerLength
    let room = start + PayloadEncoder.bound(payload.count).aligned(to: 8)
    if room > memory.count { grow(to: max(room, min(2 * memory.count, memory.count + (1 << 20)))) }
    let output = UnsafeMutableRawBufferPointer(rebasing: memory[start..<room])
    let encoded = encoder.encode(payload, to: output)
    header.codec = encoded.codec
    header.rawLength = payload.count
    header.storedLength = encoded.storedLength
    header.rawChecksum = encoded.rawChecksum
    header.storedChecksum = encoded.storedChecksum
    let end = start + encoded.storedLength.aligned(to: 8)
    memory.zero(start + encoded.storedLength..<end)
    textLength += headerLength - RecordHeader.length(texts: 0)
    records.append(
      FoundRecord(header: header, offset: UInt64(length), length: UInt64(end - length)))
    length = end
  }

  /// Where some of its records are: their numbers, and their bytes.
  struct Extent {
    let records: Range<Int>
    let bytes: Range<Int>
  }

  /// Adds all that was put together in another, in groups of which the last one is there first.
  func add(_ other: Frame, lastFirst groups: [Extent]) {
    let room = length + other.length
    if room > memory.count { grow(to: room) }
    records.reserveCapacity(records.count + other.records.count)
    for group in groups.reversed() {
      memory.baseAddress!.advanced(by: length).copyMemory(
        from: other.memory.baseAddress!.advanced(by: group.bytes.lowerBound),
        byteCount: group.bytes.count)
      for index in group.records {
        records.append(other.records[index])
        records[records.count - 1].offset += UInt64(length)
        records[records.count - 1].offset -= UInt64(group.bytes.lowerBound)
      }
      length += group.bytes.count
    }
    textLength += other.textLength
    holdsRemoval = holdsRemoval || other.holdsRemoval
    removedThrough = max(removedThrough, other.removedThrough)
  }

  /// Gives every record its place and its stamp, from `stamp` on, and writes the headers.
  func finish(
    in segment: SegmentHeader, at offset: UInt64, number first: Int, stamp: UInt64,
    writeTime: UInt64, syncedBytes: UInt64
  ) {
    given = (stamp, writeTime)
    var at = 0
    records.withUnsafeMutableBufferPointer { records in
      for index in records.indices {
        let number = UInt32(first + index)
        records[index].header.number = number
        if records[index].header.stamp == 0 {
          records[index].header.stamp = stamp + UInt64(index)
          if records[index].header.kind != .accessMark {
            records[index].header.writeTime = writeTime
          }
        }
        records[index].header.origin = Origin(segment: segment.id, number: number)
        records[index].header.syncedBytes = syncedBytes
        records[index].offset = offset + UInt64(at)
        let room = UnsafeMutableRawBufferPointer(rebasing: memory[at..<length])
        records[index].header.encode(
          to: room, offset: records[index].offset, salt: segment.salt)
        at += Int(records[index].length)
      }
    }
  }

  var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: memory[..<length]) }

  private func grow(to size: Int) {
    let larger = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: 16)
    larger.copyMemory(from: UnsafeRawBufferPointer(rebasing: memory[..<length]))
    memory.deallocate()
    memory = larger
  }
}
