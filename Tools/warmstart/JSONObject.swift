// One JSON object on one line.

/// An object that is written as its members are added, in their order.
package struct JSONObject {
  private var members = ""

  /// Without a member.
  package init() {}

  /// The object, without the end of the line.
  package var text: String { "{" + members + "}" }

  /// Adds a string, or null.
  package mutating func add(_ name: String, _ value: String?) {
    add(name, json: value.map(Self.quoted))
  }

  /// Adds a whole number, or null.
  mutating func add(_ name: String, _ value: (some BinaryInteger)?) {
    add(name, json: value.map { String($0) })
  }

  /// Adds a finite number, in as many digits as it takes to read the same one back, or null.
  package mutating func add(_ name: String, _ value: Double?) {
    add(name, json: value.flatMap { $0.isFinite ? $0.description : nil })
  }

  /// Adds a list of strings.
  mutating func add(_ name: String, _ values: [String]) {
    add(name, json: "[" + values.map(Self.quoted).joined(separator: ",") + "]")
  }

  /// Adds a list of objects.
  mutating func add(_ name: String, _ values: [JSONObject]) {
    add(name, json: "[" + values.map(\.text).joined(separator: ",") + "]")
  }

  private mutating func add(_ name: String, json: String?) {
    if !members.isEmpty { members += "," }
    members += Self.quoted(name) + ":" + (json ?? "null")
  }

  /// Invisible characters are escaped beyond what JSON asks: the line may be shown on a terminal.
  private static func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case "\n": result += "\\n"
      case "\t": result += "\\t"
      case _ where scalar.isInvisible:
        for unit in String(scalar).utf16 {
          let digits = String(unit, radix: 16)
          result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
        }
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }
}
