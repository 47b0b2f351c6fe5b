// What a store gives back.

/// What an entry claims.
public enum EntryKind: String, Hashable, Sendable, Codable, CaseIterable {
  /// The fit was alive.
  case checkpoint
  /// The fit ended well: its criterion converged there.
  case final
}

/// One entry of a store: what a fit saved, and when, and of which run.
public struct WarmStartEntry: Sendable {
  // Shared with the store that gave it: a lookup copies no part of it.
  private var record: ReadRecord
  /// Checkpoint or final. A final entry of another producer comes back as a checkpoint.
  public var kind: EntryKind

  /// What the fit saved.
  public var payload: [UInt8] {
    get { record.payload }
    // So that bytes are changed in place where nobody else has them.
    _modify {
      let header = record.header
      var payload = record.payload
      record = ReadRecord(header: header, payload: [])
      defer { record = ReadRecord(header: header, payload: payload) }
      yield &payload
    }
  }
  /// The criterion there, lower is better; nil if the fit gave none or one that is not finite.
  public var objective: Double? {
    get { record.header.objective }
    set { change { $0.objective = newValue } }
  }
  /// The fit's own count of its iterations, if it gave one.
  public var iteration: UInt64? {
    get { record.header.iteration }
    set { change { $0.iteration = newValue } }
  }
  /// When it was written: nanoseconds since 1970, by the writer's clock.
  public var writtenNanoseconds: UInt64 {
    get { record.header.writeTime }
    set { change { $0.writeTime = newValue } }
  }
  /// The run that wrote it.
  public var runID: RunID {
    get { RunID(decoded: record.header.runID) }
    set { change { $0.runID = newValue.description } }
  }
  /// The producer of the store that saved it: whose criterion a final claims to satisfy. Empty for none.
  public var producer: String {
    get { record.header.producer }
    set { change { $0.producer = newValue } }
  }
  /// Which fit this is, for people; nil if it was saved without one, or with an empty one.
  public var label: String? {
    get { record.header.label.isEmpty ? nil : record.header.label }
    set { change { $0.label = newValue ?? "" } }
  }
  /// The key that it was saved under.
  public var key: Fingerprint {
    get { record.header.key }
    set { change { $0.key = newValue } }
  }

  private mutating func change(_ change: (inout RecordHeader) -> Void) {
    var header = record.header
    change(&header)
    record = ReadRecord(header: header, payload: record.payload)
  }

  /// An entry made by hand, for ``Session/preload(_:)``. Nothing is saved and nothing checked.
  public init(
    payload: [UInt8], objective: Double? = nil, iteration: UInt64? = nil,
    writtenNanoseconds: UInt64 = 0, kind: EntryKind = .checkpoint, runID: RunID, producer: String,
    label: String? = nil, key: Fingerprint
  ) {
    var header = RecordHeader(
      kind: kind.recordKind, stamp: 0, writeTime: writtenNanoseconds,
      origin: Origin(segment: SegmentID(creation: 0, random: 0), number: 0), key: key, number: 0)
    header.objective = objective
    header.iteration = iteration
    header.runID = runID.description
    header.producer = producer
    header.label = label ?? ""
    record = ReadRecord(header: header, payload: payload)
    self.kind = kind
  }

  /// An entry that its own producer has saved and that is not written yet.
  init(_ draft: Draft, payload: [UInt8], written: UInt64) {
    self.init(
      payload: payload, objective: draft.objective.flatMap { $0.isFinite ? $0 : nil },
      iteration: draft.iteration, writtenNanoseconds: written,
      kind: draft.kind == .final ? .final : .checkpoint,
      runID: RunID(decoded: draft.runID),  // drafts of entries are made from one
      producer: draft.producer, label: draft.label, key: draft.key)
  }

  /// `producer` is who asks.
  init(_ record: ReadRecord, askedBy producer: String) {
    self.record = record
    kind = EntryKind(record.header.kind, producer: record.header.producer, askedBy: producer)
  }
}

extension WarmStartEntry: CustomStringConvertible {
  /// What it is, of which key, run and producer, in one line for people.
  public var description: String {
    var parts = ["\(kind.rawValue) of \(key)", "\(payload.count) bytes"]
    if let objective { parts.append("objective \(objective)") }
    if let iteration { parts.append("iteration \(iteration)") }
    parts.append("run \(runID)")
    if !producer.isEmpty { parts.append("producer \(producer)") }
    if let label { parts.append("label \(label)") }
    return parts.joined(separator: ", ")
  }
}

extension WarmStartEntry: Hashable {
  /// Whether all that they tell is the same.
  public static func == (left: WarmStartEntry, right: WarmStartEntry) -> Bool {
    left.kind == right.kind && left.key == right.key && left.objective == right.objective
      && left.iteration == right.iteration && left.writtenNanoseconds == right.writtenNanoseconds
      && left.runID == right.runID && left.producer == right.producer
      && left.label == right.label && left.payload == right.payload
  }

  /// Hashes what tells entries of one store apart.
  public func hash(into hasher: inout Hasher) {
    hasher.combine(key)
    hasher.combine(runID)
    hasher.combine(writtenNanoseconds)
    hasher.combine(iteration)
    hasher.combine(objective)
  }
}

extension EntryKind {
  /// A final is one only to its own producer.
  package init(_ kind: RecordKind, producer: String, askedBy asking: String) {
    self =
      kind == .final && producer.hasSameBytes(as: asking) && !producer.isEmpty
      ? .final : .checkpoint
  }

  package var recordKind: RecordKind { self == .final ? .final : .checkpoint }
}
