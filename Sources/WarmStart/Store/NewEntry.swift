// One entry of a batch.

/// An entry that is to be saved, for ``WarmStartStore/save(_:)``.
public struct NewEntry: Hashable, Sendable {
  /// What is saved: at most ``StoreOptions/payloadLimit`` bytes.
  public var payload: [UInt8]
  /// Under which key.
  public var key: Fingerprint
  /// Checkpoint or final.
  public var kind: EntryKind
  /// The criterion, lower is better. One that is not finite is stored as none.
  public var objective: Double?
  /// The fit's own count of its iterations.
  public var iteration: UInt64?
  /// Which fit this is, for people: at most 128 bytes of UTF-8.
  public var label: String?
  /// The run; a fresh one if nil.
  public var run: RunID?

  /// An entry that is to be saved; limits are checked when it is.
  public init(
    _ payload: [UInt8], for key: Fingerprint, kind: EntryKind = .checkpoint,
    objective: Double? = nil, iteration: UInt64? = nil, label: String? = nil, run: RunID? = nil
  ) {
    self.payload = payload
    self.key = key
    self.kind = kind
    self.objective = objective
    self.iteration = iteration
    self.label = label
    self.run = run
  }
}
