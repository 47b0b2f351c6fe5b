// co2-gam: a penalised regression on the weekly carbon dioxide of Mauna Loa, and its
// cross-validation, with a store that a killed run goes on from.

import ArgumentParser
import CO2Model
import Glibc
import WarmStart

@main
struct CO2GAM: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "co2-gam",
    abstract: "Fits trend and season to the weekly CO2 of Mauna Loa and cross-validates the fit.",
    discussion: """
      The smoothing parameters are estimated by restricted maximum likelihood. Then every year is \
      left out in turn and predicted from the others. With --store, each fit keeps its state after \
      each iteration; a run that was killed goes on where it was, and a fit that has ended is not \
      done again.
      """)

  @Option(help: ArgumentHelp("The weekly record.", valueName: "path"))
  var data = "Examples/co2-gam/data/co2.csv"

  @Option(help: ArgumentHelp("The directory of the store; none without it.", valueName: "dir"))
  var store: String?

  @Option(help: "When a checkpoint counts as written: when it is synced, or when it is buffered.")
  var durability = DurabilityChoice.synced

  @Option(help: ArgumentHelp("The number of processes for the folds.", valueName: "n"))
  var jobs = 1

  @Option(
    help: ArgumentHelp(
      "The years to leave out, as 1958-1969,1980, or none. (default: all)", valueName: "years"))
  var folds: FoldChoice?

  @Option(help: ArgumentHelp("Knots of the trend in a year.", valueName: "n"))
  var trendKnots = ModelSpecification().trendKnotsPerYear

  @Option(help: ArgumentHelp("Functions of the season.", valueName: "n"))
  var seasonFunctions = ModelSpecification().seasonFunctions

  @Option(help: ArgumentHelp("Draw record, trend and season to this file.", valueName: "path"))
  var svg: String?

  @Flag(help: "Print one JSON object, in full precision, in place of the table.")
  var json = false

  @Flag(help: "Say on standard error when a checkpoint is made, too.")
  var trace = false

  @Flag(help: "Say nothing on standard error but what is wrong.")
  var quiet = false

  /// In a worker, the number of its share.
  @Option(help: .hidden)
  var worker: Int?

  func validate() throws {
    guard jobs >= 1 else { throw ValidationError("--jobs must be at least 1") }
    guard trendKnots >= 1 else { throw ValidationError("--trend-knots must be at least 1") }
    guard seasonFunctions >= 4 else {
      throw ValidationError("--season-functions must be at least 4")
    }
    guard worker.map({ (0..<jobs).contains($0) }) ?? true else {
      throw ValidationError("there is no worker \(worker ?? 0)")
    }
  }

  func run() throws {
    let clock = ContinuousClock()
    let begin = clock.now
    let study = try makeStudy()
    let years = try chosenYears(of: study)
    let store = openStore()
    defer { close(store) }
    let runner = FitRunner(
      study: study, store: store, narration: quiet ? .quiet : trace ? .checkpoints : .fits)
    if let worker {
      work(on: Workers.share(worker, of: jobs, in: years), with: runner)
      return
    }

    let full = runner.run(.full)
    var reports: [Fit: FitReport] = [:]
    if jobs > 1 && years.count > 1 {
      for report in Workers.run(count: jobs) { reports[report.fit] = report }
    }
    for fit in years.map(Fit.without) where reports[fit] == nil {
      reports[fit] = runner.run(fit).report
    }
    let report = StudyReport(
      full: full.report, folds: years.compactMap { reports[.without($0)] },
      seconds: (clock.now - begin) / .seconds(1))
    Console.output(json ? report.json : report.text)
    if let svg { try write(drawing(of: study, fittedBy: full.state), to: svg) }
  }

  /// Does a worker's share. A worker whose parent is gone would work for nobody.
  private func work(on years: ArraySlice<Int>, with runner: FitRunner) {
    let parent = getppid()
    for year in years where getppid() == parent {
      Console.output(runner.run(.without(year)).report.line)
    }
  }

  private func makeStudy() throws -> Study {
    var specification = ModelSpecification()
    specification.trendKnotsPerYear = trendKnots
    specification.seasonFunctions = seasonFunctions
    return try Study(
      specification: specification, record: try WeeklyRecord(contentsOf: data))
  }

  private func chosenYears(of study: Study) throws -> [Int] {
    let years = study.years
    guard let folds else { return years }
    for year in folds.years where !years.contains(year) {
      throw ValidationError("the year \(year) cannot be left out of this record")
    }
    return years.filter(folds.years.contains)
  }

  private func openStore() -> LazyStore? {
    guard let path = store else { return nil }
    var options = StoreOptions()
    options.durability = durability.durability
    options.producer = FitRunner.producer
    let lazy = LazyStore(path: path, options: options)
    if let error = lazy.error {
      Console.note("the store \(path) cannot be used, the fits go on without it: \(error)")
    }
    return lazy
  }

  private func close(_ lazy: LazyStore?) {
    do {
      try lazy?.store?.close()
    } catch {
      Console.note("the store does not close: \(error)")
    }
  }

  private func write(_ text: String, to path: String) throws {
    func failure() -> ValidationError {
      ValidationError("cannot write \(path): \(String(cString: strerror(errno)))")
    }
    guard let file = fopen(path, "w") else { throw failure() }
    let bytes = Array(text.utf8)
    let count = fwrite(bytes, 1, bytes.count, file)
    guard fclose(file) == 0, count == bytes.count else { throw failure() }
  }
}

/// The durability of the store as an argument.
enum DurabilityChoice: String, ExpressibleByArgument, CaseIterable {
  case synced, buffered

  var durability: Durability {
    switch self {
    case .synced: .synced
    case .buffered: .buffered
    }
  }
}

/// Years and ranges of years as an argument.
struct FoldChoice: ExpressibleByArgument {
  var years: Set<Int> = []

  init?(argument: String) {
    if argument == "none" { return }
    for part in argument.split(separator: ",", omittingEmptySubsequences: false) {
      let ends = part.split(separator: "-", omittingEmptySubsequences: false).map { Int($0) }
      guard (1...2).contains(ends.count), let first = ends[0], let last = ends[ends.count - 1],
        first <= last, last <= 9999
      else { return nil }
      years.formUnion(first...last)
    }
  }
}
