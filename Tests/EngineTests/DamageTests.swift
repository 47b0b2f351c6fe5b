// Every cut and every flipped bit of a small segment, sealed and not.

import TestSupport
import Testing
import WarmStart

/// A store with one segment, and what was saved in it.
private struct Sample {
  let directory = TemporaryDirectory()
  let path: String
  let name: String
  let bytes: [UInt8]
  /// In the order of saving.
  let saved: [(record: FoundRecord, payload: [UInt8])]
  let keys: [Fingerprint]

  static func key(_ number: Int) -> Fingerprint {
    Fingerprint(bytes: (0..<32).map { UInt8(truncatingIfNeeded: number &* 31 &+ $0) })!
  }

  init(sealed: Bool) throws {
    let path = directory.appending("store")
    var options = StoreOptions()
    options.producer = "damage tests"
    let clock = ManualClock()
    let store = try WarmStartStore(
      path: path, options: options, access: .createIfMissing, host: .test(clock: clock))
    let keys = (0..<4).map(Self.key)
    var payloads: [UInt64: [UInt8]] = [:]
    for number in 0..<7 {
      clock.advance(seconds: 1)
      // One payload of each codec, an empty one, and one whose length leaves padding.
      let payload: [UInt8] =
        [
          Payloads.sparse(24), Payloads.walk(40), Payloads.noise(21), [], Payloads.noise(8),
          Payloads.sparse(16, seed: 3), [1, 2, 3],
        ][number]
      payloads[clock.now] = payload
      try store.save(
        payload, for: keys[number % 4], kind: number == 5 ? .final : .checkpoint,
        objective: 10 - Double(number), iteration: UInt64(number), label: "fit \(number % 4)",
        run: RunID("run \(number)")!)
    }
    var saved: [(FoundRecord, [UInt8])] = []
    for key in keys {
      for listed in try store.engine().entries(of: key) {
        saved.append((listed.record, payloads[listed.record.header.stamp]!))
      }
    }
    if sealed { try store.close() }
    name = listing(path).first { !$0.hasSuffix(".tmp") }!
    self.path = path
    self.saved = saved.sorted { $0.0.offset < $1.0.offset }.map { ($0.0, $0.1) }
    let whole = contents("\(path)/\(name)")
    // Of the zeros that lie ahead of a log's records, as many as show that a reader gets by them.
    bytes = sealed ? whole : Array(whole[..<(Int(self.saved.last!.record.end) + 64)])
    self.keys = keys
  }

  /// Opens a store whose only segment has these bytes.
  func withStore(_ bytes: [UInt8], _ body: (WarmStartStore) throws -> Void) throws {
    var options = StoreOptions()
    options.producer = "damage tests"
    var host = Host.test(clock: ManualClock(wall: 1_700_000_100_000_000_000))
    host.files = FixedFileSystem([name: bytes])
    try body(
      try WarmStartStore(path: "/fixed", options: options, access: .readOnly, host: host))
  }

  /// Whatever is found is something that was saved, to the last byte; and every record outside of
  /// `touched` is found.
  func check(_ store: WarmStartStore, untouched: (FoundRecord) -> Bool) throws {
    for key in keys {
      let mine = saved.filter { $0.record.header.key == key }
      for entry in [
        try store.lookup(key), try store.lookupBest(key), try store.lookupLatest(key),
      ].compactMap({ $0 }) + (try store.entries(for: key)) {
        let match = mine.first { $0.record.header.runID == entry.runID.description }
        let record = try #require(match)
        #expect(entry.payload == record.payload)
        #expect(entry.objective == record.record.header.objective)
        #expect(entry.iteration == record.record.header.iteration)
        #expect(entry.label == record.record.header.label)
        #expect(entry.writtenNanoseconds == record.record.header.writeTime)
        #expect((entry.kind == .final) == (record.record.header.kind == .final))
      }
      let served = try store.entries(for: key).map(\.runID.description)
      for record in mine where untouched(record.record) {
        #expect(served.contains(record.record.header.runID))
      }
      let good = mine.filter { untouched($0.record) }
      if let best = good.last {
        let found = try #require(try store.lookupBest(key)?.objective)
        #expect(found <= best.record.header.objective!)
      }
    }
  }
}

@Suite struct DamageTests {
  private func verify(_ store: WarmStartStore) throws -> VerificationReport {
    try store.engine().verify(.payloads)
  }

  @Test func anUntouchedSegmentIsClean() throws {
    for sealed in [true, false] {
      let sample = try Sample(sealed: sealed)
      try sample.withStore(sample.bytes) { store in
        try sample.check(store, untouched: { _ in true })
        let found = try verify(store)
        #expect(found.damage.isEmpty)
        #expect(found.records == 7)
        #expect(found.tornTails == 0)
      }
    }
  }

  @Test(.timeLimit(.minutes(20)))
  func everyCutOfASealedSegmentIsReportedAndTheRestServed() throws {
    let sample = try Sample(sealed: true)
    for length in everyNumber(below: sample.bytes.count) {
      try sample.withStore(Array(sample.bytes[..<length])) { store in
        try sample.check(store, untouched: { $0.end <= UInt64(length) })
        #expect(try !verify(store).damage.isEmpty, "cut to \(length) bytes")
      }
    }
  }

  @Test(.timeLimit(.minutes(20)))
  func everyCutOfALogLeavesWhatStandsBeforeIt() throws {
    let sample = try Sample(sealed: false)
    for length in everyNumber(below: sample.bytes.count) {
      try sample.withStore(Array(sample.bytes[..<length])) { store in
        try sample.check(store, untouched: { $0.end <= UInt64(length) })
        // The header was on stable storage before the log had its name.
        #expect(try verify(store).damage.isEmpty == (length >= 128 || length == 0), "\(length)")
      }
    }
  }

  @Test(.timeLimit(.minutes(60)))
  func everyFlippedBitOfASealedSegmentIsReportedAndTheRestServed() throws {
    let sample = try Sample(sealed: true)
    for bit in everyNumber(below: 8 * sample.bytes.count) {
      var bytes = sample.bytes
      bytes[bit / 8] ^= 1 << UInt8(bit % 8)
      let at = UInt64(bit / 8)
      try sample.withStore(bytes) { store in
        #expect(try !verify(store).damage.isEmpty, "bit \(bit)")
        // A header has its copy in the footer; only a payload is lost.
        try sample.check(store) {
          !($0.offset + UInt64($0.header.length)..<$0.end).contains(at)
        }
      }
    }
  }

  @Test(.timeLimit(.minutes(60)))
  func everyFlippedBitOfALogBelowItsSyncedOffsetIsReportedAndTheRestServed() throws {
    let sample = try Sample(sealed: false)
    let synced = sample.saved.map(\.record.header.syncedBytes).max()!
    #expect(synced > sample.saved[5].record.offset)
    for bit in everyNumber(below: 8 * sample.bytes.count) {
      var bytes = sample.bytes
      bytes[bit / 8] ^= 1 << UInt8(bit % 8)
      let at = UInt64(bit / 8)
      try sample.withStore(bytes) { store in
        if at < synced { #expect(try !verify(store).damage.isEmpty, "bit \(bit)") }
        try sample.check(store) { !($0.offset..<$0.end).contains(at) }
      }
    }
  }
}
