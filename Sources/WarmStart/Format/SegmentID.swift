// The name of a segment, and of its file.

/// Names one segment, for ever and wherever it is copied to: its creation time and 64 random bits.
package struct SegmentID: Hashable, Comparable, Sendable, CustomStringConvertible {
  /// Nanoseconds since 1970.
  package let creation: UInt64
  package let random: UInt64

  package init(creation: UInt64, random: UInt64) {
    self.creation = creation
    self.random = random
  }

  /// 32 lowercase hexadecimal digits, whose order is the order of creation.
  package var description: String { hexadecimal(creation) + hexadecimal(random) }

  package static func < (left: SegmentID, right: SegmentID) -> Bool {
    (left.creation, left.random) < (right.creation, right.random)
  }
}

/// What a file of the store is, by its name.
package struct SegmentName: Hashable, Sendable, CustomStringConvertible {
  package enum Phase: String, Sendable {
    /// Being written, or its writer died.
    case log
    /// Sealed: it never changes any more.
    case sealed = "seg"
    /// Not a segment yet: its creator has not finished the header.
    case temporary = "tmp"
  }

  package let id: SegmentID
  package let phase: Phase

  package init(id: SegmentID, phase: Phase) {
    self.id = id
    self.phase = phase
  }

  /// Nil for every name that does not fit the scheme to the letter.
  package init?(_ name: String) {
    let utf8 = Array(name.utf8)
    guard utf8.count == 36, utf8[32] == UInt8(ascii: ".") else { return nil }
    var words: [UInt64] = [0, 0]
    for index in 0..<32 {
      let digit = utf8[index]
      guard let value = hexadecimalValue(digit),
        digit < UInt8(ascii: "A") || digit > UInt8(ascii: "F")
      else { return nil }
      words[index / 16] = words[index / 16] << 4 | UInt64(value)
    }
    guard let phase = Phase(rawValue: String(decoding: utf8[33...], as: UTF8.self)) else {
      return nil
    }
    self.init(id: SegmentID(creation: words[0], random: words[1]), phase: phase)
  }

  package var description: String { "\(id).\(phase.rawValue)" }
}
