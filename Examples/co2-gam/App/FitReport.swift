// What is said about one fit when it has ended. A worker sends it to its parent as a line.

import CO2Model

/// Where a fit began.
enum Start: Equatable {
  /// At a point made from the data alone.
  case cold
  /// At the result of a similar fit: of the whole record, or without another year.
  case seeded(from: Fit)
  /// Where an earlier run was stopped.
  case resumed(iteration: Int)
  /// At its end: an earlier run had finished it.
  case finished
}

/// A fit of the study: of the whole record, or without a year.
enum Fit: Hashable {
  case full
  case without(Int)

  /// The year left out.
  var year: Int? {
    if case .without(let year) = self { year } else { nil }
  }

  /// The name for people, which is also the label in the store.
  var label: String {
    switch self {
    case .full: "co2 full"
    case .without(let year): "co2 without \(year)"
    }
  }
}

/// The figures of one fit.
struct FitReport: Equatable {
  var fit: Fit
  var start: Start
  var hasConverged: Bool
  /// Evaluations of the criterion in this run.
  var evaluations: Int
  /// Evaluations that an earlier run had spent on this very fit and that were not repeated.
  var saved: Int
  var criterion: Double
  var logLambda: (trend: Double, season: Double)
  /// The standard deviation of the noise in ppm.
  var noise: Double
  var effectiveDegrees: Double
  /// The errors in the year left out.
  var errors: PredictionErrors

  init(
    fit: Fit, start: Start, state: FitState, evaluations: Int, saved: Int, errors: PredictionErrors
  ) {
    self.fit = fit
    self.start = start
    self.evaluations = evaluations
    self.saved = saved
    self.errors = errors
    hasConverged = state.search.phase == .converged
    criterion = state.search.value
    logLambda = (state.search.point[0], state.search.point[1])
    noise = state.variance.squareRoot()
    effectiveDegrees = state.effectiveDegrees
  }

  static func == (a: FitReport, b: FitReport) -> Bool { a.line == b.line }

  /// The line for the terminal.
  var summary: String {
    let held = errors.count > 0 ? ", held out \(decimal(errors.rootMeanSquare, places: 3)) ppm" : ""
    return "\(fit.label): \(start.summary), \(evaluations) evaluations, \(saved) saved, "
      + "criterion \(decimal(criterion, places: 4)), log lambda "
      + "\(decimal(logLambda.trend, places: 4)) \(decimal(logLambda.season, places: 4))"
      + held + (hasConverged ? "" : ", not converged")
  }
}

extension Start {
  var summary: String {
    switch self {
    case .cold: "cold"
    case .seeded(let fit): "seeded from \(fit.label)"
    case .resumed(let iteration): "resumed at iteration \(iteration)"
    case .finished: "finished before"
    }
  }
}

// MARK: - As words of a line

extension Fit {
  var word: String { year.map { "\($0)" } ?? "full" }

  init?(word: some StringProtocol) {
    if word == "full" {
      self = .full
    } else if let year = Int(word) {
      self = .without(year)
    } else {
      return nil
    }
  }
}

extension Start {
  var word: String {
    switch self {
    case .cold: "cold"
    case .seeded(let fit): "seeded:\(fit.word)"
    case .resumed(let iteration): "resumed:\(iteration)"
    case .finished: "finished"
    }
  }

  init?(word: some StringProtocol) {
    let parts = word.split(separator: ":")
    switch (parts.first, parts.count) {
    case ("cold", 1): self = .cold
    case ("finished", 1): self = .finished
    case ("seeded", 2):
      guard let fit = Fit(word: parts[1]) else { return nil }
      self = .seeded(from: fit)
    case ("resumed", 2):
      guard let iteration = Int(parts[1]) else { return nil }
      self = .resumed(iteration: iteration)
    default: return nil
    }
  }
}

extension FitReport {
  /// The report as a line from which it can be made again, every bit of it.
  var line: String {
    let words: [String] =
      [fit.word, start.word, "\(hasConverged)", "\(evaluations)", "\(saved)", "\(errors.count)"]
      + numbers.map { "\($0)" }
    return words.joined(separator: " ")
  }

  private var numbers: [Double] {
    [
      criterion, logLambda.trend, logLambda.season, noise, effectiveDegrees, errors.sum,
      errors.sumOfSquares,
    ]
  }

  /// The report in a line.
  init?(line: some StringProtocol) {
    let words = line.split(separator: " ")
    guard words.count == 13, let fit = Fit(word: words[0]), let start = Start(word: words[1]),
      let hasConverged = Bool(String(words[2])), let evaluations = Int(words[3]),
      let saved = Int(words[4]), let count = Int(words[5])
    else { return nil }
    let numbers = words[6...].compactMap { Double($0) }
    guard numbers.count == 7 else { return nil }
    self.fit = fit
    self.start = start
    self.hasConverged = hasConverged
    self.evaluations = evaluations
    self.saved = saved
    criterion = numbers[0]
    logLambda = (numbers[1], numbers[2])
    noise = numbers[3]
    effectiveDegrees = numbers[4]
    errors = PredictionErrors()
    errors.count = count
    errors.sum = numbers[5]
    errors.sumOfSquares = numbers[6]
  }
}
