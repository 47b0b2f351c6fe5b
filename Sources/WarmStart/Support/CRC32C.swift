// CRC32C over bytes in memory.

internal import CWarmStart

/// A running CRC32C (Castagnoli, as in RFC 3720).
package struct CRC32C {
  /// The checksum of what was added so far.
  package private(set) var value: UInt32 = 0

  package init() {}

  /// A checksum that starts with a seed of two words, so that the same bytes elsewhere do not pass.
  package init(seed first: UInt64, _ second: UInt64) {
    var words = (first.littleEndian, second.littleEndian)
    withUnsafeBytes(of: &words) { add($0) }
  }

  package mutating func add(_ bytes: UnsafeRawBufferPointer) {
    value = ws_crc32c(value, bytes.baseAddress, bytes.count)
  }

  /// The checksum of `bytes` alone.
  package static func of(_ bytes: UnsafeRawBufferPointer) -> UInt32 {
    ws_crc32c(0, bytes.baseAddress, bytes.count)
  }
}
