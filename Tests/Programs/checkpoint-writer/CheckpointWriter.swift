// A program for the tests that kill: it writes to a store, or looks things up there, and tells on
// standard output what it is about to do and what has been acknowledged.

import Glibc
import WarmStart

@main
struct CheckpointWriter {
  static func main() {
    guard CommandLine.arguments.count >= 2 else { fail("no mode") }
    let arguments = Arguments(CommandLine.arguments.dropFirst(2))
    switch CommandLine.arguments[1] {
    case "script": runScript(arguments)
    case "share": writeAmongMany(arguments)
    case "lookup": lookUpAmongMany(arguments)
    case "checkpoint-loop": loopOverCheckpoints(arguments)
    case "lookup-loop": loopOverLookups(arguments)
    case "fork-both": saveInBothAfterFork(arguments)
    case "fork-orphan": leaveAnOrphan(arguments)
    case "fork-storm": forkWhileSaving(arguments)
    case "fork-looking": forkWhileLookingUp(arguments)
    case "fork-busy-orphan": leaveAnOrphanOfABusyParent(arguments)
    case "fork-while-syncing": forkWhileASaveWaitsForItsSync(arguments)
    case "exec": becomeAnotherProgram(arguments)
    case "spawn": startAnotherProgram(arguments)
    case "inherit": tellWhatWasInherited(arguments)
    case "fill": fillTheDisk(arguments)
    case "limit": writeUpToALimit(arguments)
    case let other: fail("mode \(other)")
    }
  }
}
