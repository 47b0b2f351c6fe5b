// The segment that a merge writes: sealed from its first moment under its name.

/// Writes one segment from copies of records, and gives it its name when it is whole.
final class MergeOutput {
  let header: SegmentHeader
  private let directory: any Directory
  private let file: any File
  private var footer = FooterBuilder()
  /// Where what is in the buffer will begin.
  private var flushedEnd: UInt64
  private let buffer: UnsafeMutableRawBufferPointer
  private var buffered = 0

  private static let bufferLength = 1 << 20

  /// Makes the file under a temporary name, locked, so that nobody takes it for an abandoned one.
  init(
    in directory: any Directory, host: Host, permissions: Permissions, replaced: [SegmentID]
  ) throws(FileError) {
    self.directory = directory
    while true {
      let now = host.wallClock()
      let id = SegmentID(creation: now, random: host.random())
      let file = try directory.create(Self.name(id, .temporary), permissions: permissions)
      guard try file.tryLock(.exclusive), try file.linkCount() > 0 else { continue }
      self.file = file
      header = SegmentHeader(id: id, salt: host.random(), creation: now, replaced: replaced)
      break
    }
    buffer = .allocate(byteCount: Self.bufferLength, alignment: 16)
    flushedEnd = 0
    do throws(FileError) { try header.encoded().withBytesThrowing(append) } catch {
      try? directory.unlink(Self.name(header.id, .temporary))
      throw error
    }
  }

  deinit { buffer.deallocate() }

  private static func name(_ id: SegmentID, _ phase: SegmentName.Phase) -> String {
    SegmentName(id: id, phase: phase).description
  }

  var name: String { Self.name(header.id, .sealed) }
  var recordCount: Int { footer.count }
  /// Bytes so far.
  var length: UInt64 { flushedEnd + UInt64(buffered) }
  /// Whether one more record would leave the limits of a segment.
  var isFull: Bool { footer.isFull(adding: 1) }

  /// Begins a record, which keeps everything but its place; its stored payload is to follow.
  func begin(_ record: RecordHeader) throws(FileError) {
    var record = record
    record.number = UInt32(footer.count)
    record.syncedBytes = 0
    if buffered + record.length > buffer.count { try flush() }
    let room = UnsafeMutableRawBufferPointer(rebasing: buffer[buffered...])
    let offset = length
    record.encode(to: room, offset: offset, salt: header.salt)
    footer.add(record, at: offset)
    buffered += record.length
  }

  /// Adds bytes of the payload of the record that was begun.
  func append(_ bytes: UnsafeRawBufferPointer) throws(FileError) {
    var rest = bytes
    while !rest.isEmpty {
      if buffered == buffer.count { try flush() }
      let count = min(rest.count, buffer.count - buffered)
      UnsafeMutableRawBufferPointer(rebasing: buffer[buffered..<buffered + count])
        .copyMemory(from: UnsafeRawBufferPointer(rebasing: rest[..<count]))
      buffered += count
      rest = UnsafeRawBufferPointer(rebasing: rest[count...])
    }
  }

  /// Ends a record: zeros up to a multiple of eight bytes.
  func end() throws(FileError) {
    try [UInt8](repeating: 0, count: Int(length.aligned(to: 8) - length)).withBytesThrowing(append)
  }

  /// Adds a removal of everything of the key up to the stamp.
  func addRemoval(
    of key: Fingerprint, stamp: UInt64, writeTime: UInt64, producer: String
  ) throws(FileError) {
    var record = RecordHeader(
      kind: .removal, stamp: stamp, writeTime: writeTime,
      origin: Origin(segment: header.id, number: UInt32(footer.count)), key: key, number: 0)
    record.producer = producer
    try begin(record)
    try end()
  }

  private func flush() throws(FileError) {
    try file.write(UnsafeRawBufferPointer(rebasing: buffer[..<buffered]), at: flushedEnd)
    flushedEnd += UInt64(buffered)
    buffered = 0
  }

  /// Ends the segment and puts everything on stable storage.
  func finish() throws(FileError) {
    try footer.encoded(header: header, footerOffset: length).withBytesThrowing(append)
    try flush()
    try file.syncData()
  }

  /// Gives the finished segment its name.
  func publish() throws(FileError) {
    try directory.rename(Self.name(header.id, .temporary), to: name)
    file.renamed(to: name)
    do throws(FileError) { try directory.sync() } catch {
      // Whether it has its name after a power cut is unknown. Either way it replaces what it says.
      throw error
    }
    try file.unlock()
  }

  /// Clears it away, before it has its name.
  func discard() { try? directory.unlink(Self.name(header.id, .temporary)) }
}
