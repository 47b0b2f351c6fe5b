// From data and specification to the key of a fit.

internal import Crypto

/// Builds the ``Fingerprint`` of a fit from its data and its specification, piece by piece.
///
/// The tagged family, `absorb`, frames every piece with its type, tag and length, so that no two
/// different sequences of calls feed the same bytes. The untagged family, `write`, feeds lengths and
/// contents only. Both are bit-compatible with the `warm_start` module of the Rust crate
/// `gam-runtime`. The digest is SHA-256 (FIPS 180-4).
public struct Fingerprinter: Sendable {
  private var hash = SHA256()

  /// Nothing absorbed yet.
  public init() {}

  /// The fingerprint of everything so far; more can be added after that.
  public func finalize() -> Fingerprint {
    hash.finalize().withUnsafeBytes { digest in Fingerprint(bytes: digest)! }
  }

  /// The first eight bytes of the digest, little-endian.
  public func finishUInt64() -> UInt64 {
    hash.finalize().withUnsafeBytes {
      UInt64(littleEndian: $0.loadUnaligned(as: UInt64.self))
    }
  }

  private mutating func feed(_ bytes: UnsafeRawBufferPointer) {
    hash.update(bufferPointer: bytes)
  }

  private mutating func feed(littleEndian value: some FixedWidthInteger) {
    withUnsafeBytes(of: value.littleEndian) { feed($0) }
  }
}

// MARK: Tagged

extension Fingerprinter {
  private enum Frame: UInt8 {
    case tag = 0
    case bytes = 1
    case string = 2
    case uint64 = 3
  }

  private mutating func begin(_ frame: Frame, _ tag: some Collection<UInt8>) {
    feed(littleEndian: frame.rawValue)
    feed(littleEndian: UInt32(tag.count))
    Array(tag).withUnsafeBytes { feed($0) }
  }

  /// A tag alone.
  public mutating func absorb(tag: String) { absorb(tag: Array(tag.utf8)) }
  /// A tag alone, which need not be text; at most 2^32 − 1 bytes.
  public mutating func absorb(tag: [UInt8]) { begin(.tag, tag) }

  /// Bytes, with their length.
  public mutating func absorb(_ bytes: [UInt8], tag: String) {
    absorb(bytes, tag: Array(tag.utf8))
  }
  /// Bytes, with their length.
  public mutating func absorb(_ bytes: [UInt8], tag: [UInt8]) {
    begin(.bytes, tag)
    write(count: bytes.count)
    write(bytes)
  }

  /// The UTF-8 of a text, with its length.
  public mutating func absorb(_ text: String, tag: String) {
    absorb(text, tag: Array(tag.utf8))
  }
  /// The UTF-8 of a text, with its length.
  public mutating func absorb(_ text: String, tag: [UInt8]) {
    begin(.string, tag)
    write(text)
  }

  /// A number, as eight bytes.
  public mutating func absorb(_ value: UInt64, tag: String) {
    absorb(value, tag: Array(tag.utf8))
  }
  /// A number, as eight bytes.
  public mutating func absorb(_ value: UInt64, tag: [UInt8]) {
    begin(.uint64, tag)
    write(value)
  }
}

// MARK: Untagged

extension Fingerprinter {
  /// The bytes as they are, without their length.
  public mutating func write(_ bytes: [UInt8]) { bytes.withUnsafeBytes { feed($0) } }
  /// One byte.
  public mutating func write(_ value: UInt8) { feed(littleEndian: value) }
  /// One byte, 1 or 0.
  public mutating func write(_ value: Bool) { feed(littleEndian: (value ? 1 : 0) as UInt8) }
  /// Eight bytes, little-endian.
  public mutating func write(_ value: UInt64) { feed(littleEndian: value) }
  /// A length: eight bytes, little-endian. Not negative.
  public mutating func write(count: Int) { feed(littleEndian: UInt64(count)) }

  /// The bits of a number, little-endian; -0.0 counts as +0.0, and every NaN keeps its bits.
  public mutating func write(_ value: Double) {
    feed(littleEndian: value == 0 ? (0 as UInt64) : value.bitPattern)
  }

  /// The length in UTF-8 bytes, then the UTF-8.
  public mutating func write(_ text: String) {
    write(count: text.utf8.count)
    var text = text
    text.withUTF8 { feed(UnsafeRawBufferPointer($0)) }
  }

  /// The number of elements, then each as `write(_: Double)` does.
  public mutating func write(_ values: [Double]) {
    write(count: values.count)
    feed(values)
  }

  /// The number of rows and of columns, then the elements in the order given, each as
  /// `write(_: Double)` does. There must be rows × columns of them.
  public mutating func write(rows: Int, columns: Int, _ elements: [Double]) {
    precondition(elements.count == rows * columns, "a matrix has rows × columns elements")
    write(count: rows)
    write(count: columns)
    feed(elements)
  }

  /// A large block at a time: data sets are hashed at the speed of the SHA-256 underneath.
  private mutating func feed(_ values: [Double]) {
    let blockLength = 4096
    withUnsafeTemporaryAllocation(of: UInt64.self, capacity: min(blockLength, values.count)) {
      block in
      values.withUnsafeBufferPointer { values in
        var start = 0
        while start < values.count {
          let count = min(blockLength, values.count - start)
          for index in 0..<count {
            let value = values[start &+ index]
            block[index] = (value == 0 ? 0 : value.bitPattern).littleEndian
          }
          feed(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(block)[..<(8 * count)]))
          start += count
        }
      }
    }
  }
}
