// What a store gives back.

/// What an entry claims.
public enum EntryKind: String, Hashable, Sendable, Codable, CaseIterable {
  /// The fit was alive.
  case checkpoint
  /// The fit ended well: its criterion converged there.
  case final
}

/// One entry of a store: what a fit saved, and when, and of which run.
public struct WarmStartEntry: Hashable, Sendable {
  /// What the fit saved.
  public var payload: [UInt8]
  /// The criterion there, lower is better; nil if the fit gave none or one that is not finite.
  public var objective: Double?
  /// The fit's own count of its iterations, if it gave one.
  public var iteration: UInt64?
  /// When it was written: nanoseconds since 1970, by the writer's clock.
  public var writtenNanoseconds: UInt64
  /// Checkpoint or final. A final entry of another producer comes back as a checkpoint.
  public var kind: EntryKind
  /// The run that wrote it.
  public var runID: RunID
  /// The producer of the store that saved it: whose criterion a final claims to satisfy. Empty for none.
  public var producer: String
  /// Which fit this is, for people; nil if it was saved without one.
  public var label: String?
  /// The key that it was saved under.
  public var key: Fingerprint

  /// An entry made by hand, for ``Session/preload(_:)``. Nothing is saved and nothing checked.
  public init(
    payload: [UInt8], objective: Double? = nil, iteration: UInt64? = nil,
    writtenNanoseconds: UInt64 = 0, kind: EntryKind = .checkpoint, runID: RunID, producer: String,
    label: String? = nil, key: Fingerprint
  ) {
    self.payload = payload
    self.objective = objective
    self.iteration = iteration
    self.writtenNanoseconds = writtenNanoseconds
    self.kind = kind
    self.runID = runID
    self.producer = producer
    self.label = label
    self.key = key
  }

  /// An entry that its own producer has saved and that is not written yet.
  init(_ draft: Draft, payload: [UInt8], written: UInt64) {
    self.payload = payload
    objective = draft.objective.flatMap { $0.isFinite ? $0 : nil }
    iteration = draft.iteration
    writtenNanoseconds = written
    kind = draft.kind == .final ? .final : .checkpoint
    runID = RunID(draft.runID)!  // drafts of entries are made from one
    producer = draft.producer
    label = draft.label.isEmpty ? nil : draft.label
    key = draft.key
  }

  /// `producer` is who asks.
  init(_ record: ReadRecord, askedBy producer: String) {
    let header = record.header
    payload = record.payload
    objective = header.objective
    iteration = header.iteration
    writtenNanoseconds = header.writeTime
    kind = EntryKind(header.kind, producer: header.producer, askedBy: producer)
    runID = RunID(decoded: header.runID)
    self.producer = header.producer
    label = header.label.isEmpty ? nil : header.label
    key = header.key
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
