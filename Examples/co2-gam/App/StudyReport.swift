// What is said at the end: for people, or as one JSON object.

import CO2Model

/// The figures of the whole run.
struct StudyReport {
  /// The fit of the whole record.
  var full: FitReport
  /// The fits without a year, by year.
  var folds: [FitReport]
  /// The time that the run took, in seconds.
  var seconds: Double

  /// The errors of all years that were left out.
  var errors: PredictionErrors {
    folds.reduce(into: PredictionErrors()) { $0.add($1.errors) }
  }

  /// Evaluations of the criterion in this run.
  var evaluations: Int { folds.reduce(full.evaluations) { $0 + $1.evaluations } }

  /// Evaluations that the store made unnecessary.
  var saved: Int { folds.reduce(full.saved) { $0 + $1.saved } }

  var text: String {
    func row(_ name: String, _ value: String) -> String {
      name + String(repeating: " ", count: 14 - name.count) + value
    }
    var rows = [
      row("criterion", decimal(full.criterion, places: 6)),
      row(
        "log lambda",
        "trend \(decimal(full.logLambda.trend, places: 6)), "
          + "season \(decimal(full.logLambda.season, places: 6))"),
      row("noise", "\(decimal(full.noise, places: 4)) ppm"),
      row("effective df", decimal(full.effectiveDegrees, places: 1)),
      row("evaluations", "\(evaluations) spent, \(saved) saved"),
    ]
    if !folds.isEmpty {
      let errors = errors
      rows.append(
        row(
          "score",
          "RMSE \(decimal(errors.rootMeanSquare, places: 6)) ppm, "
            + "mean \(decimal(errors.mean, places: 6)) ppm, over \(errors.count) weeks "
            + "of \(folds.count) years left out in turn"))
    }
    rows.append(row("time", "\(decimal(seconds, places: 1)) s"))
    return rows.joined(separator: "\n")
  }

  var json: String {
    let errors = errors
    let folds = folds.map(Self.object(of:)).joined(separator: ", ")
    return "{"
      + [
        Self.members(of: full), "\"evaluations_spent\": \(evaluations)",
        "\"evaluations_saved\": \(saved)", "\"score\": \(Self.number(errors.rootMeanSquare))",
        "\"score_mean\": \(Self.number(errors.mean))", "\"held_out\": \(errors.count)",
        "\"seconds\": \(Self.number(seconds))", "\"full\": \(Self.object(of: full))",
        "\"folds\": [\(folds)]",
      ].joined(separator: ", ") + "}"
  }

  /// The figures of a fit that the score does not depend on.
  private static func members(of report: FitReport) -> String {
    [
      "\"criterion\": \(number(report.criterion))",
      "\"log_lambda_trend\": \(number(report.logLambda.trend))",
      "\"log_lambda_season\": \(number(report.logLambda.season))",
      "\"sigma\": \(number(report.noise))",
      "\"effective_df\": \(number(report.effectiveDegrees))",
    ].joined(separator: ", ")
  }

  private static func object(of report: FitReport) -> String {
    var items = [
      "\"label\": \"\(report.fit.label)\"", "\"start\": \"\(report.start.word)\"",
      "\"converged\": \(report.hasConverged)", members(of: report),
      "\"evaluations\": \(report.evaluations)", "\"saved\": \(report.saved)",
    ]
    if let year = report.fit.year {
      items += [
        "\"year\": \(year)", "\"held_out\": \(report.errors.count)",
        "\"rmse\": \(number(report.errors.rootMeanSquare))",
        "\"mean\": \(number(report.errors.mean))",
      ]
    }
    return "{\(items.joined(separator: ", "))}"
  }

  /// A number in full precision; JSON has none that is not finite.
  private static func number(_ value: Double) -> String { value.isFinite ? "\(value)" : "null" }
}
