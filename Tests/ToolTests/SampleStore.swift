// A store for the tool to look at, made through the library.

import Foundation
import TestSupport
import WarmStart

/// A store in a directory of its own.
struct SampleStore {
  let directory = TemporaryDirectory()
  var path: String { directory.appending("store") }

  static let producer = "fit 1"
  /// Both begin with `ab`.
  static let first = key("ab01")
  static let second = key("ab02")
  static let third = key("cd")

  /// A key that begins with these digits.
  static func key(_ digits: String) -> Fingerprint {
    Fingerprint(digits + String(repeating: "5", count: 64 - digits.utf8.count))!
  }

  /// Bytes that do not compress.
  static func noise(_ count: Int, seed: UInt64 = 1) -> [UInt8] {
    let random = SeededRandom(seed: seed)
    return (0..<count).map { _ in UInt8(truncatingIfNeeded: random.next() >> 32) }
  }

  /// Runs `body` with the open store, each time as another process would.
  func save(
    producer: String = SampleStore.producer, _ body: (WarmStartStore) throws -> Void
  ) throws {
    var options = StoreOptions()
    options.producer = producer
    let store = try WarmStartStore.open(at: path, options: options)
    try body(store)
    try store.close()
  }

  /// A key with a better checkpoint and a newer final, one with checkpoints only, and one that is a
  /// final of another producer.
  static func filled() throws -> SampleStore {
    let sample = SampleStore()
    try sample.save { store in
      try store.save(
        Array("better".utf8), for: first, objective: -1.25, iteration: .max, label: "first \"fit\"",
        run: RunID("run 1")!)
      try store.save(
        Array("converged".utf8), for: first, kind: .final, objective: 0.1, label: "first \"fit\"",
        run: RunID("run 2")!)
      try store.save(noise(100_000), for: second, objective: 2, run: RunID("run 3")!)
      try store.save(Array("newer, worse".utf8), for: second, objective: 3, run: RunID("run 4")!)
    }
    try sample.save(producer: "fit 2") { store in
      try store.save(Array("other".utf8), for: third, kind: .final, run: RunID("run 5")!)
    }
    return sample
  }

  /// Every name in the store's directory, with its content and the time of its last change.
  var image: [FileImage] {
    (listing(path).map { "\(path)/\($0)" } + [path]).map { FileImage($0) }
  }

  /// The paths of the sealed segments, the oldest first.
  var segments: [String] {
    listing(path).filter { $0.hasSuffix(".seg") }.map { "\(path)/\($0)" }
  }

  /// Changes the bytes of a file.
  func patch(_ file: String, _ change: (inout [UInt8]) -> Void) {
    var bytes = contents(file)
    change(&bytes)
    write(bytes, to: file)
  }

  /// Copies the one log of another store, which is in use, and gives the copy's path.
  func copyLog(of other: SampleStore) -> String? {
    copyDirectory(other.path, to: path)
    return listing(path).first { $0.hasSuffix(".log") }.map { "\(path)/\($0)" }
  }

  /// Damages the payload, which must be stored as it is, in whichever segment it is found.
  func damage(payload: [UInt8]) {
    for segment in segments {
      patch(segment) { bytes in
        if let place = Data(bytes).range(of: Data(payload)) { bytes[place.lowerBound] ^= 1 }
      }
    }
  }
}

/// What a file is at one moment.
struct FileImage: Equatable {
  var path: String
  var content: [UInt8]
  var seconds: Int
  var nanoseconds: Int

  init(_ path: String) {
    var status = stat()
    precondition(lstat(path, &status) == 0)
    self.path = path
    content = status.st_mode & S_IFMT == S_IFREG ? contents(path) : []
    seconds = status.st_mtim.tv_sec
    nanoseconds = status.st_mtim.tv_nsec
  }
}

/// What `ls` and `show` say of an entry.
struct EntryLine: Decodable, Equatable {
  var key: String
  var label: String?
  var run: String
  var kind: String
  var objective: Double?
  var iteration: UInt64?
  var writtenNanos: UInt64
  var payloadBytes: Int
  var storedBytes: Int
  var codec: String
  var producer: String
  var slots: [String]
  var segment: String
  var offset: UInt64

  /// The names as they stand in a line.
  static let names: Set<String> = [
    "key", "label", "run", "kind", "objective", "iteration", "writtenNanos", "payloadBytes",
    "storedBytes", "codec", "producer", "slots", "segment", "offset",
  ]
}

/// The names in a line that is a JSON object.
func names(_ line: String) throws -> Set<String> {
  let object = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any]
  return Set((object ?? [:]).keys)
}
