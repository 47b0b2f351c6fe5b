// Threads that share syncs, and saves that are accepted and written behind the caller's back.

import ArgumentParser
import Foundation
import WarmStart

struct Group: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Many threads of one process, each with durable checkpoints of a key of its own.")
  @Option(help: "how many") var threads = 16
  @Option(help: "bytes, a multiple of 8") var payload = 1024
  @Option(help: "length of the loop") var seconds = 2.0
  @Option(help: "where the temporary directory goes") var dir = "/tmp"

  func run() throws {
    let directory = ScratchDirectory(in: dir)
    defer { directory.remove() }
    var options = StoreOptions()
    options.producer = "benchmark"
    let store = try WarmStartStore.open(at: directory.path, options: options)
    let payloads = Payloads(bytes: payload)
    let (threads, seconds, payload) = (threads, seconds, payload)
    let ended = DispatchSemaphore(value: 0)
    let results = Results()
    var total = Measurement(engine: "warmstart", workload: "group/\(threads)", payload: payload)
    for thread in 0..<threads {
      Thread.detachNewThread {
        let (run, key) = (RunID("run-\(thread)")!, key(thread))
        var own = Measurement(engine: "warmstart", workload: "group", payload: payload)
        var index = 0
        while own.elapsed < seconds {
          own.time {
            try! store.save(
              payloads[index], for: key, objective: 1e9 - Double(index),
              iteration: UInt64(index), run: run)
          }
          index += 1
        }
        results.add(own)
        ended.signal()
      }
    }
    for _ in 0..<threads { ended.wait() }
    for result in results.all { total.add(result) }
    total.print()
    try store.close()
  }
}

/// What threads have measured.
private final class Results: @unchecked Sendable {
  private let lock = NSLock()
  private(set) var all: [Measurement] = []

  func add(_ measurement: Measurement) { lock.withLock { all.append(measurement) } }
}

struct CheckpointBackground: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Checkpoints accepted by a session in the background, beside a copy of their bytes.")
  @Option(help: "bytes, a multiple of 8") var payload = 4 << 20
  @Option(help: "calls") var n = 200
  @Option(help: "milliseconds of the fit between two calls") var pause = 20.0
  @Option(help: "where the temporary directory goes") var dir = "/tmp"

  func run() throws {
    let directory = ScratchDirectory(in: dir)
    defer { directory.remove() }
    var options = StoreOptions()
    options.producer = "benchmark"
    options.durability = .background
    let store = try WarmStartStore.open(at: directory.path, options: options)
    let session = Session(store: store, key: key(0), checkpointInterval: 0)
    let payloads = Payloads(bytes: payload)
    let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: payload, alignment: 4096)
    defer { copy.deallocate() }
    let name = "checkpoint-background"
    var calls = Measurement(engine: "warmstart", workload: name, payload: payload)
    var copies = Measurement(engine: "memcpy", workload: name, payload: payload)
    // In turns, so that both meet the same machine; each leaves a fit's own work behind it.
    for index in 0..<n {
      let bytes = payloads[index]
      fit()
      copies.time { bytes.withUnsafeBytes { copy.copyMemory(from: $0) } }
      fit()
      calls.time { precondition(session.checkpoint(bytes, objective: -Double(index))) }
    }
    try store.close()
    copies.print()
    calls.print()
  }

  /// Keeps the processor busy, as a fit does.
  private func fit() {
    let end = now() + UInt64(pause * 1e6)
    var sum = 0.0
    while now() < end { for index in 0..<100 { sum += Double(index).squareRoot() } }
    precondition(sum >= 0)
  }
}
