// What `ls` and `show` say of one entry, from its header alone.

import WarmStart

/// One entry, as a fit of the given producer would get it.
struct EntryReport {
  let listed: Engine.Listed
  let kind: EntryKind

  /// `producer` is who asks: only its own finals are finals.
  init(_ listed: Engine.Listed, askedBy producer: String) {
    self.listed = listed
    let header = listed.record.header
    kind = EntryKind(header.kind, producer: header.producer, askedBy: producer)
  }

  /// The header of the entry.
  var header: RecordHeader { listed.record.header }

  /// The label, if there is one.
  var label: String? { header.label.isEmpty ? nil : header.label }

  /// The names of the slots that it fills.
  var slots: [String] {
    let names: [(Slots, String)] = [(.final, "final"), (.best, "best"), (.latest, "latest")]
    return names.filter { listed.slots.contains($0.0) }.map(\.1)
  }

  /// The slots in one cell of a table; nil if it fills none.
  var slotCell: String? { slots.isEmpty ? nil : slots.joined(separator: ",") }

  /// Everything, for scripts.
  var json: JSONObject {
    var object = JSONObject()
    object.add("key", header.key.description)
    object.add("label", label)
    object.add("run", header.runID)
    object.add("kind", kind.rawValue)
    object.add("objective", header.objective)
    object.add("iteration", header.iteration)
    object.add("writtenNanos", header.writeTime)
    object.add("payloadBytes", header.rawLength)
    object.add("storedBytes", header.storedLength)
    object.add("codec", header.codec.name)
    object.add("producer", header.producer.isEmpty ? nil : header.producer)
    object.add("slots", slots)
    object.add("segment", listed.segment)
    object.add("offset", listed.record.offset)
    return object
  }
}

/// All entries of one key, the newest first.
extension [Engine.Listed] {
  /// The producer for whom the tool answers unless another is named: that of the newest final.
  var producerOfNewestFinal: String? {
    first { $0.slots.contains(.final) }?.record.header.producer
  }

  /// What a fit of the producer goes on from: its newest final, else the best.
  func resumed(by producer: String) -> Engine.Listed? {
    // A final of nobody is nobody's claim.
    first {
      $0.slots.contains(.final) && !producer.isEmpty
        && $0.record.header.producer.hasSameBytes(as: producer)
    } ?? first { $0.slots.contains(.best) }
  }
}
