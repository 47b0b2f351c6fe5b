// The first lookups of a store: the footers of its segments are searched, not read.

import Glibc
import TestSupport
import Testing
import WarmStart

@Suite struct FirstLookupTests {
  private let bench = Bench()

  init() { bench.options.footerBlocksReadWhole = 0 }

  /// A sealed segment with a record of each key.
  private func fill(_ keys: [Fingerprint]) throws {
    let store = try bench.open { $0.durability = .buffered }
    try store.save(
      keys.enumerated().map { number, key in
        NewEntry(payload(number), for: key, kind: .checkpoint, objective: Double(number))
      })
    try store.close()
  }

  private func lookup(_ key: Fingerprint) throws -> [UInt8]? {
    try bench.open(.readOnly).lookup(key)?.payload
  }

  private var segment: String { "\(bench.path)/\(listing(bench.path)[0])" }

  /// Where the footer begins, by the trailer.
  private var footerOffset: Int {
    let bytes = contents(segment).suffix(FooterTrailer.length)
    return (0..<8).reduce(0) { $0 | Int(bytes[bytes.startIndex + 40 + $1]) << (8 * $1) }
  }

  private func flip(at offset: Int) {
    var bytes = contents(segment)
    bytes[offset] ^= 0x10
    write(bytes, to: segment)
  }

  /// Keys of any kind, sorted: hashes, numbers, all alike but for the last bit, and the ends of what there is.
  private static func keys(_ shape: Int) -> [Fingerprint] {
    let random = SeededRandom(seed: UInt64(shape))
    let odd = (0..<700).map { Fingerprint(words: (0, 0, 0, 2 * UInt64($0) + 1)) }
    let hashes = (0..<700).map { _ in
      Fingerprint(words: (random.next(), random.next(), random.next(), random.next()))
    }
    let last = (0..<700).map { Fingerprint(words: (.max, .max, .max, .max - 2 * UInt64($0))) }
    switch shape {
    case 0: return odd
    case 1: return hashes.sorted()
    case 2: return odd + last.reversed()
    case 3: return odd + hashes.sorted() + last.reversed()
    default: return Array(hashes.sorted()[..<(shape - 3)])
    }
  }

  @Test(arguments: [0, 1, 2, 3, 4, 66, 67, 68, 131])
  func anyKeyIsFoundAmongKeysOfAnyKind(shape: Int) throws {
    let keys = Self.keys(shape)
    try fill(keys)
    for number in keys.indices where number % 7 == 0 || number % 64 < 2 || number > keys.count - 3 {
      #expect(try lookup(keys[number]) == payload(number))
    }
    for absent in [0, 1, 3, UInt64.max - 1] {
      let low = Fingerprint(words: (0, 0, 0, absent & ~1))
      let middle = Fingerprint(words: (1 << 62, absent, 0, 0))
      let high = Fingerprint(words: (.max, .max, .max, absent & ~1))
      for key in [low, middle, high] where !keys.contains(key) { #expect(try lookup(key) == nil) }
    }
  }

  @Test func everyEntryOfAKeyCountsHoweverManyBlocksTheyFill() throws {
    let store = try bench.open(as: "fit 2") { $0.durability = .buffered }
    for number in 0..<500 {
      bench.clock.advance(seconds: 1)
      let objective = number == 123 ? -1.0 : Double(number)
      try store.save(payload(number), for: key(number % 2), objective: objective, label: "l")
    }
    try store.close()
    #expect(try bench.open(.readOnly).lookupBest(key(1))?.payload == payload(123))
    #expect(try bench.open(.readOnly).lookupLatest(key(1))?.payload == payload(499))
    #expect(try bench.open(.readOnly).lookupBest(key(0))?.payload == payload(0))
    #expect(try bench.open(.readOnly).lookupLatest(key(0))?.producer == "fit 2")
  }

  @Test func littleIsReadHoweverManyKeysThereAre() throws {
    let random = SeededRandom(seed: 1)
    let keys = (0..<20_000).map { _ in
      Fingerprint(words: (random.next(), random.next(), random.next(), random.next()))
    }
    try fill(keys)
    let files = FaultyFiles()
    var host = bench.host()
    host.files = files
    let store = try bench.open(.readOnly, host: host)
    #expect(try store.lookup(keys[5000])?.payload == payload(5000))
    #expect(files.bytesRead < 64 << 10)
    #expect(try store.keys.count == 20_000)
    #expect(files.bytesRead > 2 << 20)
  }

  @Test func wherePartsOfAFooterAreDamagedTheRecordsAnswer() throws {
    let keys = Self.keys(1)
    try fill(keys)
    let end = contents(segment).count
    // In the block with the key, in its details, in the tables behind, and in the checksums.
    for offset in [
      footerOffset + 64 * 300 + 3, footerOffset + 64 * 700 + 48 * 300, end - 300, end - 140,
    ] {
      flip(at: offset)
      let store = try bench.open(.readOnly)
      #expect(try store.lookup(keys[300])?.payload == payload(300), "\(offset)")
      #expect(try store.lookup(keys[1])?.payload == payload(1))
      #expect(try store.statistics.damagedRecords == 1)
      flip(at: offset)
    }
    #expect(try bench.open(.readOnly).statistics.damagedRecords == 0)
  }

  @Test func manyKeysAskedForAreAnsweredAsWell() throws {
    let keys = Self.keys(3)
    try fill(keys)
    let store = try bench.open(.readOnly)
    for number in keys.indices {
      #expect(try store.lookup(keys[number])?.payload == payload(number))
    }
    #expect(try store.lookup(Fingerprint(words: (0, 0, 0, 2))) == nil)
  }

  @Test func aDiskThatRefusesAFooterIsToldAndNothingIsConcluded() throws {
    try fill(Self.keys(0))
    let files = FaultyFiles()
    var host = bench.host()
    host.files = files
    let store = try bench.open(host: host)
    files.failReads { $0.hasSuffix(".seg") ? EIO : nil }
    #expect(throws: StoreError.self) { try store.lookup(key(1)) }
    #expect(throws: StoreError.self) { try store.keys }
    // A fit goes on saving.
    try store.save([1], for: key(3), objective: -1)
    #expect(throws: StoreError.self) { try store.keys }
    #expect(throws: StoreError.self) { try store.statistics }
    #expect(throws: StoreError.self) { try store.compact() }
    #expect(throws: StoreError.self) { try store.lookup(key(1)) }
    files.failReads(nil)
    #expect(try store.lookup(key(3))?.payload == [1])
    #expect(try store.lookup(key(1))?.payload == payload(0))
    #expect(try store.keys.count == 700)
  }
}
