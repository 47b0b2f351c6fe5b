// warmstart rm: removes keys.

import ArgumentParser
import WarmStart

struct Rm: Verb {
  static let configuration = CommandConfiguration(
    abstract: "Removes keys with all their entries.",
    discussion: """
      The removal is on stable storage when the program ends; the space comes back with the next \
      compaction. If any KEY fits no key, or more than one, nothing is removed. A fit that is running \
      may save the key again.

      EXAMPLE
        warmstart rm ~/fits 3fb2 90aa
      """)

  @OptionGroup var argument: StoreArgument

  @Argument(help: "The keys.", transform: KeyPrefix.init)
  var keys: [KeyPrefix]

  @Flag(help: "Print one JSON object, with the key, for each key that was removed.")
  var json = false

  @Flag(help: "Show no progress.")
  var quiet = false

  func perform(_ output: inout ResultStream) throws(Failure) -> ExitStatus {
    let store = try argument.openForWriting()
    let keys = Set(try store.keys(keys)).sorted()
    for key in keys {
      try store.ask { open throws(StoreError) in try open.store.remove(key) }
      if json {
        var object = JSONObject()
        object.add("key", key.description)
        try output.put(object)
      }
    }
    try store.ask { open throws(StoreError) in try open.store.close() }
    return .done
  }
}
