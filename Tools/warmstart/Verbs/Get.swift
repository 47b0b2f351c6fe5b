// warmstart get: one payload.

import ArgumentParser
import WarmStart

struct Get: Verb {
  static let configuration = CommandConfiguration(
    abstract: "Writes the payload of a key's entry to standard output.",
    discussion: """
      A damaged entry is told of, and the payload of the next best one written; the exit status is \
      then 65. It does not count as use of the key.

      EXAMPLE
        warmstart get ~/fits 3fb2 > state.bin
        warmstart get ~/fits 3fb2 --which latest | sha256sum
      """)

  /// Which entry of the key.
  enum Which: String, ExpressibleByArgument, CaseIterable {
    case resume, best, latest
  }

  @OptionGroup var argument: StoreArgument

  @Argument(help: "The key.", transform: KeyPrefix.init)
  var key: KeyPrefix

  @Option(help: "What a fit goes on from, the lowest objective, or the newest entry.")
  var which = Which.resume

  @Option(
    parsing: .unconditional,
    help: "For whom to answer. (default: the producer of the key's newest final)")
  var producer: String?

  @Flag(help: "Show no progress.")
  var quiet = false

  func perform(_ output: inout ResultStream) throws(Failure) -> ExitStatus {
    let store = try argument.openForReading()
    let key = try store.key(key)
    let answer = try store.ask { store throws(StoreError) in
      try store.engine.lookup(key, try question(about: key, store), countsAsUse: false)
    }
    guard let answer else {
      if try store.damagedPlaces() > 0 {
        throw Failure(.damagedData, "every entry of \(key) in \(store.path) is damaged")
      }
      throw Failure(.noSuchKey, "no key \(key) in \(store.path)")
    }
    try output.put(answer.record.payload)
    return try store.statusAfterReading()
  }

  private func question(
    about key: Fingerprint, _ store: OpenStore
  ) throws(StoreError) -> Engine.Question {
    switch which {
    case .best: return .best
    case .latest: return .latest
    case .resume:
      let newest = try store.engine.producerOfNewestFinal(key)
      return .resume(producer: producer ?? newest ?? "")
    }
  }
}
