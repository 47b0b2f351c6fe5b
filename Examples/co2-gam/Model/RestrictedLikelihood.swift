// The criterion that the smoothing parameters minimise: minus the logarithm of the restricted
// likelihood (REML), as a function of the logarithms of both parameters, with the variance of the
// noise profiled out (Wood 2011, J. R. Statist. Soc. B 73:3-36; Patterson & Thompson 1971 for
// REML).
//
// With X the functions at the n observations, S = Σ λ_j S_j the penalties, M = 2 the dimension of
// what no penalty sees (a straight line), H = X'X + S, H β = X'y and D = |y - Xβ|² + β'Sβ:
//
//   V(log λ) = ½ ((n - M) (log(2π D / (n - M)) + 1) + log|H| - log|S|₊)
//   ∂V/∂log λ_j = ½ (λ_j β'S_jβ (n - M) / D + λ_j tr(H⁻¹S_j) - rank S_j)
//
// The derivative needs no derivative of β, since β minimises D.

import Glibc

/// The criterion at one point, with the fit that belongs to it.
public struct CriterionValue: Sendable, Equatable, Differentiated {
  /// V; infinite where H is not positive definite in floating point, and then there is no fit
  /// either.
  public var value: Double
  /// The derivatives of V by log λ of the trend and log λ of the season.
  public var gradient: [Double]
  /// The free coefficients; see `AdditiveModel`.
  public var coefficients: [Double]
  /// The profiled variance of the noise, D / (n - M), in ppm².
  public var variance: Double
  /// The effective degrees of freedom, tr(H⁻¹X'X).
  public var effectiveDegrees: Double
}

/// The REML criterion of one model for one record.
public struct RestrictedLikelihood: Sendable {
  /// The model.
  public let model: AdditiveModel
  /// The observations.
  public let record: WeeklyRecord
  /// The intercept: the mean of the observations in ppm.
  public let intercept: Double

  private let crossProduct: Matrix
  private let projection: [Double]
  private let trendRows: [SplineRow]
  private let seasonRows: [SplineRow]
  private let trendMatrix: Matrix
  private let seasonMatrix: Matrix
  private let trendDifferences: Matrix
  private let seasonDifferences: Matrix
  private let logPenaltyDeterminant: Double

  /// The number of parameters.
  public static let parameterCount = 2

  /// The smallest record: one week more than a straight line needs, for the variance.
  public static let fewestWeeks = SplineOrder.difference + 1

  /// Prepares the criterion; none of this depends on the smoothing parameters.
  ///
  /// - Parameters:
  ///   - model: The model.
  ///   - record: At least `fewestWeeks`.
  public init(model: AdditiveModel, record: WeeklyRecord) {
    precondition(record.count >= Self.fewestWeeks, "too few weeks to estimate a variance")
    self.model = model
    self.record = record
    intercept = record.values.reduce(0, +) / Double(record.count)
    trendRows = record.times.map { model.trend.row(at: $0) }
    seasonRows = record.times.map { model.season.row(at: $0) }
    trendMatrix = model.penaltyMatrix(model.trendPenalty)
    seasonMatrix = model.penaltyMatrix(model.seasonPenalty)
    trendDifferences = model.transposedDifferences(model.trendPenalty)
    seasonDifferences = model.transposedDifferences(model.seasonPenalty)
    logPenaltyDeterminant = Self.logPenaltyDeterminant(model, seasonMatrix)

    let size = model.trend.count + model.season.count
    var product = Matrix(rows: size, columns: size)
    var projection = [Double](repeating: 0, count: size)
    for index in 0..<record.count {
      let entries = Self.entries(model, trendRows[index], seasonRows[index])
      for (i, a) in entries {
        projection[i] += a * (record.values[index] - intercept)
        for (j, b) in entries { product[i, j] += a * b }
      }
    }
    crossProduct = model.constrained(product)
    self.projection = model.constrained(projection)
  }

  /// A starting point when nothing better is known: both penalties as heavy as the data.
  public var coldStart: [Double] {
    let (trend, season) = (0..<model.trend.count, model.trend.count..<model.coefficientCount)
    return [
      log(trace(crossProduct, trend) / trace(trendMatrix, trend)),
      log(trace(crossProduct, season) / trace(seasonMatrix, season)),
    ]
  }

