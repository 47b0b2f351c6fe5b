// One key looked for in a footer on disk, of which nothing is read but the blocks that the search meets.

/// The footer of one sealed segment as a search needs it: what its blocks are held against, and the copy of
/// the segment's header. In memory it takes 4 bytes for 36 records, beside the ids that the segment replaces.
package struct FooterSearch {
  let trailer: FooterTrailer
  package let header: SegmentHeader
  private let checksums: FooterChecksums

  /// Why a footer cannot be searched.
  package enum Failure: Error {
    case file(FileError)
    case malformed(FormatError)
  }

  /// One record of the key, as the footer has it.
  package struct Hit {
    package var entry: FooterEntry
    package var producer: String
    package var origin: SegmentID
  }

  package init(_ file: any File, trailer: FooterTrailer) throws(Failure) {
    self.trailer = trailer
    let table = try Self.read(
      trailer.tableLength, of: file, at: trailer.footerOffset + UInt64(trailer.bodyLength))
    checksums = try Self.decoding { () throws(FormatError) in
      try FooterChecksums(decoding: table, trailer: trailer)
    }
    let blocks = Blocks(file: file, trailer: trailer, checksums: checksums)
    let copy = try blocks.bytes(trailer.headerOffset..<trailer.originOffset)
    header = try Self.decoding { () throws(FormatError) in
      try Footer.header(copy.span.bytes, trailer)
    }
  }

  private static func decoding<Value>(
    _ body: () throws(FormatError) -> Value
  ) throws(Failure) -> Value {
    do throws(FormatError) { return try body() } catch { throw .malformed(error) }
  }

  /// The records of the key; those whose entries are out of limits are left out.
  package func hits(of key: Fingerprint, in file: any File) throws(Failure) -> [Hit] {
    let blocks = Blocks(file: file, trailer: trailer, checksums: checksums)
    var found: [Hit] = []
    var number = try lowerBound(key, blocks)
    while number < trailer.recordCount {
      let index = try blocks.bytes(at: number * FooterEntry.indexLength, FooterEntry.indexLength)
      guard index.span.bytes.fingerprint(0) == key else { break }
      let detail = try blocks.bytes(
        at: trailer.detailOffset + number * FooterEntry.detailLength, FooterEntry.detailLength)
      let entry = FooterEntry(
        index: index.span.bytes, at: 0, detail: detail.span.bytes, at: 0)
      number += 1
      guard trailer.holds(entry) else { continue }
      let origin = try blocks.bytes(at: trailer.originOffset + 16 * Int(entry.origin), 16)
      found.append(
        Hit(
          entry: entry, producer: try blocks.producer(Int(entry.producer)),
          origin: SegmentID(
            creation: origin.span.bytes.u64(0), random: origin.span.bytes.u64(8))))
    }
    return found
  }

  private static let entriesPerBlock = FooterTrailer.blockLength / FooterEntry.indexLength

  /// The number of the first entry that is not before the key.
  ///
  /// Keys are hashes as a rule, so that where one is can be told from itself: a guess, from which a wrong
  /// one gropes its way in steps that double. So keys of any other kind cost a logarithm and no more.
  /// Interpolation as in W. W. Peterson, "Addressing for random-access storage", 1957; steps as in J. L. Bentley and
  /// A. C. Yao, "An almost optimal algorithm for unbounded searching", 1976.
  private func lowerBound(_ key: Fingerprint, _ blocks: Blocks) throws(Failure) -> Int {
    let count = trailer.recordCount
    var open = 0..<(count + Self.entriesPerBlock - 1) / Self.entriesPerBlock
    let share = Double(key.words.0) / 0x1p64
    var guess = Int(share * Double(count)) / Self.entriesPerBlock
    var step = 1
    while !open.isEmpty {
      let block = min(max(guess, open.lowerBound), open.upperBound - 1)
      let first = block * Self.entriesPerBlock
      let entries = min(Self.entriesPerBlock, count - first)
      let before = Self.entriesBefore(key, in: try blocks.block(block), of: entries)
      if before == 0 {
        open = open.lowerBound..<block
        guess = block - step
      } else if before == entries {
        open = block + 1..<open.upperBound
        guess = block + step
      } else {
        return first + before
      }
      step = min(2 * step, max(1, open.count / 2))
    }
    return min(open.lowerBound * Self.entriesPerBlock, count)
  }

  private static func entriesBefore(_ key: Fingerprint, in block: [UInt8], of count: Int) -> Int {
    var (low, high) = (0, count)
    while low < high {
      let middle = (low + high) / 2
      if block.span.bytes.fingerprint(middle * FooterEntry.indexLength) < key {
        low = middle + 1
      } else {
        high = middle
      }
    }
    return low
  }

  private static func read(
    _ count: Int, of file: any File, at offset: UInt64
  ) throws(Failure) -> [UInt8] {
    let bytes: [UInt8]?
    do throws(FileError) { bytes = try file.read(count, at: offset) } catch { throw .file(error) }
    guard let bytes else { throw .malformed(.malformed("the file ends within the footer")) }
    return bytes
  }

  /// The blocks that one search has met, each held against its checksum.
  private final class Blocks {
    let file: any File
    let trailer: FooterTrailer
    let checksums: FooterChecksums
    private var met: [Int: [UInt8]] = [:]
    /// Where the texts begin that have been passed, each with its length before it, the producers first.
    private var textOffsets: [Int]
    private var producers: [Int: String] = [:]

    init(file: any File, trailer: FooterTrailer, checksums: FooterChecksums) {
      self.file = file
      self.trailer = trailer
      self.checksums = checksums
      textOffsets = [trailer.textOffset]
    }

    func block(_ number: Int) throws(Failure) -> [UInt8] {
      if let bytes = met[number] { return bytes }
      let range = trailer.range(ofBlock: number)
      let bytes = try FooterSearch.read(
        range.count, of: file, at: trailer.footerOffset + UInt64(range.lowerBound))
      try FooterSearch.decoding { () throws(FormatError) in
        try checksums.check(number, bytes.span.bytes)
      }
      met[number] = bytes
      return bytes
    }

    func bytes(at offset: Int, _ count: Int) throws(Failure) -> [UInt8] {
      try bytes(offset..<offset + count)
    }

    func bytes(_ range: Range<Int>) throws(Failure) -> [UInt8] {
      guard range.upperBound <= trailer.bodyLength else {
        throw .malformed(.malformed("texts of the footer"))
      }
      var bytes: [UInt8] = []
      bytes.reserveCapacity(range.count)
      var at = range.lowerBound
      while at < range.upperBound {
        let number = at / FooterTrailer.blockLength
        let start = number * FooterTrailer.blockLength
        let block = try block(number)
        let end = min(range.upperBound - start, block.count)
        bytes += block[at - start..<end]
        at = start + end
      }
      return bytes
    }

    func producer(_ number: Int) throws(Failure) -> String {
      if let known = producers[number] { return known }
      while textOffsets.count <= number {
        let last = textOffsets[textOffsets.count - 1]
        textOffsets.append(last + 2 + (try length(at: last)))
      }
      let at = textOffsets[number]
      let bytes = try bytes(at: at + 2, try length(at: at))
      guard let text = String(validating: bytes, as: UTF8.self) else {
        throw .malformed(.malformed("producer is not UTF-8"))
      }
      producers[number] = text
      return text
    }

    /// The length that stands before a text.
    private func length(at offset: Int) throws(Failure) -> Int {
      let bytes = try bytes(at: offset, 2)
      return Int(bytes[0]) | Int(bytes[1]) << 8
    }
  }
}
