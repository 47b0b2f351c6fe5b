// warmstart show: every entry of one key.

import ArgumentParser
import WarmStart

struct Show: Verb {
  static let configuration = CommandConfiguration(
    abstract: "Shows every entry of a key that is still on disk.",
    discussion: """
      A line for each entry, the newest first, and the slots that it fills: final, the newest final of \
      its producer; best, the one with the lowest objective; latest, the newest. An entry without a \
      slot is dead, and gone after a compaction. Only headers are read.

      A final is one only to its own producer: the kinds are shown as the producer of the key's newest \
      final would see them, or the one given by --producer.

      EXAMPLE
        warmstart show ~/fits 3fb2
        warmstart show ~/fits 3fb2 --json
      """)

  @OptionGroup var argument: StoreArgument

  @Argument(help: "The key.", transform: KeyPrefix.init)
  var key: KeyPrefix

  @Option(parsing: .unconditional, help: "For whom to answer.")
  var producer: String?

  @OptionGroup var report: ReportOptions

  func perform(_ output: inout ResultStream) throws(Failure) -> ExitStatus {
    let store = try argument.openForReading()
    let key = try store.key(key)
    let entries = try store.ask { store throws(StoreError) in try store.engine.entries(of: key) }
    let asking = producer ?? entries.producerOfNewestFinal ?? ""
    let reports = entries.map { EntryReport($0, askedBy: asking) }
    if report.json {
      for report in reports { try output.put(report.json) }
    } else {
      try output.put(line: key.description)
      try table(of: reports).write(to: &output)
    }
    try output.flush()
    return try store.statusAfterReading()
  }

  private func table(of reports: [EntryReport]) -> Table {
    var table = Table([
      ("WRITTEN", .left), ("KIND", .left), ("SLOTS", .left), ("OBJECTIVE", .right),
      ("ITERATION", .right), ("SIZE", .right), ("STORED", .right), ("CODEC", .left),
      ("RUN", .left), ("PRODUCER", .left), ("LABEL", .left), ("SEGMENT", .left),
      ("OFFSET", .right),
    ])
    for report in reports {
      let header = report.header
      table.add([
        Quantity.moment(nanoseconds: header.writeTime), report.kind.rawValue, report.slotCell,
        header.objective?.description, header.iteration.map { String($0) },
        Quantity.bytes(UInt64(header.rawLength)), Quantity.bytes(UInt64(header.storedLength)),
        header.codec.name, header.runID, header.producer.isEmpty ? nil : header.producer,
        report.label, report.listed.segment, String(report.listed.record.offset),
      ])
    }
    return table
  }
}
