// A full log of which nearly all is dead: the next one begins with the rest, and it goes.
//
// To seal it would sort, bring to stable storage and merge what nobody will ask for again; of a fit that saves every
// iteration that is nearly everything. So its few records that count are copied, checked, to the beginning of the next
// log, which says in its header that it takes the place of the full one, as the output of a merge does. It has its name
// only when that is on stable storage: at a crash between any two steps an opener sees the one or the other.
//
// What is left behind is dead by records that are copied, and so by what is on stable storage. Where a removal was met,
// or something is dead by what lies in another segment, the log is sealed: that is a matter for the compactor.

internal import Glibc
internal import Logging

/// What became of a log that was full.
enum EndOfLog {
  /// Sealed by the save that found it full, or by a thread of its own.
  case sealedNow, sealedAside
  /// Succeeded by the next.
  case succeeded
}

/// What is left of a full log, for the one that succeeds it.
final class Legacy {
  /// The logs whose place the next one takes: the full one, and those before it that a power cut may bring back.
  let replaced: [SegmentID]
  /// Each record that counts, as it was, and what is stored of its payload.
  private var records: [(header: RecordHeader, stored: ArraySlice<UInt8>)] = []
  /// Where they came to be in the next one.
  private(set) var found: [FoundRecord] = []

  init(replacing ids: [SegmentID]) { replaced = ids }

  /// Bytes, records, and logs that it has at most.
  static func limit(of full: SegmentWriter, _ policy: UpkeepPolicy) -> UInt64 {
    min(full.tail / max(policy.legacyShare, 1), 16 << 20)
  }
  static let recordLimit = 4096
  static let replacedLimit = 16

  /// Adds the record of an entry of the log's footer. Gives whether it is what was written.
  func add(_ entry: FooterEntry, of full: SegmentWriter) throws(FileError) -> Bool {
    let length = entry.headerLength + Int(entry.storedLength)
    guard let bytes = try full.file.read(length, at: entry.offset) else { return false }
    let header = try? bytes.withUnsafeBytes { bytes in
      try RecordHeader.decode(
        UnsafeRawBufferPointer(rebasing: bytes[..<entry.headerLength]).bytes, offset: entry.offset,
        salt: full.header.salt)
    }
    let stored = bytes[entry.headerLength...]
    guard let header, header.key == entry.key, header.stamp == entry.stamp,
      header.storedLength == stored.count,
      stored.withUnsafeBytes({ CRC32C.of($0) }) == header.storedChecksum
    else { return false }
    records.append((header, stored))
    return true
  }

  /// The records as the log of this header has them, one behind the other.
  func encode(in segment: SegmentHeader) -> [UInt8] {
    found = []
    var bytes: [UInt8] = []
    for (number, record) in records.enumerated() {
      var header = record.header
      header.number = UInt32(number)
      let start = bytes.count
      let offset = segment.recordsStart + UInt64(start)
      // By the time that anybody sees it.
      header.syncedBytes = offset
      bytes += [UInt8](repeating: 0, count: header.length)
      _ = bytes.withUnsafeMutableBytes { bytes in
        header.encode(
          to: UnsafeMutableRawBufferPointer(rebasing: bytes[start...]), offset: offset,
          salt: segment.salt)
      }
      bytes += record.stored
      bytes.pad(toMultipleOf: 8)
      found.append(
        FoundRecord(header: header, offset: offset, length: UInt64(bytes.count - start)))
    }
    return bytes
  }
}

/// The logs that this process has left for others since it last began one anew.
struct Predecessors {
  /// Those whose files are gone, which a power cut may undo.
  fileprivate var gone: [SegmentID] = []
  /// Those whose files could not be removed.
  fileprivate var left: [SegmentID] = []
}

extension Engine {
  /// Begins the next log with what is left of the full one, if that is little and nothing else counts on the rest. Gives
  /// the next log; nil if the full one has to be sealed, or could not be succeeded. With the append lock.
  func succeedWriter() -> SegmentWriter? {
    guard let policy = options.upkeep, writer != nil else { return nil }
    finishSealing()
    guard let full = writer, !full.hasFailedToSync else { return nil }
    do throws(FileError) {
      guard let legacy = try legacy(of: full, limit: Legacy.limit(of: full, policy)) else {
        return nil
      }
      let next = try SegmentWriter.create(
        in: directory, host: host, permissions: options.permissions, synced: true, legacy: legacy,
        announce: { id in stateLock.withLock { catalog.announced = id } })
      // The directory was synced with the new name.
      predecessors.gone = []
      lastEnd = .succeeded
      begin(next) { segment in
        catalog.beginOwn(segment, succeeding: full.header.id, with: legacy.found)
      }
      leave(full)
      makeRoomForLog()
      return next
    } catch {
      // If it has its name it is as if another process had left it.
      stateLock.withLock {
        catalog.announced = nil
        catalog.lookAnew()
      }
      options.logger?.warning("log not succeeded: \(error)")
      return nil
    }
  }

