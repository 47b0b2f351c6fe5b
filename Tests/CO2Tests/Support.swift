// What the tests of the example share: where its files lie, its data, and the reference values.

import Foundation
import Testing

@testable import CO2Model

/// The folder of the example.
let exampleFolder: String = {
  let tests = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
  return tests.appendingPathComponent("../../Examples/co2-gam").standardizedFileURL.path
}()

/// The record that is shipped.
func shippedRecord() throws -> WeeklyRecord {
  try WeeklyRecord(contentsOf: exampleFolder + "/data/co2.csv")
}

/// A study of the shipped record with bases of given sizes.
func study(trendKnots: Int, seasonFunctions: Int) throws -> Study {
  var specification = ModelSpecification()
  specification.trendKnotsPerYear = trendKnots
  specification.seasonFunctions = seasonFunctions
  return try Study(specification: specification, record: shippedRecord())
}

/// A study small enough to be fitted many times.
func smallStudy() throws -> Study { try study(trendKnots: 2, seasonFunctions: 12) }

/// Fits from the start to the end.
func fit(_ study: Study, without year: Int? = nil, seed: FitState? = nil) -> FitState {
  let tolerance = study.specification.gradientTolerance
  let likelihood = RestrictedLikelihood(
    model: study.model, record: study.training(without: year))
  var state = FitState(starting: likelihood, seed: seed, tolerance: tolerance)
  while state.search.phase == .searching { state.advance(likelihood, tolerance: tolerance) }
  return state
}

/// The values that `reference.py` has computed.
struct Reference: Decodable {
  var observations: Int
  var fits: [Values]

  struct Values: Decodable, CustomTestStringConvertible, Sendable {
    var year: Int
    var trendKnotsPerYear: Int
    var seasonFunctions: Int
    var criterion: Double
    var logLambda: [Double]
    var sigma: Double
    var effectiveDegrees: Double
    var times: [Double]
    var trend: [Double]
    var season: [Double]
    var heldOut: Int
    var rmse: Double?
    var mean: Double?

    var testDescription: String {
      "\(year == 0 ? "full" : "without \(year)"), \(trendKnotsPerYear) knots a year"
    }
  }

  static func load() throws -> Reference {
    let file = URL(fileURLWithPath: exampleFolder + "/reference/reference.json")
    return try JSONDecoder().decode(Reference.self, from: Data(contentsOf: file))
  }
}

/// Whether two numbers differ by no more than a tolerance.
func isClose(_ a: Double, _ b: Double, within tolerance: Double) -> Bool {
  abs(a - b) <= tolerance
}
