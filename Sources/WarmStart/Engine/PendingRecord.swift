// A record of a batch that is to be written, and the bytes that are saved with it.

/// Bytes to be saved, whoever owns them.
package protocol PayloadBytes: SendableMetatype {
  var count: Int { get }
  func withBytes(_ body: (UnsafeRawBufferPointer) -> Void)
}

extension [UInt8]: PayloadBytes {
  package func withBytes(_ body: (UnsafeRawBufferPointer) -> Void) { withUnsafeBytes(body) }
}

extension UnsafeRawBufferPointer: PayloadBytes {
  package func withBytes(_ body: (UnsafeRawBufferPointer) -> Void) { body(self) }
}

/// One of several records that are written together. What is done with each is a method of it, since that works on the
/// record where it is: its parts as arguments would be copies, of five references each.
package struct PendingRecord<Payload: PayloadBytes> {
  package let draft: Draft
  package let payload: Payload

  package init(_ draft: Draft, _ payload: Payload) {
    self.draft = draft
    self.payload = payload
  }

  /// Throws if it is over a limit, or nothing may be written.
  func check(by engine: Engine) throws(StoreError) {
    try engine.check(draft, payload: payload.count)
  }

  /// Has the processor fetch where the index will look for its key.
  func prefetch(by engine: Engine) { engine.index.prefetch(draft.key.tableHash) }

  /// Whether its key may be expired, as far as can be told without the disk. With the state lock.
  func mayBeExpired(by engine: Engine, at now: UInt64) -> Bool {
    draft.kind.isEntry && engine.mayBeExpired(draft.key, at: now)
  }

  /// Adds it, behind the removal of what is expired of its key.
  func add(to frame: Frame, by engine: Engine, mayBeExpired: Bool) throws(StoreError) {
    if mayBeExpired, let expired = try engine.removalIfExpired(draft) {
      frame.add(expired, payload: UnsafeRawBufferPointer(start: nil, count: 0))
    }
    payload.withBytes { frame.add(draft, payload: $0) }
  }
}
