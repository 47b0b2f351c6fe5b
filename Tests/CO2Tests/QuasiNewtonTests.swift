import Glibc
import Testing

@testable import CO2Model

@Suite struct QuasiNewtonTests {
  private struct Value: Differentiated {
    var value: Double
    var gradient: [Double]
  }

  /// Rosenbrock's curved valley, with its minimum of 0 at (1, 1).
  private static func valley(_ x: [Double]) -> Value {
    let (a, b) = (1 - x[0], x[1] - x[0] * x[0])
    return Value(value: a * a + 100 * b * b, gradient: [-2 * a - 400 * x[0] * b, 200 * b])
  }

  /// A function that is not defined left of zero, with its minimum of 1 at x = 1.
  private static func wall(_ x: [Double]) -> Value {
    guard x[0] > 0 else { return Value(value: .infinity, gradient: [0]) }
    return Value(value: x[0] - log(x[0]), gradient: [1 - 1 / x[0]])
  }

  private func minimise(
    from point: [Double], _ function: ([Double]) -> Value
  ) -> QuasiNewtonState {
    var state = QuasiNewtonState(
      point: point, inverseHessian: nil, result: function(point), tolerance: 1e-8)
    while state.phase == .searching {
      _ = state.advance(tolerance: 1e-8, evaluate: function)
    }
    return state
  }

  @Test func itFindsTheEndOfACurvedValley() {
    let state = minimise(from: [-1.2, 1], Self.valley)
    #expect(state.phase == .converged)
    #expect(isClose(state.point[0], 1, within: 1e-8))
    #expect(isClose(state.point[1], 1, within: 1e-8))
    #expect(state.evaluations < 70)
  }

  @Test(arguments: [1e-3, 0.5, 1.7, 300])
  func itTurnsBackWhereTheFunctionIsNotDefined(start: Double) {
    let state = minimise(from: [start], Self.wall)
    #expect(state.phase == .converged)
    #expect(isClose(state.point[0], 1, within: 1e-7))
  }

  @Test func theValueNeverRises() {
    var state = QuasiNewtonState(
      point: [-1.2, 1], inverseHessian: nil, result: Self.valley([-1.2, 1]), tolerance: 1e-8)
    while state.phase == .searching {
      let before = state.value
      _ = state.advance(tolerance: 1e-8, evaluate: Self.valley)
      #expect(state.value <= before)
    }
  }

  @Test func aFunctionThatLiesAboutItsGradientStalls() {
    let state = minimise(from: [3]) { Value(value: $0[0] * $0[0], gradient: [-1]) }
    #expect(state.phase == .stalled)
    #expect(state.point == [3])
  }

  @Test func aStartWithoutAValueStalls() {
    #expect(minimise(from: [-1], Self.wall).phase == .stalled)
  }

  @Test func evaluationsAreCounted() {
    var count = 0
    let state = minimise(from: [-1.2, 1]) { point in
      count += 1
      return Self.valley(point)
    }
    #expect(state.evaluations == count)
  }
}
