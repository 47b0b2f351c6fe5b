// What is measured: the store, through its public face, or a bare log that is the limit of one.

import Foundation
import WarmStart

enum EngineName: String, CaseIterable {
  case warmstart
  /// Frames of 40 + 32 bytes of head, a run id and the payload as LZ4 leaves it; one pwrite, and one fdatasync
  /// where it is durable. No checksum, no recovery.
  case raw
  /// The same over a file that was written as zeros before the clock starts.
  case rawPrealloc = "raw-prealloc"
}

/// A record that is saved.
struct Item {
  var key: Fingerprint
  var kind = EntryKind.checkpoint
  var objective: Double
  var iteration: UInt64
  var payload: [UInt8]

  static let run = RunID("run-00000042")!

  /// The i-th record of a key: objectives fall strictly.
  init(_ key: Fingerprint, _ index: Int, _ payload: [UInt8]) {
    self.key = key
    objective = 1e9 - Double(index)
    iteration = UInt64(index)
    self.payload = payload
  }
}

enum Slot { case best, latest, final }

/// A record that was read back.
struct Found {
  var kind: EntryKind
  /// nil if it is not that of all records here.
  var run: RunID?
  var objective: Double
  var iteration: UInt64
  var payload: [UInt8]
}

/// A store that is open.
protocol Target: Sendable {
  func put(_ item: Item) throws
  /// All in one transaction.
  func put(_ items: [Item]) throws
  func get(_ key: Fingerprint, _ slot: Slot) throws -> Found?
  /// Whether so many bytes more may be put.
  func hasRoom(_ bytes: Int) -> Bool
  /// Whatever there is to give space back; what it is called.
  func reclaim() throws -> String
  func close() throws
}

struct TargetOptions {
  var engine: EngineName
  var path: String
  var durable: Bool
  var isReadOnly = false
  /// Bytes of zeros that `raw-prealloc` writes before the clock starts.
  var zeros = 0
  /// Bytes of a segment of the store, if not the usual ones.
  var segment: UInt64?

  func open() throws -> any Target {
    switch engine {
    case .warmstart: try Store(self)
    case .raw, .rawPrealloc: try RawLog(self)
    }
  }
}

/// The store.
private final class Store: Target {
  private let store: WarmStartStore

  init(_ options: TargetOptions) throws {
    var storeOptions = StoreOptions()
    storeOptions.durability = options.durable ? .synced : .buffered
    storeOptions.producer = "benchmark"
    // Others have no budget either.
    storeOptions.sizeBudget = 0
    // As those that keep pages have.
    storeOptions.cacheMemory = 64 << 20
    if let segment = options.segment {
      storeOptions.segmentLimit = segment
      // So that there are as many as asked for.
      storeOptions.compactsByItself = false
    }
    store =
      options.isReadOnly
      ? try WarmStartStore.openReadOnly(at: options.path, options: storeOptions)
      : try WarmStartStore.open(at: options.path, options: storeOptions)
  }

  func put(_ item: Item) throws {
    try store.save(
      item.payload, for: item.key, kind: item.kind, objective: item.objective,
      iteration: item.iteration, run: Item.run)
  }

  func put(_ items: [Item]) throws {
    try store.save(
      items.map {
        NewEntry(
          $0.payload, for: $0.key, kind: $0.kind, objective: $0.objective,
          iteration: $0.iteration, run: Item.run)
      })
  }

  func get(_ key: Fingerprint, _ slot: Slot) throws -> Found? {
    let entry: WarmStartEntry?
    switch slot {
    case .best: entry = try store.lookupBest(key)
    case .latest: entry = try store.lookupLatest(key)
    case .final: entry = try store.lookup(key).flatMap { $0.kind == .final ? $0 : nil }
    }
    return entry.map {
      Found(
        kind: $0.kind, run: $0.runID, objective: $0.objective ?? .nan,
        iteration: $0.iteration ?? .max, payload: $0.payload)
    }
  }

  func hasRoom(_ bytes: Int) -> Bool { true }

  func reclaim() throws -> String {
    try store.compact()
    return "compact"
  }

  func close() throws { try store.close() }
}
