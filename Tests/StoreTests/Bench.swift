// What the tests of the store stand on: a directory, a clock, and stores in it.

import Glibc
import TestSupport
import WarmStart

/// One directory and one clock; every store that is opened gets randomness of its own.
final class Bench {
  let directory = TemporaryDirectory()
  let clock: ManualClock
  var path: String
  var options = StoreOptions()
  private var seed: UInt64 = 0
  /// Copies of the directory that stores were opened in, and stores that are never closed.
  private var copies: [TemporaryDirectory] = []
  private var left: [WarmStartStore] = []

  /// `wall` is nanoseconds since 1970.
  init(wall: UInt64 = 1_700_000_000_000_000_000) {
    clock = ManualClock(wall: wall)
    path = directory.appending("store")
    options.producer = "fit 1"
    // What a test finds is what it wrote; those of upkeep itself turn it on.
    options.compactsByItself = false
  }

  /// A host with the bench's clock, or another.
  func host(clock: ManualClock? = nil) -> Host {
    seed += 1
    return Host.test(clock: clock ?? self.clock, random: SeededRandom(seed: seed))
  }

  /// Opens a store in the bench's directory.
  func open(
    as producer: String? = nil, _ access: Engine.Access = .createIfMissing, host: Host? = nil,
    _ change: (inout StoreOptions) -> Void = { _ in }
  ) throws(StoreError) -> WarmStartStore {
    var options = options
    if let producer { options.producer = producer }
    change(&options)
    return try WarmStartStore(
      path: path, options: options, access: access, host: host ?? self.host())
  }

  /// Bytes of all files in the store's directory; what goes meanwhile takes none.
  func bytes() -> UInt64 {
    listing(path).reduce(0) { sum, name in
      var status = stat()
      return stat("\(path)/\(name)", &status) == 0 ? sum + UInt64(status.st_size) : sum
    }
  }

  /// The store as somebody else finds it, who comes in the given way.
  func witness(_ way: Witness, of store: inout WarmStartStore?) throws {
    let producer = store?.producer
    switch way {
    case .same: return
    case .besides:
      left.append(store!)
    case .reopened:
      try store!.close()
    case .dropped:
      store = nil
    case .killed:
      // A copy has the same files, and nobody holds the locks of its logs.
      left.append(store!)
      let copy = TemporaryDirectory()
      copies.append(copy)
      copyDirectory(path, to: copy.appending("store"))
      path = copy.appending("store")
    case .readOnly:
      try store!.close()
      store = try open(as: producer, .readOnly)
      return
    }
    store = try open(as: producer)
  }
}

/// How somebody comes to look at what a store has saved.
enum Witness: CaseIterable {
  /// The store itself.
  case same
  /// A second store, opened while the first one is open.
  case besides
  /// After a close.
  case reopened
  /// After the last reference was dropped.
  case dropped
  /// After the writer was killed.
  case killed
  /// After a close, read-only.
  case readOnly
}

/// The key with this number.
func key(_ number: Int) -> Fingerprint {
  Fingerprint(words: (0, 0, 0, UInt64(number)))
}

/// A payload that tells its number.
func payload(_ number: Int, count: Int = 40) -> [UInt8] {
  withUnsafeBytes(of: UInt64(number).littleEndian) { Array($0) }
    + [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: max(0, count - 8))
}

/// Bytes that do not shrink.
func noise(_ seed: Int, count: Int) -> [UInt8] {
  let random = SeededRandom(seed: UInt64(seed) + 77)
  var bytes: [UInt8] = []
  bytes.reserveCapacity(count + 8)
  while bytes.count < count {
    withUnsafeBytes(of: random.next()) { bytes.append(contentsOf: $0) }
  }
  return Array(bytes[..<count])
}

/// Everything in a directory: names and bytes.
func everything(in path: String) -> [String: [UInt8]] {
  Dictionary(uniqueKeysWithValues: listing(path).map { ($0, contents(path + "/" + $0)) })
}

extension Bench {
  /// Removes a file by hand; gives whether that worked.
  func remove(_ name: String) -> Bool { unlink("\(path)/\(name)") == 0 }
}
