// warmstart fsck: holds everything in a store against its checksums and its second copy, and repairs.

import ArgumentParser
import WarmStart

struct Fsck: Verb {
  static let configuration = CommandConfiguration(
    abstract: "Verifies a store, which may be in use; repairs it if told to.",
    discussion: """
      Reads everything and holds it against every checksum and its second copy, payloads decompressed \
      too; with --quick headers and footers only. The torn tail that a crash leaves is no damage. \
      Nothing is written without --repair.

      --repair writes what is intact in a segment with damage into a new one, then sets the damaged one \
      aside in the folder quarantine of the store, unchanged to the last bit. What was removed or \
      superseded does not come back. It tells which keys were saved, and which lost an entry. It may be \
      ended at any moment and run again, and fits may go on meanwhile; the log of a fit that is running \
      can only be repaired once it has ended. --dry-run tells what it would do.

      Exit status: 0 clean, 1 damage found and repaired, 4 damage left, 8 could not work, 16 wrong usage.

      EXAMPLE
        warmstart fsck ~/fits
        warmstart fsck ~/fits --quick --json | jq -r .verdict
        warmstart fsck ~/fits --repair --dry-run
      """)

  @OptionGroup var argument: StoreArgument

  @Flag(help: "Verify the structure only, not the payloads.")
  var quick = false

  @Flag(help: "Save what is intact in segments with damage, and set them aside in quarantine.")
  var repair = false

  @Flag(help: "Only tell what --repair would do.")
  var dryRun = false

  @OptionGroup var report: ReportOptions

  func validate() throws {
    if dryRun, !repair { throw ValidationError("--dry-run goes with --repair") }
  }

  func perform(_ output: inout ResultStream) throws(Failure) -> ExitStatus {
    let result = try repair ? repaired() : RepairReport(verified: verified())
    if report.json {
      try output.put(json(result))
    } else {
      try write(result, to: &output)
    }
    for error in result.errors {
      StandardStreams.complain(Failure(error, store: argument.store).message)
    }
    if !result.errors.isEmpty { return .ioFailure }
    if !result.left.isEmpty { return .damagedData }
    return result.found.damage.isEmpty ? .done : .damageRepaired
  }

  private func verified() throws(Failure) -> VerificationReport {
    let store = try argument.openForVerifying()
    return try showingProgress("verifying") { progress throws(Failure) in
      try store.ask { store throws(StoreError) in
        try store.engine.verify(quick ? .structure : .payloads, progress: progress)
      }
    }
  }

  private func repaired() throws(Failure) -> RepairReport {
    let store = try dryRun ? argument.openForReading() : argument.openForWriting()
    return try showingProgress("repairing") { progress throws(Failure) in
      try store.ask { store throws(StoreError) in
        try store.engine.repair(
          quick ? .structure : .payloads, isDryRun: dryRun, progress: progress)
      }
    }
  }

  private func showingProgress<Value>(
    _ what: String, _ body: (@escaping (UInt64, UInt64) -> Void) throws(Failure) -> Value
  ) throws(Failure) -> Value {
    var progress = ProgressLine(what, quiet: report.quiet)
    defer { progress.clear() }
    return try body { done, total in progress.show(done, of: total) }
  }

  // MARK: Text

  private func write(_ result: RepairReport, to output: inout ResultStream) throws(Failure) {
    let found = result.found
    for damage in found.damage { try output.put(line: damage.description.printable) }
    for name in found.foreign {
      try output.put(line: "\(name.printable): not of the store, left alone")
    }
    let torn =
      found.tornTails == 0 ? "" : ", \(found.tornTails) torn by a crash, which is no damage"
    try output.put(
      line: "\(argument.store.printable): \(verdict(result)): "
        + "\(Quantity.count(found.segments, "segment")), "
        + "\(Quantity.count(found.records, "record")), \(Quantity.bytes(found.bytes))\(torn)")
    if repair { try writeRepair(result, to: &output) }
  }

  private func verdict(_ result: RepairReport) -> String {
    let places = Quantity.count(result.found.damage.count, "place")
    if !result.errors.isEmpty, result.found.damage.isEmpty {
      return Terminal.styled("not read whole", .bad)
    }
    if result.found.damage.isEmpty { return Terminal.styled("clean", .good) }
    if result.left.isEmpty, result.errors.isEmpty {
      return Terminal.styled("repaired, damage in \(places)", .good)
    }
    return Terminal.styled("damaged in \(places)", .bad)
  }

  private func writeRepair(
    _ result: RepairReport, to output: inout ResultStream
  ) throws(Failure) {
    let (saved, lost) = dryRun ? ("would be saved", "would be lost") : ("saved", "lost")
    for key in result.salvaged { try output.put(line: "\(saved): \(key)") }
    for key in result.lost { try output.put(line: "an entry \(lost): \(key)") }
    if result.unknownLosses > 0 {
      try output.put(
        line:
          "\(Quantity.count(result.unknownLosses, "place")) of which nobody knows whose they were")
    }
    let setAside = dryRun ? "would be set aside" : "set aside"
    for name in result.quarantined { try output.put(line: "\(setAside): \(name.printable)") }
    if !dryRun, !result.left.isEmpty {
      try output.put(
        line: "\(Quantity.count(result.left.count, "place")) left as they are: "
          + "repair again once the fits that write there have ended, and what is told below is mended"
      )
    }
  }

  // MARK: JSON

  private func json(_ result: RepairReport) -> JSONObject {
    let found = result.found
    var object = JSONObject()
    object.add(
      "verdict",
      !result.errors.isEmpty || !result.left.isEmpty
        ? "damaged" : found.damage.isEmpty ? "clean" : "repaired")
    object.add("segments", found.segments)
    object.add("records", found.records)
    object.add("bytes", found.bytes)
    object.add("tornTails", found.tornTails)
    object.add("damage", found.damage.map(json))
    object.add("foreign", found.foreign)
    object.add("unread", result.errors.map(\.description))
    if repair {
      object.add("salvaged", result.salvaged.map(\.description))
      object.add("lost", result.lost.map(\.description))
      object.add("unknownLosses", result.unknownLosses)
      object.add("quarantined", result.quarantined)
    }
    return object
  }

  private func json(_ damage: Damage) -> JSONObject {
    var object = JSONObject()
    object.add("segment", damage.segment)
    object.add("offset", damage.offset)
    object.add("length", damage.length)
    object.add("what", damage.what)
    object.add("key", damage.key?.description)
    object.add("run", damage.run)
    object.add("effect", damage.effect?.rawValue)
    return object
  }
}

extension RepairReport {
  /// What a verification alone makes of it: everything is left.
  fileprivate init(verified found: VerificationReport) {
    self.init()
    self.found = found
    left = found.damage
    errors = found.unread
  }
}
