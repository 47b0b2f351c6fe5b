// The examples of the documentation: compiled, run, and held against the pages line by line.
//
// A block of Swift on a page must stand here word for word. Two things are passed over: imports, and
// `@main`, of which a program has one.

import Dispatch
import Glibc
import Logging
import TestSupport
import Testing
import WarmStart

// MARK: README.md and GettingStarted.md

private struct LineFit {
  static func main() {
    let store = LazyStore(path: "fits.warmstart")  // opened on first use
    let x = (0..<1000).map { Double($0) / 1000 }
    print(fitLine(x: x, y: x.map { 3 * $0 + 1 }, in: store))
    store.close()
  }
}

/// Slope and intercept of y over x, by gradient descent.
func fitLine(x: [Double], y: [Double], in store: LazyStore) -> [Double] {
  var fingerprinter = Fingerprinter()  // everything that decides the result
  fingerprinter.absorb("least squares line, tolerance 1e-9", tag: "spec")
  fingerprinter.write(x)
  fingerprinter.write(y)
  let session = store.session(for: fingerprinter.finalize(), label: "line")

  var line = [0.0, 0.0]
  var steps: UInt64 = 0
  if let found = session.tryLoadWithSource(), let saved = numbers(2, in: found.entry.payload) {
    line = saved
    if found.source == .exact, found.entry.kind == .final { return line }  // done before
    steps = found.entry.iteration ?? 0  // killed before: go on from there
  }
  while true {
    let residuals = zip(x, y).map { line[0] * $0 + line[1] - $1 }
    let loss = residuals.reduce(0) { $0 + $1 * $1 } / Double(x.count)
    let slope = zip(residuals, x).reduce(0) { $0 + $1.0 * $1.1 } / Double(x.count)
    let intercept = residuals.reduce(0, +) / Double(x.count)
    if max(abs(slope), abs(intercept)) < 1e-9 {
      session.finalize(numbers: line, objective: loss, iteration: steps)
      return line
    }
    session.checkpoint(numbers: line, objective: loss, iteration: steps)
    line = [line[0] - slope, line[1] - intercept]
    steps += 1
  }
}

/// So many numbers, if that is what the payload holds.
func numbers(_ count: Int, in payload: [UInt8]) -> [Double]? {
  guard payload.count == 8 * count else { return nil }
  return payload.withUnsafeBytes { bytes in
    (0..<count).map { bytes.loadUnaligned(fromByteOffset: 8 * $0, as: Double.self) }
  }
}

// MARK: GettingStarted.md

private func ridgeKey(
  design: [Double], rows: Int, response: [Double], penalty: Double
) -> Fingerprint {
  var fingerprinter = Fingerprinter()
  fingerprinter.absorb("ridge 1, tolerance 1e-8", tag: "spec")
  fingerprinter.absorb(penalty.bitPattern, tag: "penalty")
  fingerprinter.absorb(tag: "design")
  fingerprinter.write(rows: rows, columns: design.count / rows, design)
  fingerprinter.absorb(tag: "response")
  fingerprinter.write(response)
  return fingerprinter.finalize()
}

private func namedStore(at path: String) -> LazyStore {
  var options = StoreOptions()
  options.producer = "ridge 1 criterion 1"
  options.logger = Logger(label: "fits")
  return LazyStore(path: path, options: options)
}

/// What a fit goes on from; else the newest entry of the first neighbour that has one.
private func start(_ session: Session, neighbours: [Fingerprint]) -> LoadedEntry? {
  if let own = session.tryLoadWithSource() { return own }
  for neighbour in neighbours {
    if let entry = try? session.store?.lookupLatest(neighbour) {
      session.preload(entry)
      return session.tryLoadWithSource()  // its source is .preloaded
    }
  }
  return nil
}

private func saveByHand(_ state: [UInt8], key: Fingerprint, path: String) throws {
  let store = try WarmStartStore.open(at: path)
  let run = try store.save(state, for: key, objective: 12.5, iteration: 40, label: "fold 3")
  try store.save(state, for: key, kind: .final, objective: 12.25, iteration: 52, run: run)
  if let entry = try store.lookup(key) {
    print(entry.kind, entry.objective ?? .nan, entry.payload.count)
  }
  try store.close()
}

// MARK: DurabilityLevels.md

private func openInBackground(at path: String) throws(StoreError) -> WarmStartStore {
  var options = StoreOptions()
  options.durability = .background
  options.backgroundMemory = 256 << 20  // bytes that may wait; beyond, a checkpoint waits
  return try WarmStartStore.open(at: path, options: options)
}

