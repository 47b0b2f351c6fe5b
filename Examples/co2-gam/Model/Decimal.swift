import Glibc

/// A number with a fixed number of decimals, for people; `-0` is written as `0`.
///
/// - Parameters:
///   - value: Finite and below 10¹² in size; anything else is written in full.
///   - places: Decimals, at most six.
public func decimal(_ value: Double, places: Int) -> String {
  precondition((0...6).contains(places))
  guard value.isFinite, abs(value) < 1e12 else { return "\(value)" }
  let scale = (0..<places).reduce(1) { power, _ in power * 10 }
  let units = Int((value * Double(scale)).rounded())
  let sign = units < 0 ? "-" : ""
  let (whole, rest) = abs(units).quotientAndRemainder(dividingBy: scale)
  if places == 0 { return "\(sign)\(whole)" }
  let digits = String(rest)
  return "\(sign)\(whole)." + String(repeating: "0", count: places - digits.count) + digits
}
