// One fit's checkpoints: alone, in threads and in processes.

import ArgumentParser
import Foundation
import WarmStart

extension Measure {
  /// Enough zeros for the loop, at most 1 GiB: it ends early where they are used up.
  private var zerosAhead: Int {
    let wanted = (n > 0 ? n + 64 : 40_000) * (size + 256)
    return min(max(wanted, 64 << 20), 1 << 30) & ~((1 << 20) - 1)
  }

  /// One session, one key, record after record. Off the clock a worse checkpoint and a final; then all slots
  /// must be right after a reopen.
  func checkpoints(durable: Bool) throws {
    let payloads = Payloads(bytes: size)
    let key = key(0)
    let target = try options(durable: durable, zeros: zerosAhead).open()
    var measurement = measurement(durable ? "checkpoint-durable" : "checkpoint-buffered")
    var index = 0
    let (pace, room) = (pace, 2 * (size + 256))
    while pace.goesOn(index, measurement), target.hasRoom(room) {
      let item = Item(key, index, payloads[index])
      try measurement.time { try target.put(item) }
      index += 1
    }
    measurement.stop()
    let best = Item(key, index - 1, payloads[index - 1])
    var worse = Item(key, index, payloads[index])
    worse.objective = 2e9
    var final = Item(key, index + 1, payloads[index + 1])
    final.kind = .final
    // Not better than the best, so that each slot has one of its own.
    final.objective = 3e9
    try target.put(worse)
    try target.put(final)
    let begin = now()
    try target.close()
    measurement.extra = [("close_s", Double(now() - begin) * 1e-9)]
    measurement.noteUsage()
    measurement.bytesOnDisk = bytesOnDisk(store!)
    let again = try options(durable: durable).open()
    try expect(again, .best, best)
    // To the store a final is an entry like others, and the newest.
    try expect(again, .latest, engine == .warmstart ? final : worse)
    try expect(again, .final, final)
    try again.close()
    measurement.print()
  }

  /// Threads of one process, each with durable checkpoints of a key of its own.
  func group() throws {
    let payloads = Payloads(bytes: size)
    let target = try options(durable: true, zeros: 512 << 20).open()
    let count = threads ?? 4
    let ended = DispatchSemaphore(value: 0)
    let results = Results()
    let (pace, room) = (pace, count * (size + 256))
    var total = measurement("group/\(count)")
    for thread in 0..<count {
      Thread.detachNewThread {
        let key = key(thread)
        var own = self.measurement("group")
        var index = 0
        while pace.goesOn(index, own), target.hasRoom(room) {
          let item = Item(key, index, payloads[index])
          own.time {
            if let raw = target as? RawLog {
              try! raw.putTogether(item)
            } else {
              try! target.put(item)
            }
          }
          index += 1
        }
        results.add(own, of: thread)
        ended.signal()
      }
    }
    for _ in 0..<count { ended.wait() }
    total.stop()
    for result in results.all { total.add(result) }
    total.noteUsage()
    try target.close()
    total.bytesOnDisk = bytesOnDisk(store!)
    let again = try options(durable: true).open()
    for thread in 0..<count {
      // None where the zeros were used up before its turn.
      guard let done = results.counts[thread], done > 0 else { continue }
      let item = Item(key(thread), done - 1, payloads[done - 1])
      for slot in [Slot.best, .latest] { try expect(again, slot, item) }
    }
    try again.close()
    total.print()
  }

  // MARK: Processes

  private var each: Int { n > 0 ? n : 500 }

  /// Processes with durable checkpoints, each of a key of its own, in one directory.
  func processes() throws {
    // The directory is there before anybody opens it.
    try options(durable: true).open().close()
    let gate = store! + ".gate"
    mkfifo(gate, 0o600)
    defer { unlink(gate) }
    // Whoever has it open for reading waits for as long as somebody has it open for writing.
    let writer = Foundation.open(gate, O_RDWR | O_CLOEXEC)
    let children = try (0..<procs).map {
      try Child(words("one-process", store!, number: $0), captures: true)
    }
    for child in children { try expect(child.byte() != nil, "a process is ready") }
    var measurement = measurement("multiprocess/\(procs)")
    close(writer)
    for child in children {
      for word in try child.output().split(whereSeparator: \.isWhitespace) {
        if let latency = UInt64(word) { measurement.add(latency) }
      }
    }
    measurement.stop()
    measurement.noteUsage()
    measurement.bytesOnDisk = bytesOnDisk(store!)
    let target = try options(durable: true).open()
    let payloads = Payloads(bytes: size)
    for process in 0..<procs {
      let item = Item(key(process), each - 1, payloads[each - 1])
      for slot in [Slot.best, .latest] { try expect(target, slot, item) }
    }
    try target.close()
    measurement.print()
  }

  func oneProcess() throws {
    let payloads = Payloads(bytes: size)
    let target = try options(durable: true, zeros: 64 << 20).open()
    let key = key(number)
    let gate = Foundation.open(store! + ".gate", O_RDONLY)
    print("r", terminator: "")
    fflush(nil)
    var byte: UInt8 = 0
    _ = read(gate, &byte, 1)
    var latencies: [UInt64] = []
    latencies.reserveCapacity(each)
    for index in 0..<each {
      let item = Item(key, index, payloads[index])
      let start = now()
      try target.put(item)
      latencies.append(now() - start)
    }
    try target.close()
    print(latencies.map { " \($0)" }.joined())
  }
}

/// What threads have measured.
private final class Results: @unchecked Sendable {
  private let lock = NSLock()
  private(set) var all: [Measurement] = []
  /// Operations of each thread.
  private(set) var counts: [Int: Int] = [:]

  func add(_ measurement: Measurement, of thread: Int) {
    lock.withLock {
      all.append(measurement)
      counts[thread] = measurement.count
    }
  }
}

struct CheckpointBackground: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Checkpoints accepted by a session in the background, beside a copy of their bytes.")
  @Option(help: "bytes, a multiple of 8") var payload = 4 << 20
  @Option(help: "calls") var n = 200
  @Option(help: "milliseconds of the fit between two calls") var pause = 20.0
  @Option(help: directoryHelp) var dir: String?

  func run() throws {
    let directory = try ScratchDirectory(in: dir)
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