private func saveFolds(
  in store: WarmStartStore, _ first: Fingerprint, _ second: Fingerprint
) throws {
  try store.save([
    NewEntry([1, 2, 3], for: first, objective: 0.5),
    NewEntry([4, 5, 6], for: second, kind: .final, objective: 0.25, label: "fold 2"),
  ])
}

/// Closes the store and ends the program when it is asked to end. Keep what it returns.
func closeOnTermination(_ store: LazyStore) -> any DispatchSourceSignal {
  signal(SIGTERM, SIG_IGN)  // the source hears of it all the same
  let source = DispatchSource.makeSignalSource(signal: SIGTERM, queue: .global())
  source.setEventHandler {
    store.close()
    exit(128 + SIGTERM)
  }
  source.resume()
  return source
}

// MARK: SeveralProcesses.md

/// The store of a lab, in which everybody of the group reads and writes.
func openSharedStore(at path: String) throws(StoreError) -> WarmStartStore {
  var options = StoreOptions()
  options.permissions = .group
  options.producer = "mygam 2.1 criterion 4"
  options.sizeBudget = 8 << 30  // bytes
  options.timeToLive = 90 * 86_400  // seconds
  return try WarmStartStore.open(at: path, options: options)
}

/// Whether a fit of this key has ended well, in any process that names the same producer.
func isFinished(_ key: Fingerprint, in store: WarmStartStore) throws(StoreError) -> Bool {
  try store.lookup(key)?.kind == .final
}

// MARK: ReadingTheStoreYourself.md

func printEverything(at path: String) throws(StoreError) {
  let store = try WarmStartStore.openReadOnly(at: path)
  for key in try store.keys {
    print(key)
    for entry in try store.entries(for: key) {
      print("  ", entry.runID, entry.kind, entry.objective ?? .nan, entry.payload.count)
    }
  }
  let statistics = try store.statistics
  print(statistics.liveBytes, "of", statistics.totalBytes, "bytes are in use")
}

// MARK: WhenADiskFails.md

/// What to tell the user of a session that could not save; nil if nothing went wrong.
func complaint(of session: Session) -> String? {
  switch session.lastError {
  case nil: nil
  case .file(let error)? where error.errno == ENOSPC || error.errno == EDQUOT:
    "no space for checkpoints: \(error.path); the fit goes on"
  case .file(let error)? where error.errno == EIO:
    "the disk fails: \(error.path); save the results elsewhere"
  case let error?: error.description
  }
}

private func compactAndTell(_ store: WarmStartStore) throws {
  let report = try store.compact()
  for damage in report.damage { print(damage) }
  for name in report.quarantined { print("set aside as \(store.path)/\(name)") }
}

// MARK: -

@Suite struct DocumentationTests {
  private let directory = TemporaryDirectory()
  private var path: String { directory.appending("fits.warmstart") }
  private let x = (0..<100).map { Double($0) / 100 }
  private var y: [Double] { x.map { 3 * $0 + 1 } }