  /// The files of the logs that were succeeded go. One that cannot holds nothing that counts, and the next compaction
  /// clears it away.
  private func leave(_ full: SegmentWriter) {
    let all = predecessors.left + [full.header.id]
    predecessors.left = []
    for id in all {
      do throws(FileError) {
        try directory.unlink(SegmentName(id: id, phase: .log).description)
        predecessors.gone.append(id)
      } catch {
        guard error.errno != ENOENT else {
          predecessors.gone.append(id)
          continue
        }
        predecessors.left.append(id)
        options.logger?.warning("log that was succeeded left behind: \(error)")
      }
    }
    // Only now may a compaction take the file for one of a process that died.
    full.release()
  }

  /// Entries that are looked at with the state lock held once.
  private static let entriesAtOnce = 1024

  /// Nil if more than a little of the log is left, or it cannot be told.
  private func legacy(of full: SegmentWriter, limit: UInt64) throws(FileError) -> Legacy? {
    let replaced = [full.header.id] + predecessors.gone + predecessors.left
    let doubts = stateLock.withLock { () -> UInt64? in
      guard let own = catalog.own, catalog.index.liveBytes(of: own.number) <= limit,
        // What others removed must be known.
        (try? catalog.refresh()) != nil, catalog.isFreeOfDoubt(full)
      else { return nil }
      return catalog.doubts
    }
    guard let doubts, replaced.count <= Legacy.replacedLimit else { return nil }
    var left: [FooterEntry] = []
    var marks: [Fingerprint: FooterEntry] = [:]
    for start in stride(from: 0, to: full.footer.count, by: Self.entriesAtOnce) {
      let end = min(start + Self.entriesAtOnce, full.footer.count)
      let isClear = stateLock.withLock {
        (start..<end).allSatisfy { number in
          let entry = full.footer[number]
          guard entry.kind != RecordKind.accessMark.rawValue else {
            // The newest in this log: that of another may be lost.
            if marks[entry.key]?.writeSeconds ?? 0 <= entry.writeSeconds {
              marks[entry.key] = entry
            }
            return true
          }
          guard let isLeft = catalog.isLeft(entry) else { return false }
          if isLeft { left.append(entry) }
          return true
        }
      }
      guard isClear, left.count + marks.count <= Legacy.recordLimit else { return nil }
    }
    left += marks.values
    left.sort { $0.offset < $1.offset }
    guard left.reduce(0, { $0 + $1.recordLength }) <= limit else { return nil }
    let legacy = Legacy(replacing: replaced)
    for entry in left { guard try legacy.add(entry, of: full) else { return nil } }
    // Nothing was removed or set aside meanwhile, so that something else would count again.
    let isStillRight = stateLock.withLock {
      catalog.doubts == doubts && catalog.isFreeOfDoubt(full)
    }
    return isStillRight ? legacy : nil
  }
}

extension Catalog {
  /// Whether everything in the log that this process writes is known to be as it was written, and no removal that is not
  /// known can matter to it.
  fileprivate func isFreeOfDoubt(_ full: SegmentWriter) -> Bool {
    guard let own, own.id == full.header.id else { return false }
    return own.removalCount == 0 && !damagedSegments.contains(own.id) && unsettled.isEmpty
      && unsettleable.isEmpty && skippedBecause == nil && !hasUnknownSegments
      && deferred.segments.allSatisfy { $0.newestStamp < own.oldestStamp }
  }

  /// Whether an entry of the log that this process writes counts. Nil if it is dead, or may be, by something that does not
  /// lie in that log.
  fileprivate func isLeft(_ entry: FooterEntry) -> Bool? {
    guard let own, let row = index.row(ofKnown: entry.key), index.removedThrough(row: row) == 0
    else {
      return nil
    }
    if let only = index.onlyPlace(row: row) {
      return only.place.segment == own.number ? only.place.offset == entry.offset : nil
    }
    let places = index.places(row: row).map(\.place)
    guard !places.isEmpty, places.allSatisfy({ $0.segment == own.number }) else { return nil }
    return places.contains { $0.offset == entry.offset }
  }
}
