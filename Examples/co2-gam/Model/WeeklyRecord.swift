// The weekly record: reading the CSV, dropping the weeks without a value, and the calendar that
// turns a date into a decimal year.

import Glibc

/// Carbon dioxide measured week by week; the weeks without a measurement are not in it.
public struct WeeklyRecord: Sendable, Equatable {
  /// Times in decimal years: 1 January at 0 h is the whole year, whatever the length of the year.
  public let times: [Double]
  /// Mole fractions in parts per million by volume, one for each time.
  public let values: [Double]

  /// A record of given weeks.
  ///
  /// - Parameters:
  ///   - times: Decimal years.
  ///   - values: Parts per million, as many as there are times.
  public init(times: [Double], values: [Double]) {
    precondition(times.count == values.count, "one value for each time")
    self.times = times
    self.values = values
  }

  /// The number of weeks with a value.
  public var count: Int { times.count }

  /// The calendar years in which there is at least one value, ascending.
  public var years: [Int] { Set(times.map { Int($0) }).sorted() }

  /// The first and the last time; `nil` for an empty record.
  public var span: ClosedRange<Double>? {
    guard let first = times.min(), let last = times.max() else { return nil }
    return first...last
  }

  /// The weeks that lie outside a calendar year, in their order.
  public func without(year: Int) -> WeeklyRecord { filtered { Int($0) != year } }

  /// The weeks that lie within a calendar year, in their order.
  public func only(year: Int) -> WeeklyRecord { filtered { Int($0) == year } }

  private func filtered(_ keeps: (Double) -> Bool) -> WeeklyRecord {
    let kept = times.indices.filter { keeps(times[$0]) }
    return WeeklyRecord(times: kept.map { times[$0] }, values: kept.map { values[$0] })
  }
}

/// Why a CSV file is not a weekly record.
public enum RecordError: Error, Equatable, CustomStringConvertible {
  /// The file cannot be read; the text is the system's reason.
  case unreadable(path: String, reason: String)
  /// A line is not "YYYYMMDD,number" or "YYYYMMDD,"; lines count from one.
  case malformed(line: Int)
  /// There are fewer weeks with a value than the model needs.
  case tooShort(weeks: Int)

  public var description: String {
    switch self {
    case .unreadable(let path, let reason): "cannot read \(path): \(reason)"
    case .malformed(let line): "line \(line) is not a date as YYYYMMDD, a comma and a number"
    case .tooShort(let weeks): "\(weeks) weeks with a value are too few to fit the model"
    }
  }
}

extension WeeklyRecord {
  /// Reads the record from a CSV file with one heading line.
  ///
  /// - Parameter path: The file; see `data/SOURCE.md` for its columns.
  public init(contentsOf path: String) throws(RecordError) {
    guard let file = fopen(path, "r") else {
      throw .unreadable(path: path, reason: String(cString: strerror(errno)))
    }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let count = fread(&chunk, 1, chunk.count, file)
      if count == 0 { break }
      bytes.append(contentsOf: chunk[..<count])
    }
    if ferror(file) != 0 {
      throw .unreadable(path: path, reason: String(cString: strerror(errno)))
    }
    try self.init(csv: String(decoding: bytes, as: UTF8.self))
  }

  /// Parses the text of such a file.
  public init(csv text: String) throws(RecordError) {
    var times: [Double] = []
    var values: [Double] = []
    let lines = text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline)
    for (index, line) in lines.enumerated().dropFirst() where !line.isEmpty {
      let fields = line.split(separator: ",", omittingEmptySubsequences: false)
      guard fields.count == 2, let time = decimalYear(date: fields[0]) else {
        throw .malformed(line: index + 1)
      }
      if fields[1].isEmpty { continue }
      guard let value = Double(fields[1]), value.isFinite else {
        throw .malformed(line: index + 1)
      }
      times.append(time)
      values.append(value)
    }
    self.init(times: times, values: values)
  }
}

/// The decimal year at 0 h of a date of the Gregorian calendar.
///
/// - Parameter date: Eight digits, YYYYMMDD.
/// - Returns: `nil` unless it is a date.
func decimalYear(date: Substring) -> Double? {
  guard date.utf8.count == 8, date.utf8.allSatisfy({ (48...57).contains($0) }),
    let number = Int(date)
  else { return nil }
  let (year, month, day) = (number / 10_000, number / 100 % 100, number % 100)
  let isLeap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0
  let lengths = [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
  guard (1...12).contains(month), (1...lengths[month - 1]).contains(day) else { return nil }
  let dayOfYear = lengths[..<(month - 1)].reduce(0, +) + day - 1
  return Double(year) + Double(dayOfYear) / (isLeap ? 366 : 365)
}
