// Runs the simulator over many seeds, on all cores:
//
//     simulate --seeds 100000 [--from 1] [--mutant NAME] [--verbose] [--shards N]
//     simulate --input FILE [--verbose]      the bytes of a file decide, as in fuzzing
//
// Each shard is a process of its own, so that even a trap tells its seed. The last line counts what
// happened; the program fails if a seed did, or with --mutant if none did.

import Glibc
import Simulation

/// Prints a line at once, also into a pipe.
func say(_ line: some StringProtocol) {
  print(line)
  fflush(nil)
}

@main struct Simulate {
  static func main() {
    guard let order = Order(Array(CommandLine.arguments.dropFirst())) else {
      say(
        "usage: simulate [--seeds N] [--from SEED] [--mutant NAME] [--verbose] [--shards N]\n"
          + "       simulate --input FILE [--verbose]\n"
          + "mutants: \(Mutant.allCases.map(\.rawValue).joined(separator: ", "))")
      exit(64)
    }
    if let input = order.input {
      order.run(input)
    } else if order.shard != nil || order.isVerbose || order.shards == 1 && order.seeds == 1 {
      order.run()
    } else {
      var shards = Shards(order)
      exit(shards.run() ? 0 : 1)
    }
  }
}

/// What was asked for.
struct Order {
  var seeds: UInt64 = 2000
  var from: UInt64 = 1
  var mutant: Mutant?
  var isVerbose = false
  var shards = max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))))
  /// A file whose bytes decide, instead of seeds.
  var input: String?
  /// Set in the processes of the shards: which of them this is.
  var shard: Int?

  init?(_ arguments: [String]) {
    var rest = arguments[...]
    while let name = rest.popFirst() {
      if name == "--verbose" {
        isVerbose = true
        continue
      }
      guard let value = rest.popFirst() else { return nil }
      switch name {
      case "--seeds":
        guard let number = UInt64(value) else { return nil }
        seeds = number
      case "--from":
        guard let number = UInt64(value) else { return nil }
        from = number
      case "--mutant":
        guard let named = Mutant(rawValue: value) else { return nil }
        mutant = named
      case "--input": input = value
      case "--shards":
        guard let number = Int(value), number > 0 else { return nil }
        shards = number
      case "--shard":
        guard let number = Int(value) else { return nil }
        shard = number
      default: return nil
      }
    }
  }

  /// Runs the one life that the bytes of a file decide.
  func run(_ input: String) -> Never {
    guard let file = fopen(input, "rb") else {
      say("cannot read \(input)")
      exit(64)
    }
    var bytes = [UInt8](repeating: 0, count: 1 << 20)
    bytes.removeLast(bytes.count - fread(&bytes, 1, bytes.count, file))
    let outcome = Simulator.run(bytes: bytes, log: isVerbose ? { say($0) } : nil)
    say(outcome.failure.map { "failed: \($0)" } ?? "nothing was wrong")
    exit(outcome.failure == nil ? 0 : 1)
  }

  /// Runs the seeds of one shard and says what came of each, a line each.
  func run() {
    var total = Counts()
    for seed in from..<from + seeds where shard.map({ seed % UInt64(shards) == $0 }) ?? true {
      if shard != nil { say("begin \(seed)") }
      let outcome = Simulator.run(
        seed: seed, mutant: mutant, log: isVerbose ? { say($0) } : nil)
      total += outcome.counts
      if let failure = outcome.failure { say("failed seed \(seed): \(failure)") }
      if isVerbose { say("seed \(seed): digest \(String(outcome.digest, radix: 16))") }
    }
    say("counts \(total.words)")
    exit(0)
  }
}

extension Counts {
  fileprivate var words: String {
    [operations, calls, crashes, kills, errors, switches].map(String.init).joined(separator: " ")
  }

  fileprivate init(words: [Substring]) {
    self.init()
    let numbers = words.compactMap { Int($0) }
    guard numbers.count == 6 else { return }
    (operations, calls, crashes) = (numbers[0], numbers[1], numbers[2])
    (kills, errors, switches) = (numbers[3], numbers[4], numbers[5])
  }
}

/// The processes that share the work.
struct Shards {
  private let order: Order
  private var failures = 0
  private var done = 0
  private var total = Counts()

  init(_ order: Order) { self.order = order }

  private final class Shard {
    let stream: UnsafeMutablePointer<FILE>
    var seed = "none"
    var hasCounted = false
    init(_ stream: UnsafeMutablePointer<FILE>) { self.stream = stream }
  }

  /// Gives whether all was as it should be.
  mutating func run() -> Bool {
    let start = time(nil)
    var program = [CChar](repeating: 0, count: 4096)
    readlink("/proc/self/exe", &program, program.count - 1)
    let path = program.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
    var words = "'\(path)' --seeds \(order.seeds) --from \(order.from) --shards \(order.shards)"
    if let mutant = order.mutant { words += " --mutant \(mutant.rawValue)" }
    var open = (0..<order.shards).map { Shard(popen("\(words) --shard \($0)", "r")!) }
    while !open.isEmpty {
      var waits = open.map { pollfd(fd: fileno($0.stream), events: Int16(POLLIN), revents: 0) }
      poll(&waits, nfds_t(waits.count), -1)
      for (shard, wait) in zip(open, waits) where wait.revents != 0 {
        if !readLine(of: shard) { open.removeAll { $0 === shard } }
      }
    }
    let seconds = max(1, time(nil) - start)
    say(
      "\(done) seeds in \(seconds) s (\(done / seconds) a second), \(failures) failed: "
        + "\(total.operations) operations, \(total.calls) system calls, \(total.crashes) crashes, "
        + "\(total.kills) kills, \(total.errors) errors injected, \(total.switches) switches")
    return (failures == 0) == (order.mutant == nil)
  }

  private mutating func readLine(of shard: Shard) -> Bool {
    var line: UnsafeMutablePointer<CChar>?
    var capacity = 0
    defer { free(line) }
    // All that has been buffered, since poll knows only of the rest.
    guard getline(&line, &capacity, shard.stream) > 0, let line else {
      let status = pclose(shard.stream)
      if status != 0 || !shard.hasCounted {
        failures += 1
        say("failed seed \(shard.seed): its process ended with status \(status)")
      }
      return false
    }
    take(String(cString: line).split(separator: "\n").first ?? "", shard)
    return true
  }

  private mutating func take(_ line: Substring, _ shard: Shard) {
    let words = line.split(separator: " ")
    switch words.first {
    case "begin":
      shard.seed = String(words[1])
      done += 1
      if done % 5000 == 0 { say("\(done) of \(order.seeds) seeds, \(failures) failed") }
    case "failed":
      failures += 1
      say(line)
    case "counts":
      total += Counts(words: Array(words.dropFirst()))
      shard.hasCounted = true
    default: say(line)
    }
  }
}