  private func entries(of store: LazyStore) throws -> [WarmStartEntry] {
    let store = try #require(store.store)
    return try store.entries(for: try #require(try store.keys.first))
  }

  @Test func theFirstProgramFitsALineAndTheSecondRunTakesItFromTheStore() throws {
    var options = StoreOptions()
    options.durability = .buffered
    let store = LazyStore(path: path, options: options)
    let line = fitLine(x: x, y: y, in: store)
    #expect(abs(line[0] - 3) < 1e-6 && abs(line[1] - 1) < 1e-6)
    let saved = try entries(of: store)
    #expect(saved.count > 10 && saved.first?.kind == .final && saved.first?.label == "line")
    #expect(fitLine(x: x, y: y, in: store) == line)
    #expect(try entries(of: store).count == saved.count)
    store.close()
  }

  @Test func theFirstProgramGoesOnWhereItWasKilled() throws {
    let before = LazyStore(path: directory.appending("before"))
    let line = fitLine(x: x, y: y, in: before)
    let checkpoint = try #require(try entries(of: before).last { $0.iteration == 50 })
    let store = LazyStore(path: path)
    try store.store?.save(
      checkpoint.payload, for: checkpoint.key, objective: checkpoint.objective,
      iteration: checkpoint.iteration)
    #expect(fitLine(x: x, y: y, in: store) == line)
    let iterations = try entries(of: store).compactMap(\.iteration)
    #expect(iterations.min() == 50 && iterations.count > 1)
  }

  @Test func aKeyIsMadeOfEverythingThatDecidesTheResult() {
    let key = ridgeKey(design: [1, 2, 3, 4], rows: 2, response: [5, 6], penalty: 0.5)
    #expect(key == ridgeKey(design: [1, 2, 3, 4], rows: 2, response: [5, 6], penalty: 0.5))
    #expect(key != ridgeKey(design: [1, 2, 3, 4], rows: 4, response: [5, 6], penalty: 0.5))
    #expect(key != ridgeKey(design: [1, 2, 3, 4], rows: 2, response: [5, 6], penalty: 0.25))
  }

  @Test func aNewFitStartsAtItsNeighbour() throws {
    let store = namedStore(at: path)
    try store.store?.save(payload(1), for: key(1), kind: .final)
    let session = store.session(for: key(2))
    let seed = try #require(start(session, neighbours: [key(3), key(1)]))
    #expect(seed.source == .preloaded && seed.entry.payload == payload(1))
    session.checkpoint(payload(2))
    #expect(start(session, neighbours: [key(1)])?.source == .exact)
    #expect(start(store.session(for: key(4)), neighbours: []) == nil)
  }

  @Test func whatIsSavedByHandIsThere() throws {
    try saveByHand(payload(1), key: key(1), path: path)
    let store = try WarmStartStore.openReadOnly(at: path)
    #expect(try store.lookup(key(1))?.kind == .final)
    #expect(try store.entries(for: key(1)).map(\.iteration) == [52, 40])
    try printEverything(at: path)
  }

  @Test func aBatchAndABackgroundStoreSaveEverything() throws {
    let store = try openInBackground(at: path)
    try saveFolds(in: store, key(1), key(2))
    try store.save(payload(3), for: key(3))
    try store.close()
    #expect(try WarmStartStore.openReadOnly(at: path).keys == [key(1), key(2), key(3)])
  }

  @Test func aSharedStoreKnowsWhatIsFinished() throws {
    let store = try openSharedStore(at: path)
    try store.save(payload(1), for: key(1))
    #expect(try !isFinished(key(1), in: store))
    try store.save(payload(1), for: key(1), kind: .final)
    #expect(try isFinished(key(1), in: openSharedStore(at: path)))
    #expect(try !isFinished(key(1), in: WarmStartStore.open(at: path)))
    try compactAndTell(store)
  }

  @Test func anErrorIsTold() throws {
    let store = try WarmStartStore.open(at: path)
    let session = Session(store: store, key: key(1))
    #expect(complaint(of: session) == nil)
    try store.close()
    session.checkpoint(payload(1))
    #expect(complaint(of: session)?.contains("closed") == true)
  }

  // MARK: The pages

  private static let root = #filePath.split(separator: "/", omittingEmptySubsequences: false)
    .dropLast(3).joined(separator: "/")

  @Test(arguments: [
    "README.md", "Sources/WarmStart/WarmStart.docc/GettingStarted.md",
    "Sources/WarmStart/WarmStart.docc/DurabilityLevels.md",
    "Sources/WarmStart/WarmStart.docc/SeveralProcesses.md",
    "Sources/WarmStart/WarmStart.docc/ReadingTheStoreYourself.md",
    "Sources/WarmStart/WarmStart.docc/WhenADiskFails.md",
  ])
  func everyExampleOfThePageStandsInThisFile(page: String) {
    let source = "\n" + code(lines(of: #filePath)).joined(separator: "\n") + "\n"
    let blocks = swiftBlocks(of: lines(of: "\(Self.root)/\(page)"))
    #expect(!blocks.isEmpty)
    for block in blocks {
      let example = "\n" + code(block).joined(separator: "\n") + "\n"
      #expect(source.contains(example), "\(page):\(example)")
    }
  }

  private func lines(of path: String) -> [Substring] {
    String(decoding: contents(path), as: UTF8.self)
      .split(separator: "\n", omittingEmptySubsequences: false)
  }

  /// The blocks of Swift on a page, without those of a package's manifest.
  private func swiftBlocks(of page: [Substring]) -> [[Substring]] {
    var blocks: [[Substring]] = []
    var isOpen = false
    for line in page {
      if isOpen, line == "```" {
        isOpen = false
      } else if isOpen {
        blocks[blocks.count - 1].append(line)
      } else if line == "```swift" {
        isOpen = true
        blocks.append([])
      }
    }
    return blocks.filter { $0.first != "// Package.swift" }
  }

  /// What is compared: no indentation, nothing that only one file of a program has.
  private func code(_ lines: [Substring]) -> [Substring] {
    lines.map { line in
      let text = line.drop { $0 == " " }
      for word in ["private ", "@main "] where text.hasPrefix(word) {
        return text.dropFirst(word.count)
      }
      return text
    }.filter { !$0.isEmpty && !$0.hasPrefix("import ") }
  }
}
