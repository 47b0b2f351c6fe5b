// The name of one run of a fit.

/// The name of one run: 1 to 64 bytes of printable ASCII, blanks included.
public struct RunID: Hashable, Comparable, Sendable, Codable, LosslessStringConvertible {
  /// The name.
  public let description: String

  /// A run id; nil if the text is empty, longer than 64 bytes, or not printable ASCII.
  public init?(_ description: String) {
    guard (1...FormatLimits.runID).contains(description.utf8.count),
      description.utf8.allSatisfy({ (0x20...0x7e).contains($0) })
    else { return nil }
    self.description = description
  }

  /// The run id of a record: what it says was checked when its header was decoded.
  package init(decoded description: String) { self.description = description }

  /// A new name from the process, the time and randomness.
  package init(process: Int32, nanoseconds: UInt64, random: UInt64) {
    let time = String(nanoseconds, radix: 16)
    let noise = String(random & 0xffff_ffff, radix: 16)
    description = "r\(process)-\(time)-\(noise)"
  }

  /// Decodes the name; throws `DecodingError` for what is no run id.
  public init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    guard let id = RunID(try container.decode(String.self)) else {
      throw DecodingError.dataCorruptedError(
        in: container, debugDescription: "a run id is 1 to 64 bytes of printable ASCII")
    }
    self = id
  }

  /// Encodes the name.
  public func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(description)
  }

  /// By the bytes.
  public static func < (left: RunID, right: RunID) -> Bool { left.description < right.description }
}
