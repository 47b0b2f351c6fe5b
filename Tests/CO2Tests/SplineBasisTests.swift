import Testing

@testable import CO2Model

@Suite struct SplineBasisTests {
  private let trend = TrendBasis(domain: 1958.25...2001.75, segments: 37)
  private let season = SeasonBasis(count: 12)

  private func sum(_ row: SplineRow) -> Double {
    row.weights.0 + row.weights.1 + row.weights.2 + row.weights.3
  }

  @Test func theFunctionsAddUpToOneEverywhere() {
    for step in 0...10_000 {
      let time = 1958.25 + 43.5 * Double(step) / 10_000
      #expect(isClose(sum(trend.row(at: time)), 1, within: 4e-16))
      #expect(isClose(sum(season.row(at: time)), 1, within: 4e-16))
    }
  }

  @Test func theRowsStayWithinTheBases() {
    #expect(trend.row(at: 1958.25).first == 0)
    #expect(trend.row(at: 2001.75).first + SplineOrder.degree == trend.count - 1)
    #expect(trend.row(at: 1900) == trend.row(at: 1958.25))
    #expect(season.row(at: 1999.999_999_999_999_9).first < season.count)
  }

  @Test func aStraightLineInTheCoefficientsIsAStraightLine() {
    // The mean of the knots of a function is the middle of its support.
    let coefficients = (0..<trend.count).map { Double($0) - 1 }
    for position in [0.0, 0.3, 7.5, 36.9, 37.0] {
      let time = 1958.25 + 43.5 * position / 37
      #expect(isClose(trend.row(at: time).value(coefficients), position, within: 1e-10))
    }
  }

  @Test func theSeasonIsTheSameAtBothEndsOfTheYear() {
    let coefficients = (0..<season.count).map { Double($0 * $0 % 7) }
    let end = season.row(at: 1999 - 1e-9).cyclicValue(coefficients)
    let start = season.row(at: 1999).cyclicValue(coefficients)
    #expect(isClose(start, end, within: 1e-6))
  }

  @Test func straightLinesCostNothingAndConstantsNoSeason() {
    let line = (0..<20).map { 3 - 0.5 * Double($0) }
    #expect(DifferencePenalty(columns: 20, isCyclic: false).roughness(of: line[...]) == 0)
    #expect(DifferencePenalty(columns: 20, isCyclic: true).roughness(of: line[...]) > 1)
    let constant = [Double](repeating: 2, count: 20)
    #expect(DifferencePenalty(columns: 20, isCyclic: true).roughness(of: constant[...]) == 0)
  }
}
