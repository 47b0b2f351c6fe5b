// A store of sealed segments in which any one place is not what was written: that is found, no lookup gives
// anything but what was saved, and all else is served.

import Synchronization
import TestSupport
import Testing
import WarmStart

@Suite struct EveryBitTests {
  private let sample: MixedStore
  private let names: [String]
  /// What was saved, by its stamp.
  private let saved: [UInt64: MixedStore.Record]
  /// Where each file begins, if all are put one behind the other.
  private let starts: [Int]
  private let total: Int

  init() throws {
    // 200 KiB and more, as sealed segments have them.
    let sample = try MixedStore(size: 20, crowd: 120, withLog: false)
    self.sample = sample
    saved = Dictionary(uniqueKeysWithValues: sample.records.map { ($0.stamp, $0) })
    names = sample.files.keys.sorted()
    starts = names.reduce(into: [0]) { $0.append($0.last! + sample.files[$1]!.count) }
    total = starts.last!
    #expect(total > 200 << 10)
    #expect(names.allSatisfy { $0.hasSuffix(".seg") })
  }

  private func place(_ number: Int) -> (name: String, at: Int) {
    let index = starts.lastIndex { $0 <= number }!
    return (names[index], number - starts[index])
  }

  /// Every second time by a search of the footers.
  private func open(_ files: [String: [UInt8]], _ number: Int) throws -> WarmStartStore {
    var options = StoreOptions()
    options.footerBlocksReadWhole = number % 2 == 0 ? 0 : 4
    options.producer = MixedStore.producer
    options.timeToLive = 0
    let clock = ManualClock(wall: MixedStore.later)
    var host = Host.test(clock: clock)
    host.files = FixedFileSystem(files)
    let store = try WarmStartStore(path: "/fixed", options: options, access: .readOnly, host: host)
    // So that the directory is known not to change, and is not listed with every lookup.
    clock.advance(seconds: 1)
    return store
  }

  /// Gives what is wrong with a store in which one file is another.
  private func faults(
    _ number: Int, _ name: String, _ bytes: [UInt8], _ touched: [Range<Int>]
  ) throws -> [String] {
    var files = sample.files
    files[name] = bytes
    let store = try open(files, number)
    var faults: [String] = []
    var hit = Set(
      sample.records.lazy.filter { $0.segment == name && !sample.isIntact($0, [name: touched]) }
        .map(\.key))
    if name == sample.removing { hit.formUnion(sample.removed) }
    for (key, answer) in sample.answers {
      let entries = try [store.lookup(key), store.lookupBest(key), store.lookupLatest(key)]
      for entry in entries.lazy.compactMap(\.self) {
        let saved = saved[entry.writtenNanoseconds]
        if saved?.key != key || saved?.payload != entry.payload {
          faults.append("false payload of \(key)")
        }
      }
      let found = entries.map { $0?.writtenNanoseconds }
      if !hit.contains(key), found != [answer.resume, answer.best, answer.latest] {
        faults.append("another answer for \(key)")
      }
    }
    // On this thread alone: others have their own to do.
    if try store.engine().verify(.payloads, atOnce: 1).damage.isEmpty { faults.append("not found") }
    return faults
  }

  /// Tries each place on as many threads as there are processors.
  private func tryAll(
    _ count: Int, _ body: @escaping @Sendable (Int) throws -> (String, [String])?
  ) -> (tried: Int, faults: [String]) {
    let numbers = Array(everyNumber(below: count))
    let faults = Notes<String>()
    let tried = Atomic<Int>(0)
    let threads = 2
    onThreads(threads) { thread in
      for number in stride(from: thread, to: numbers.count, by: threads) {
        do {
          guard let (what, found) = try body(numbers[number]) else { continue }
          tried.add(1, ordering: .relaxed)
          for fault in found { faults.add("\(what): \(fault)") }
        } catch { faults.add("\(numbers[number]): \(error)") }
      }
    }
    return (tried.load(ordering: .relaxed), faults.all)
  }

  /// Without `WARMSTART_BITS` every so many; with 1 all 2 million.
  @Test(.timeLimit(.minutes(60))) func everyFlippedBit() throws {
    let step = max(1, setting("WARMSTART_BITS", default: 401))
    let (tried, faults) = tryAll(8 * total / step) { number in
      let bit = number * step
      let (name, at) = place(bit / 8)
      var bytes = sample.files[name]!
      bytes[at] ^= 1 << UInt8(bit % 8)
      return (
        "bit \(bit % 8) of byte \(at) of \(name)",
        try self.faults(number, name, bytes, [at..<at + 1])
      )
    }
    print("\(tried) of \(8 * total) bits flipped")
    #expect(faults.isEmpty, "\(faults.prefix(10))")
    #expect(tried > 50)
  }

  enum Blow: String, CaseIterable {
    case zeroed
    case swapped
    case replaced
  }

  @Test(.timeLimit(.minutes(60)), arguments: [512, 4096], Blow.allCases)
  func everyBlock(_ length: Int, _ blow: Blow) throws {
    // The same place in the file that follows, or another in this one.
    let (tried, faults) = tryAll(names.count * (total / length + 1)) { number in
      let name = names[number % names.count]
      let whole = sample.files[name]!
      let start = number / names.count * length
      guard start < whole.count else { return nil }
      let block = start..<min(start + length, whole.count)
      var bytes = whole
      var touched = [block]
      switch blow {
      case .zeroed: for at in block { bytes[at] = 0 }
      case .swapped:
        let other = (number * 7919 + 1) % (whole.count / length + 1) * length
        let partner = other..<min(other + block.count, whole.count)
        for (at, from) in zip(block, partner) { bytes.swapAt(at, from) }
        touched.append(partner)
      case .replaced:
        let other = sample.files[names[(number + 1) % names.count]]!
        let from = start < other.count ? start : 0
        for at in block where from + at - start < other.count {
          bytes[at] = other[from + at - start]
        }
      }
      guard bytes != whole else { return nil }
      return ("\(block) of \(name)", try self.faults(number, name, bytes, touched))
    }
    print("\(tried) blocks of \(length) \(blow.rawValue)")
    #expect(faults.isEmpty, "\(faults.prefix(10))")
    #expect(tried > 0)
  }
}
