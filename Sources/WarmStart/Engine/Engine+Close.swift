// The end of a store's use, and the marks of which keys were looked up.

internal import Logging

extension Engine {
  /// Puts everything on stable storage and seals the segment. After that every call fails.
  package func close() throws(StoreError) {
    try appendLock.withLock { () throws(StoreError) in
      guard !isClosed else { return }
      defer {
        isClosed = true
        stateLock.withLock { catalog.isClosed = true }
      }
      guard let writer else { return writeMarksAlone() }
      try writePendingMarks()
      sealWriter()
      // Sealing failed: the log stays one, but must be as durable as a sealed segment.
      guard self.writer == nil, catalogHasLog(writer.header.id) else { return }
      do throws(FileError) { try writer.sync(through: writer.tail) } catch { throw .file(error) }
    }
  }

  private func catalogHasLog(_ id: SegmentID) -> Bool {
    stateLock.withLock { catalog.segments[id]?.phase == .log }
  }

  /// Adds a mark for each key whose lookup is to be noted. With the append lock held.
  func writePendingMarks() throws(StoreError) {
    let marks = takePendingMarks()
    guard !marks.isEmpty, let writer else { return }
    let frame = Frame()
    for (key, _) in marks {
      frame.add(
        Draft(kind: .accessMark, key: key), payload: UnsafeRawBufferPointer(start: nil, count: 0))
    }
    guard
      writer.hasRoom(bytes: frame.length, records: frame.recordCount, limit: options.segmentLimit)
    else { return }
    try place(frame, writer)
  }

  /// A process that only looked things up leaves a small log, without any sync: losing it in a power
  /// cut loses nothing but the order in which keys are evicted. So it never fails a close either.
  private func writeMarksAlone() {
    guard !isReadOnly, stateLock.withLock({ !pendingMarks.isEmpty }) else { return }
    do throws(StoreError) {
      let writer = try startWriter(synced: false)
      try writePendingMarks()
      self.writer = nil
      stateLock.withLock { catalog.endOwn(sealed: false) }
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
