// Sizes, ages and moments as people read them.

import Glibc
import WarmStart

/// Numbers in words.
package enum Quantity {
  /// Such as `512 B` or `1.4 MiB`.
  package static func bytes(_ count: UInt64) -> String {
    guard count >= 1024 else { return "\(count) B" }
    var value = Double(count)
    var unit = ""
    for name in ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"] where value >= 1023.95 || unit.isEmpty {
      value /= 1024
      unit = name
    }
    return tenths(value) + " " + unit
  }

  /// Such as `1 place` or `2 places`.
  static func count(_ number: Int, _ what: String, plural: String? = nil) -> String {
    "\(number) \(number == 1 ? what : plural ?? what + "s")"
  }

  /// The exact number, and in words where that is shorter.
  static func exactBytes(_ count: UInt64) -> String {
    count < 1024 ? "\(count)" : "\(count) (\(bytes(count)))"
  }

  /// The time since a moment, in its largest unit; a moment to come is now.
  static func age(ofNanoseconds moment: UInt64) -> String {
    let now = Host.system.wallClock()
    return duration(seconds: moment < now ? Double(now - moment) / 1e9 : 0)
  }

  /// Such as `3 s`, `12 min`, `5 h` or `40 d`.
  package static func duration(seconds: Double) -> String {
    switch seconds {
    case ..<120: "\(Int(seconds)) s"
    case ..<7200: "\(Int(seconds / 60)) min"
    case ..<172_800: "\(Int(seconds / 3600)) h"
    default: "\(Int(min(seconds, 1e15) / 86_400)) d"
    }
  }

  /// The moment in UTC, such as `2024-05-01 12:00:00Z`.
  package static func moment(nanoseconds: UInt64) -> String {
    var seconds = time_t(nanoseconds / 1_000_000_000)
    var parts = tm()
    gmtime_r(&seconds, &parts)
    func two(_ number: Int32) -> String { number < 10 ? "0\(number)" : "\(number)" }
    return "\(parts.tm_year + 1900)-\(two(parts.tm_mon + 1))-\(two(parts.tm_mday)) "
      + "\(two(parts.tm_hour)):\(two(parts.tm_min)):\(two(parts.tm_sec))Z"
  }

  /// One digit behind the point.
  static func tenths(_ value: Double) -> String {
    let tenths = Int((value * 10).rounded())
    return "\(tenths / 10).\(tenths % 10)"
  }
}
