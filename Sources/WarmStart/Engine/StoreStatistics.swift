// How much there is of everything, segment by segment.

/// How much there is of everything in a store.
public struct StoreStatistics: Hashable, Sendable {
  /// Files that hold records.
  public internal(set) var segments = 0
  /// Records of every kind that are on disk, dead ones, removals and access marks included.
  public internal(set) var records = 0
  /// Keys that live and have an entry.
  public internal(set) var keys = 0
  /// Bytes of records that a lookup could return: headers and stored payloads.
  public internal(set) var liveBytes: UInt64 = 0
  /// Bytes of all other records: what a compaction gives back.
  public internal(set) var deadBytes: UInt64 = 0
  /// Bytes of the files.
  public internal(set) var totalBytes: UInt64 = 0
  /// Bytes of all payloads on disk as they were saved.
  public internal(set) var payloadBytes: UInt64 = 0
  /// Bytes of all payloads on disk as they are stored.
  public internal(set) var storedBytes: UInt64 = 0
  /// Damaged places that this store has met since it was opened.
  public internal(set) var damagedRecords = 0
  /// The oldest and the newest stamp: nanoseconds since 1970; nil without records.
  public internal(set) var oldestNanoseconds: UInt64?
  /// See ``oldestNanoseconds``.
  public internal(set) var newestNanoseconds: UInt64?
  /// The same of each segment, in the order of their creation.
  public internal(set) var bySegment: [SegmentStatistics] = []

  /// Nothing of anything.
  public init() {}

  fileprivate mutating func add(_ segment: SegmentStatistics) {
    segments += 1
    records += segment.records
    liveBytes += segment.liveBytes
    deadBytes += segment.deadBytes
    totalBytes += segment.totalBytes
    payloadBytes += segment.payloadBytes
    storedBytes += segment.storedBytes
    if let oldest = segment.oldestNanoseconds {
      oldestNanoseconds = min(oldestNanoseconds ?? oldest, oldest)
    }
    if let newest = segment.newestNanoseconds {
      newestNanoseconds = max(newestNanoseconds ?? newest, newest)
    }
    bySegment.append(segment)
  }
}

/// How much there is of everything in one segment.
public struct SegmentStatistics: Hashable, Sendable {
  /// The file's name within the store's directory.
  public let name: String
  /// Whether it is sealed: then it never changes again. If not, it is being written, or its writer died.
  public let isSealed: Bool
  /// Records of every kind.
  public let records: Int
  /// Bytes of records that a lookup could return: headers and stored payloads.
  public let liveBytes: UInt64
  /// Bytes of all other records.
  public let deadBytes: UInt64
  /// Bytes of the file.
  public let totalBytes: UInt64
  /// Bytes of the payloads as they were saved.
  public let payloadBytes: UInt64
  /// Bytes of the payloads as they are stored.
  public let storedBytes: UInt64
  /// The oldest and the newest stamp: nanoseconds since 1970; nil without records.
  public let oldestNanoseconds: UInt64?
  /// See ``oldestNanoseconds``.
  public let newestNanoseconds: UInt64?

  fileprivate init(_ segment: Segment, live: UInt64, bytes: UInt64) {
    name = segment.name
    isSealed = segment.phase == .sealed
    records = segment.recordCount
    liveBytes = live
    deadBytes = segment.recordBytes - min(live, segment.recordBytes)
    totalBytes = bytes
    payloadBytes = segment.rawBytes
    storedBytes = segment.storedBytes
    let isEmpty = segment.recordCount == 0
    oldestNanoseconds = isEmpty ? nil : segment.oldestStamp
    newestNanoseconds = isEmpty ? nil : segment.newestStamp
  }
}

extension Engine {
  package func statistics() throws(StoreError) -> StoreStatistics {
    try withFreshCatalog(strict: true) { catalog in
      var result = StoreStatistics()
      var expired = Evictions()
      catalog.index.forEachKey { key, places in
        if isExpired(key) { expired.add(key, places, Index.Use()) } else { result.keys += 1 }
      }
      result.damagedRecords = catalog.damage.count
      for segment in catalog.segments.values.sorted(by: { $0.id < $1.id }) {
        result.add(
          SegmentStatistics(
            segment,
            live: catalog.index.liveBytes(of: segment.number)
              - expired.bytes[segment.number, default: 0],
            bytes: bytes(of: segment, catalog)))
      }
      return result
    }
  }

  /// Bytes of a segment's file. What is being written has zeros ahead, and more of them any moment.
  private func bytes(of segment: Segment, _ catalog: Catalog) -> UInt64 {
    let mayGrow = catalog.isOwn(segment) || segment.isLive
    let size = mayGrow ? try? segment.file?.size() : nil
    return max(size ?? segment.fileBytes, segment.tail)
  }
}
