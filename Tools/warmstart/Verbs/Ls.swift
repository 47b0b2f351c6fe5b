// warmstart ls: the keys of a store, and what each would be resumed from.

import ArgumentParser
import WarmStart

struct Ls: Verb {
  static let configuration = CommandConfiguration(
    abstract: "Lists the keys, and what a fit of each would go on from.",
    discussion: """
      A line for each key, the one whose entry is newest last. The entry is the newest final of the \
      producer that wrote the key's newest final, or of the one given by --producer; without such a \
      final it is the best entry of all. Only headers are read.

      EXAMPLE
        warmstart ls ~/fits
        warmstart ls ~/fits --json | jq -r 'select(.kind == "final") | .key'
      """)

  @OptionGroup var argument: StoreArgument

  @Option(parsing: .unconditional, help: "For whom to answer.")
  var producer: String?

  @OptionGroup var report: ReportOptions

  func perform(_ output: inout ResultStream) throws(Failure) -> ExitStatus {
    let store = try argument.openForReading()
    let keys = try store.ask { store throws(StoreError) in try store.engine.keys() }
    var reports: [EntryReport] = []
    for start in stride(from: 0, to: keys.count, by: Self.keysAtOnce) {
      let some = Set(keys[start..<min(start + Self.keysAtOnce, keys.count)])
      let entries = try store.ask { store throws(StoreError) in try store.engine.entries(of: some) }
      for (_, listed) in entries {
        let asking = producer ?? listed.producerOfNewestFinal ?? ""
        if let entry = listed.resumed(by: asking) {
          reports.append(EntryReport(entry, askedBy: asking))
        }
      }
    }
    reports.sort { ($0.header.stamp, $0.header.key) < ($1.header.stamp, $1.header.key) }
    if report.json {
      for report in reports { try output.put(report.json) }
    } else {
      try table(of: reports, digits: keys.distinctiveDigits).write(to: &output)
    }
    try output.flush()
    return try store.statusAfterReading()
  }

  /// Bounds the memory that the headers of dead entries take.
  private static let keysAtOnce = 1 << 16

  private func table(of reports: [EntryReport], digits: Int) -> Table {
    var table = Table([
      ("KEY", .left), ("LABEL", .left), ("KIND", .left), ("SLOTS", .left), ("OBJECTIVE", .right),
      ("ITERATION", .right), ("AGE", .right), ("SIZE", .right), ("RUN", .left),
    ])
    for report in reports {
      let header = report.header
      table.add([
        String(header.key.description.prefix(digits)), report.label, report.kind.rawValue,
        report.slotCell, header.objective?.description, header.iteration.map { String($0) },
        Quantity.age(ofNanoseconds: header.writeTime), Quantity.bytes(UInt64(header.rawLength)),
        header.runID,
      ])
    }
    return table
  }
}
