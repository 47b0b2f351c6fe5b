// Texts that are the same only if their bytes are.
//
// Swift takes two strings for equal if they look the same, in whatever way their accents are put
// together. A file of bytes must not: a text comes back as it went in, and what one language calls equal
// another does not.

/// A text as a key: equal to another only byte for byte.
struct ExactText: Hashable {
  let text: String

  init(_ text: String) { self.text = text }

  static func == (left: ExactText, right: ExactText) -> Bool {
    left.text.hasSameBytes(as: right.text)
  }

  func hash(into hasher: inout Hasher) {
    var text = text
    text.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
  }
}

extension String {
  /// Whether the two are equal byte for byte.
  package func hasSameBytes(as other: String) -> Bool { utf8.elementsEqual(other.utf8) }
}
