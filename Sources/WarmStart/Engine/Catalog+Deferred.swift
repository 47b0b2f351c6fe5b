// A fit asks for one key, of many that are in the store: it need not wait for the index of all.
//
// What the larger footers say that a store finds when it is opened goes into the index key by key, as keys are
// asked for; the footers are sorted by key. Whoever asks for all keys, or for many, brings in all of it.
// The slots do not depend on the order in which records become known, so no answer changes; what the segments
// waste is known when all of it is in. A disk that refuses a part of a footer makes those lookups throw that
// need it, and everything that asks for all keys.

/// The footers of a catalog that the index has not taken in.
struct DeferredFooters {
  fileprivate var footers: [(segment: Segment, search: FooterSearch)] = []
  /// Keys that the index has whole all the same.
  fileprivate var broughtIn: Set<Fingerprint> = []

  var segments: [Segment] { footers.map(\.segment) }
  var isEmpty: Bool { footers.isEmpty }
  /// How much there is.
  var extent: (records: Int, bytes: UInt64) {
    footers.reduce((0, 0)) { ($0.0 + $1.search.trailer.recordCount, $0.1 + $1.segment.fileBytes) }
  }

  /// Keys that are brought in one by one before all are: about as many as take the same time.
  fileprivate var patience: Int {
    let records = footers.reduce(0) { $0 + $1.search.trailer.recordCount }
    return max(Self.leastPatience, records / (Self.recordsForSearch * max(1, footers.count)))
  }

  private static let leastPatience = 64

  /// Whether a search reads less than the whole footer has.
  static func areWorthIt(_ trailer: FooterTrailer, _ options: EngineOptions) -> Bool {
    trailer.blockCount > options.footerBlocksReadWhole
  }

  /// Records that are taken in from a whole footer in the time that a search of one takes.
  private static let recordsForSearch = 64
}

extension Catalog {
  /// Takes in what a footer says of its segment, and leaves its records for later.
  func putOff(_ search: FooterSearch, of segment: Segment) {
    segment.count(search.trailer)
    lastStamp = max(lastStamp, search.trailer.newestStamp)
    deferred.footers.append((segment, search))
  }

  /// Whether the index knows everything of the key.
  func knowsAll(of key: Fingerprint) -> Bool {
    deferred.footers.isEmpty || deferred.broughtIn.contains(key)
  }

  /// The index knows everything of the key from here on; some of it may have to be settled.
  func bringIn(_ key: Fingerprint) throws(Interruption) {
    guard !knowsAll(of: key) else { return }
    guard deferred.broughtIn.count < deferred.patience else { return try bringInAll() }
    for (segment, search) in deferred.footers {
      let file = try file(of: segment)
      do throws(FooterSearch.Failure) {
        for hit in try search.hits(of: key, in: file) {
          take(
            hit.entry, producer: index.producerNumber(hit.producer),
            origin: index.originNumber(hit.origin), in: segment)
        }
      } catch {
        if case .file(let why) = error { throw Interruption(why) }
        // Read as a whole it is told of, and the records themselves say the same.
        try bringInWhole(segment, search.trailer, file)
      }
    }
    deferred.broughtIn.insert(key)
  }

  /// The same outside of a refresh. Without a look at the directory if the key is known already.
  func bringInByItself(_ key: Fingerprint) throws(StoreError) {
    guard !knowsAll(of: key) else { return }
    try untilPresent { catalog throws(Interruption) in try catalog.bringIn(key) }
  }

  /// ``bringInNext()`` outside of a refresh.
  func bringInNextByItself() throws(StoreError) -> Bool {
    guard !isClosed, !deferred.footers.isEmpty else { return false }
    do throws(Interruption) { return try bringInNext() } catch {
      if case .store(let why) = error { throw why }
      lookAnew()
      return try untilPresent { catalog throws(Interruption) in try catalog.bringInNext() }
    }
  }

  /// The index knows everything of every key from here on; some of it may have to be settled.
  func bringInAll() throws(Interruption) { while try bringInNext() {} }

  /// The index knows everything of one more segment from here on; false if it does of all of them.
  func bringInNext() throws(Interruption) -> Bool {
    // The oldest first: what is newer takes slots from what is there, and seldom has to be settled.
    guard let (segment, search) = deferred.footers.first else { return false }
    // At once for all, instead of growing with each.
    index.reserve(deferred.footers.reduce(0) { $0 + $1.search.trailer.recordCount })
    try bringInWhole(segment, search.trailer, try file(of: segment))
    if deferred.footers.isEmpty { deferred = DeferredFooters() }
    return true
  }

  private func bringInWhole(
    _ segment: Segment, _ trailer: FooterTrailer, _ file: any File
  ) throws(Interruption) {
    // What the trailer said of it holds only as long as the rest of the footer does.
    segment.resetCounts()
    segment.tail = segment.header.recordsStart
    do throws(Interruption) { try takeSealed(segment, file) } catch {
      segment.count(trailer)
      throw error
    }
    dropDeferred(segment)
  }

  /// A segment is not there any more.
  func dropDeferred(_ segment: Segment) { deferred.footers.removeAll { $0.segment === segment } }
}
