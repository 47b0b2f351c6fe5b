// warmstart fsck: holds everything in a store against its checksums and its second copy.

import ArgumentParser
import WarmStart

struct Fsck: Verb {
  static let configuration = CommandConfiguration(
    abstract: "Verifies a store, which may be in use; nothing is written.",
    discussion: """
      Reads everything and holds it against every checksum and its second copy, payloads decompressed \
      too; with --quick headers and footers only. The torn tail that a crash leaves is no damage.

      Exit status: 0 clean, 4 damaged, 8 could not work, 16 wrong usage.

      EXAMPLE
        warmstart fsck ~/fits
        warmstart fsck ~/fits --quick --json | jq -r .verdict
      """)

  @OptionGroup var argument: StoreArgument

  @Flag(help: "Verify the structure only, not the payloads.")
  var quick = false

  @OptionGroup var report: ReportOptions

  func perform(_ output: inout ResultStream) throws(Failure) -> ExitStatus {
    let store = try argument.openForReading()
    var progress = ProgressLine("verifying", quiet: report.quiet)
    let found = try store.ask { store throws(StoreError) in
      defer { progress.clear() }
      return try store.engine.verify(quick ? .structure : .payloads) { done, total in
        progress.show(done, of: total)
      }
    }
    if report.json {
      try output.put(json(found))
    } else {
      try write(found, to: &output)
    }
    return found.damage.isEmpty ? .done : .damagedData
  }

  private func write(
    _ found: Engine.Verification, to output: inout ResultStream
  ) throws(Failure) {
    for damage in found.damage { try output.put(line: damage.description.printable) }
    let verdict =
      found.damage.isEmpty
      ? Terminal.styled("clean", .good)
      : Terminal.styled("damaged in " + Quantity.count(found.damage.count, "place"), .bad)
    let torn =
      found.tornTails == 0 ? "" : ", \(found.tornTails) torn by a crash, which is no damage"
    try output.put(
      line: "\(argument.store.printable): \(verdict): "
        + "\(Quantity.count(found.segments, "segment")), "
        + "\(Quantity.count(found.records, "record")), \(Quantity.bytes(found.bytes))\(torn)")
  }

  private func json(_ found: Engine.Verification) -> JSONObject {
    var object = JSONObject()
    object.add("verdict", found.damage.isEmpty ? "clean" : "damaged")
    object.add("segments", found.segments)
    object.add("records", found.records)
    object.add("bytes", found.bytes)
    object.add("tornTails", found.tornTails)
    object.add(
      "damage",
      found.damage.map { damage in
        var object = JSONObject()
        object.add("segment", damage.segment)
        object.add("offset", damage.offset)
        object.add("length", damage.length)
        object.add("what", damage.what)
        return object
      })
    return object
  }
}
