// One segment as this process knows it.

internal import Synchronization

/// A segment of the directory. Its id is its identity: the file may be called `.log` or `.seg`.
final class Segment {
  let id: SegmentID
  /// By which places of the index name it.
  let number: UInt32
  var phase: SegmentName.Phase
  /// Whether its writer may still add records. Only for logs of others.
  var isLive: Bool
  let header: SegmentHeader
  /// Where the next record of a live log will begin, and where the records of any other end.
  var tail: UInt64
  var syncedBytes: UInt64 = 0
  /// Of this process's own log: whether what its last sync should have brought to stable storage may be gone.
  var syncDoubt: SyncDoubt?
  /// Nil while it is not needed: descriptors are a bounded cache.
  var file: (any File)?
  /// Counts up with every use of the file, so that the least recently used can be closed.
  var lastUse: UInt64 = 0
  /// Whether its file was used since, by those who look at a glance and count nothing.
  let wasUsed = Atomic(false)

  var recordCount = 0
  /// Records that are removals: dead by no slot, and yet to be kept.
  var removalCount = 0
  /// Access marks, of which the newest of each key is kept.
  var markCount = 0
  var rawBytes: UInt64 = 0
  var storedBytes: UInt64 = 0
  var fileBytes: UInt64 = 0
  var oldestStamp = UInt64.max
  var newestStamp: UInt64 = 0

  init(id: SegmentID, number: UInt32, phase: SegmentName.Phase, isLive: Bool, header: SegmentHeader)
  {
    self.id = id
    self.number = number
    self.phase = phase
    self.isLive = isLive
    self.header = header
    tail = header.recordsStart
  }

  var name: String { SegmentName(id: id, phase: phase).description }
  /// Bytes of all records.
  var recordBytes: UInt64 { tail - header.recordsStart }

  /// Whether the record there is known to be on stable storage.
  func isLasting(_ place: Place) -> Bool {
    phase == .sealed || place.offset + UInt64(place.recordLength) <= syncedBytes
  }

  /// Counts a record.
  func count(_ header: RecordHeader) {
    recordCount += 1
    if header.kind == .removal { removalCount += 1 }
    if header.kind == .accessMark { markCount += 1 }
    rawBytes += UInt64(header.rawLength)
    storedBytes += UInt64(header.storedLength)
    oldestStamp = min(oldestStamp, header.stamp)
    newestStamp = max(newestStamp, header.stamp)
  }

  /// Takes the counts from a footer.
  func count(_ trailer: FooterTrailer) {
    recordCount = trailer.recordCount
    removalCount = trailer.removalCount
    markCount = trailer.markCount
    rawBytes = trailer.rawBytes
    storedBytes = trailer.storedBytes
    tail = trailer.footerOffset
    fileBytes = trailer.fileSize
    guard trailer.recordCount > 0 else { return }
    oldestStamp = trailer.oldestStamp
    newestStamp = trailer.newestStamp
  }

  /// Forgets the counts, before they are taken anew.
  func resetCounts() {
    recordCount = 0
    removalCount = 0
    markCount = 0
    rawBytes = 0
    storedBytes = 0
    oldestStamp = UInt64.max
    newestStamp = 0
  }
}

/// Whether a sync is under way or has failed. By itself, since what is told of a segment outlives its writer: a weak
/// reference would make every count of one to the writer four times as dear.
final class SyncDoubt: Sendable {
  private let isThere = Atomic(false)

  func begin() { isThere.store(true, ordering: .releasing) }
  func end() { isThere.store(false, ordering: .releasing) }
  var isInDoubt: Bool { isThere.load(ordering: .acquiring) }
}

/// A segment whose file is open, by itself: good for as long as somebody has it, whatever becomes of the
/// catalog's.
struct OpenSegment {
  var id: SegmentID
  var number: UInt32
  var header: SegmentHeader
  var isSealed: Bool
  var file: any File

  init(_ segment: Segment, file: any File) {
    id = segment.id
    number = segment.number
    header = segment.header
    isSealed = segment.phase == .sealed
    self.file = file
  }

  var name: String { SegmentName(id: id, phase: isSealed ? .sealed : .log).description }
  var reader: SegmentReader { SegmentReader(file: file, id: id) }

  /// The footer, if it has one that is intact.
  func footer() throws(StoreError) -> Footer? {
    guard isSealed else { return nil }
    let size = try StoreError.wrapping { () throws(FileError) in try file.size() }
    return try reader.footer(fileSize: size).footer
  }
}
