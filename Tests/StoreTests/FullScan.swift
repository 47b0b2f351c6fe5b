// Reads a store's directory by itself, byte for byte as the format's page has it, and counts.

import TestSupport
import WarmStart

/// What one pass over every record of a store gives. It knows neither index nor footers.
struct FullScan {
  struct Count: Equatable {
    var records = 0
    var live: UInt64 = 0
    var dead: UInt64 = 0
    var raw: UInt64 = 0
    var stored: UInt64 = 0
    var bytes: UInt64 = 0
  }

  private struct Record {
    var segment: String
    var length: UInt64
    var kind: UInt8
    var key: [UInt8]
    var stamp: UInt64
    var origin: [UInt8]
    var objective: Double?
    var producer: [UInt8]
  }

  /// By the names of the segments.
  private(set) var counts: [String: Count] = [:]
  private var records: [Record] = []

  init(_ path: String) {
    var replaced: Set<String> = []
    let files = listing(path).filter { $0.hasSuffix(".seg") || $0.hasSuffix(".log") }
    for name in files {
      let bytes = contents("\(path)/\(name)")
      let listed = Int(Self.number(bytes, 56, 4))
      for index in 0..<listed {
        let (creation, random) = (
          Self.number(bytes, 128 + 16 * index, 8), Self.number(bytes, 136 + 16 * index, 8)
        )
        replaced.insert(SegmentID(creation: creation, random: random).description)
      }
      read(bytes, name, from: listed == 0 ? 128 : (128 + 16 * listed + 4 + 7) / 8 * 8)
    }
    for name in files where replaced.contains(String(name.prefix(32))) {
      counts[name] = nil
      records.removeAll { $0.segment == name }
    }
    for (key, ofKey) in Dictionary(grouping: records, by: \.key) where !key.isEmpty { weigh(ofKey) }
  }

  private static func number(_ bytes: [UInt8], _ at: Int, _ count: Int) -> UInt64 {
    (0..<count).reduce(0) { $0 | UInt64(bytes[at + $1]) << (8 * UInt64($1)) }
  }

  private mutating func read(_ bytes: [UInt8], _ name: String, from start: Int) {
    var count = Count()
    count.bytes = UInt64(bytes.count)
    var at = start
    while at + 136 <= bytes.count, Array(bytes[at..<at + 4]) == Array("WREc".utf8) {
      let (stored, header) = (
        Int(Self.number(bytes, at + 4, 4)), Int(Self.number(bytes, at + 8, 2))
      )
      let length = header + (stored + 7) / 8 * 8
      let texts = at + 132
      let run = Int(bytes[at + 14])
      let producer = Int(Self.number(bytes, at + 16, 2))
      count.records += 1
      count.raw += Self.number(bytes, at + 24, 4)
      count.stored += UInt64(stored)
      count.dead += UInt64(length)
      records.append(
        Record(
          segment: name, length: UInt64(length), kind: bytes[at + 10],
          key: Array(bytes[at + 64..<at + 96]), stamp: Self.number(bytes, at + 40, 8),
          origin: Array(bytes[at + 112..<at + 132]),
          objective: bytes[at + 12] & 1 == 0
            ? nil : Double(bitPattern: Self.number(bytes, at + 96, 8)),
          producer: Array(bytes[texts + run..<texts + run + producer])))
      at += length
    }
    counts[name] = count
  }

  /// Moves what fills a slot from the dead to the living. The tests have no more than eight producers, and
  /// no two entries with the same stamp.
  private mutating func weigh(_ ofKey: [Record]) {
    let removed = ofKey.filter { $0.kind == 3 }.map(\.stamp).max() ?? 0
    let entries = ofKey.filter { $0.kind <= 2 && $0.stamp > removed }
    var filling: [[UInt8]: Record] = [:]
    func put(_ record: Record?) { if let record { filling[record.origin] = record } }
    put(entries.max { $0.stamp < $1.stamp })
    put(
      entries.min {
        ($0.objective ?? .infinity, UInt64.max - $0.stamp)
          < ($1.objective ?? .infinity, UInt64.max - $1.stamp)
      })
    for finals in Dictionary(grouping: entries.filter { $0.kind == 2 }, by: \.producer).values {
      put(finals.max { $0.stamp < $1.stamp })
    }
    for record in filling.values {
      counts[record.segment]!.live += record.length
      counts[record.segment]!.dead -= record.length
    }
  }
}
