// The key of a fit.

/// The key of a fit: 32 bytes, as a rule the SHA-256 of everything that determines its result.
///
/// Made by a ``Fingerprinter``. Written as 64 hexadecimal digits.
public struct Fingerprint: Hashable, Comparable, Sendable, BitwiseCopyable {
  // Four big-endian words: the order of the words is the order of the bytes and of the hex digits.
  package let words: (UInt64, UInt64, UInt64, UInt64)

  package init(words: (UInt64, UInt64, UInt64, UInt64)) { self.words = words }

  /// A fingerprint from its 32 bytes; nil if there are more or fewer.
  public init?(bytes: some Collection<UInt8>) {
    // At once where they lie together: this is called in other modules, where nothing is specialised.
    let contiguous = bytes.withContiguousStorageIfAvailable { $0.count == 32 ? Self($0) : nil }
    if let contiguous {
      guard let contiguous else { return nil }
      self = contiguous
    } else {
      let copy = Array(bytes.prefix(33))
      guard copy.count == 32 else { return nil }
      self = copy.withUnsafeBufferPointer { Self($0) }
    }
  }

  private init(_ bytes: UnsafeBufferPointer<UInt8>) {
    let raw = UnsafeRawBufferPointer(bytes)
    func word(_ number: Int) -> UInt64 {
      UInt64(bigEndian: raw.loadUnaligned(fromByteOffset: 8 * number, as: UInt64.self))
    }
    self.init(words: (word(0), word(1), word(2), word(3)))
  }

  /// The 32 bytes.
  public var bytes: [UInt8] {
    var result: [UInt8] = []
    result.reserveCapacity(32)
    for word in [words.0, words.1, words.2, words.3] {
      withUnsafeBytes(of: word.bigEndian) { result.append(contentsOf: $0) }
    }
    return result
  }

  /// Whether all 32 bytes are the same.
  public static func == (left: Fingerprint, right: Fingerprint) -> Bool {
    left.words == right.words
  }
  /// By the bytes, which is also the order of the digits.
  public static func < (left: Fingerprint, right: Fingerprint) -> Bool { left.words < right.words }

  /// Hashes all 32 bytes.
  public func hash(into hasher: inout Hasher) {
    // A SHA-256 needs little hashing, but a key made by hand may differ in its last byte only.
    hasher.combine(words.0)
    hasher.combine(words.1)
    hasher.combine(words.2)
    hasher.combine(words.3)
  }
}

extension Fingerprint: LosslessStringConvertible {
  /// A fingerprint from exactly 64 hexadecimal digits of either case; nil for anything else.
  public init?(_ description: String) {
    guard description.utf8.count == 64 else { return nil }
    var words: [UInt64] = [0, 0, 0, 0]
    for (index, digit) in description.utf8.enumerated() {
      guard let value = hexadecimalValue(digit) else { return nil }
      words[index / 16] = words[index / 16] << 4 | UInt64(value)
    }
    self.init(words: (words[0], words[1], words[2], words[3]))
  }

  /// 64 lowercase hexadecimal digits.
  public var description: String {
    hexadecimal(words.0) + hexadecimal(words.1) + hexadecimal(words.2) + hexadecimal(words.3)
  }
}

extension Fingerprint: Codable {
  /// Decodes 64 hexadecimal digits of either case; throws `DecodingError` for anything else.
  public init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    guard let key = Fingerprint(try container.decode(String.self)) else {
      throw DecodingError.dataCorruptedError(
        in: container, debugDescription: "a fingerprint is 64 hexadecimal digits")
    }
    self = key
  }

  /// Encodes 64 lowercase hexadecimal digits.
  public func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(description)
  }
}

func hexadecimalValue(_ digit: UInt8) -> UInt8? {
  switch digit {
  case UInt8(ascii: "0")...UInt8(ascii: "9"): digit - UInt8(ascii: "0")
  case UInt8(ascii: "a")...UInt8(ascii: "f"): digit - UInt8(ascii: "a") + 10
  case UInt8(ascii: "A")...UInt8(ascii: "F"): digit - UInt8(ascii: "A") + 10
  default: nil
  }
}

/// Sixteen lowercase digits.
func hexadecimal(_ word: UInt64) -> String {
  let digits = Array("0123456789abcdef".utf8)
  return String(unsafeUninitializedCapacity: 16) { buffer in
    for index in 0..<16 { buffer[index] = digits[Int(word >> UInt64(60 - 4 * index) & 15)] }
    return 16
  }
}