  /// The criterion, its gradient and the fit.
  ///
  /// - Parameter point: log λ of the trend and log λ of the season.
  public func evaluate(_ point: [Double]) -> CriterionValue {
    precondition(point.count == Self.parameterCount)
    let (trendWeight, seasonWeight) = (exp(point[0]), exp(point[1]))
    guard let factor = CholeskyFactor(penalised(trendWeight, seasonWeight)) else {
      return CriterionValue(
        value: .infinity, gradient: [0, 0],
        coefficients: [Double](repeating: 0, count: model.coefficientCount),
        variance: .infinity, effectiveDegrees: 0)
    }
    let coefficients = factor.solve(projection)
    let trend = model.trendCoefficients(of: coefficients)
    let season = model.seasonCoefficients(of: coefficients)
    let trendPart = trendWeight * model.trendPenalty.roughness(of: trend)
    let seasonPart = seasonWeight * model.seasonPenalty.roughness(of: season[...])
    let trendTrace =
      trendWeight
      * factor.traceOfInverse(transposed: trendDifferences, offset: 0, isLowerTriangular: true)
    let seasonTrace =
      seasonWeight
      * factor.traceOfInverse(
        transposed: seasonDifferences, offset: model.trend.count, isLowerTriangular: false)

    let freedom = Double(record.count - SplineOrder.difference)
    let variance = (squaredResiduals(coefficients) + trendPart + seasonPart) / freedom
    let (trendRank, seasonRank) = (Double(model.ranks.trend), Double(model.ranks.season))
    let logPenalty = logPenaltyDeterminant + trendRank * point[0] + seasonRank * point[1]
    return CriterionValue(
      value: (freedom * (log(2 * .pi * variance) + 1) + factor.logDeterminant - logPenalty) / 2,
      gradient: [
        (trendPart / variance + trendTrace - trendRank) / 2,
        (seasonPart / variance + seasonTrace - seasonRank) / 2,
      ],
      coefficients: coefficients,
      variance: variance,
      effectiveDegrees: Double(model.coefficientCount) - trendTrace - seasonTrace)
  }

  /// X'X + S.
  private func penalised(_ trendWeight: Double, _ seasonWeight: Double) -> Matrix {
    var result = crossProduct
    let count = result.elements.count
    result.elements.withUnsafeMutableBufferPointer { sum in
      trendMatrix.elements.withUnsafeBufferPointer { trend in
        seasonMatrix.elements.withUnsafeBufferPointer { season in
          var index = 0
          while index < count {
            sum[index] += trendWeight * trend[index] + seasonWeight * season[index]
            index &+= 1
          }
        }
      }
    }
    return result
  }

  private func squaredResiduals(_ coefficients: [Double]) -> Double {
    let season = model.seasonCoefficients(of: coefficients)
    var sum = 0.0
    for index in 0..<record.count {
      let fitted = trendRows[index].value(coefficients) + seasonRows[index].cyclicValue(season)
      let residual = record.values[index] - intercept - fitted
      sum += residual * residual
    }
    return sum
  }

  /// The functions that are not zero at an observation: four of the trend, four of the season.
  private static func entries(
    _ model: AdditiveModel, _ trend: SplineRow, _ season: SplineRow
  ) -> [(Int, Double)] {
    let (t, s) = (trend.weights, season.weights)
    let around = (0..<4).map { model.trend.count + (season.first + $0) % model.season.count }
    return [
      (trend.first, t.0), (trend.first + 1, t.1), (trend.first + 2, t.2), (trend.first + 3, t.3),
      (around[0], s.0), (around[1], s.1), (around[2], s.2), (around[3], s.3),
    ]
  }

  /// log|S|₊ at λ = 1: of the trend, the product of the eigenvalues of D'D that are not zero, which
  /// are those of DD'.
  private static func logPenaltyDeterminant(_ model: AdditiveModel, _ season: Matrix) -> Double {
    let rows = model.trendPenalty.rows
    var outer = Matrix(rows: rows, columns: rows)
    for i in 0..<rows {
      for j in max(0, i - 2)..<min(rows, i + 3) {
        for (a, x) in model.trendPenalty.entries(ofRow: i) {
          for (b, y) in model.trendPenalty.entries(ofRow: j) where a == b { outer[i, j] += x * y }
        }
      }
    }
    let first = model.trend.count
    let count = model.season.count - 1
    var inner = Matrix(rows: count, columns: count)
    for i in 0..<count {
      for j in 0..<count { inner[i, j] = season[first + i, first + j] }
    }
    guard let trendFactor = CholeskyFactor(outer), let seasonFactor = CholeskyFactor(inner) else {
      preconditionFailure("a penalty has less than its rank")
    }
    return trendFactor.logDeterminant + seasonFactor.logDeterminant
  }

  private func trace(_ matrix: Matrix, _ range: Range<Int>) -> Double {
    range.reduce(0) { $0 + matrix[$1, $1] }
  }
}

extension SplineRow {
  /// The spline with given coefficients where this row was taken.
  public func value(_ coefficients: [Double]) -> Double {
    let (a, b, c, d) = weights
    return a * coefficients[first] + b * coefficients[first + 1] + c * coefficients[first + 2]
      + d * coefficients[first + 3]
  }

  /// The same around a ring of coefficients.
  public func cyclicValue(_ coefficients: [Double]) -> Double {
    let (a, b, c, d) = weights
    let count = coefficients.count
    return a * coefficients[first % count] + b * coefficients[(first + 1) % count]
      + c * coefficients[(first + 2) % count] + d * coefficients[(first + 3) % count]
  }
}
