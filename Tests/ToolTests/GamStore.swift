// Stores of the ancestor: the one that it wrote itself, and others made by hand.

import Crypto
import Foundation
import TestSupport
import WarmStart

/// A store of the ancestor in a directory of its own.
struct GamStore {
  let directory = TemporaryDirectory()
  var path: String { directory.appending("gam") }

  /// An empty one.
  init() { mkdir(path, 0o700) }

  /// A key by its number.
  static func key(_ number: Int) -> Fingerprint { Fingerprint(words: (7, 0, 0, UInt64(number))) }

  /// The path of a file of an entry.
  func file(_ key: Fingerprint, _ name: String) -> String { "\(path)/\(key)/\(name)" }

  /// What an entry's JSON says, but for the payload.
  struct Header {
    var seconds: UInt64 = 1_700_000_000
    var nanoseconds = 5
    var objective: Double? = 1
    var kind = "Checkpoint"
    var producer = "fit 1"
    /// Members that are added, or take the place of others.
    var others: [String: Any] = [:]
  }

  /// Writes an entry.
  func put(
    _ key: Fingerprint, _ run: String, _ payload: [UInt8],
    _ change: (inout Header) -> Void = { _ in }
  ) throws {
    var header = Header()
    change(&header)
    let checksum = SHA256.hash(data: payload).map { byte in
      String(byte >> 4, radix: 16) + String(byte & 15, radix: 16)
    }
    var object: [String: Any] = [
      "schema_version": 1, "producer": header.producer, "written_unix_secs": header.seconds,
      "written_nanos": header.nanoseconds, "kind": header.kind, "payload_bytes": payload.count,
      "checksum_hex": checksum.joined(),
    ]
    object["objective"] = header.objective
    object.merge(header.others) { $1 }
    mkdir("\(path)/\(key)", 0o700)
    write(payload, to: file(key, run + ".bin"))
    write(Array(try JSONSerialization.data(withJSONObject: object)), to: file(key, run + ".json"))
  }

  /// Every file and folder in it, with content and the time of its last change; links are not followed.
  var image: [FileImage] {
    [FileImage(path)]
      + listing(path).flatMap { name in
        let folder = "\(path)/\(name)"
        return [FileImage(folder)] + listing(folder).map { FileImage("\(folder)/\($0)") }
      }
  }
}

/// What `import --json` says.
struct ImportReport: Decodable, Equatable {
  var keys = 0
  var entries = 0
  var taken = 0
  var alreadyThere = 0
  var dead = 0
  var damaged = 0
  var lookups = 0
  var payloadBytes: UInt64 = 0
}

/// The store in the fixture, which the ancestor wrote, and what it said of each key.
struct GamManifest: Decodable {
  struct Entry: Decodable {
    var runId: String
    var kind: String
    var iteration: String?
    var objectiveBitsHex: String?
    var payloadSha256: String
    var payloadLen: Int
    var producer: String
    var writtenUnixSecs: UInt64
    var writtenNanos: UInt64
  }
  struct Found: Decodable {
    var runId: String
    var kind: String
    var iteration: String?
    var objectiveBitsHex: String?
    var payloadSha256: String
    var payloadLen: Int
    var writtenUnixSecs: UInt64
  }
  struct Lookups: Decodable {
    var lookup: Found
    var lookupLatest: Found
  }
  struct Key: Decodable {
    var key: String
    var label: String
    var entries: [Entry]
    var sameBuild: Lookups
    var otherBuild: Lookups
  }
  var keys: [Key]

  private static let folder = URL(filePath: #filePath).deletingLastPathComponent()
    .appending(path: "Fixtures")
  /// Where the fixture's store is.
  static let store = folder.appending(path: "gam-store").path(percentEncoded: false)

  /// What stands beside it.
  static func load() throws -> GamManifest {
    let data = try Data(contentsOf: folder.appending(path: "gam-store.json"))
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    return try decoder.decode(GamManifest.self, from: data)
  }
}
