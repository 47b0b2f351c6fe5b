// Many writers and readers of one directory.

import Glibc
import WarmStart

/// Writes checkpoints in turn to a key of its own and to the shared one, noting every promise.
func writeAmongMany(_ arguments: Arguments) {
  let writer = arguments.number("writer")
  let writers = arguments.number("writers")
  let seed = UInt64(arguments.number("seed"))
  let count = arguments.number("count")
  let lookups = UInt64(arguments.number("lookups"))
  let promises = Promises(path: arguments.text("promises"), writers: writers)
  let store = arguments.openStore()
  let sessions = [writer, writers].map {
    Session(
      store: store, key: Write.fingerprint($0), label: "key \($0)", checkpointInterval: 0)
  }
  say("ready")
  waitForWord()
  var index = 0
  // Slow readers get their share, but not for ever.
  while index < count || (index < 10 * count && !promises.haveLookedUp(lookups)) {
    defer { index += 1 }
    let isOwn = index % 2 == 0
    let write = Write(
      seed: seed, writer: writer, index: index, to: isOwn ? writer : writers)
    let begun = wallClock()
    let session = sessions[isOwn ? 0 : 1]
    guard session.save(write) else {
      fail("write \(index): \(session.lastError.map { "\($0)" } ?? "no error")")
    }
    let best = Promises.code(write.objective!)
    if isOwn {
      promises.set(writer, .ownIndex, UInt64(index) + 1)
      promises.set(writer, .ownBest, max(best, promises.get(writer, .ownBest)))
    } else {
      promises.set(writer, .sharedBegun, begun)
      promises.set(writer, .sharedBest, max(best, promises.get(writer, .sharedBest)))
    }
  }
  orFail("close") { try store.close() }
  say("closed \(index)")
}

extension Promises {
  /// Whether both readers have looked up so often.
  fileprivate func haveLookedUp(_ lookups: UInt64) -> Bool {
    get(writers, .firstLookups) >= lookups && get(writers, .secondLookups) >= lookups
  }
}

/// Looks up all keys again and again until told to stop, and once more after that.
func lookUpAmongMany(_ arguments: Arguments) {
  let reader = Reader(arguments)
  let field = arguments.number("writer") == 0 ? Promises.Field.firstLookups : .secondLookups
  say("ready")
  waitForWord()
  while true {
    let last = reader.promises.get(reader.writers, .stop) != 0
    for writer in 0..<reader.writers {
      reader.lookUpOwn(writer)
      reader.lookUpShared()
    }
    reader.promises.set(reader.writers, field, UInt64(reader.lookups))
    if last { break }
  }
  say("counts \(reader.lookups) \(reader.bound) \(reader.advances)")
  orFail("close") { try reader.store.close() }
}

private final class Reader {
  let store: WarmStartStore
  let promises: Promises
  let writers: Int
  private let seed: UInt64
  private(set) var lookups = 0
  /// Lookups that something had been promised to.
  private(set) var bound = 0
  /// Lookups that found something newer than the one before of the same key.
  private(set) var advances = 0
  private var newest: [Int: UInt64] = [:]

  init(_ arguments: Arguments) {
    writers = arguments.number("writers")
    seed = UInt64(arguments.number("seed"))
    promises = Promises(path: arguments.text("promises"), writers: writers)
    store = arguments.openStore()
  }

  func lookUpOwn(_ writer: Int) {
    let index = promises.get(writer, .ownIndex)
    let latest = lookUp(writer, isBound: index > 0) { try store.lookupLatest($0) }
    if index > 0, (latest?.number ?? 0) & 0xffff_ffff < index - 1 || latest == nil {
      fail("key \(writer): write \(index - 1) was acknowledged, but found was \(tell(latest))")
    }
    let best = promises.get(writer, .ownBest)
    // What a fit goes on from is the best, as long as no final is there.
    let found = lookUp(writer, isBound: best > 0) {
      lookups % 2 == 0 ? try store.lookup($0) : try store.lookupBest($0)
    }
    check(found, isAtLeast: best, writer)
  }

  func lookUpShared() {
    let begun = (0..<writers).map { promises.get($0, .sharedBegun) }.max()!
    // By its stamp, which can be later than the time of its writing.
    let latest = orFail("lookup") {
      try store.engine().lookup(Write.fingerprint(writers), .latest, countsAsUse: false)
    }
    lookups += 1
    if begun > 0 { bound += 1 }
    if begun > 0, (latest?.record.header.stamp ?? 0) < begun {
      let found = latest.map { "\($0.record.header.stamp)" } ?? "nothing"
      fail("shared key: what began at \(begun) was acknowledged; found \(found)")
    }
    _ = lookUp(writers, isBound: begun > 0) { try store.lookupLatest($0) }
    let best = (0..<writers).map { promises.get($0, .sharedBest) }.max()!
    check(lookUp(writers, isBound: best > 0) { try store.lookupBest($0) }, isAtLeast: best, writers)
  }

  private func check(_ found: Write?, isAtLeast best: UInt64, _ key: Int) {
    guard best > 0 else { return }
    guard let found, Promises.code(found.objective!) >= best else {
      let promised = Double(bitPattern: ~best)
      fail("key \(key): objective \(promised) was acknowledged, but found was \(tell(found))")
    }
  }

  private func tell(_ write: Write?) -> String {
    write.map { "write \($0.number & 0xffff_ffff) of \($0.number >> 32), \($0.objective!)" }
      ?? "nothing"
  }

  private func lookUp(
    _ key: Int, isBound: Bool, _ question: (Fingerprint) throws -> WarmStartEntry?
  ) -> Write? {
    lookups += 1
    if isBound { bound += 1 }
    guard let entry = orFail("lookup", { try question(Write.fingerprint(key)) }) else { return nil }
    let number = entry.iteration ?? 0
    let write = Write(
      seed: seed, writer: Int(number >> 32), index: Int(number & 0xffff_ffff), to: key)
    if let what = write.discrepancy(entry) { fail("entry \(number) of key \(key) \(what)") }
    if entry.writtenNanoseconds > newest[key, default: 0] {
      newest[key] = entry.writtenNanoseconds
      advances += 1
    }
    return write
  }
}
