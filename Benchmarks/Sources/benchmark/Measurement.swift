// One measurement, as one line of JSON.

import Glibc

/// Nanoseconds of the monotonic clock.
func now() -> UInt64 {
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

/// Latencies of many operations.
struct Measurement {
  var engine: String
  var workload: String
  var payload: Int
  private var latencies: [UInt64] = []
  private let begin = now()
  private var end: UInt64 = 0
  /// More members, in the order given.
  var extra: [(name: String, value: Double)] = []

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
    latencies.append(end - start)
    return result
  }

  /// Adds what another thread has measured.
  mutating func add(_ other: Measurement) {
    latencies += other.latencies
    end = max(end, other.end)
  }

  /// Seconds since the measurement began.
  var elapsed: Double { Double(now() - begin) * 1e-9 }

  /// Prints the line; `operations` where one timed call holds several.
  func print(operations: Int? = nil) {
    let sorted = latencies.sorted()
    let count = operations ?? sorted.count
    let seconds = Double(end - begin) * 1e-9
    func microseconds(_ quantile: Double) -> Double {
      sorted.isEmpty
        ? 0 : Double(sorted[min(Int(quantile * Double(sorted.count)), sorted.count - 1)]) / 1000
    }
    var usage = rusage()
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    var members: [(String, String)] = [
      ("engine", "\"\(engine)\""), ("workload", "\"\(workload)\""), ("payload", "\(payload)"),
      ("n", "\(count)"), ("seconds", "\(seconds)"), ("ops_per_s", "\(Double(count) / seconds)"),
      ("p50_us", "\(microseconds(0.5))"), ("p99_us", "\(microseconds(0.99))"),
      ("peak_rss_bytes", "\(usage.ru_maxrss * 1024)"),
    ]
    members += extra.map { ($0.name, "\($0.value)") }
    Swift.print("{" + members.map { "\"\($0.0)\":\($0.1)" }.joined(separator: ",") + "}")
    fflush(nil)
  }
}
