// Opening stores, and the arguments that say which one and how to report.

import ArgumentParser
import Glibc
import WarmStart

/// The store that a verb works on.
struct StoreArgument: ParsableArguments {
  @Argument(help: "The directory of the store.", completion: .directory)
  var store: String

  func validate() throws {
    if store.isEmpty { throw ValidationError("STORE is empty; name a directory") }
  }
}

/// How a verb that reports does it.
struct ReportOptions: ParsableArguments {
  @Flag(help: "Print one JSON object a line.")
  var json = false

  @Flag(help: "Show no progress.")
  var quiet = false
}

extension StoreArgument {
  /// Opens the store for reading; nothing is written. See ``openForWriting(timeToLive:sizeBudget:)``.
  func openForReading(
    timeToLive: UInt64? = nil, sizeBudget: UInt64? = nil
  ) throws(Failure) -> OpenStore {
    let options = Self.options(timeToLive, sizeBudget)
    return try opened { () throws(StoreError) in
      try WarmStartStore.openReadOnly(at: store, options: options)
    }
  }

  /// Opens the store for reading, whatever of it cannot be read.
  func openForVerifying() throws(Failure) -> OpenStore {
    let options = Self.options()
    return try opened { () throws(StoreError) in
      try WarmStartStore(path: store, options: options, access: .verifying, host: .system)
    }
  }

  /// Opens the store, which must be there, for writing. Keys live for ever unless a time is given, in
  /// seconds, and there is room for all unless a budget is, in bytes.
  func openForWriting(
    timeToLive: UInt64? = nil, sizeBudget: UInt64? = nil
  ) throws(Failure) -> OpenStore {
    let options = Self.options(timeToLive, sizeBudget)
    return try opened { () throws(StoreError) in
      try WarmStartStore(path: store, options: options, access: .existing, host: .system)
    }
  }

  /// Opens the store for writing, or makes it.
  func openOrCreate(producer: String?, durability: Durability) throws(Failure) -> OpenStore {
    var options = Self.options()
    options.producer = producer
    options.durability = durability
    // What is saved must be readable by a fit that sets nothing.
    options.payloadLimit = StoreOptions().payloadLimit
    return try opened { () throws(StoreError) in
      try WarmStartStore.open(at: store, options: options)
    }
  }

  /// Opens the store for reading, or gives nil where `openOrCreate` would begin with nothing.
  func openIfPresent() throws(Failure) -> OpenStore? {
    do throws(Failure) { return try openForReading() } catch {
      guard error.status == .noStore else { throw error }
      var status = stat()
      let isThere = stat(store, &status) == 0
      guard isThere ? status.st_mode & S_IFMT == S_IFDIR : errno == ENOENT else { throw error }
      return nil
    }
  }

  /// Age, space and size are the business of the fits that own the store, and they may have set
  /// anything: the tool shows whatever is there and drops nothing.
  private static func options(
    _ timeToLive: UInt64? = nil, _ sizeBudget: UInt64? = nil
  ) -> StoreOptions {
    var options = StoreOptions()
    options.timeToLive = timeToLive ?? 0
    options.sizeBudget = sizeBudget ?? 0
    options.payloadLimit = FormatLimits.payload
    return options
  }

  private func opened(
    _ open: () throws(StoreError) -> WarmStartStore
  ) throws(Failure) -> OpenStore {
    let path = store
    return try Failure.translating(path) { () throws(StoreError) in
      let store = try open()
      return OpenStore(path: path, store: store, engine: try store.engine())
    }
  }
}

/// An open store, whose errors are the tool's.
struct OpenStore {
  let path: String
  let store: WarmStartStore
  let engine: Engine

  /// Runs `body`; what the store refuses becomes a failure.
  func ask<Value>(_ body: (OpenStore) throws(StoreError) -> Value) throws(Failure) -> Value {
    try Failure.translating(path) { () throws(StoreError) in try body(self) }
  }

  /// How many damaged places were met since the store was opened.
  func damagedPlaces() throws(Failure) -> Int {
    try ask { store throws(StoreError) in try store.engine.statistics().damagedRecords }
  }

  /// How a reading verb ends: if damage was met, that is said, though what could be read was shown.
  func statusAfterReading() throws(Failure) -> ExitStatus {
    let places = try damagedPlaces()
    guard places > 0 else { return .done }
    StandardStreams.complain(
      "damaged data met in \(path), \(Quantity.count(places, "place")); "
        + "`warmstart fsck` tells more")
    return .damagedData
  }
}

extension Failure {
  fileprivate static func translating<Value>(
    _ path: String, _ body: () throws(StoreError) -> Value
  ) throws(Failure) -> Value {
    do throws(StoreError) { return try body() } catch { throw Failure(error, store: path) }
  }
}
