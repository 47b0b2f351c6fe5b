// A line search for the strong Wolfe conditions: bracketing, then cubic interpolation within the
// bracket (Nocedal & Wright 2006, Numerical Optimization, sections 3.1 and 3.5). Close to a minimum
// the values of a function drown in rounding long before its derivatives do; there the approximate
// Wolfe condition of Hager & Zhang (2005, SIAM J. Optim. 16:170-192) stands in for the first one.

/// A function's value together with its derivatives.
public protocol Differentiated {
  /// The value; infinite where the function is not defined.
  var value: Double { get }
  /// The derivatives.
  var gradient: [Double] { get }
}

/// The search along one descent direction.
struct LineSearch<Value: Differentiated> {
  /// A step, the function there, and its derivative along the direction.
  struct Trial {
    var step: Double
    var result: Value
    var slope: Double
  }

  /// The decrease that is asked for, as a fraction of what the slope promises.
  private let decrease = 1e-4
  /// The slope that may remain, as a fraction of the slope at the start.
  private let curvature = 0.9
  /// What rounding may do to a value, relative to it.
  private let rounding = 1e-12
  private let limit = 40

  let startValue: Double
  let startSlope: Double
  let longestStep: Double

  /// Searches from a first step.
  ///
  /// - Returns: `nil` if no step was found to be good enough.
  func run(firstStep: Double, evaluate: (Double) -> Trial) -> Trial? {
    var low = (step: 0.0, value: startValue, slope: startSlope)
    var high: (step: Double, value: Double, slope: Double)?
    var step = min(firstStep, longestStep)
    for _ in 0..<limit {
      let trial = evaluate(step)
      let point = (step: step, value: trial.result.value, slope: trial.slope)
      if !isLower(trial) {
        high = point
      } else if abs(trial.slope) <= -curvature * startSlope {
        return trial
      } else if trial.slope > 0 {
        high = point
      } else if step == longestStep {
        return trial
      } else {
        low = point
      }
      if let high {
        if high.step - low.step <= low.step * 1e-15 { return nil }
        step = Self.interpolate(low, high)
      } else {
        step = min(2 * step, longestStep)
      }
    }
    return nil
  }

  /// Whether a trial is low enough: the first Wolfe condition, or the approximate one as long as
  /// the values cannot be told apart.
  private func isLower(_ trial: Trial) -> Bool {
    let value = trial.result.value
    guard value.isFinite else { return false }
    if value <= startValue + decrease * trial.step * startSlope { return true }
    return value <= startValue + rounding * abs(startValue)
      && trial.slope <= (2 * decrease - 1) * startSlope
  }

  /// The minimum of the cubic through two values and slopes, kept away from both ends; the middle
  /// where there is none.
  private static func interpolate(
    _ low: (step: Double, value: Double, slope: Double),
    _ high: (step: Double, value: Double, slope: Double)
  ) -> Double {
    let width = high.step - low.step
    guard high.value.isFinite else { return low.step + 0.1 * width }
    let d1 = low.slope + high.slope - 3 * (high.value - low.value) / width
    let square = d1 * d1 - low.slope * high.slope
    guard square >= 0 else { return low.step + 0.5 * width }
    let d2 = square.squareRoot()
    let fraction = 1 - (high.slope + d2 - d1) / (high.slope - low.slope + 2 * d2)
    guard fraction.isFinite else { return low.step + 0.5 * width }
    return low.step + min(max(fraction, 0.1), 0.9) * width
  }
}
