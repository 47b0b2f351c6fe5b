// How a store is opened.

public import Logging

/// How a store is opened. What is not set has a sensible value.
public struct StoreOptions: Sendable {
  /// Bytes that the directory is meant to take on disk, but for a segment that each living writer adds to
  /// and one that a compaction writes; 1 GiB, 0 for no limit. Beyond, keys are evicted: those that were
  /// never looked up first, the one saved longest ago before the others, then the least recently used. A
  /// save that would begin a segment beyond it first waits for that, for half a minute or so at most, not
  /// while somebody waits in ``WarmStartStore/flush()``; none fails for want of room in it. No segment is over a sixteenth of it.
  public var sizeBudget: UInt64 = 1 << 30
  /// Whether segments are merged without ``WarmStartStore/compact()`` being called: by a thread of low
  /// priority while the store is open, and a few MiB at most when it is closed; true. Without it the
  /// budget is not kept either.
  public var compactsByItself = true
  /// Seconds after its last save or lookup that a key lives; 30 days. 0 is for ever. A time before 2001
  /// is that of a clock that was never set, and tells nothing: then the key lives.
  public var timeToLive: UInt64 = 30 * 86_400
  /// How far a save has come when it returns; `.synced`.
  public var durability: Durability = .synced
  /// Whose criterion a final entry claims to satisfy, at most 256 bytes of UTF-8, such as
  /// `"mygam 2.1 criterion 4"`. If nil, the running executable's name, and a digest of its path, size
  /// and modification time: then a reinstalled program does not trust its predecessor's results. A longer
  /// one makes opening throw ``StoreError/textTooLong(what:bytes:limit:)``.
  public var producer: String?
  /// Where warnings go; nil for nowhere.
  public var logger: Logger?
  /// Who may read and write what the store creates; `.owner`.
  public var permissions: Permissions = .owner
  /// Bytes of the longest payload that is saved or read; 1 GiB, at most 2 GiB − 1. Beyond, a save and a
  /// lookup throw ``StoreError/payloadTooLong(bytes:limit:)``.
  public var payloadLimit: Int = 1 << 30
  /// Bytes after which a segment is sealed, or goes if nearly all of it is superseded; 64 MiB. Never more than a
  /// sixteenth of the budget, never less than 64 KiB.
  public var segmentLimit: UInt64 = 64 << 20
  /// Bytes of the payloads that may wait to be written with ``Durability/background``; 64 MiB. A save
  /// beyond waits for the disk; a single payload that is larger is written and synced before its save
  /// returns.
  public var backgroundMemory: Int = 64 << 20
  /// Bytes of memory for entries that were looked up, so that those asked for again need not be read again; 8 MiB,
  /// 0 for none. Of those on stable storage; not one of more than a quarter of it (2 MiB of 8); and once it is full only
  /// what is asked for twice or more within a while, in place of what was not asked for lately. Payloads share their
  /// memory with what lookups gave.
  public var cacheMemory: Int = 8 << 20
  /// Descriptors of segments that are kept open for reading; 64, at least 2. Threads that look something up have up to
  /// seven more of the directory, where there are enough.
  public var openFiles: Int = 64

  /// See ``EngineOptions/footerBlocksReadWhole``.
  package var footerBlocksReadWhole: Int?
  /// See ``EngineOptions/sealedAsideFrom``.
  package var sealedAsideFrom: UInt64?
  /// See ``EngineOptions/packedByTwoFrom``.
  package var packedByTwoFrom: Int?
  /// Bytes of the smallest ``segmentLimit`` that counts.
  package var leastSegmentLimit: UInt64 = 64 << 10
  /// When segments are merged.
  package var upkeepPolicy = UpkeepPolicy()
  /// See ``EngineOptions/compactionFlaw``.
  package var compactionFlaw: CompactionFlaw?
  /// See ``EngineOptions/onEviction``.
  package var onEviction: (@Sendable (Fingerprint, UInt64) -> Void)?

  /// The values named above.
  public init() {}

  /// Seconds; more is longer than stamps last, and so for ever.
  private static let longestLife = FormatLimits.stamp / 1_000_000_000

  package func engineOptions(host: Host) -> EngineOptions {
    let sizeBudget = sizeBudget == 0 ? .max : sizeBudget
    var options = EngineOptions(
      durability: durability, permissions: permissions,
      producer: producer ?? host.defaultProducer(),
      payloadLimit: min(max(payloadLimit, 0), FormatLimits.payload),
      segmentLimit: max(
        min(segmentLimit, sizeBudget / 16, FormatLimits.file / 2), leastSegmentLimit),
      timeToLive: timeToLive > Self.longestLife ? 0 : timeToLive * 1_000_000_000,
      openFiles: max(openFiles, 2), logger: logger)
    options.sizeBudget = sizeBudget
    options.cacheBytes = max(cacheMemory, 0)
    options.footerBlocksReadWhole = footerBlocksReadWhole ?? options.footerBlocksReadWhole
    options.sealedAsideFrom = sealedAsideFrom ?? options.sealedAsideFrom
    options.packedByTwoFrom = packedByTwoFrom ?? options.packedByTwoFrom
    options.upkeep = compactsByItself ? upkeepPolicy : nil
    options.compactionFlaw = compactionFlaw
    options.onEviction = onEviction
    return options
  }
}
