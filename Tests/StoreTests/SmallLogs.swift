// Stores whose logs are soon full, on files that fail when a test says so.

import TestSupport
import WarmStart

extension Bench {
  /// Opens a store whose segments are full at 64 KiB.
  func openSmall(
    _ files: FaultyFiles, _ durability: Durability = .buffered,
    _ change: (inout StoreOptions) -> Void = { _ in }
  ) throws(StoreError) -> WarmStartStore {
    try open(host: host(files)) {
      $0.durability = durability
      $0.segmentLimit = 64 << 10
      change(&$0)
    }
  }

  var logs: [String] { listing(path).filter { $0.hasSuffix(".log") } }
  var segments: [String] { listing(path).filter { $0.hasSuffix(".seg") } }

  /// How many segments this one lists as replaced.
  func replaced(by name: String) -> Int {
    let bytes = contents("\(path)/\(name)")
    return Int(bytes[56]) | Int(bytes[57]) << 8
  }
}

/// Saves 2,000 bytes that no codec makes smaller, as the iteration of that number, each better than the one before.
func save(
  _ store: WarmStartStore, _ number: Int, for name: Int = 1, kind: EntryKind = .checkpoint,
  objective: Double? = nil
) throws {
  try store.save(
    noise(number, count: 2000), for: key(name), kind: kind,
    objective: objective ?? -Double(number), iteration: UInt64(number))
}
