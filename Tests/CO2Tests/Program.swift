// Runs the built co2-gam, which lies beside the test bundle.

import Foundation

/// A run of the program.
struct Program {
  var status: CInt
  var output: String
  var notes: String

  /// Whether it ended by itself and well.
  var succeeded: Bool { status == 0 }

  /// The options that make a run short: three folds of a small model.
  static let small = [
    "--data", exampleFolder + "/data/co2.csv", "--folds", "1970-1972", "--trend-knots", "2",
    "--season-functions", "12", "--json",
  ]

  /// Runs the program.
  ///
  /// - Parameters:
  ///   - arguments: Its arguments.
  ///   - checkpoints: After how many lines about checkpoints it is killed; `nil` lets it end.
  static func run(_ arguments: [String], killedAfter checkpoints: Int? = nil) throws -> Program {
    let process = Process()
    process.executableURL = folder.appendingPathComponent("co2-gam")
    process.arguments = arguments
    let (output, notes) = (Pipe(), Pipe())
    process.standardOutput = output
    process.standardError = notes
    try process.run()
    var text = Data()
    var left = checkpoints
    while let chunk = try notes.fileHandleForReading.read(upToCount: 1), !chunk.isEmpty {
      text.append(chunk)
      guard chunk.first == UInt8(ascii: "\n"), let count = left, isCheckpoint(text) else {
        continue
      }
      left = count - 1
      if count == 1 {
        kill(process.processIdentifier, SIGKILL)
        break
      }
    }
    let printed = try output.fileHandleForReading.readToEnd() ?? Data()
    process.waitUntilExit()
    return Program(
      status: process.terminationStatus, output: String(decoding: printed, as: UTF8.self),
      notes: String(decoding: text, as: UTF8.self))
  }

  private static func isCheckpoint(_ text: Data) -> Bool {
    let line = text.dropLast().split(separator: UInt8(ascii: "\n")).last ?? Data()
    return String(decoding: line, as: UTF8.self).contains(": checkpoint ")
  }

  private static let folder: URL = {
    var path = [CChar](repeating: 0, count: 4096)
    let count = readlink("/proc/self/exe", &path, path.count)
    let bytes = path.prefix(max(0, count)).map { UInt8(bitPattern: $0) }
    return URL(fileURLWithPath: String(decoding: bytes, as: UTF8.self)).deletingLastPathComponent()
  }()
}

/// What the program says with `--json`, as far as the tests look at it.
struct StudyResult: Decodable, Equatable {
  var criterion: Double
  var logLambdaTrend: Double
  var logLambdaSeason: Double
  var score: Double
  var scoreMean: Double
  var evaluationsSpent: Int
  var evaluationsSaved: Int
  var folds: [Fold]

  struct Fold: Decodable, Equatable {
    var year: Int
    var start: String
    var criterion: Double
    var rmse: Double
    var evaluations: Int
  }

  init(_ program: Program) throws {
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    self = try decoder.decode(StudyResult.self, from: Data(program.output.utf8))
  }

  /// The figures that no way of computing them may change.
  var figures: [Double] {
    [criterion, logLambdaTrend, logLambdaSeason, score, scoreMean]
      + folds.flatMap { [$0.criterion, $0.rmse] }
  }
}
