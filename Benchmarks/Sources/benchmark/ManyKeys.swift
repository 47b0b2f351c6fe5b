// Stores of many keys: loading, opening, looking up; and a few keys again and again.

import ArgumentParser
import Foundation
import WarmStart

extension Measure {
  /// Transactions of 1,000 records, with the kernel; latencies are those of transactions. A transaction is in
  /// one segment, so that those of short segments are as short as an eighth of one.
  func load(isTold: Bool) throws {
    let payloads = Payloads(bytes: size)
    let target = try options(durable: false).open()
    let batch = segment.map { min(max(Int($0 / 8) / (size + 256), 1), 1000) } ?? 1000
    var measurement = measurement("load-keys")
    for start in stride(from: 0, to: keyCount, by: batch) {
      try measurement.time {
        try target.put(
          (start..<min(start + batch, keyCount)).map { Item(key($0), $0, payloads[$0]) })
      }
    }
    measurement.stop()
    let begin = now()
    try target.close()
    measurement.extra = [
      ("close_s", Double(now() - begin) * 1e-9), ("files", Double(names(in: store!).count)),
    ]
    measurement.noteUsage()
    measurement.bytesOnDisk = bytesOnDisk(store!)
    measurement.extra.append(
      ("live_compressed_bytes", Double(payloads.compressedBytes(of: 0..<keyCount))))
    if isTold { measurement.print(operations: keyCount) }
  }

  /// Empties the page cache, but for this program; false without the right to.
  func dropCaches(_ name: String) -> Bool {
    mlockall(MCL_CURRENT)
    defer { munlockall() }
    sync()
    let file = Foundation.open("/proc/sys/vm/drop_caches", O_WRONLY)
    defer { if file >= 0 { close(file) } }
    if file >= 0, write(file, "3", 1) == 1 { return true }
    FileHandle.standardError.write(
      Data("\(name): not permitted to drop the page cache, skipped\n".utf8))
    return false
  }

  /// From before the open to the first lookup that found something.
  func open(_ name: String) throws {
    let payloads = Payloads(bytes: size)
    let index = keyCount / 2 + Int(getpid()) % max(min(1000, keyCount / 2), 1)
    let item = Item(key(index), index, payloads[index])
    let processor = Usage.now.processor
    var measurement = measurement(name)
    let (target, found) = try measurement.time {
      let target = try lookupOptions.open()
      return (target, try target.get(item.key, .best))
    }
    measurement.noteUsage()
    measurement.extra = [("open_cpu_s", Usage.now.processor - processor)]
    try expect(found?.iteration == item.iteration, "the record opened is the one asked for")
    measurement.bytesOnDisk = bytesOnDisk(store!)
    try expect(target, .best, item)
    measurement.print()
    try target.close()
  }

  /// Every key once before the clock starts, then keys by the dice.
  func lookUpRandomly() throws {
    let target = try lookupOptions.open()
    for index in 0..<keyCount {
      try expect(try target.get(key(index), .best) != nil, "every key is there")
    }
    let (count, keyCount, size, pace) = (threads ?? 1, keyCount, size, pace)
    let results = LookupResults()
    let ended = DispatchSemaphore(value: 0)
    var total = measurement("lookup-random")
    total.workload += "/t\(count)"
    for thread in 0..<count {
      Thread.detachNewThread {
        var own = self.measurement("lookup-random")
        var generator = Generator(seed: UInt64(7 + thread))
        var done = 0
        var isRight = true
        while pace.goesOnShortly(done, own) {
          let index = Int(generator.next() % UInt64(keyCount))
          let found = own.time { try? target.get(key(index), .best) }
          if found?.iteration != UInt64(index) || found?.payload.count != size { isRight = false }
          done += 1
        }
        results.add(own, isRight)
        ended.signal()
      }
    }
    for _ in 0..<count { ended.wait() }
    total.stop()
    try expect(results.areRight, "each lookup finds its record")
    for result in results.all { total.add(result) }
    total.noteUsage()
    try target.close()
    total.bytesOnDisk = bytesOnDisk(store!)
    total.print()
  }

