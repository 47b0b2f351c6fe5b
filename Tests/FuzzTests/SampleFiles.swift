// The files of small real stores, from which the seeds are cut.

import Simulation
import TestSupport
import WarmStart

/// A store on a simulated disk: an output of a compaction, a sealed segment, the log of a killed writer;
/// finals, removals, access marks, every codec.
struct SampleFiles {
  private let machine = Machine(files: [:], wall: 1_700_000_000_000_000_000)
  private var number = 0
  private(set) var files: [String: [UInt8]] = [:]

  init() throws {
    defer { machine.finish() }
    for _ in 0..<2 {
      let store = try open("fit 1")
      for index in 0..<3 { try save(store, index, objective: Double(index)) }
      try store.close()
    }
    let merger = try open("fit 1")
    try merger.compact()
    try merger.close()
    let store = try open("fit 2")
    try save(store, 0, kind: .final, objective: -1)
    try store.remove(key(2))
    _ = try store.lookup(key(1))
    try save(store, 3, objective: nil, label: "\u{e9}tude")
    try store.close()
    let writer = try open("fit 1")
    for index in 0..<3 { try save(writer, index, objective: Double(-index)) }
    files = machine.files.filter { $0.key != "compaction.lock" }
    try writer.close()
  }

  private func open(_ producer: String) throws -> WarmStartStore {
    var options = StoreOptions()
    options.producer = producer
    options.compactsByItself = false
    return try WarmStartStore(
      path: SimulatedFileSystem.path, options: options, access: .createIfMissing,
      host: machine.hostWithOneThread())
  }

  private func key(_ index: Int) -> Fingerprint { Fingerprint(words: (UInt64(index), 0, 0, 1)) }

  private mutating func save(
    _ store: WarmStartStore, _ index: Int, kind: EntryKind = .checkpoint, objective: Double?,
    label: String? = "a fit"
  ) throws {
    number += 1
    try store.save(
      payload(number), for: key(index), kind: kind, objective: objective,
      iteration: number % 3 == 0 ? nil : UInt64(number), label: label, run: RunID("run \(index)")!)
  }

  private func payload(_ number: Int) -> [UInt8] {
    let count = [24, 400, 0, 160][number % 4]
    guard number % 2 == 0 else { return [UInt8](repeating: UInt8(number), count: count) }
    // Numbers that are alike: what shuffling is for.
    let random = SeededRandom(seed: UInt64(number))
    var bytes: [UInt8] = []
    while bytes.count < count {
      let value = 100 + Double(random.next() >> 11) * 0x1p-53
      withUnsafeBytes(of: value) { bytes.append(contentsOf: $0) }
    }
    return Array(bytes[..<count])
  }
}
