// What the store costs, beside the bare disk.

import ArgumentParser
import Glibc
import WarmStart

enum EngineName: String, ExpressibleByArgument, CaseIterable {
  case warmstart
  /// A frame of 72 bytes and the payload as it is, one pwrite and one fdatasync, the file growing.
  case raw
}

@main
struct Benchmark: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "benchmark", abstract: "Measures the store, or the bare disk.",
    subcommands: [
      CheckpointDurable.self, CheckpointBuffered.self, CheckpointBackground.self, Group.self,
      Keys.self, Overwrites.self, ShortFits.self, OneFit.self, Budget.self, OneWriter.self,
      Compaction.self, OneCompaction.self,
    ])
}

struct LoopOptions: ParsableArguments {
  @Option(help: "warmstart or raw") var engine: EngineName = .warmstart
  @Option(help: "bytes, a multiple of 8") var payload = 1024
  @Option(help: "length of the loop") var seconds = 2.0
  @Option(help: "where the temporary directory goes") var dir = "/tmp"

  func validate() throws {
    guard payload > 0, payload % 8 == 0 else {
      throw ValidationError("--payload is a positive multiple of 8")
    }
  }

  func run(durable: Bool) throws {
    let directory = ScratchDirectory(in: dir)
    defer { directory.remove() }
    let name = durable ? "checkpoint-durable" : "checkpoint-buffered"
    switch engine {
    case .raw: try raw(directory.path, name, durable: durable)
    case .warmstart: try warmstart(directory.path, name, durable: durable)
    }
  }

  private func raw(_ path: String, _ name: String, durable: Bool) throws {
    let payloads = Payloads(bytes: payload)
    let file = open(path + "/raw", O_RDWR | O_CREAT, 0o600)
    guard file >= 0 else { throw ValidationError("cannot create a file in \(dir)") }
    defer { close(file) }
    var frame = [UInt8](repeating: 0x5a, count: 72 + payload)
    var offset = 0
    var index = 0
    var measurement = Measurement(engine: "raw", workload: name, payload: payload)
    while measurement.elapsed < seconds {
      measurement.time {
        frame.replaceSubrange(72..., with: payloads[index])
        precondition(pwrite(file, frame, frame.count, off_t(offset)) == frame.count)
        if durable { precondition(fdatasync(file) == 0) }
      }
      offset += frame.count
      index += 1
    }
    measurement.print()
  }

  private func warmstart(_ path: String, _ name: String, durable: Bool) throws {
    let payloads = Payloads(bytes: payload)
    var options = StoreOptions()
    options.durability = durable ? .synced : .buffered
    options.producer = "benchmark"
    let store = try WarmStartStore.open(at: path, options: options)
    let run = RunID("run-00000042")!
    let key = key(0)
    var index = 0
    var measurement = Measurement(engine: "warmstart", workload: name, payload: payload)
    while measurement.elapsed < seconds {
      let payload = payloads[index]
      try measurement.time {
        try store.save(
          payload, for: key, objective: 1e9 - Double(index), iteration: UInt64(index), run: run)
      }
      index += 1
    }
    let begin = now()
    try store.close()
    measurement.extra = [("close_s", Double(now() - begin) * 1e-9)]
    measurement.print()
    let entry = try WarmStartStore.openReadOnly(at: path).lookupBest(key)
    guard entry?.iteration == UInt64(index - 1), entry?.payload == payloads[index - 1] else {
      throw ValidationError("verification failed: the last checkpoint is not the best")
    }
  }
}

struct CheckpointDurable: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "One session, one key, each checkpoint on stable storage before the next.")
  @OptionGroup var loop: LoopOptions
  func run() throws { try loop.run(durable: true) }
}

struct CheckpointBuffered: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "The same, each checkpoint with the kernel.")
  @OptionGroup var loop: LoopOptions
  func run() throws { try loop.run(durable: false) }
}

struct Keys: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Many keys: load, open and first lookup with warm files, random lookups.")
  @Option(help: "how many") var keys = 100_000
  @Option(help: "bytes, a multiple of 8") var payload = 256
  @Option(help: "opens") var opens = 5
  @Option(help: "length of the lookup loop") var seconds = 2.0
  @Option(help: "where the temporary directory goes") var dir = "/tmp"

  func run() throws {
    let directory = ScratchDirectory(in: dir)
    defer { directory.remove() }
    try load(directory.path)
    try open(directory.path)
    try lookups(directory.path)
  }

  private func load(_ path: String) throws {
    let payloads = Payloads(bytes: payload)
    var options = StoreOptions()
    options.durability = .buffered
    options.producer = "benchmark"
    let store = try WarmStartStore.open(at: path, options: options)
    let run = RunID("run-00000042")!
    var measurement = Measurement(
      engine: "warmstart", workload: "load-keys/\(keys)", payload: payload)
    for start in stride(from: 0, to: keys, by: 1000) {
      try measurement.time {
        try store.save(
          (start..<min(start + 1000, keys)).map {
            NewEntry(
              payloads[$0], for: key($0), objective: 1e9 - Double($0), iteration: UInt64($0),
              run: run)
          })
      }
    }
    let begin = now()
    try store.close()
    measurement.extra = [("close_s", Double(now() - begin) * 1e-9)]
    measurement.print(operations: keys)
  }

  private func open(_ path: String) throws {
    for attempt in 0..<opens {
      var measurement = Measurement(
        engine: "warmstart", workload: "open-warm/\(keys)", payload: payload)
      let index = keys / 2 + attempt
      let entry = try measurement.time {
        try WarmStartStore.openReadOnly(at: path).lookupBest(key(index))
      }
      guard entry?.iteration == UInt64(index) else {
        throw ValidationError("verification failed: the key asked for is not there")
      }
      measurement.print()
    }
  }

  private func lookups(_ path: String) throws {
    let store = try WarmStartStore.openReadOnly(at: path)
    var generator = Generator(seed: 7)
    var measurement = Measurement(
      engine: "warmstart", workload: "lookup-random/\(keys)/t1", payload: payload)
    while measurement.elapsed < seconds {
      let index = Int(generator.next() % UInt64(keys))
      let key = key(index)
      let entry = try measurement.time { try store.lookupBest(key) }
      guard entry?.iteration == UInt64(index) else {
        throw ValidationError("verification failed: key \(index)")
      }
    }
    measurement.print()
  }
}

/// A directory that is removed with its files.
struct ScratchDirectory {
  let path: String

  init(in base: String) {
    var template = Array("\(base)/warmstart-bench-XXXXXX".utf8CString)
    precondition(mkdtemp(&template) != nil, "cannot make a directory in \(base)")
    path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  func remove() {
    for name in names(in: path) { unlink(path + "/" + name) }
    rmdir(path)
  }
}

/// The names in a directory.
func names(in path: String) -> [String] {
  guard let directory = opendir(path) else { return [] }
  defer { closedir(directory) }
  var names: [String] = []
  while let entry = readdir(directory) {
    // An entry is no longer than its name needs.
    let name = UnsafeRawPointer(entry).advanced(by: MemoryLayout<dirent>.offset(of: \.d_name)!)
    names.append(String(cString: name.assumingMemoryBound(to: CChar.self)))
  }
  return names.filter { $0 != "." && $0 != ".." }
}
