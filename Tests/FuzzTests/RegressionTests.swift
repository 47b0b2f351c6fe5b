// What fuzzing found once, and the inputs that it begins with, through every target.

import FuzzTargets
import TestSupport
import Testing

@Suite struct RegressionTests {
  /// The folder `Fuzz` of this repository.
  static let folder: String = {
    let parts = #filePath.split(separator: "/", omittingEmptySubsequences: false)
    return parts.dropLast(3).joined(separator: "/") + "/Fuzz"
  }()

  @Test(arguments: FuzzTarget.allCases)
  func nothingThatWasKeptIsFoundAgain(_ target: FuzzTarget) throws {
    for kind in ["Regressions", "Corpus"] {
      let folder = "\(Self.folder)/\(kind)/\(target.rawValue)"
      for name in listing(folder) {
        do { try target.run(contents("\(folder)/\(name)")) } catch {
          Issue.record("\(kind)/\(target.rawValue)/\(name): \(error)")
        }
      }
    }
  }

  @Test(arguments: FuzzTarget.allCases)
  func everyTargetHasSeeds(_ target: FuzzTarget) {
    #expect(!listing("\(Self.folder)/Corpus/\(target.rawValue)").isEmpty)
  }

  @Test(arguments: FuzzTarget.allCases)
  func noInputAtAllIsNoFinding(_ target: FuzzTarget) throws {
    try target.run([])
    for byte in UInt8.min...7 { try target.run([byte]) }
  }
}
