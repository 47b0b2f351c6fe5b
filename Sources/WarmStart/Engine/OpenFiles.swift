// The files of segments that are kept open for reading: descriptors are scarce, and to open a file takes longer than to
// read a record of it.

internal import Synchronization

/// The segments whose files are open, but for those that this process writes or seals: at most `limit`. Those that were
/// not used for longest are closed for others. Not safe for several threads.
struct OpenFiles {
  let limit: Int
  private var segments: [Segment] = []
  private var uses: UInt64 = 0

  init(limit: Int) { self.limit = limit }

  /// The file of a segment, opened if it is not.
  mutating func file(
    of segment: Segment, in directory: any Directory
  ) throws(FileError) -> any File {
    uses += 1
    segment.lastUse = uses
    if let file = segment.file { return file }
    let file = try directory.open(segment.name)
    keep(file, of: segment)
    return file
  }

  /// Keeps a file that is open already.
  mutating func keep(_ file: any File, of segment: Segment) {
    segment.file = file
    segments.removeAll { $0.file == nil || $0 === segment }
    for segment in segments where segment.wasUsed.exchange(false, ordering: .relaxed) {
      segment.lastUse = uses
    }
    if segments.count >= limit,
      let oldest = segments.indices.min(by: { segments[$0].lastUse < segments[$1].lastUse })
    {
      segments.remove(at: oldest).file = nil
    }
    segments.append(segment)
  }

  mutating func closeAll() {
    for segment in segments { segment.file = nil }
    segments = []
  }
}
