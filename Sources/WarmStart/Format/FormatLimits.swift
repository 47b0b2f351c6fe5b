// Limits of format 1. Every number that comes from a file is held against one of these before it is
// used. FORMAT.md lists them.

package enum FormatLimits {
  /// Version of the format that this code writes.
  package static let version: UInt16 = 1
  /// Payloads before compression, bytes: the format's own limit. A store's is lower unless set.
  package static let payload = 1 << 31 - 1
  /// UTF-8 bytes.
  package static let runID = 64
  package static let producer = 256
  package static let label = 128
  /// Stamps of this and more are invalid: nanoseconds since 1970.
  package static let stamp: UInt64 = 1 << 63
  /// Records of one segment.
  package static let records = 1 << 17
  /// Segments that one segment replaces.
  package static let replaced = 1 << 12
  /// Different producers, and different origins, of one segment: both are 16-bit indices.
  package static let tableEntries = 1 << 16
  /// A log that may have been written without any sync, bytes: it holds access marks at most.
  static let unsyncedLog: UInt64 = 4096
  /// A file as a whole, bytes: offsets are kept in 32 bits, in units of 8 bytes.
  package static let file: UInt64 = 1 << 35
  /// LZ4 makes at most 255 times more of its input; a payload that claims more is a lie.
  package static func plausible(raw: Int, stored: Int) -> Bool { raw <= 255 * stored + 64 }
}
