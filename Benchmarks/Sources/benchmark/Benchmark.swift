// What the store costs, beside the bare disk.

import ArgumentParser

@main
struct Benchmark: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "benchmark", abstract: "Measures the store, or the bare disk.",
    subcommands: [
      Measure.self, CheckpointBackground.self, Overwrites.self, ShortFits.self, OneFit.self,
      Budget.self, OneWriter.self, Compaction.self, OneCompaction.self,
    ], defaultSubcommand: Measure.self)
}
