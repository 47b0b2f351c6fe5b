// warmstart put: saves what comes from standard input.

import ArgumentParser
import Glibc
import WarmStart

struct Put: Verb {
  static let configuration = CommandConfiguration(
    abstract: "Saves standard input as an entry of a key, and prints its run id.",
    discussion: """
      The store is made if it is not there. A key that is new needs all its 64 digits. Nothing is \
      written before standard input has come to its end; payloads have at most 1 GiB. A final is on \
      stable storage when the program ends, whatever --durability says.

      EXAMPLE
        key=$(warmstart fingerprint data.csv model.toml)
        warmstart put ~/fits $key --label trend --objective 12.5 < state.bin
      """)

  /// How far the save has come when the program ends.
  enum DurabilityChoice: String, ExpressibleByArgument, CaseIterable {
    case synced, buffered

    var durability: Durability { self == .synced ? .synced : .buffered }
  }

  @OptionGroup var argument: StoreArgument

  @Argument(help: "The key.", transform: KeyPrefix.init)
  var key: KeyPrefix

  @Option(
    parsing: .unconditional,
    help: "The run: 1 to 64 bytes of printable ASCII. (default: a new one)",
    transform: { text in
      guard let run = RunID(text) else {
        throw ValidationError("a run id is 1 to 64 bytes of printable ASCII")
      }
      return run
    })
  var run: RunID?

  @Option(parsing: .unconditional, help: "Which fit this is, for people; at most 128 bytes.")
  var label: String?

  @Option(
    parsing: .unconditional,
    help: "The criterion; lower is better, and one that is not finite counts as none.")
  var objective: Double?

  @Option(help: "The fit's count of its iterations.")
  var iteration: UInt64?

  @Flag(help: "The fit ended well: its criterion converged here.")
  var final = false

  @Option(
    parsing: .unconditional,
    help: "Whose criterion a final satisfies; at most 256 bytes. (default: this program)")
  var producer: String?

  @Option(help: "How durable: on stable storage, or with the kernel.")
  var durability = DurabilityChoice.synced

  @OptionGroup var report: ReportOptions

  func validate() throws {
    if let label, label.utf8.count > FormatLimits.label {
      throw ValidationError("the label is over \(FormatLimits.label) bytes")
    }
    if let producer, !(1...FormatLimits.producer).contains(producer.utf8.count) {
      throw ValidationError("a producer is 1 to \(FormatLimits.producer) bytes")
    }
  }

  func perform(_ output: inout ResultStream) throws(Failure) -> ExitStatus {
    let key = try existingOrNewKey()
    let limit = StoreOptions().payloadLimit
    guard let payload = try InputFile.standard.readAll(limit: limit) else {
      throw Failure(.wrongUsage, "standard input is over the limit of \(limit) bytes for a payload")
    }
    let store = try argument.openOrCreate(producer: producer, durability: durability.durability)
    let run = run ?? store.store.freshRunID()
    try store.ask { open throws(StoreError) in
      try open.store.save(
        payload, for: key, kind: final ? .final : .checkpoint, objective: objective,
        iteration: iteration, label: label, run: run)
      try open.store.close()
    }
    if report.json {
      var object = JSONObject()
      object.add("key", key.description)
      object.add("run", run.description)
      try output.put(object)
    } else {
      try output.put(line: run.description)
    }
    return .done
  }

  private func existingOrNewKey() throws(Failure) -> Fingerprint {
    if let complete = key.complete { return complete }
    do throws(Failure) { return try argument.openForReading().key(key) } catch {
      guard error.status == .noStore || error.status == .noSuchKey else { throw error }
      throw Failure(
        .noSuchKey,
        "no key begins with \(key.digits) in \(argument.store); a new one needs all 64 digits")
    }
  }
}
