import Glibc
import Testing

@testable import CO2Model

/// The estimates against those of `Examples/co2-gam/reference`, which come from the dense
/// covariance of the observations. Its condition is of the order 1e8, and the tolerances are what
/// that leaves of its sixteen digits; where the estimates themselves end is set by the gradient's
/// tolerance, 1e-8, over curvatures of about ten.
@Suite struct ReferenceTests {
  @Test(arguments: try Reference.load().fits)
  func theEstimatesAreThoseOfTheReference(expected: Reference.Values) throws {
    let study = try study(
      trendKnots: expected.trendKnotsPerYear, seasonFunctions: expected.seasonFunctions)
    let year = expected.year == 0 ? nil : expected.year
    let state = fit(study, without: year)
    #expect(state.search.phase == .converged)
    #expect(isClose(state.search.value, expected.criterion, within: 2e-7))
    for (found, wanted) in zip(state.search.point, expected.logLambda) {
      #expect(isClose(found, wanted, within: 1e-8))
    }
    #expect(isClose(state.variance.squareRoot(), expected.sigma, within: 1e-9))
    #expect(isClose(state.effectiveDegrees, expected.effectiveDegrees, within: 2e-7))

    let prediction = Prediction(model: study.model, state: state)
    for (index, time) in expected.times.enumerated() {
      #expect(isClose(prediction.trend(at: time), expected.trend[index], within: 1e-6))
      #expect(isClose(prediction.season(at: time), expected.season[index], within: 1e-6))
    }
    if let year {
      let errors = study.errors(of: state, in: year)
      #expect(errors.count == expected.heldOut)
      #expect(isClose(errors.rootMeanSquare, try #require(expected.rmse), within: 1e-6))
      #expect(isClose(errors.mean, try #require(expected.mean), within: 1e-6))
    }
  }

  @Test func theReferenceIsOfTheShippedRecord() throws {
    #expect(try Reference.load().observations == shippedRecord().count)
  }

  @Test func theEndDoesNotDependOnTheStart() throws {
    let study = try smallStudy()
    let full = fit(study)
    for year in [1958, 1977, 2001] {
      let cold = fit(study, without: year)
      let seeded = fit(study, without: year, seed: full)
      #expect(isClose(seeded.search.value, cold.search.value, within: 1e-9))
      for (a, b) in zip(seeded.search.point, cold.search.point) {
        #expect(isClose(a, b, within: 1e-8))
      }
      #expect(seeded.search.evaluations < cold.search.evaluations)
    }
  }
}
