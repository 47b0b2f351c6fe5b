// Cubic B-splines on equidistant knots, open for the trend and closed to a ring for the season, and
// the differences that penalise their coefficients (Eilers & Marx 1996, Statistical Science
// 11:89-121).

/// The four cubic B-splines that are not zero at a point, and the index of the first of them.
public struct SplineRow: Sendable, Equatable {
  /// The index of the first function; the others follow it, around the ring if there is one.
  public let first: Int
  /// Their values, which add up to one.
  public let weights: (Double, Double, Double, Double)

  /// The functions of a cell of the knot grid.
  ///
  /// - Parameters:
  ///   - first: The index of the cell.
  ///   - fraction: Where in the cell, from 0 to 1.
  init(first: Int, fraction f: Double) {
    let g = 1 - f
    self.first = first
    weights = (
      g * g * g / 6, (3 * f * f * f - 6 * f * f + 4) / 6, (3 * g * g * g - 6 * g * g + 4) / 6,
      f * f * f / 6
    )
  }

  public static func == (a: SplineRow, b: SplineRow) -> Bool {
    a.first == b.first && a.weights == b.weights
  }
}

/// The degree of the splines and the order of the differences that are penalised. Both parts of the
/// model have the same.
public enum SplineOrder {
  /// Piecewise cubic.
  public static let degree = 3
  /// Second differences: what costs nothing is a straight line.
  public static let difference = 2
}

/// Cubic B-splines over an interval of time, for the trend.
public struct TrendBasis: Sendable, Equatable {
  /// The interval in decimal years.
  public let domain: ClosedRange<Double>
  /// The number of cells between knots.
  public let segments: Int

  /// A basis over an interval cut into equal cells.
  public init(domain: ClosedRange<Double>, segments: Int) {
    precondition(segments >= 1 && domain.upperBound > domain.lowerBound)
    self.domain = domain
    self.segments = segments
  }

  /// The number of functions: the cells and three more.
  public var count: Int { segments + SplineOrder.degree }

  /// The functions at a time, which is taken to the nearest end if it is outside the domain.
  public func row(at time: Double) -> SplineRow {
    let clamped = min(max(time, domain.lowerBound), domain.upperBound)
    let width = (domain.upperBound - domain.lowerBound) / Double(segments)
    let position = (clamped - domain.lowerBound) / width
    let cell = min(Int(position), segments - 1)
    return SplineRow(first: cell, fraction: position - Double(cell))
  }
}

/// Cubic B-splines around the year, for the season: the last cell is followed by the first.
public struct SeasonBasis: Sendable, Equatable {
  /// The number of functions, which is the number of cells.
  public let count: Int

  /// A basis with the year cut into equal cells, at least four.
  public init(count: Int) {
    precondition(count > SplineOrder.degree)
    self.count = count
  }

  /// The functions at a time; only its fraction of a year counts. Function `first + k` is to be
  /// taken modulo `count`.
  public func row(at time: Double) -> SplineRow {
    let position = (time - time.rounded(.down)) * Double(count)
    let cell = min(Int(position), count - 1)
    return SplineRow(first: cell, fraction: position - Double(cell))
  }
}

/// Second differences of neighbouring coefficients, (1, -2, 1) in every row.
public struct DifferencePenalty: Sendable, Equatable {
  /// Whether the coefficients form a ring.
  public let isCyclic: Bool
  /// The number of coefficients.
  public let columns: Int

  /// The differences of so many coefficients.
  public init(columns: Int, isCyclic: Bool) {
    precondition(columns > SplineOrder.difference)
    self.columns = columns
    self.isCyclic = isCyclic
  }

  /// The number of differences.
  public var rows: Int { isCyclic ? columns : columns - SplineOrder.difference }

  /// The three coefficients of a difference, with their weights.
  public func entries(ofRow row: Int) -> [(column: Int, weight: Double)] {
    [(row, 1.0), (row + 1, -2.0), (row + 2, 1.0)].map { ($0.0 % columns, $0.1) }
  }

  /// The sum of the squared differences of some coefficients, `columns` of them.
  public func roughness(of coefficients: ArraySlice<Double>) -> Double {
    precondition(coefficients.count == columns)
    var sum = 0.0
    for row in 0..<rows {
      var difference = 0.0
      for (column, weight) in entries(ofRow: row) {
        difference += weight * coefficients[coefficients.startIndex + column]
      }
      sum += difference * difference
    }
    return sum
  }
}
