// A store with everything in it, what is known of each record, and damage to it.

import TestSupport
import WarmStart

/// The files of a store: an output of a compaction, sealed segments, the log of a killed writer; entries that
/// are dead, that were removed, finals of several producers, every codec.
struct MixedStore {
  /// The files by name.
  let files: [String: [UInt8]]
  let records: [Record]
  /// Where the first entry of each segment begins.
  private let firstRecords: [String: Int]
  /// Keys that were removed, in the segment named ``removing``.
  let removed: [Fingerprint]
  let removing: String
  /// What each key is answered with.
  let answers: [Fingerprint: Answer]

  static let producer = "mixed 1"
  /// When stores are opened later: nanoseconds since 1970.
  static let later: UInt64 = 1_700_100_000_000_000_000

  /// An entry that is on disk and was not removed.
  struct Record {
    var segment: String
    var range: Range<Int>
    var key: Fingerprint
    var stamp: UInt64
    var payload: [UInt8]
  }

  /// Stamps of what a lookup gives.
  struct Answer: Equatable {
    var resume: UInt64?
    var best: UInt64?
    var latest: UInt64?
  }

  /// `size` scales the payloads. With a `crowd` one segment has that many short records more, so that its
  /// footer has several blocks.
  init(size: Int = 1, crowd: Int = 0, withLog: Bool = true) throws {
    let bench = Bench()
    var payloads: [UInt64: [UInt8]] = [:]
    var number = 0
    func save(
      _ store: WarmStartStore, _ index: Int, _ objective: Double?, _ kind: EntryKind = .checkpoint,
      size: Int = size
    ) throws {
      bench.clock.advance(seconds: 1)
      number += 1
      let count = [40, 700, 0, 21, 2400, 8][number % 6] * size
      let bytes =
        number % 4 == 0
        ? noise(number, count: count)
        : number % 4 == 1 ? payload(number, count: count) : walk(number, count: count)
      payloads[bench.clock.now] = bytes
      try store.save(
        bytes, for: key(index), kind: kind, objective: objective, iteration: UInt64(number),
        label: "fit \(index)")
    }
    for part in 0..<2 {
      let store = try bench.open(as: Self.producer)
      for index in 0..<10 { try save(store, index, Double(10 - part)) }
      try store.close()
    }
    try bench.open(as: Self.producer).compact()
    let finals = try bench.open(as: "mixed 2")
    for index in 0..<6 { try save(finals, index, 7, .final) }
    for index in 4..<12 { try save(finals, index, index % 2 == 0 ? 3 : 30) }
    for turn in 0..<crowd {
      try save(finals, [2, 3, 10, 11][turn % 4], Double(100 - turn), size: 0)
    }
    try finals.close()
    let present = Set(listing(bench.path))
    let remover = try bench.open(as: Self.producer)
    try remover.remove(key(8))
    try remover.remove(key(9))
    try save(remover, 0, 2)
    try save(remover, 1, 90, .final)
    // So that no one block has both a removal and its copy in the footer.
    for index in 0..<6 { try save(remover, index, 50) }
    try remover.close()
    removing = listing(bench.path).first { !present.contains($0) }!
    removed = [key(8), key(9)]
    let writer = try bench.open(as: Self.producer)
    if withLog {
      for index in 0..<12 where index != 8 && index != 9 {
        try save(writer, index, Double(20 - index))
      }
    }
    var files = everything(in: bench.path)
    files["compaction.lock"] = nil
    self.files = files
    let witness = try bench.open(as: Self.producer, .readOnly)
    var records: [Record] = []
    var answers: [Fingerprint: Answer] = [:]
    for key in (0..<12).map(key) {
      for listed in try witness.engine().entries(of: key) {
        let header = listed.record.header
        records.append(
          Record(
            segment: listed.segment, range: Int(listed.record.offset)..<Int(listed.record.end),
            key: key, stamp: header.stamp, payload: payloads[header.stamp]!))
      }
      answers[key] = try Answer(of: key, in: witness)
    }
    self.records = records
    firstRecords = Dictionary(
      records.map { ($0.segment, $0.range.lowerBound) }, uniquingKeysWith: min)
    self.answers = answers
    try writer.close()
  }

