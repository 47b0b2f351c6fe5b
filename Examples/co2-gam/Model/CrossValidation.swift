// Leave-one-year-out cross-validation: how well the years are predicted by fits that have not seen
// them.

/// What a fit says about weeks.
public struct Prediction: Sendable {
  private let model: AdditiveModel
  private let intercept: Double
  private let trendCoefficients: [Double]
  private let seasonCoefficients: [Double]

  /// The prediction by the state of a fit.
  public init(model: AdditiveModel, state: FitState) {
    precondition(state.coefficients.count == model.coefficientCount)
    self.model = model
    intercept = state.intercept
    trendCoefficients = Array(model.trendCoefficients(of: state.coefficients))
    seasonCoefficients = model.seasonCoefficients(of: state.coefficients)
  }

  /// Intercept and trend in ppm at a time in decimal years.
  public func trend(at time: Double) -> Double {
    intercept + model.trend.row(at: time).value(trendCoefficients)
  }

  /// The season in ppm at a time in decimal years, of which only the fraction counts.
  public func season(at time: Double) -> Double {
    model.season.row(at: time).cyclicValue(seasonCoefficients)
  }

  /// The whole model in ppm at a time in decimal years.
  public func value(at time: Double) -> Double { trend(at: time) + season(at: time) }
}

/// Errors of prediction, measured minus predicted, in a form that can be added up.
public struct PredictionErrors: Sendable, Equatable {
  /// The number of weeks.
  public var count = 0
  /// The sum of the errors in ppm.
  public var sum = 0.0
  /// The sum of their squares in ppm².
  public var sumOfSquares = 0.0

  /// No errors yet.
  public init() {}

  /// The errors of a prediction for the weeks of a record.
  public init(of prediction: Prediction, for record: WeeklyRecord) {
    for (time, value) in zip(record.times, record.values) {
      let error = value - prediction.value(at: time)
      count += 1
      sum += error
      sumOfSquares += error * error
    }
  }

  /// The mean error in ppm: what the predictions are too low by.
  public var mean: Double { sum / Double(count) }

  /// The root of the mean squared error in ppm.
  public var rootMeanSquare: Double { (sumOfSquares / Double(count)).squareRoot() }

  /// Takes in the errors of other weeks.
  public mutating func add(_ other: PredictionErrors) {
    count += other.count
    sum += other.sum
    sumOfSquares += other.sumOfSquares
  }
}

/// The study: the record, its model, and the fits it asks for.
public struct Study: Sendable {
  /// The sizes of the model.
  public let specification: ModelSpecification
  /// The whole record.
  public let record: WeeklyRecord
  /// The model, the same for all fits: its knots span the whole record.
  public let model: AdditiveModel

  /// A study of a record that is long enough to be fitted.
  public init(specification: ModelSpecification, record: WeeklyRecord) throws(RecordError) {
    guard record.count >= RestrictedLikelihood.fewestWeeks, let span = record.span,
      span.upperBound > span.lowerBound
    else { throw .tooShort(weeks: record.count) }
    self.specification = specification
    self.record = record
    model = AdditiveModel(specification, domain: span)
  }

  /// The years that can be left out: those that leave enough weeks.
  public var years: [Int] {
    record.years.filter { training(without: $0).count >= RestrictedLikelihood.fewestWeeks }
  }

  /// The weeks that a fit is made from.
  ///
  /// - Parameter year: The year that is left out, if one is.
  public func training(without year: Int?) -> WeeklyRecord {
    year.map { record.without(year: $0) } ?? record
  }

  /// The errors of a fit in the year that it has not seen.
  public func errors(of state: FitState, in year: Int) -> PredictionErrors {
    PredictionErrors(of: Prediction(model: model, state: state), for: record.only(year: year))
  }
}
