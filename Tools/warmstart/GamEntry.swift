// One entry of the ancestor: what its JSON says, held against what the ancestor can have written, and its payload
// against the checksum there.

import Crypto
import FoundationEssentials
package import WarmStart

/// What the JSON of an entry says. What is absent is its zero.
private struct GamHeader: Decodable {
  var schemaVersion: UInt64
  var producer: String
  var writtenSeconds: UInt64
  var writtenNanoseconds: UInt64
  var objective: Double?
  var iteration: UInt64?
  var kind: Kind
  var checksum: String
  var payloadBytes: UInt64
  var isAccessed: Bool
  var accessedSeconds: UInt64
  var accessedNanoseconds: UInt64

  enum Kind: String, Decodable {
    case checkpoint = "Checkpoint"
    case final = "Final"
  }

  private enum Name: String, CodingKey {
    case schemaVersion = "schema_version"
    case producer
    case writtenSeconds = "written_unix_secs"
    case writtenNanoseconds = "written_nanos"
    case objective, iteration, kind
    case checksum = "checksum_hex"
    case payloadBytes = "payload_bytes"
    case isAccessed = "accessed"
    case accessedSeconds = "accessed_unix_secs"
    case accessedNanoseconds = "accessed_nanos"
  }

  init(from decoder: any Decoder) throws {
    let object = try decoder.container(keyedBy: Name.self)
    func number(_ name: Name) throws -> UInt64 {
      try object.decodeIfPresent(UInt64.self, forKey: name) ?? 0
    }
    schemaVersion = try number(.schemaVersion)
    producer = try object.decodeIfPresent(String.self, forKey: .producer) ?? ""
    writtenSeconds = try number(.writtenSeconds)
    writtenNanoseconds = try number(.writtenNanoseconds)
    objective = try object.decodeIfPresent(Double.self, forKey: .objective)
    iteration = try object.decodeIfPresent(UInt64.self, forKey: .iteration)
    kind = try object.decodeIfPresent(Kind.self, forKey: .kind) ?? .checkpoint
    checksum = try object.decodeIfPresent(String.self, forKey: .checksum) ?? ""
    payloadBytes = try number(.payloadBytes)
    isAccessed = try object.decodeIfPresent(Bool.self, forKey: .isAccessed) ?? false
    accessedSeconds = try number(.accessedSeconds)
    accessedNanoseconds = try number(.accessedNanoseconds)
  }
}

