// The program: its verbs, and how each of its ends becomes an exit status and a line.

package import ArgumentParser
import Glibc

/// The root command, under which each verb is a subcommand.
package struct Warmstart: ParsableCommand {
  package static let configuration = CommandConfiguration(
    commandName: "warmstart",
    abstract: "Looks into WarmStart stores: directories of checkpoints of running model fits.",
    discussion: """
      STORE is a directory. KEY is 64 hexadecimal digits, or the first of them if they fit one key only.

      Results go to standard output, everything else to standard error. Verbs that only read write \
      nothing into the store, and do not count as use of a key.

      Exit status: 0 done, 1 no such key, 64 wrong usage, 65 damaged data met, 66 no store there, \
      74 input or output failed. That of fsck: 0 clean, 4 damaged, 8 could not work, 16 wrong usage.
      """,
    version: "0.1.0",
    subcommands: [
      Ls.self, Show.self, Get.self, Put.self, Rm.self, Stat.self, Fsck.self,
      Compact.self, Import.self, FingerprintFiles.self,
    ])

  package init() {}

  package func run() throws {
    throw ValidationError("which verb? `warmstart --help` lists them")
  }
}

/// What one verb does, once its arguments are understood.
protocol Verb: ParsableCommand {
  /// Does it. Results go to `output`, which is flushed afterwards.
  func perform(_ output: inout ResultStream) throws(Failure) -> ExitStatus
}

/// The program, of which the executable is only the beginning.
package enum Program {
  /// Does what the arguments of this process say, and ends it.
  package static func main() {
    StandardStreams.makePresent()
    let arguments = Array(CommandLine.arguments.dropFirst())
    let isFsck = arguments.first { !$0.hasPrefix("-") } == "fsck"
    let status = run(arguments)
    exit(isFsck ? status.fsckCode : status.code)
  }

  private static func run(_ arguments: [String]) -> ExitStatus {
    do {
      var command = try Warmstart.parseAsRoot(arguments)
      guard let verb = command as? any Verb else {
        try command.run()
        return .done
      }
      var output = ResultStream()
      let status = try verb.perform(&output)
      try output.flush()
      return status
    } catch let failure as Failure {
      StandardStreams.complain(failure.message)
      return failure.status
    } catch {
      return end(with: error)
    }
  }

  /// The argument parser's errors; a request for help, or for a completion script, is one of them.
  private static func end(with error: any Error) -> ExitStatus {
    guard Warmstart.exitCode(for: error) == .success else {
      StandardStreams.complain(Warmstart.message(for: error))
      return .wrongUsage
    }
    do throws(Failure) {
      var output = ResultStream()
      try output.put(line: Warmstart.fullMessage(for: error))
      try output.flush()
      return .done
    } catch {
      StandardStreams.complain(error.message)
      return error.status
    }
  }
}
