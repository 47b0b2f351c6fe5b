// How small a store keeps itself, and what that costs.

import ArgumentParser
import Glibc
import WarmStart

/// What a directory holds.
struct Contents {
  var files = 0
  var bytes: UInt64 = 0

  /// Everything in the directory at this moment; what goes meanwhile counts or not.
  init(of path: String) {
    for name in names(in: path) {
      files += 1
      var status = stat()
      if lstat(path + "/" + name, &status) == 0 { bytes += UInt64(status.st_size) }
    }
  }
}

struct Overwrites: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Few keys, overwritten again and again, buffered: how large the directory becomes.")
  @Option(help: "how many") var keys = 1000
  @Option(help: "overwrites of each") var turns = 200
  @Option(help: "bytes, a multiple of 8") var payload = 4096
  @Option(help: "bytes of a segment") var segment: UInt64 = 1 << 20
  @Flag(inversion: .prefixedNo, help: "whether the store compacts itself") var upkeep = true
  @Option(help: directoryHelp) var dir: String?

  func run() throws {
    let directory = try ScratchDirectory(in: dir)
    defer { directory.remove() }
    let payloads = Payloads(bytes: payload)
    var options = StoreOptions()
    options.durability = .buffered
    options.producer = "benchmark"
    options.segmentLimit = segment
    options.sizeBudget = 0
    options.compactsByItself = upkeep
    let store = try WarmStartStore.open(at: directory.path, options: options)
    let run = RunID("run-00000042")!
    var measurement = Measurement(
      engine: "warmstart", workload: "overwrites\(upkeep ? "" : "/off")", payload: payload)
    var (most, excess) = (0 as UInt64, 0.0)
    for turn in 0..<turns {
      for number in 0..<keys {
        let index = turn * keys + number
        let payload = payloads[index]
        try measurement.time {
          try store.save(
            payload, for: key(number), objective: 1e9 - Double(index), iteration: UInt64(index),
            run: run)
        }
        guard index % 250 == 0, turn > 0 else { continue }
        let bytes = Contents(of: directory.path).bytes
        most = max(most, bytes)
        let live = try store.statistics.liveBytes
        excess = max(excess, Double(bytes) - 3 * Double(live) - Double(4 << 20))
      }
    }
    let live = try store.statistics.liveBytes
    try store.close()
    try WarmStartStore.open(at: directory.path, options: options).compact()
    measurement.extra = [
      ("live_bytes", Double(live)), ("most_bytes", Double(most)),
      ("over_3_live_and_4_mib", excess),
      ("compacted_per_live", Double(Contents(of: directory.path).bytes) / Double(live)),
    ]
    measurement.print()
  }
}

struct ShortFits: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Short fits one after another, each a process of its own: how many files they leave.")
  @Option(help: "how many") var fits = 10_000
  @Option(help: "bytes, a multiple of 8") var payload = 8192
  @Option(help: directoryHelp) var dir: String?

  func validate() throws {
    guard fits >= 8 else { throw ValidationError("--fits is at least 8, of which some are told") }
  }

  func run() throws {
    let directory = try ScratchDirectory(in: dir)
    defer { directory.remove() }
    var measurement = Measurement(engine: "warmstart", workload: "short-fits", payload: payload)
    var most = 0
    var opens: [Double] = []
    for number in 0..<fits {
      let output = try measurement.time {
        try Child(
          ["one-fit", directory.path, "\(number)", "--payload", "\(payload)"], captures: true
        ).output()
      }
      opens.append(Double(output.split(separator: "\n")[0]) ?? 0)
      most = max(most, Contents(of: directory.path).files)
    }
    func median(_ values: some Sequence<Double>) -> Double {
      let sorted = values.sorted()
      return sorted[sorted.count / 2]
    }
    measurement.extra = [
      ("most_files", Double(most)), ("bytes", Double(Contents(of: directory.path).bytes)),
      ("open_lookup_us_of_fits_8_to_12", median(opens.dropFirst(7).prefix(5))),
      ("open_lookup_us_of_last_20", median(opens.suffix(20))),
      ("open_lookup_us_worst_of_last_20", opens.suffix(20).max() ?? 0),
    ]
    measurement.print()
  }
}

struct OneFit: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "One short fit of short-fits; prints the microseconds of its open and first lookup.",
    shouldDisplay: false)
  @Argument var path: String
  @Argument var number: Int
  @Option var payload = 8192

  func run() throws {
    let payloads = Payloads(bytes: payload)
    let begin = now()
    var options = StoreOptions()
    options.producer = "benchmark"
    let store = try WarmStartStore.open(at: path, options: options)
    let found = try store.lookup(key(number))
    print(Double(now() - begin) / 1000)
    guard found == nil else { throw Failure("fit \(number) was done before") }
    let session = Session(store: store, key: key(number))
    for step in 0..<5 {
      let numbers = payloads[number * 6 + step]
      guard session.checkpoint(numbers, objective: Double(-step), iteration: UInt64(step)) else {
        throw Failure("no checkpoint: \(String(describing: session.lastError))")
      }
    }
    guard session.finalize(payloads[number * 6 + 5], objective: -5, iteration: 5) else {
      throw Failure("no final: \(String(describing: session.lastError))")
    }
    try store.close()
  }
}