  /// 1,000 keys, one of which is read again and again.
  func lookUpHot() throws {
    let payloads = Payloads(bytes: size)
    let filling = try options(durable: false).open()
    for index in 0..<1000 { try filling.put(Item(key(index), index, payloads[index])) }
    try filling.close()
    let target = try lookupOptions.open()
    let item = Item(key(500), 500, payloads[500])
    let (size, pace) = (size, pace)
    var measurement = measurement("lookup-hot")
    var done = 0
    var isRight = true
    while pace.goesOnShortly(done, measurement) {
      let found = try measurement.time { try target.get(item.key, .best) }
      if found?.iteration != 500 || found?.payload.count != size { isRight = false }
      done += 1
    }
    measurement.stop()
    try expect(isRight, "each lookup finds the record")
    try expect(target, .best, item)
    measurement.noteUsage()
    try target.close()
    measurement.bytesOnDisk = bytesOnDisk(store!)
    measurement.print()
  }

  /// Rounds over a few keys, each record a transaction; then whatever there is to give space back.
  func churn() throws {
    let payloads = Payloads(bytes: size)
    let rounds = n > 0 ? n : 200
    let target = try options(durable: false).open()
    var measurement = measurement("churn")
    for round in 0..<rounds {
      for number in 0..<keyCount {
        let item = Item(key(number), round, payloads[round * keyCount + number])
        try measurement.time { try target.put(item) }
      }
    }
    measurement.stop()
    let before = bytesOnDisk(store!)
    let begin = now()
    let name = try target.reclaim()
    let reclaiming = Double(now() - begin) * 1e-9
    try target.close()
    measurement.noteUsage()
    measurement.bytesOnDisk = bytesOnDisk(store!)
    let last = rounds - 1
    measurement.extra = [
      ("bytes_before", Double(before)), ("bytes_after", Double(measurement.bytesOnDisk)),
      ("live_payload_bytes", Double(keyCount * size)),
      (
        "live_compressed_bytes",
        Double(payloads.compressedBytes(of: last * keyCount..<(last + 1) * keyCount))
      ), ("reclaim_s", reclaiming),
    ]
    measurement.words = [("reclaim", name)]
    let again = try options(durable: false).open()
    for number in 0..<keyCount {
      try expect(again, .best, Item(key(number), last, payloads[last * keyCount + number]))
    }
    try again.close()
    measurement.print()
  }

  /// The rules of the slots, across reopening.
  func testSlots() throws {
    let payloads = Payloads(bytes: size)
    let plan: [(objective: Double, best: Int, latest: Int)] = [
      (5, 0, 0), (6, 0, 1), (6, 0, 2), (4, 3, 3), (4.5, 3, 4), (9, 3, 5), (3, 6, 6),
    ]
    for durable in [true, false] {
      let key = key(durable ? 1 : 0)
      func item(_ index: Int) -> Item {
        var item = Item(key, index, payloads[index])
        if index < plan.count { item.objective = plan[index].objective }
        return item
      }
      var target = try options(durable: durable).open()
      for slot in [Slot.best, .latest, .final] {
        try expect(try target.get(key, slot) == nil, "empty")
      }
      for (index, step) in plan.enumerated() {
        try target.put(item(index))
        for _ in 0..<2 {
          try expect(target, .best, item(step.best))
          try expect(target, .latest, item(step.latest))
          try target.close()
          target = try options(durable: durable).open()
        }
      }
      try expect(try target.get(key, .final) == nil, "no final yet")
      for index in [7, 8] {
        var final = item(index)
        (final.kind, final.objective) = (.final, 8)
        try target.put(final)
        for _ in 0..<2 {
          try expect(target, .final, final)
          try expect(target, .best, item(6))
          try target.close()
          target = try options(durable: durable).open()
        }
      }
      try target.close()
    }
    print(
      "{\"engine\":\"\(engine.rawValue)\",\"workload\":\"selftest\",\"payload\":\(size),\"ok\":true,"
        + "\"lz4_mean_bytes\":\(payloads.compressedBytes(of: 0..<payloads.count) / payloads.count)}"
    )
  }
}

/// What threads have measured, and whether what they found was right.
private final class LookupResults: @unchecked Sendable {
  private let lock = NSLock()
  private(set) var all: [Measurement] = []
  private(set) var areRight = true

  func add(_ measurement: Measurement, _ isRight: Bool) {
    lock.withLock {
      all.append(measurement)
      areRight = areRight && isRight
    }
  }
}
