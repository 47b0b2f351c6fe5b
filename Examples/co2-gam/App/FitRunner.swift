// How a fit uses the store: it asks for its own state first, then for the result of the nearest
// fit, and hands in its state after every iteration. None of this can stop it: a store that fails
// is a store that has nothing to offer.

import CO2Model
import WarmStart

/// Runs the fits of a study, with or without a store.
struct FitRunner {
  let study: Study
  let store: LazyStore?
  /// What is said while a fit runs.
  let narration: Narration

  /// How much is said on standard error.
  enum Narration: Int, Comparable {
    /// Nothing but what is wrong.
    case quiet
    /// A line for each fit.
    case fits
    /// A line for each checkpoint as well.
    case checkpoints

    static func < (a: Narration, b: Narration) -> Bool { a.rawValue < b.rawValue }
  }

  /// The name under which finished fits are claimed. It changes when the criterion, or what counts
  /// as its minimum, does, and not when the program is built again.
  static let producer = "co2-gam 1 criterion reml-1"

  /// Runs one fit to its end, or takes it from the store.
  func run(_ fit: Fit) -> (report: FitReport, state: FitState) {
    let session = store?.session(for: key(of: fit), label: fit.label)
    let found = session.flatMap { findStart(of: fit, in: $0) }
    var start = found?.start ?? .cold
    var state: FitState
    var saved = 0
    switch (start, found?.state) {
    case (.finished, let found?), (.resumed, let found?):
      state = found
      saved = state.search.evaluations
      narrate(.checkpoints, "\(fit.label): \(start.summary), \(saved) evaluations saved")
      if state.search.phase == .searching { finish(&state, likelihood(of: fit), fit, session) }
    case (_, let seed):
      let likelihood = likelihood(of: fit)
      let tolerance = study.specification.gradientTolerance
      state = FitState(starting: likelihood, seed: seed, tolerance: tolerance)
      if seed != nil && !state.search.value.isFinite {
        start = .cold
        state = FitState(starting: likelihood, seed: nil, tolerance: tolerance)
      }
      checkpoint(state, of: fit, in: session)
      finish(&state, likelihood, fit, session)
    }
    if start != .finished && state.search.phase == .converged {
      session?.finalize(
        state.payload, objective: state.search.value, iteration: UInt64(state.search.iteration))
    }
    if let error = session?.lastError {
      Console.note("\(fit.label): the store failed and the fit went on without it: \(error)")
    }
    let report = FitReport(
      fit: fit, start: start, state: state, evaluations: state.search.evaluations - saved,
      saved: saved, errors: fit.year.map { study.errors(of: state, in: $0) } ?? PredictionErrors())
    narrate(.fits, report.summary)
    return (report, state)
  }

  private func likelihood(of fit: Fit) -> RestrictedLikelihood {
    RestrictedLikelihood(model: study.model, record: study.training(without: fit.year))
  }

  /// Iterates to the end, with a checkpoint after each iteration.
  private func finish(
    _ state: inout FitState, _ likelihood: RestrictedLikelihood, _ fit: Fit, _ session: Session?
  ) {
    while state.search.phase == .searching {
      state.advance(likelihood, tolerance: study.specification.gradientTolerance)
      checkpoint(state, of: fit, in: session)
    }
  }

  private func checkpoint(_ state: FitState, of fit: Fit, in session: Session?) {
    let search = state.search
    session?.checkpoint(
      state.payload, objective: search.value, iteration: UInt64(search.iteration))
    narrate(
      .checkpoints,
      "\(fit.label): checkpoint \(search.iteration), \(search.evaluations) evaluations, "
        + "criterion \(decimal(search.value, places: 6))")
  }

  private func narrate(_ level: Narration, _ line: String) {
    if narration >= level { Console.progress(line) }
  }
}

// MARK: - Starting points

extension FitRunner {
  /// Looks for something to start from: the fit itself, then its nearest relative.
  private func findStart(of fit: Fit, in session: Session) -> (state: FitState, start: Start)? {
    if let loaded = session.tryLoadWithSource(), let state = state(in: loaded.entry, of: fit) {
      let isFinished = loaded.entry.kind == .final && state.search.phase == .converged
      return (state, isFinished ? .finished : .resumed(iteration: state.search.iteration))
    }
    guard let relative = nearestFinished(to: fit) else { return nil }
    session.preload(relative.entry)
    guard let loaded = session.tryLoadWithSource(), loaded.source == .preloaded,
      let state = state(in: loaded.entry, of: fit)
    else { return nil }
    return (state, .seeded(from: relative.fit))
  }

  /// The finished fit that leaves out the nearest year; if there is none, that of the whole record.
  private func nearestFinished(to fit: Fit) -> (fit: Fit, entry: WarmStartEntry)? {
    guard let year = fit.year, let store = store?.store else { return nil }
    let others = study.years.filter { $0 != year }
    let nearest = others.sorted { (abs($0 - year), $0) < (abs($1 - year), $1) }
    for candidate in nearest.map(Fit.without) + [.full] {
      if let entry = try? store.lookupLatest(key(of: candidate)), entry.kind == .final {
        return (candidate, entry)
      }
    }
    return nil
  }

  private func state(in entry: WarmStartEntry, of fit: Fit) -> FitState? {
    do {
      return try FitState(payload: entry.payload, of: study.model)
    } catch {
      Console.note("\(fit.label): an entry of the store is not used: \(error)")
      return nil
    }
  }

  /// The fingerprint of all that decides where a fit ends: its data, its bases, its penalties, and
  /// what counts as the end.
  func key(of fit: Fit) -> Fingerprint {
    let specification = study.specification
    let training = study.training(without: fit.year)
    let domain = study.model.trend.domain
    var fingerprinter = Fingerprinter()
    fingerprinter.absorb(Self.producer, tag: "co2-gam fit")
    fingerprinter.absorb(UInt64(fit.year ?? 0), tag: "year left out")
    fingerprinter.absorb(UInt64(SplineOrder.degree), tag: "degree")
    fingerprinter.absorb(UInt64(SplineOrder.difference), tag: "penalty order")
    fingerprinter.absorb(UInt64(study.model.trend.segments), tag: "trend segments")
    fingerprinter.absorb(UInt64(specification.seasonFunctions), tag: "season functions")
    fingerprinter.absorb(specification.gradientTolerance.bitPattern, tag: "gradient tolerance")
    fingerprinter.absorb(tag: "domain")
    fingerprinter.write([domain.lowerBound, domain.upperBound])
    fingerprinter.absorb(tag: "times")
    fingerprinter.write(training.times)
    fingerprinter.absorb(tag: "values")
    fingerprinter.write(training.values)
    return fingerprinter.finalize()
  }
}
