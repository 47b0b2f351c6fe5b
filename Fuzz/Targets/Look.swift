// A look at a whole store, by everything that a reader can ask.

import WarmStart

/// What a store answers about some keys.
struct Look {
  /// What a key's three questions are answered with.
  struct Answers: Equatable {
    var resume: WarmStartEntry?
    var best: WarmStartEntry?
    var latest: WarmStartEntry?
  }

  private(set) var answers: [Fingerprint: Answers] = [:]

  private static let searches = 8

  /// Bytes of the longest payload that targets read.
  static let payloadLimit = 16 << 20
  /// When stores are opened: nanoseconds since 1970.
  static let now: UInt64 = 1_700_100_000_000_000_000

  static var options: StoreOptions {
    var options = StoreOptions()
    options.producer = "fit 1"
    options.payloadLimit = payloadLimit
    options.compactsByItself = false
    options.timeToLive = 0
    options.sizeBudget = 0
    options.footerBlocksReadWhole = 0
    return options
  }

  /// Asks everything. Whatever is served must be in the testimony.
  init(at store: WarmStartStore, _ testimony: Testimony) throws(Finding) {
    // Before anybody asks for all keys they are searched on disk.
    for key in testimony.keys.prefix(Self.searches) {
      let found = Self.unlessItFails { () throws(StoreError) in try store.lookupBest(key) } ?? nil
      guard let found else { continue }
      try require(found.key == key, "an entry of another key: \(found.key) for \(key)")
      try require(
        testimony.statements.contains(Statement(found)),
        "an entry that was never written: \(found)")
    }
    let listed = Self.unlessItFails { () throws(StoreError) in try store.keys } ?? []
    for key in listed where !testimony.keys.contains(key) {
      throw Finding("lists a key that was never written: \(key)")
    }
    for key in testimony.keys {
      var answers = Answers()
      answers.resume = Self.unlessItFails { () throws(StoreError) in try store.lookup(key) } ?? nil
      answers.best =
        Self.unlessItFails { () throws(StoreError) in try store.lookupBest(key) } ?? nil
      answers.latest =
        Self.unlessItFails { () throws(StoreError) in try store.lookupLatest(key) } ?? nil
      let entries =
        Self.unlessItFails { () throws(StoreError) in try store.entries(for: key) } ?? []
      for entry in entries + [answers.resume, answers.best, answers.latest].compactMap({ $0 }) {
        try require(entry.key == key, "an entry of another key: \(entry.key) for \(key)")
        try require(
          testimony.statements.contains(Statement(entry)),
          "an entry that was never written: \(entry)")
      }
      let isListed = listed.contains(key)
      try require(
        isListed || answers == Answers(), "a key is not listed and answered: \(key)")
      self.answers[key] = answers
    }
    _ = Self.unlessItFails { () throws(StoreError) in try store.statistics }
    let index = Self.unlessItFails { () throws(StoreError) in try store.engine().freshIndex() }
    if let broken = index?.brokenInvariant() { throw Finding(broken) }
  }

  /// Nil where the store refuses.
  static func unlessItFails<Value>(_ body: () throws(StoreError) -> Value) -> Value? {
    do throws(StoreError) { return try body() } catch {
      // Every error can be told.
      precondition(!error.description.isEmpty)
      return nil
    }
  }
}
