// Arguments of the form name=value.

import WarmStart

struct Arguments {
  private var values: [String: String] = [:]

  init(_ arguments: some Sequence<String>) {
    for argument in arguments {
      let parts = argument.split(separator: "=", maxSplits: 1)
      guard parts.count == 2 else { fail("argument \(argument)") }
      values[String(parts[0])] = String(parts[1])
    }
  }

  func text(_ name: String) -> String {
    guard let value = values[name] else { fail("no argument \(name)") }
    return value
  }

  func number(_ name: String) -> Int {
    guard let value = Int(text(name)) else { fail("argument \(name)") }
    return value
  }

  /// Opens the store that the arguments name.
  func openStore() -> WarmStartStore {
    var options = StoreOptions()
    options.producer = text("producer")
    options.segmentLimit = UInt64(number("segment"))
    guard let durability = Durability(rawValue: text("durability")) else { fail("durability") }
    options.durability = durability
    options.compactsByItself = values["compacts"] != "no"
    return orFail("open") { try WarmStartStore.open(at: text("store"), options: options) }
  }
}
