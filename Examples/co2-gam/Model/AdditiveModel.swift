// What is fitted: y = intercept + trend(time) + season(fraction of the year) + noise.
//
// The intercept is the mean of the observations and is taken out first; nothing is lost by that,
// since the trend's functions add up to one and so can make up any constant. The season's
// coefficients add up to zero, and with them its integral over the year: otherwise a constant could
// wander between the two.

/// The sizes that a user can choose.
public struct ModelSpecification: Sendable, Equatable {
  /// Knots of the trend in a year, one every four weeks. With four in a year they would hold the
  /// trend back more than its penalty does; with twice as many the criterion and the score are
  /// nearly the same.
  public var trendKnotsPerYear = 13
  /// Functions of the season, nearly one for each week of the year.
  public var seasonFunctions = 48
  /// The largest component of the criterion's gradient at which a fit has converged.
  public var gradientTolerance = 1e-8

  /// The sizes used for the weekly record.
  public init() {}
}

/// The bases of both parts and how their coefficients lie in one vector: the trend's, then all of
/// the season's but the last, which is minus the sum of the others.
public struct AdditiveModel: Sendable, Equatable {
  /// The trend's functions.
  public let trend: TrendBasis
  /// The season's functions.
  public let season: SeasonBasis
  /// The trend's penalty.
  public let trendPenalty: DifferencePenalty
  /// The season's penalty.
  public let seasonPenalty: DifferencePenalty

  /// A model for a span of time in decimal years.
  public init(_ specification: ModelSpecification, domain: ClosedRange<Double>) {
    let years = domain.upperBound - domain.lowerBound
    let segments = (years * Double(specification.trendKnotsPerYear)).rounded()
    trend = TrendBasis(domain: domain, segments: max(1, Int(segments)))
    season = SeasonBasis(count: specification.seasonFunctions)
    trendPenalty = DifferencePenalty(columns: trend.count, isCyclic: false)
    seasonPenalty = DifferencePenalty(columns: season.count, isCyclic: true)
  }

  /// The number of free coefficients.
  public var coefficientCount: Int { trend.count + season.count - 1 }

  /// The trend's coefficients among the free ones.
  public func trendCoefficients(of free: [Double]) -> ArraySlice<Double> { free[..<trend.count] }

  /// The season's coefficients, the constrained one among them.
  public func seasonCoefficients(of free: [Double]) -> [Double] {
    let others = free[trend.count...]
    return others + [-others.reduce(0, +)]
  }

  /// The rank of a penalty: of the trend's, a straight line is free; of the season's, nothing is,
  /// because a constant cannot be a season.
  public var ranks: (trend: Int, season: Int) { (trendPenalty.rows, season.count - 1) }

  /// Takes a symmetric matrix over the trend's and all of the season's coefficients to the free
  /// ones.
  func constrained(_ matrix: Matrix) -> Matrix {
    let last = matrix.columns - 1
    var result = Matrix(rows: last, columns: last)
    for i in 0..<last {
      let inSeason = i >= trend.count
      for j in 0..<last {
        var value = matrix[i, j]
        if j >= trend.count { value -= matrix[i, last] }
        if inSeason { value -= matrix[last, j] }
        if inSeason && j >= trend.count { value += matrix[last, last] }
        result[i, j] = value
      }
    }
    return result
  }

  /// Takes a vector over the trend's and all of the season's coefficients to the free ones.
  func constrained(_ vector: [Double]) -> [Double] {
    let last = vector[vector.count - 1]
    return vector.indices.dropLast().map { $0 < trend.count ? vector[$0] : vector[$0] - last }
  }

  /// The transposed differences of one part in the free coefficients, for `traceOfInverse`.
  func transposedDifferences(_ penalty: DifferencePenalty) -> Matrix {
    let offset = penalty.isCyclic ? trend.count : 0
    let last = trend.count + season.count - 1
    var result = Matrix(rows: last, columns: penalty.rows)
    for row in 0..<penalty.rows {
      for (column, weight) in penalty.entries(ofRow: row) {
        if offset + column < last {
          result[offset + column, row] += weight
        } else {
          for other in trend.count..<last { result[other, row] -= weight }
        }
      }
    }
    return result
  }

  /// The penalties D'D of both parts in the free coefficients.
  func penaltyMatrix(_ penalty: DifferencePenalty) -> Matrix {
    let offset = penalty.isCyclic ? trend.count : 0
    let size = trend.count + season.count
    var full = Matrix(rows: size, columns: size)
    for row in 0..<penalty.rows {
      let entries = penalty.entries(ofRow: row)
      for (i, a) in entries {
        for (j, b) in entries { full[offset + i, offset + j] += a * b }
      }
    }
    return constrained(full)
  }
}
