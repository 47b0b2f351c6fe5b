// Minimisation by the BFGS method (Nocedal & Wright 2006, chapter 6), one iteration at a time. All
// that an iteration needs is in the state, so that a search that is stopped after any iteration and
// continued from a copy of its state, in another process even, takes the same steps to the last
// bit.

/// The state of a search between two iterations.
public struct QuasiNewtonState: Sendable, Equatable {
  /// Whether there is anything left to do.
  public enum Phase: UInt64, Sendable {
    /// Another iteration can lower the function.
    case searching = 0
    /// The gradient is within the tolerance.
    case converged = 1
    /// No step lowers the function, but the gradient is not within the tolerance.
    case stalled = 2
  }

  /// The best point so far.
  public var point: [Double]
  /// The function there.
  public var value: Double
  /// Its derivatives there.
  public var gradient: [Double]
  /// The approximation of the inverse Hessian, row after row.
  public var inverseHessian: [Double]
  /// Whether the approximation holds anything learnt about the function; otherwise it is the
  /// identity.
  public var hasCurvature: Bool
  /// Iterations done.
  public var iteration: Int
  /// Evaluations of the function spent.
  public var evaluations: Int
  /// Whether it goes on.
  public var phase: Phase

  /// The farthest that one iteration may move a parameter: a factor of 150 in a smoothing
  /// parameter.
  private static let longestMove = 5.0

  /// The state after the first evaluation.
  ///
  /// - Parameters:
  ///   - point: Where the search begins.
  ///   - inverseHessian: What is known of the curvature, symmetric and positive definite.
  ///   - result: The function at the point.
  ///   - tolerance: The largest component of the gradient of a minimum.
  public init(
    point: [Double], inverseHessian: [Double]?, result: some Differentiated, tolerance: Double
  ) {
    self.point = point
    value = result.value
    gradient = result.gradient
    self.inverseHessian = inverseHessian ?? Self.identity(point.count)
    hasCurvature = inverseHessian != nil
    iteration = 0
    evaluations = 1
    phase = .searching
    judge(tolerance)
  }

  /// Does one iteration.
  ///
  /// - Parameters:
  ///   - tolerance: The largest component of the gradient of a minimum.
  ///   - evaluate: The function.
  /// - Returns: The function at the new point; `nil` if the point has not moved.
  public mutating func advance<Value: Differentiated>(
    tolerance: Double, evaluate: ([Double]) -> Value
  ) -> Value? {
    precondition(phase == .searching, "the search is over")
    iteration += 1
    if let result = step(evaluate) {
      judge(tolerance)
      return result
    }
    if hasCurvature {
      inverseHessian = Self.identity(point.count)
      hasCurvature = false
    } else {
      phase = .stalled
    }
    return nil
  }

  private mutating func step<Value: Differentiated>(_ evaluate: ([Double]) -> Value) -> Value? {
    let direction = product(inverseHessian, gradient).map { -$0 }
    let slope = dot(direction, gradient)
    let reach = direction.reduce(0) { max($0, abs($1)) }
    guard slope < 0, reach.isFinite else { return nil }

    let origin = point
    var spent = 0
    let search = LineSearch<Value>(
      startValue: value, startSlope: slope, longestStep: Self.longestMove / reach)
    let found = search.run(firstStep: hasCurvature ? 1 : min(1, 1 / reach)) { step in
      spent += 1
      let result = evaluate(zip(origin, direction).map { $0 + step * $1 })
      return .init(step: step, result: result, slope: dot(result.gradient, direction))
    }
    evaluations += spent
    guard let found else { return nil }

    let move = direction.map { $0 * found.step }
    let bend = zip(found.result.gradient, gradient).map { $0 - $1 }
    point = zip(origin, direction).map { $0 + found.step * $1 }
    value = found.result.value
    gradient = found.result.gradient
    learn(move, bend)
    return found.result
  }

  /// Takes the change of the gradient over a move into the inverse Hessian.
  private mutating func learn(_ move: [Double], _ bend: [Double]) {
    let count = move.count
    let curvature = dot(move, bend)
    guard curvature > 1e-14 * dot(bend, bend).squareRoot() * dot(move, move).squareRoot() else {
      return
    }
    if !hasCurvature {
      let scale = curvature / dot(bend, bend)
      inverseHessian = Self.identity(count).map { $0 * scale }
      hasCurvature = true
    }
    let image = product(inverseHessian, bend)
    let factor = (1 + dot(bend, image) / curvature) / curvature
    for i in 0..<count {
      for j in 0..<count {
        inverseHessian[i * count + j] +=
          factor * (move[i] * move[j]) - (image[i] * move[j] + move[i] * image[j]) / curvature
      }
    }
  }

  private mutating func judge(_ tolerance: Double) {
    if !value.isFinite {
      phase = .stalled
    } else if gradient.allSatisfy({ abs($0) <= tolerance }) {
      phase = .converged
    }
  }

  private static func identity(_ count: Int) -> [Double] {
    (0..<count * count).map { $0 % (count + 1) == 0 ? 1 : 0 }
  }
}

private func dot(_ a: [Double], _ b: [Double]) -> Double {
  zip(a, b).reduce(0) { $0 + $1.0 * $1.1 }
}

private func product(_ matrix: [Double], _ vector: [Double]) -> [Double] {
  let count = vector.count
  return (0..<count).map { row in dot(Array(matrix[row * count..<(row + 1) * count]), vector) }
}
