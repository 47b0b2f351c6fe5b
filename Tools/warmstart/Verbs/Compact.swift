// warmstart compact: gives back the space of what is dead.

import ArgumentParser
import WarmStart

struct Compact: Verb {
  static let configuration = CommandConfiguration(
    abstract: "Compacts a store, which may be in use: the space of what is dead comes back.",
    discussion: """
      Segments that nobody writes any more are merged into fewer, without what is superseded or removed; \
      with --ttl also without keys that were neither saved nor looked up for so long, and with --budget \
      without as many keys as must go so that the rest has room: those that were never looked up first, \
      the one saved longest ago before the others, then the least recently used. Fits may go on \
      saving and loading meanwhile. Ending it at any moment loses nothing; the next run clears away what \
      this one left.

      A segment with damage is set aside in the folder quarantine of the store, and named, once what is \
      intact in it has been copied; then the exit status is 65.

      EXAMPLE
        warmstart compact ~/fits --dry-run
        warmstart compact ~/fits --ttl 2592000 --pace 50000000
        warmstart compact ~/fits --budget 500000000
      """)

  @OptionGroup var argument: StoreArgument

  @Flag(help: "Say what it would gain, and change nothing.")
  var dryRun = false

  @Option(help: "Drop keys that were not used for so many seconds.")
  var ttl: UInt64?

  @Option(help: "Drop keys until the store takes so many bytes at most.")
  var budget: UInt64?

  @Option(help: "Bytes a second that are read at most.")
  var pace: UInt64?

  @OptionGroup var report: ReportOptions

  func validate() throws {
    if ttl == 0 { throw ValidationError("--ttl must be at least 1 second") }
    if pace == 0 { throw ValidationError("--pace must be at least 1 byte a second") }
    if budget == 0 { throw ValidationError("--budget must be at least 1 byte") }
  }

  func perform(_ output: inout ResultStream) throws(Failure) -> ExitStatus {
    if dryRun { return try forecast(&output) }
    let store = try argument.openForWriting(timeToLive: ttl, sizeBudget: budget)
    let before = try store.ask { open throws(StoreError) in try open.engine.statistics() }
    var progress = ProgressLine("compacting", quiet: report.quiet)
    let done = try store.ask { open throws(StoreError) in
      defer { progress.clear() }
      var control = Engine.CompactionControl()
      control.pace = pace ?? 0
      control.progress = { done, total in progress.show(done, of: total) }
      return try open.engine.compact(control)
    }
    let after = try store.ask { open throws(StoreError) in try open.engine.statistics() }
    try store.ask { open throws(StoreError) in try open.store.close() }
    try write(done, before, after, to: &output)
    return done.quarantined.isEmpty ? .done : .damagedData
  }

  private func forecast(_ output: inout ResultStream) throws(Failure) -> ExitStatus {
    let store = try argument.openForReading(timeToLive: ttl, sizeBudget: budget)
    let (all, some) = try store.ask { open throws(StoreError) in
      (try open.engine.statistics(), try open.engine.compactionForecast())
    }
    let gain = some.bytes - min(some.bytesAfter, some.bytes)
    if report.json {
      var object = JSONObject()
      object.add("segments", some.segments)
      object.add("bytes", some.bytes)
      object.add("gainBytes", gain)
      object.add("totalBytes", all.totalBytes)
      object.add("evictedKeys", some.evictedKeys)
      try output.put(object)
    } else {
      try output.put(
        line: "\(argument.store.printable): would merge "
          + "\(Quantity.count(some.segments, "segment")) of \(all.segments), "
          + "\(Quantity.bytes(some.bytes)), and give back about \(Quantity.bytes(gain)) "
          + "of \(Quantity.bytes(all.totalBytes))\(evicted(some.evictedKeys))")
    }
    return .done
  }

  private func write(
    _ done: CompactionReport, _ before: StoreStatistics, _ after: StoreStatistics,
    to output: inout ResultStream
  ) throws(Failure) {
    for name in done.quarantined {
      StandardStreams.complain("damaged data met; set aside as \(argument.store)/\(name)")
    }
    for damage in done.damage { StandardStreams.complain(damage.description.printable) }
    if report.json {
      var object = JSONObject()
      object.add("mergedSegments", done.mergedSegments)
      object.add("copiedRecords", done.copiedRecords)
      object.add("segmentsBefore", before.segments)
      object.add("segmentsAfter", after.segments)
      object.add("bytesBefore", before.totalBytes)
      object.add("bytesAfter", after.totalBytes)
      object.add("deadBytesBefore", before.deadBytes)
      object.add("deadBytesAfter", after.deadBytes)
      object.add("evictedKeys", done.evictedKeys)
      object.add("quarantined", done.quarantined)
      try output.put(object)
    } else {
      try output.put(
        line: "\(argument.store.printable): \(Quantity.count(before.segments, "segment")), "
          + "\(Quantity.bytes(before.totalBytes)) before; "
          + "\(Quantity.count(after.segments, "segment")), "
          + "\(Quantity.bytes(after.totalBytes)) after\(evicted(done.evictedKeys))")
    }
  }

  private func evicted(_ keys: Int) -> String {
    keys == 0 ? "" : ", without \(Quantity.count(keys, "key"))"
  }
}