  /// Where the footer of a sealed segment begins.
  static func footerStart(_ bytes: [UInt8]) -> Int {
    let at = bytes.count - 128 + 40
    return bytes[at..<at + 8].reversed().reduce(0) { $0 << 8 | Int($1) }
  }

  /// Whether a record, and what is needed to read it, is as it was in spite of damage to these bytes.
  func isIntact(_ record: Record, _ touched: [String: [Range<Int>]]) -> Bool {
    let places = touched[record.segment] ?? []
    func isUntouched(_ range: Range<Int>) -> Bool {
      !places.contains { $0.overlaps(range) }
    }
    guard isUntouched(record.range) else { return false }
    let bytes = files[record.segment]!
    let first = firstRecords[record.segment]!
    let hasHead =
      (isUntouched(0..<64) || isUntouched(64..<128)) && isUntouched(128..<max(first, 129))
    guard record.segment.hasSuffix(".seg") else {
      return isUntouched(0..<64) || isUntouched(64..<128)
    }
    return first == 128 && (isUntouched(0..<64) || isUntouched(64..<128))
      || first > 128 && hasHead
      || isUntouched(
        Self.footerStart(bytes)..<max(bytes.count, (places.map(\.upperBound).max() ?? 0)))
  }
}

extension MixedStore.Answer {
  init(of key: Fingerprint, in store: WarmStartStore) throws {
    resume = try store.lookup(key)?.writtenNanoseconds
    best = try store.lookupBest(key)?.writtenNanoseconds
    latest = try store.lookupLatest(key)?.writtenNanoseconds
  }
}

/// Numbers that shuffling makes shrink.
private func walk(_ seed: Int, count: Int) -> [UInt8] {
  let random = SeededRandom(seed: UInt64(seed))
  var value = 100.0
  var bytes: [UInt8] = []
  while bytes.count < count {
    value += Double(Int64(bitPattern: random.next()) >> 11) * 0x1p-53
    withUnsafeBytes(of: value) { bytes.append(contentsOf: $0) }
  }
  return Array(bytes[..<count])
}

/// Damage to files, and which bytes it touched.
struct Vandal {
  private(set) var files: [String: [UInt8]]
  private(set) var touched: [String: [Range<Int>]] = [:]
  private let random: SeededRandom
  private let names: [String]

  init(_ files: [String: [UInt8]], seed: Int) {
    self.files = files
    random = SeededRandom(seed: UInt64(seed))
    names = files.keys.sorted()
  }

  private func below(_ count: Int) -> Int { Int(random.next() >> 33) % max(count, 1) }

  /// Damages one place of one file.
  mutating func strike() {
    let name = names[below(names.count)]
    var bytes = files[name]!
    // A crash tears the end of a log; that is another story.
    let count = name.hasSuffix(".seg") ? bytes.count : bytes.count / 2
    let block = [512, 4096][below(2)]
    let start = below(count) / block * block
    let end = min(start + block, count)
    var range = start..<end
    switch below(8) {
    case 0, 1:
      let at = below(count)
      bytes[at] ^= 1 << UInt8(below(8))
      range = at..<at + 1
    case 2: for at in range { bytes[at] = 0 }
    case 3:
      let at = below(count)
      range = at..<min(at + 1 + below(64), count)
      for at in range { bytes[at] = UInt8(truncatingIfNeeded: random.next() >> 30) }
    case 4:
      let other = files[names[below(names.count)]]!
      let from = below(other.count) / block * block
      for at in range where from + at - start < other.count { bytes[at] = other[from + at - start] }
    case 5:
      let from = below(count) / block * block
      for at in range where from + at - start < count {
        bytes.swapAt(at, from + at - start)
      }
      touched[name, default: []].append(from..<min(from + block, count))
    case 6 where name.hasSuffix(".seg"):
      let length = below(count)
      range = length..<count
      bytes.removeLast(count - length)
    case 7 where name.hasSuffix(".seg"):
      range = count..<count + 1 + below(5000)
      bytes += noise(below(1000), count: range.count)
    default:
      range = 0..<min(128, count)
      for at in range { bytes[at] ^= 0x55 }
    }
    files[name] = bytes
    touched[name, default: []].append(range)
  }

  /// Puts what is left into a directory.
  func write(to path: String) {
    for (name, bytes) in files { TestSupport.write(bytes, to: "\(path)/\(name)") }
  }
}
