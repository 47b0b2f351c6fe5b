// warmstart stat: how much there is of everything.

import ArgumentParser
import WarmStart

struct Stat: Verb {
  static let configuration = CommandConfiguration(
    abstract: "Says how much there is of everything in a store.",
    discussion: """
      Live bytes are those of records that a lookup could return; dead ones come back with the next \
      compaction. The damage is what was met while the store was opened; fsck looks for all of it.

      EXAMPLE
        warmstart stat ~/fits
        warmstart stat ~/fits --json | jq .deadBytes
        warmstart stat ~/fits --segments
      """)

  @OptionGroup var argument: StoreArgument
  @Flag(help: "Say it of each segment.")
  var segments = false

  @OptionGroup var report: ReportOptions

  func perform(_ output: inout ResultStream) throws(Failure) -> ExitStatus {
    let store = try argument.openForReading()
    let statistics = try store.ask { store throws(StoreError) in try store.engine.statistics() }
    if segments {
      try list(statistics.bySegment, to: &output)
    } else if report.json {
      try output.put(json(statistics))
    } else {
      for (name, value) in lines(statistics) {
        let blanks = String(repeating: " ", count: 14 - name.count)
        try output.put(line: Terminal.styled(name, .heading) + blanks + value)
      }
    }
    try output.flush()
    return try store.statusAfterReading()
  }

  private func json(_ statistics: StoreStatistics) -> JSONObject {
    var object = JSONObject()
    object.add("segments", statistics.segments)
    object.add("records", statistics.records)
    object.add("keys", statistics.keys)
    object.add("liveBytes", statistics.liveBytes)
    object.add("deadBytes", statistics.deadBytes)
    object.add("totalBytes", statistics.totalBytes)
    object.add("payloadBytes", statistics.payloadBytes)
    object.add("storedBytes", statistics.storedBytes)
    object.add("damagedRecords", statistics.damagedRecords)
    return object
  }

  private func list(
    _ segments: [SegmentStatistics], to output: inout ResultStream
  ) throws(Failure) {
    guard !report.json else {
      for segment in segments {
        var object = JSONObject()
        object.add("segment", segment.name)
        object.add("records", segment.records)
        object.add("liveBytes", segment.liveBytes)
        object.add("deadBytes", segment.deadBytes)
        object.add("totalBytes", segment.totalBytes)
        object.add("payloadBytes", segment.payloadBytes)
        object.add("storedBytes", segment.storedBytes)
        object.add("oldestNanos", segment.oldestNanoseconds)
        object.add("newestNanos", segment.newestNanoseconds)
        try output.put(object)
      }
      return
    }
    var table = Table([
      ("segment", .left), ("records", .right), ("live", .right), ("dead", .right),
      ("total", .right),
    ])
    for segment in segments {
      table.add([
        segment.name, "\(segment.records)", Quantity.bytes(segment.liveBytes),
        Quantity.bytes(segment.deadBytes), Quantity.bytes(segment.totalBytes),
      ])
    }
    try table.write(to: &output)
  }

  private func lines(_ statistics: StoreStatistics) -> [(name: String, value: String)] {
    func moment(_ nanoseconds: UInt64?) -> String {
      guard let nanoseconds else { return "-" }
      let age = Quantity.age(ofNanoseconds: nanoseconds)
      return "\(Quantity.moment(nanoseconds: nanoseconds)), \(age) ago"
    }
    let ratio = Double(statistics.payloadBytes) / Double(statistics.storedBytes)
    let places = statistics.damagedRecords
    return [
      ("segments", "\(statistics.segments)"),
      ("records", "\(statistics.records)"),
      ("keys", "\(statistics.keys)"),
      ("live bytes", Quantity.exactBytes(statistics.liveBytes)),
      ("dead bytes", Quantity.exactBytes(statistics.deadBytes)),
      ("total bytes", Quantity.exactBytes(statistics.totalBytes)),
      ("payload bytes", Quantity.exactBytes(statistics.payloadBytes)),
      ("stored bytes", Quantity.exactBytes(statistics.storedBytes)),
      ("compression", statistics.storedBytes == 0 ? "-" : "\(Quantity.tenths(ratio)) to 1"),
      ("oldest", moment(statistics.oldestNanoseconds)),
      ("newest", moment(statistics.newestNanoseconds)),
      ("damage", places == 0 ? "none met" : Quantity.count(places, "place")),
    ]
  }
}