struct Budget: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Processes that write more than the budget has room for: what the directory takes.")
  @Option(help: "how many") var writers = 8
  @Option(help: "bytes of the budget") var budget: UInt64 = 64 << 20
  @Option(help: "bytes that all write together, before compression") var total = 1 << 30
  @Option(help: "bytes, a multiple of 8") var payload = 16384
  @Option(help: directoryHelp) var dir: String?

  func validate() throws {
    guard writers > 0, payload > 0, total / writers / payload >= 20 else {
      throw ValidationError("--total is at least 20 payloads of each writer")
    }
  }

  func run() throws {
    let directory = try ScratchDirectory(in: dir)
    defer { directory.remove() }
    let measurement = Measurement(engine: "warmstart", workload: "budget", payload: payload)
    let each = total / writers / payload
    let children = try (0..<writers).map {
      try Child([
        "one-writer", directory.path, "\($0)", "--count", "\(each)", "--payload", "\(payload)",
        "--budget", "\(budget)",
      ])
    }
    var (most, samples) = (0 as UInt64, 0)
    while children.contains(where: \.isRunning) {
      most = max(most, Contents(of: directory.path).bytes)
      samples += 1
      usleep(1000)
    }
    for child in children { try child.wait() }
    let segment = min(budget / 16, 64 << 20)
    let bound = budget + segment * UInt64(writers + 1)
    let elapsed = measurement.elapsed
    print(
      "{\"engine\":\"warmstart\",\"workload\":\"budget\",\"samples\":\(samples),"
        + "\"seconds\":\(elapsed),\"most_bytes\":\(most),\"bound\":\(bound),"
        + "\"bytes_after\":\(Contents(of: directory.path).bytes)}")
    guard most <= bound else { throw Failure("over the bound") }
  }
}

struct OneWriter: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "One writer of budget: keys of its own, one of which it looks up again and again.",
    shouldDisplay: false)
  @Argument var path: String
  @Argument var number: Int
  @Option var count: Int
  @Option var payload: Int
  @Option var budget: UInt64

  func run() throws {
    let payloads = Payloads(bytes: payload)
    var options = StoreOptions()
    options.producer = "benchmark"
    options.durability = .buffered
    options.sizeBudget = budget
    let store = try WarmStartStore.open(at: path, options: options)
    func name(_ index: Int) -> Fingerprint { key(number << 32 | index) }
    for index in 0..<count {
      try store.save(payloads[index], for: name(index), iteration: UInt64(index))
      guard index % 64 == 0, try store.lookup(name(0)) == nil else { continue }
      throw Failure("what was looked up last is gone after \(index)")
    }
    for index in (count - 20)..<count {
      guard try store.lookup(name(index))?.iteration == UInt64(index) else {
        throw Failure("what was written last is gone: \(index) of \(count)")
      }
    }
    try store.close()
  }
}

struct Compaction: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "A store of which half is dead, compacted, beside cp and sync of the same bytes.")
  @Option(help: "bytes of the store") var bytes = 512 << 20
  @Option(help: "bytes, a multiple of 8") var payload = 16384
  @Option(help: directoryHelp) var dir: String?
  @Option(help: "fill this directory and do no more") var fill: String?

  func run() throws {
    if let fill { return try self.fill(fill) }
    let directory = try ScratchDirectory(in: dir)
    let other = try ScratchDirectory(in: dir)
    defer { directory.remove() }
    defer { other.remove() }
    try self.fill(directory.path)
    let before = Contents(of: directory.path).bytes
    try Child.shell("sync -f '\(directory.path)'")
    let copyingAll = try timeToCopy(directory.path, to: other.path)
    let begin = now()
    try Child(["one-compaction", directory.path]).wait()
    let compacting = Double(now() - begin) * 1e-9
    let after = Contents(of: directory.path).bytes
    let copyingLive = try timeToCopy(directory.path, to: other.path)
    print(
      "{\"engine\":\"warmstart\",\"workload\":\"compaction\",\"bytes_before\":\(before),"
        + "\"bytes_after\":\(after),\"seconds\":\(compacting),"
        + "\"cp_before_seconds\":\(copyingAll),\"cp_after_seconds\":\(copyingLive),"
        + "\"of_cp_before\":\(copyingAll / compacting),\"of_cp_after\":\(copyingLive / compacting)}"
    )
  }

  /// Seconds that `cp` of the segments and a sync take, the files new.
  private func timeToCopy(_ from: String, to other: String) throws -> Double {
    let start = now()
    try Child.shell("cp '\(from)'/*.seg '\(other)' && sync -f '\(other)'")
    let seconds = Double(now() - start) * 1e-9
    try Child.shell("rm -f '\(other)'/*.seg && sync -f '\(other)'")
    return seconds
  }

  private func fill(_ path: String) throws {
    let payloads = Payloads(bytes: payload)
    var options = StoreOptions()
    options.producer = "benchmark"
    options.durability = .buffered
    options.compactsByItself = false
    options.sizeBudget = 0
    let store = try WarmStartStore.open(at: path, options: options)
    var index = 0
    while try index % 1000 != 0 || store.statistics.totalBytes < bytes {
      // Every second one is dead by the one that follows.
      try store.save(
        payloads[index], for: key(index / 2), objective: -Double(index), iteration: UInt64(index))
      index += 1
    }
    try store.close()
  }
}

struct OneCompaction: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Compacts, and prints the peak of its memory.", shouldDisplay: false)
  @Argument var path: String

  func run() throws {
    var options = StoreOptions()
    options.sizeBudget = 0
    options.timeToLive = 0
    let store = try WarmStartStore.open(at: path, options: options)
    var opened = rusage()
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &opened)
    let begin = now()
    let report = try store.compact()
    let seconds = Double(now() - begin) * 1e-9
    var usage = rusage()
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    print(
      "{\"engine\":\"warmstart\",\"workload\":\"one-compaction\",\"seconds\":\(seconds),"
        + "\"merged\":\(report.mergedSegments),\"copied_bytes\":\(report.copiedBytes),"
        + "\"rss_bytes_when_open\":\(opened.ru_maxrss * 1024),"
        + "\"peak_rss_bytes\":\(usage.ru_maxrss * 1024)}")
  }
}
