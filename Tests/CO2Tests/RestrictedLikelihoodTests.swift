import Glibc
import Testing

@testable import CO2Model

@Suite struct RestrictedLikelihoodTests {
  @Test(arguments: [[0.0, 0.0], [-3.5, -2.2], [4.0, 6.0], [-6.0, 3.0], [9.0, -4.0]])
  func theGradientIsThatOfTheCriterion(point: [Double]) throws {
    let study = try smallStudy()
    let likelihood = RestrictedLikelihood(model: study.model, record: study.record)
    let gradient = likelihood.evaluate(point).gradient
    for index in point.indices {
      // Central differences of the fourth order; their error is of the order 1e-9 here.
      func value(_ steps: Double) -> Double {
        var moved = point
        moved[index] += steps * 1e-2
        return likelihood.evaluate(moved).value
      }
      let difference = (8 * (value(1) - value(-1)) - (value(2) - value(-2))) / (12 * 1e-2)
      let tolerance = 2e-7 * max(1, abs(difference))
      #expect(isClose(gradient[index], difference, within: tolerance))
    }
  }

  @Test func theFitMinimisesThePenalisedSquares() throws {
    // At the minimum over the coefficients, any other coefficients give a larger variance.
    let study = try smallStudy()
    let state = fit(study)
    let model = study.model
    let weights = state.search.point.map { exp($0) }
    func penalisedSquares(_ coefficients: [Double]) -> Double {
      var moved = state
      moved.coefficients = coefficients
      let errors = PredictionErrors(
        of: Prediction(model: model, state: moved), for: study.record)
      return errors.sumOfSquares
        + weights[0] * model.trendPenalty.roughness(of: model.trendCoefficients(of: coefficients))
        + weights[1]
        * model.seasonPenalty.roughness(of: model.seasonCoefficients(of: coefficients)[...])
    }
    let least = penalisedSquares(state.coefficients)
    let freedom = Double(study.record.count - 2)
    #expect(isClose(least / freedom, state.variance, within: 1e-12))
    for index in stride(from: 0, to: state.coefficients.count, by: 5) {
      for step in [-1e-3, 1e-3] {
        var other = state.coefficients
        other[index] += step
        #expect(penalisedSquares(other) > least)
      }
    }
  }

  @Test func theSeasonAddsUpToZero() throws {
    let study = try smallStudy()
    let state = fit(study)
    let coefficients = study.model.seasonCoefficients(of: state.coefficients)
    #expect(isClose(coefficients.reduce(0, +), 0, within: 1e-13))
    // With the coefficients, the integral over the year: the mean of equidistant points is exact
    // for periodic splines on a grid of the same cells.
    let prediction = Prediction(model: study.model, state: state)
    let points = 12 * 20
    let mean =
      (0..<points).reduce(0) { $0 + prediction.season(at: Double($1) / Double(points)) }
      / Double(points)
    #expect(isClose(mean, 0, within: 1e-12))
  }

  @Test func aPointOutOfReachIsInfiniteAndNoTrap() throws {
    let study = try smallStudy()
    let likelihood = RestrictedLikelihood(model: study.model, record: study.record)
    #expect(likelihood.evaluate([800, 0]).value == .infinity)
  }
}
