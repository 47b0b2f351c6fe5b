// One measurement, as one line of JSON.

import Glibc

/// Nanoseconds of the monotonic clock.
func now() -> UInt64 {
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

/// How much of the machine this process has used.
struct Usage {
  /// Bytes.
  var peakMemory: Int
  /// Seconds of user and system time.
  var processor: Double

  static var now: Usage {
    var usage = rusage()
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    func seconds(_ time: timeval) -> Double { Double(time.tv_sec) + Double(time.tv_usec) * 1e-6 }
    return Usage(
      peakMemory: usage.ru_maxrss * 1024,
      processor: seconds(usage.ru_utime) + seconds(usage.ru_stime))
  }
}

/// Latencies in buckets of at most a 128th of their value, so that measuring takes little memory.
struct Histogram {
  private var buckets = [UInt32](repeating: 0, count: 128 * 58)
  private(set) var count = 0

  mutating func add(_ nanoseconds: UInt64) {
    buckets[Self.bucket(nanoseconds)] += 1
    count += 1
  }

  mutating func add(_ other: Histogram) {
    for index in buckets.indices { buckets[index] += other.buckets[index] }
    count += other.count
  }

  private static func bucket(_ nanoseconds: UInt64) -> Int {
    guard nanoseconds >= 256 else { return Int(nanoseconds) }
    let shift = 63 - nanoseconds.leadingZeroBitCount - 7
    return shift * 128 + Int(nanoseconds >> UInt64(shift))
  }

  /// The middle of a bucket, nanoseconds.
  private static func middle(_ bucket: Int) -> Double {
    guard bucket >= 256 else { return Double(bucket) }
    return (Double(bucket % 128 + 128) + 0.5) * Double(1 << UInt64(bucket / 128 - 1))
  }

  /// By nearest rank, microseconds.
  func quantile(_ part: Double) -> Double {
    let rank = max(Int((part * Double(count)).rounded(.up)), 1)
    var seen = 0
    for (bucket, number) in buckets.enumerated() {
      seen += Int(number)
      if seen >= rank { return Self.middle(bucket) / 1000 }
    }
    return 0
  }
}

/// Latencies of many operations, and what else is told of them.
struct Measurement {
  var engine: String
  var workload: String
  var payload: Int
  private var latencies = Histogram()
  private let begin = now()
  private var end: UInt64 = 0
  private var stopped: UInt64?
  private var used: Usage?
  /// Bytes of the blocks on disk.
  var bytesOnDisk: UInt64 = 0
  /// More members, in the order given.
  var extra: [(name: String, value: Double)] = []
  /// Words that go with them.
  var words: [(name: String, value: String)] = []

  init(engine: String, workload: String, payload: Int) {
    self.engine = engine
    self.workload = workload
    self.payload = payload
  }

  /// Runs and times one operation.
  mutating func time<Result>(_ body: () throws -> Result) rethrows -> Result {
    let start = now()
    let result = try body()
    end = now()
    latencies.add(end - start)
    return result
  }

  /// Adds what was timed elsewhere.
  mutating func add(_ nanoseconds: UInt64) {
    latencies.add(nanoseconds)
    end = now()
  }

  /// Adds what another thread has measured.
  mutating func add(_ other: Measurement) {
    latencies.add(other.latencies)
    end = max(end, other.end)
  }

  /// Seconds since the measurement began.
  var elapsed: Double { Double(now() - begin) * 1e-9 }
  /// Operations that were timed.
  var count: Int { latencies.count }

  /// The clock stops here, rather than with the last operation.
  mutating func stop() { stopped = now() }
  /// What the process has used up to here is what is told.
  mutating func noteUsage() { used = Usage.now }

  /// Prints the line; `operations` where one timed call holds several.
  func print(operations: Int? = nil) {
    let count = operations ?? latencies.count
    let seconds = Double((stopped ?? end) - begin) * 1e-9
    let usage = used ?? Usage.now
    var members: [(String, String)] = [
      ("engine", "\"\(engine)\""), ("workload", "\"\(workload)\""), ("payload", "\(payload)"),
      ("n", "\(count)"), ("seconds", "\(seconds)"), ("ops_per_s", "\(Double(count) / seconds)"),
      ("p50_us", "\(latencies.quantile(0.5))"), ("p99_us", "\(latencies.quantile(0.99))"),
      ("p999_us", "\(latencies.quantile(0.999))"), ("bytes_on_disk", "\(bytesOnDisk)"),
      ("peak_rss_bytes", "\(usage.peakMemory)"), ("cpu_s", "\(usage.processor)"),
    ]
    members += extra.map { ($0.name, "\($0.value)") }
    members += words.map { ($0.name, "\"\($0.value)\"") }
    Swift.print("{" + members.map { "\"\($0.0)\":\($0.1)" }.joined(separator: ",") + "}")
    fflush(nil)
  }
}
