// Text of unknown origin made safe to look at. Labels, run ids and producers come from whoever wrote
// the store: none of them may move the cursor, change a colour, or turn the line around.

extension Unicode.Scalar {
  /// Whether it does something other than to stand there: controls, bidirectional marks and other
  /// invisible formatting, and separators of lines.
  package var isInvisible: Bool {
    switch properties.generalCategory {
    case .control, .format, .lineSeparator, .paragraphSeparator: true
    default: false
    }
  }

  /// Columns on a terminal: none for marks that combine, two for the wide letters of East Asia and
  /// for emoji.
  fileprivate var columns: Int {
    switch properties.generalCategory {
    case .nonspacingMark, .enclosingMark: return 0
    default: break
    }
    switch value {
    case 0x1100...0x115f, 0x2e80...0x303e, 0x3041...0xa4cf, 0xac00...0xd7a3, 0xf900...0xfaff,
      0xfe30...0xfe6f, 0xff00...0xff60, 0xffe0...0xffe6, 0x1f300...0x1f64f, 0x1f900...0x1f9ff,
      0x20000...0x3fffd:
      return 2
    default: return 1
    }
  }
}

extension String {
  /// The text with everything invisible written out, as `\u{1B}`.
  package var printable: String {
    guard unicodeScalars.contains(where: \.isInvisible) else { return self }
    var result = ""
    for scalar in unicodeScalars {
      if scalar.isInvisible {
        result += "\\u{" + String(scalar.value, radix: 16, uppercase: true) + "}"
      } else {
        result.unicodeScalars.append(scalar)
      }
    }
    return result
  }

  /// Columns that a printable text takes on a terminal.
  package var columns: Int { unicodeScalars.reduce(0) { $0 + $1.columns } }
}
