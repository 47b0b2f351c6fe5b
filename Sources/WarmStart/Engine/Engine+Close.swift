// The end of a store's use, and the marks of which keys were looked up.

internal import Logging
internal import Synchronization

extension Engine {
  /// Puts everything on stable storage and seals the segment. After that every call fails. Of many small
  /// segments some are merged before it returns.
  package func close() throws(StoreError) {
    // Before the lock, which a save may have that waits for it.
    let hasMerged = upkeep?.end() ?? false
    // What is under way goes on without it.
    assistant.end()
    let (isFirst, loss) = appendLock.withLock { () -> (Bool, FileError?) in
      guard !isClosed else { return (false, nil) }
      isClosed = true
      finishSealing()
      if writer != nil {
        writePendingMarks()
        sealWriter()
      }
      writeMarksAlone()
      return (true, losses.tell(since: losses.look()))
    }
    guard isFirst else { return }
    if hasBegunLog, !hasMerged { mergeAtClose() }
    stateLock.withLock {
      catalog.close()
      recordCache.removeAll()
    }
    if let loss { throw .file(loss) }
  }

  /// Adds a mark for each key whose lookup is to be noted. With the append lock held. A mark that is
  /// not written costs nothing but the order in which keys are evicted, so this never fails a save.
  ///
  /// Marks that do not fit into the segment wait for the next one.
  func writePendingMarks() {
    let length = RecordHeader.length(texts: 0)
    guard hasPendingMarks.load(ordering: .relaxed), let writer,
      hasRoom(writer, bytes: length, records: 1)
    else { return }
    let marks = takePendingMarks()
    guard !marks.isEmpty else { return }
    let frame = Frame(commitQueue.makeTicket(), assistant)
    var left: [Fingerprint: UInt64] = [:]
    for (key, time) in marks.sorted(by: { $0.key < $1.key }) {
      guard hasRoom(writer, bytes: frame.length + length, records: frame.recordCount + 1) else {
        left[key] = time
        continue
      }
      frame.add(
        Draft(kind: .accessMark, key: key, writeTime: time),
        payload: UnsafeRawBufferPointer(start: nil, count: 0))
    }
    if !left.isEmpty { stateLock.withLock { pendingMarks.merge(left) { max($0, $1) } } }
    do throws(StoreError) { try place(frame, writer) } catch {
      options.logger?.warning("lookups were not noted: \(error)")
    }
  }

  private func hasRoom(_ writer: SegmentWriter, bytes: Int, records: Int) -> Bool {
    writer.hasRoom(bytes: bytes, records: records, texts: 0, limit: options.segmentLimit)
  }

  /// A process that only looked things up leaves a small log, without any sync: losing it in a power
  /// cut loses nothing but the order in which keys are evicted. So it never fails a close either.
  private func writeMarksAlone() {
    guard !isReadOnly, stateLock.withLock({ !pendingMarks.isEmpty }) else { return }
    do throws(StoreError) {
      // Over a page a power cut could take the head of the log and leave the rest, which would look
      // like damage: then the head goes to the disk first.
      let length = stateLock.withLock { pendingMarks.count } * RecordHeader.length(texts: 0)
      let writer = try startWriter(
        synced: length > Int(FormatLimits.unsyncedLog) - SegmentHeader.fixedLength)
      writePendingMarks()
      guard self.writer === writer else { return }
      self.writer = nil
      stateLock.withLock { catalog.endOwn() }
      writer.release()
    } catch { options.logger?.warning("lookups were not noted: \(error)") }
  }

  private func takePendingMarks() -> [Fingerprint: UInt64] {
    stateLock.withLock {
      defer { pendingMarks = [:] }
      return pendingMarks
    }
  }
}
