// Little-endian numbers in and out of bytes. Reading is bounds-checked also in release builds.

internal import Glibc

extension RawSpan {
  func u8(_ offset: Int) -> UInt8 { unsafeLoadUnaligned(fromByteOffset: offset, as: UInt8.self) }
  func u16(_ offset: Int) -> UInt16 {
    UInt16(littleEndian: unsafeLoadUnaligned(fromByteOffset: offset, as: UInt16.self))
  }
  func u32(_ offset: Int) -> UInt32 {
    UInt32(littleEndian: unsafeLoadUnaligned(fromByteOffset: offset, as: UInt32.self))
  }
  func u64(_ offset: Int) -> UInt64 {
    UInt64(littleEndian: unsafeLoadUnaligned(fromByteOffset: offset, as: UInt64.self))
  }

  /// Whether the bytes in the range are all zero.
  func isZero(_ range: Range<Int>) -> Bool {
    var offset = range.lowerBound
    while offset + 8 <= range.upperBound {
      if unsafeLoadUnaligned(fromByteOffset: offset, as: UInt64.self) != 0 { return false }
      offset += 8
    }
    while offset < range.upperBound {
      if u8(offset) != 0 { return false }
      offset += 1
    }
    return true
  }

  /// The same, without memory of its own if it is the `known` one.
  func text(_ range: Range<Int>, sharing known: String) -> String? {
    if range.count == known.utf8.count {
      let isSame = extracting(range).withUnsafeBytes { bytes in
        known.utf8.withContiguousStorageIfAvailable {
          bytes.isEmpty || memcmp(bytes.baseAddress!, $0.baseAddress!, bytes.count) == 0
        }
      }
      if isSame == true { return known }
    }
    return text(range)
  }

  /// The UTF-8 text in the range, or nil if it is none.
  func text(_ range: Range<Int>) -> String? {
    extracting(range).withUnsafeBytes { bytes in
      bytes.withMemoryRebound(to: UInt8.self) { bytes -> String? in
        // Three times as fast as the initialiser of String that validates anything.
        guard let text = try? UTF8Span(validating: bytes.span) else { return nil }
        return String(copying: text)
      }
    }
  }

  /// Extends a checksum over the range.
  func checksum(_ range: Range<Int>, into checksum: inout CRC32C) {
    extracting(range).withUnsafeBytes { checksum.add($0) }
  }
}

extension UnsafeMutableRawBufferPointer {
  func put(_ value: some FixedWidthInteger, at offset: Int) {
    precondition(offset >= 0 && offset + MemoryLayout.size(ofValue: value) <= count)
    storeBytes(of: value.littleEndian, toByteOffset: offset, as: type(of: value))
  }

  func put(_ text: String, at offset: Int) {
    var text = text
    text.withUTF8 { utf8 in
      precondition(offset >= 0 && offset + utf8.count <= count)
      UnsafeMutableRawBufferPointer(rebasing: self[offset...]).copyMemory(
        from: UnsafeRawBufferPointer(utf8))
    }
  }

  func zero(_ range: Range<Int>) {
    guard !range.isEmpty else { return }
    UnsafeMutableRawBufferPointer(rebasing: self[range]).initializeMemory(
      as: UInt8.self, repeating: 0)
  }
}

extension [UInt8] {
  mutating func append(littleEndian value: some FixedWidthInteger) {
    Swift.withUnsafeBytes(of: value.littleEndian) { append(contentsOf: $0) }
  }

  mutating func pad(toMultipleOf alignment: Int) {
    while count % alignment != 0 { append(0) }
  }
}

extension FixedWidthInteger {
  /// The smallest multiple of `alignment`, a power of two, that is not below this number.
  func aligned(to alignment: Self) -> Self { (self + alignment - 1) & ~(alignment - 1) }
}
