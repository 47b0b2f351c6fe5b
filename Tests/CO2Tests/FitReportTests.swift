import CO2Model
import Testing

@testable import co2_gam

@Suite struct FitReportTests {
  private func report(_ fit: Fit, _ start: Start) throws -> FitReport {
    let study = try smallStudy()
    let likelihood = RestrictedLikelihood(
      model: study.model, record: study.training(without: fit.year))
    let state = FitState(starting: likelihood, seed: nil, tolerance: 1e-8)
    let errors = fit.year.map { study.errors(of: state, in: $0) } ?? PredictionErrors()
    return FitReport(
      fit: fit, start: start, state: state, evaluations: 7, saved: 3, errors: errors)
  }

  @Test(arguments: [
    (Fit.full, Start.cold), (.without(1977), .seeded(from: .without(1976))),
    (.without(2001), .seeded(from: .full)), (.without(1958), .resumed(iteration: 4)),
    (.full, .finished),
  ])
  func aReportSurvivesTheWayFromAWorkerBitByBit(fit: Fit, start: Start) throws {
    let sent = try report(fit, start)
    let received = try #require(FitReport(line: sent.line))
    #expect(received.fit == fit)
    #expect(received.start == start)
    #expect(received.criterion == sent.criterion)
    #expect(received.logLambda == sent.logLambda)
    #expect(received.errors == sent.errors)
    #expect(received == sent)
  }

  @Test func aLineCutShortIsNoReport() throws {
    let line = try report(.without(1977), .cold).line
    let words = line.split(separator: " ")
    for count in words.indices {
      #expect(FitReport(line: words[..<count].joined(separator: " ")) == nil)
    }
    #expect(FitReport(line: line + " 1") == nil)
    #expect(FitReport(line: line.replacing("cold", with: "warm")) == nil)
  }

  @Test(arguments: 1...7) func theSharesOfAllWorkersAreTheFoldsOnce(count: Int) {
    let folds = Array(1958...1968)
    let shares = (0..<count).map { Workers.share($0, of: count, in: folds) }
    #expect(shares.flatMap(Array.init) == folds)
    let sizes = shares.map(\.count).sorted()
    #expect(sizes[count - 1] - sizes[0] <= 1)
  }

  @Test func yearsAndRangesOfYears() {
    #expect(FoldChoice(argument: "none")?.years == [])
    #expect(FoldChoice(argument: "1970-1972,1980")?.years == [1970, 1971, 1972, 1980])
    for text in ["", "1972-1970", "1970-", "1,,2", "x", "1-2-3", "1958-999999999999"] {
      #expect(FoldChoice(argument: text) == nil)
    }
  }
}
