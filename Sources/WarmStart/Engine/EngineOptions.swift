// What the engine is told when a store is opened.

package import Logging

/// How far a save has come when it returns.
public enum Durability: String, Hashable, Sendable, CaseIterable {
  /// On stable storage: it survives a power cut. One data sync, shared by the threads that wait.
  case synced
  /// With the kernel: it survives SIGKILL, and a power cut once the store was flushed or closed or the
  /// fit finalized.
  case buffered
  /// Accepted: the payload was copied, and a thread of the store's own writes and syncs it soon. Lookups
  /// of the same store see it at once, others when it is written; a crash of the process may lose it. A
  /// newer checkpoint of a session takes the place of one that still waits, but never of the best.
  /// Finals wait until they, and everything accepted before, are on stable storage, and so do flush and
  /// close.
  case background
}

/// The engine's part of ``StoreOptions``.
package struct EngineOptions: Sendable {
  package var durability: Durability
  package var permissions: Permissions
  package var producer: String
  /// Bytes of the longest payload that is saved or read.
  package var payloadLimit: Int
  /// Bytes after which a segment is sealed.
  package var segmentLimit: UInt64
  /// Bytes from which on a full segment is sealed by a thread of its own.
  package var sealedAsideFrom: UInt64 = 4 << 20
  /// Bytes of payloads from which on two threads pack a batch: to wake one takes as long as LZ4 takes for 20 KiB.
  package var packedByTwoFrom = 48 << 10
  /// Nanoseconds after its last use that a key lives; 0 is for ever.
  package var timeToLive: UInt64
  /// Bytes that the segments take which nobody writes; beyond, keys are evicted. `.max` for no limit.
  package var sizeBudget = UInt64.max
  /// Bytes that are kept for a full disk at most.
  var largestReserve: UInt64 { min(segmentLimit / 2, sizeBudget / 32) }
  /// What of the budget is left for segments.
  var segmentBudget: UInt64 { sizeBudget == .max ? .max : sizeBudget - largestReserve }
  /// When segments are merged without anybody having asked; nil for never.
  package var upkeep: UpkeepPolicy?
  /// Hears of each key that is about to be left out, and up to which stamp: for tests.
  package var onEviction: (@Sendable (Fingerprint, UInt64) -> Void)?
  /// Bytes of records that are kept in memory once they were looked up.
  package var cacheBytes = 0
  /// Blocks of a footer that is read whole when the store is opened; a larger one is searched for each key.
  package var footerBlocksReadWhole = 4
  /// Descriptors of segments that are kept open.
  package var openFiles: Int
  package var logger: Logger?
  /// A deliberate bug, which a simulation must find; nil everywhere else.
  package var compactionFlaw: CompactionFlaw?

  package init(
    durability: Durability, permissions: Permissions, producer: String, payloadLimit: Int,
    segmentLimit: UInt64, timeToLive: UInt64, openFiles: Int, logger: Logger?
  ) {
    self.durability = durability
    self.permissions = permissions
    self.producer = producer
    self.payloadLimit = payloadLimit
    self.segmentLimit = segmentLimit
    self.timeToLive = timeToLive
    self.openFiles = openFiles
    self.logger = logger
  }
}

/// A deliberate bug of the compactor.
package enum CompactionFlaw: Sendable {
  /// What is not on stable storage yet makes something dead.
  case unsyncedMakesDead
  /// A removal goes although something older is left.
  case removalDroppedEarly
}
