// Footers: everything that one says can be asked for, and says the same when it is written anew.

import TestSupport
import WarmStart

enum FooterTarget {
  /// A byte that says what is mended, and a sealed segment of which only the footer is looked at.
  static func run(_ bytes: [UInt8]) throws(Finding) {
    var input = Input(bytes)
    let mending = Mending(rawValue: input.byte())
    let file = Mender.mend(input.all(), mending, isSealed: true)
    guard file.count >= SegmentHeader.fixedLength + FooterTrailer.length else { return }
    let start = file.count - FooterTrailer.length
    let id = SegmentID(creation: file.u64(start + 16), random: file.u64(start + 24))
    guard
      let trailer = try? FooterTrailer(
        decoding: file.span.bytes.extracting(start..<file.count), id: id,
        fileSize: UInt64(file.count))
    else { return }
    try require(
      trailer.encoded() == Array(file[start...]),
      "a trailer is encoded otherwise than it was decoded from")
    let body = Array(file[Int(trailer.footerOffset)..<start])
    guard let footer = try? Footer(decoding: body, trailer: trailer) else { return }
    try search(footer, file)
    try look(footer)
  }

  /// A search on disk gives what a look at the whole footer gives, if the keys are in order.
  private static func search(_ footer: Footer, _ bytes: [UInt8]) throws(Finding) {
    guard let file = try? FixedFileSystem(["footer": bytes]).open("footer"),
      let search = try? FooterSearch(file, trailer: footer.trailer)
    else { throw Finding("a whole footer cannot be searched") }
    try require(search.header == footer.header, "a search finds another segment header")
    var keys: [Fingerprint] = []
    for number in 0..<footer.count {
      guard let entry = footer.entry(number) else { return }
      keys.append(entry.key)
    }
    let isSorted = zip(keys, keys.dropFirst()).allSatisfy { $0 <= $1 }
    for key in Set(keys.prefix(searches) + keys.suffix(searches)) {
      guard let hits = try? search.hits(of: key, in: file) else {
        throw Finding("a whole footer cannot be searched for \(key)")
      }
      let known = footer.entries(of: key)
      guard isSorted else { continue }
      try require(
        hits.map(\.entry.offset) == known.map(\.offset)
          && hits.map(\.producer) == known.map { footer.producers[Int($0.producer)] }
          && hits.map(\.origin) == known.map { footer.origins[Int($0.origin)] },
        "a search finds other records of \(key)")
    }
  }

  private static let searches = 4

  private static func look(_ footer: Footer) throws(Finding) {
    var headers: [(header: RecordHeader, offset: UInt64)] = []
    for number in 0..<footer.count {
      guard let entry = footer.entry(number) else { continue }
      let isSorted = footer.entries(of: entry.key).contains { $0.offset == entry.offset }
      guard let header = try? footer.header(of: entry) else { continue }
      try require(header.key == entry.key, "the header of another key")
      if isSorted { headers.append((header, entry.offset)) }
    }
    guard headers.count == footer.count else { return }
    try writeAnew(footer, headers)
  }

  /// What every entry says is written into a new footer and read back.
  private static func writeAnew(
    _ footer: Footer, _ headers: [(header: RecordHeader, offset: UInt64)]
  ) throws(Finding) {
    var builder = FooterBuilder()
    for (header, offset) in headers {
      guard !builder.isFull(adding: 1) else { return }
      builder.add(header, at: offset)
    }
    let start = footer.trailer.footerOffset
    let bytes = builder.encoded(header: footer.header, footerOffset: start)
    let end = bytes.count - FooterTrailer.length
    // Sums that no records of this length have are not written by anybody.
    guard
      let trailer = try? FooterTrailer(
        decoding: bytes.span.bytes.extracting(end..<bytes.count), id: footer.header.id,
        fileSize: start + UInt64(bytes.count)),
      let again = try? Footer(decoding: Array(bytes[..<end]), trailer: trailer)
    else { return }
    try require(again.header == footer.header, "the segment header changed")
    for (header, offset) in headers {
      let found = again.entries(of: header.key).filter { $0.offset == offset }
      let isThere = found.contains {
        (try? again.header(of: $0))?.isIdentical(to: header) ?? false
      }
      try require(isThere, "a record is not found in a footer that was written anew")
    }
  }
}