/// An entry whose files are whole.
package struct GamEntry {
  /// What is written of it.
  package let draft: Draft
  /// Its stamp: its time.
  package let stamp: UInt64
  /// When it was looked up, nanoseconds since 1970; 0 for never.
  package let lookedUp: UInt64
  /// When it was saved or looked up last, nanoseconds since 1970.
  package let lastUse: UInt64
  package let payloadBytes: Int
  private let checksum: Fingerprint

  private static let jsonLimit = 64 << 10
  /// The year 2116: the store's own stamps come after those of its entries, and need room.
  private static let timeLimit = FormatLimits.stamp / 2

  /// Reads the JSON of a run, and all of the payload, and checks both.
  package init(
    key: Fingerprint, run: RunID, in folder: GamFolder, payloadLimit: Int
  ) throws(GamFlaw) {
    let header = try Self.header(of: run, in: folder)
    guard header.schemaVersion == 1 else {
      throw GamFlaw("its schema version is \(header.schemaVersion), and only 1 is known")
    }
    guard header.producer.utf8.count <= FormatLimits.producer else {
      throw GamFlaw("its producer is over \(FormatLimits.producer) bytes")
    }
    guard header.payloadBytes <= UInt64(payloadLimit) else {
      throw GamFlaw("its payload is over \(payloadLimit) bytes")
    }
    guard let checksum = Fingerprint(header.checksum) else {
      throw GamFlaw("its checksum is no SHA-256 in 64 digits")
    }
    self.checksum = checksum
    payloadBytes = Int(header.payloadBytes)
    let written = try Self.time(header.writtenSeconds, header.writtenNanoseconds)
    let accessed = try Self.time(header.accessedSeconds, header.accessedNanoseconds)
    lookedUp = header.isAccessed ? (accessed > 0 ? accessed : written) : 0
    lastUse = max(written, accessed)
    // No record has the stamp 0.
    stamp = max(written, 1)
    draft = Draft(
      kind: header.kind == .final ? .final : .checkpoint, key: key,
      objective: header.objective.flatMap { $0.isFinite ? $0 : nil }, iteration: header.iteration,
      runID: run.description, producer: header.producer, writeTime: written,
      stamp: stamp)
    try verify(in: folder)
  }

  private static func header(
    of run: RunID, in folder: GamFolder
  ) throws(GamFlaw) -> GamHeader {
    let file = try folder.file("\(run).json", what: "its JSON")
    let bytes = try GamFlaw.wrapping { () throws(Failure) in try file.readAll(limit: jsonLimit) }
    guard let bytes else { throw GamFlaw("its JSON is over \(jsonLimit) bytes") }
    do { return try JSONDecoder().decode(GamHeader.self, from: Data(bytes)) } catch {
      throw GamFlaw("its JSON cannot be read: \(reason(error))")
    }
  }

  /// One line; what is said in full may be long, and quote the file.
  private static func reason(_ error: any Error) -> String {
    switch error {
    case DecodingError.typeMismatch(_, let context), DecodingError.valueNotFound(_, let context):
      "\(context.codingPath.map(\.stringValue).joined(separator: ".")) is of the wrong type"
    case DecodingError.dataCorrupted(let context) where !context.codingPath.isEmpty:
      "\(context.codingPath.map(\.stringValue).joined(separator: ".")) has no value that is known"
    default: "it is no JSON object"
    }
  }

  private static func time(_ seconds: UInt64, _ nanoseconds: UInt64) throws(GamFlaw) -> UInt64 {
    guard nanoseconds < 1_000_000_000, seconds < timeLimit / 1_000_000_000 else {
      throw GamFlaw("it is of a time that cannot be")
    }
    return seconds * 1_000_000_000 + nanoseconds
  }

  // MARK: The payload

  /// Whether these bytes are the payload.
  func isPayload(_ bytes: [UInt8]) -> Bool {
    bytes.count == payloadBytes && Fingerprint(bytes: Array(SHA256.hash(data: bytes))) == checksum
  }

  /// The payload, read anew.
  package func payload(in folder: GamFolder) throws(GamFlaw) -> [UInt8] {
    let file = try openPayload(in: folder)
    let bytes = try GamFlaw.wrapping { () throws(Failure) in
      try file.readAll(limit: payloadBytes)
    }
    guard let bytes, isPayload(bytes) else {
      throw GamFlaw("its payload changed while it was read; import again")
    }
    return bytes
  }

  /// Holds the payload against its length and checksum, a piece at a time.
  private func verify(in folder: GamFolder) throws(GamFlaw) {
    let file = try openPayload(in: folder)
    let length = file.regularRest ?? 0
    guard length == UInt64(payloadBytes) else {
      throw GamFlaw("its payload has \(length) bytes, and its JSON says \(payloadBytes)")
    }
    var hash = SHA256()
    var chunk = [UInt8](repeating: 0, count: min(max(payloadBytes, 1), 256 << 10))
    var rest = payloadBytes
    while rest > 0 {
      let count = try GamFlaw.wrapping { () throws(Failure) in try file.read(into: &chunk) }
      guard count > 0 else { break }
      rest -= count
      chunk.withUnsafeBytes {
        hash.update(bufferPointer: UnsafeRawBufferPointer(rebasing: $0[..<count]))
      }
    }
    guard rest == 0, Fingerprint(bytes: Array(hash.finalize())) == checksum else {
      throw GamFlaw("its payload does not fit its checksum")
    }
  }

  private func openPayload(in folder: GamFolder) throws(GamFlaw) -> InputFile {
    try folder.file("\(draft.runID).bin", what: "its payload")
  }
}

extension GamFlaw {
  /// Runs `body`; what cannot be read is a flaw of the entry.
  fileprivate static func wrapping<Value>(
    _ body: () throws(Failure) -> Value
  ) throws(GamFlaw) -> Value {
    do throws(Failure) { return try body() } catch { throw GamFlaw(error.message) }
  }
}
