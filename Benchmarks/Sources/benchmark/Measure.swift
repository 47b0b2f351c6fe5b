// The workloads that are the same for every store: what they take from the command line, and their steps, each
// a process of its own.

import ArgumentParser
import Foundation
import WarmStart

enum WorkloadName: String, ExpressibleByArgument, CaseIterable {
  case checkpointDurable = "checkpoint-durable"
  case checkpointBuffered = "checkpoint-buffered"
  case keys
  case loadKeys = "load-keys"
  case open
  case lookupRandom = "lookup-random"
  case scale
  case lookupHot = "lookup-hot"
  case group
  case multiprocess
  case churn
  case selftest

  /// Whether it is about many keys.
  var isKeyed: Bool { [.keys, .loadKeys, .open, .lookupRandom, .scale].contains(self) }
  var defaultPayload: Int {
    if isKeyed { return 256 }
    switch self {
    case .churn: return 4096
    case .lookupHot, .multiprocess: return 16384
    default: return 1024
    }
  }
}

extension EngineName: ExpressibleByArgument {}

let directoryHelp: ArgumentHelp = "where the temporary directory goes (TMPDIR, or /tmp)"

struct Measure: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "measure",
    abstract: "Runs a workload and prints one JSON line per measurement.",
    discussion: """
      checkpoint-durable, checkpoint-buffered: one session, one key. keys: load-keys, open and lookup-random of \
      many. scale: those and saves and a compaction of the same store. lookup-hot: one of 1,000 keys again and again. group: threads with durable checkpoints. multiprocess: \
      processes with durable checkpoints. churn: 200 rounds over 1,000 keys. selftest: the three slots across \
      reopening.
      """)

  @Argument(help: "which") var workload: WorkloadName
  @Option(help: "warmstart, raw or raw-prealloc") var engine = EngineName.warmstart
  @Option(help: directoryHelp) var dir: String?
  @Option(help: "bytes, a multiple of 8") var payload: Int?
  @Option(help: "operations, instead of seconds") var n = 0
  @Option(help: "length of a timed loop") var seconds = 3.0
  @Option(help: "how many keys") var keys: Int?
  @Option(help: "how many threads (1 and then 2 that look up, 4 of group)") var threads: Int?
  @Option(help: "how many processes") var procs = 4
  @Option(help: "how many opens of each kind") var opens = 3
  @Option(help: "bytes after which the store begins a new segment; nothing is merged then")
  var segment: UInt64?
  @Flag(help: "threads share syncs; the store always has it so") var combine = false
  @Flag(help: "stores are opened read-only for lookups") var readOnly = false
  @Option(help: "a directory that is there, and stays, for --step") var store: String?
  @Option(help: "do this step only, of those that the lines printed are named after, or load")
  var step: String?
  @Option(help: .hidden) var number = 0

  var size: Int { payload ?? workload.defaultPayload }
  var keyCount: Int { keys ?? (workload == .churn ? 1000 : 100_000) }

  func validate() throws {
    guard size > 0, size % 8 == 0 else {
      throw ValidationError("--payload is a positive multiple of 8")
    }
    guard keyCount > 0, procs > 0, (threads ?? 1) > 0, n >= 0, seconds > 0, opens >= 0 else {
      throw ValidationError("counts and seconds are positive")
    }
    guard segment ?? 0 <= 1 << 40 else { throw ValidationError("--segment is at most 1 TiB") }
    guard (step == nil) == (store == nil) else {
      throw ValidationError("--step needs --store, and the other way round")
    }
  }

  func run() throws {
    if let step { return try perform(step) }
    let base = dir ?? ProcessInfo.processInfo.environment["TMPDIR"] ?? "/tmp"
    let directory = try ScratchDirectory(in: base)
    defer { directory.remove() }
    guard workload.isKeyed else { return try inProcess(workload.rawValue, directory) }
    let isAll = workload == .keys || workload == .scale
    try inProcess(isAll || workload == .loadKeys ? "load" : "load-quietly", directory)
    if isAll || workload == .open {
      try inProcess("open-first", directory)
      for _ in 0..<opens { try inProcess("open-warm", directory) }
      for _ in 0..<opens { try inProcess("open-cold", directory) }
    }
    guard isAll || workload == .lookupRandom else { return }
    for count in threads.map({ [$0] }) ?? [1, 2] {
      try inProcess("lookup-random", directory, threads: count)
    }
    guard workload == .scale else { return }
    try inProcess("save-durable", directory)
    try inProcess("compact", directory)
  }

  /// Runs a step in a process of its own.
  private func inProcess(
    _ step: String, _ directory: ScratchDirectory, threads: Int? = nil
  ) throws { try Child(words(step, directory.path, threads: threads)).wait() }

  /// The words that make this program run a step.
  func words(_ step: String, _ path: String, threads: Int? = nil, number: Int = 0) -> [String] {
    var words = [
      "measure", workload.rawValue, "--engine", engine.rawValue, "--payload", "\(size)", "--n",
      "\(n)", "--seconds", "\(seconds)", "--keys", "\(keyCount)", "--procs", "\(procs)", "--store",
      path, "--step", step, "--number", "\(number)",
    ]
    if let segment { words += ["--segment", "\(segment)"] }
    if readOnly { words.append("--read-only") }
    if let threads = threads ?? self.threads { words += ["--threads", "\(threads)"] }
    return words
  }

  private func perform(_ step: String) throws {
    switch step {
    case "checkpoint-durable": try checkpoints(durable: true)
    case "checkpoint-buffered": try checkpoints(durable: false)
    case "load": try load(isTold: true)
    case "load-quietly": try load(isTold: false)
    case "open-first", "open-warm": try open(step)
    case "open-cold": if dropCaches(step) { try open(step) }
    case "lookup-random": try lookUpRandomly()
    case "save-durable": try saveDurably()
    case "compact": try compactHalf()
    case "lookup-hot": try lookUpHot()
    case "group": try group()
    case "multiprocess": try processes()
    case "one-process": try oneProcess()
    case "churn": try churn()
    case "selftest": try testSlots()
    default: throw Failure("no step \(step)")
    }
  }

  // MARK: Shared by the steps

  func options(durable: Bool, zeros: Int = 0) -> TargetOptions {
    TargetOptions(
      engine: engine, path: store!, durable: durable,
      zeros: engine == .rawPrealloc ? zeros : 0, segment: segment)
  }

  /// Of a process that only looks up. The store is open for writing, as a fit has it, and notes what is looked up,
  /// unless it is to be read-only; the bare log takes no lock then.
  var lookupOptions: TargetOptions {
    var options = options(durable: true)
    options.isReadOnly = readOnly || engine != .warmstart
    return options
  }

  func measurement(_ name: String) -> Measurement {
    let name = workload.isKeyed ? "\(name)/\(keyCount)" : name
    return Measurement(engine: engine.rawValue, workload: name, payload: size)
  }

  /// How long a loop goes on. Taken out of the options once: to ask those takes as long as a lookup.
  var pace: Pace { Pace(n: n, seconds: seconds) }

  func expect(_ isRight: Bool, _ what: String) throws {
    guard isRight else { throw Failure("verification failed: \(what)") }
  }

  /// The record read back is that one.
  func expect(_ target: any Target, _ slot: Slot, _ item: Item) throws {
    guard let found = try target.get(item.key, slot) else {
      throw Failure("verification failed: nothing in slot \(slot)")
    }
    try expect(found.iteration == item.iteration, "iteration of slot \(slot)")
    try expect(found.objective == item.objective, "objective of slot \(slot)")
    try expect(found.payload == item.payload, "payload of slot \(slot)")
    try expect(found.kind == item.kind, "kind of slot \(slot)")
    try expect(found.run == Item.run, "run of slot \(slot)")
  }
}

/// How long a timed loop goes on: so many operations, or, if that is 0, so many seconds.
struct Pace {
  var n: Int
  var seconds: Double

  /// Whether a loop that has come to `count` goes on.
  func goesOn(_ count: Int, _ measurement: Measurement) -> Bool {
    n > 0 ? count < n : measurement.elapsed < seconds
  }

  /// The same, asked for each of very many short operations.
  func goesOnShortly(_ count: Int, _ measurement: Measurement) -> Bool {
    n > 0 ? count < n : count % 64 != 0 || measurement.elapsed < seconds
  }
}
