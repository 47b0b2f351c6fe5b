// warmstart import: takes over what the ancestor kept.

import ArgumentParser
import Glibc
import WarmStart

struct Import: Verb {
  static let configuration = CommandConfiguration(
    abstract: "Takes over the store of a fit that used the warm_start module of gam-runtime.",
    discussion: """
      --from-gam names the folder that has one folder for each key. It is read and never changed. The \
      store is made if it is not there. Entries keep their times, objectives, producers and runs, and that \
      they were looked up.

      Entries that would be superseded at once, or whose key was removed later, are not taken; so a second \
      import adds nothing, and one that was ended before its end can be run again.

      What is damaged is named and skipped; then the exit status is 65.

      EXAMPLE
        warmstart import ~/fits --from-gam ~/.cache/gam --dry-run
        warmstart import ~/fits --from-gam ~/.cache/gam
      """)

  @OptionGroup var argument: StoreArgument

  @Option(help: "The folder to take over.", completion: .directory)
  var fromGam: String

  @Flag(help: "Say what would be taken, and change nothing.")
  var dryRun = false

  @OptionGroup var report: ReportOptions

  func validate() throws {
    if fromGam.isEmpty { throw ValidationError("--from-gam is empty; name a folder") }
  }

  func perform(_ output: inout ResultStream) throws(Failure) -> ExitStatus {
    let source = try GamFolder(path: fromGam)
    if isInside(source) {
      throw Failure(
        .wrongUsage, "\(argument.store) is in \(fromGam), which is not to be changed; name another")
    }
    // Nothing is made for the sake of a folder that is not the ancestor's.
    let (keys, strangers) = try source.keys()
    let store =
      dryRun
      ? try argument.openIfPresent()
      : try argument.openOrCreate(producer: nil, durability: .synced)
    var migration = Migration(into: store, isForecast: dryRun, quiet: report.quiet)
    for name in strangers {
      migration.skip(source.pathOf(name), GamFlaw("its name is no key in 64 lowercase digits"))
    }
    try migration.run(keys, of: source)
    try store?.ask { open throws(StoreError) in try open.store.close() }
    try write(migration.tally, to: &output)
    return migration.tally.damaged == 0 ? .done : .damagedData
  }

  private func write(
    _ tally: Migration.Tally, to output: inout ResultStream
  ) throws(Failure) {
    if report.json {
      var object = JSONObject()
      object.add("keys", tally.keys)
      object.add("entries", tally.entries)
      object.add("taken", tally.taken)
      object.add("alreadyThere", tally.alreadyThere)
      object.add("dead", tally.dead)
      object.add("damaged", tally.damaged)
      object.add("lookups", tally.lookups)
      object.add("payloadBytes", tally.payloadBytes)
      try output.put(object)
    } else {
      try output.put(
        line: "\(argument.store.printable): \(dryRun ? "would take" : "took") \(tally.taken) of "
          + "\(Quantity.count(tally.entries, "entry", plural: "entries")) of "
          + "\(Quantity.count(tally.keys, "key")), \(Quantity.bytes(tally.payloadBytes)); "
          + "\(tally.alreadyThere) were there, \(tally.dead) dead, \(tally.damaged) damaged")
    }
  }

  /// Whether the store, or the folder that it would be made in, is the source or in it.
  private func isInside(_ source: GamFolder) -> Bool {
    guard let root = Self.realPath(source.path) else { return false }
    var path = (try? WorkingDirectory.absolute(argument.store)) ?? argument.store
    while true {
      if let real = Self.realPath(path) {
        return real == root || real.hasPrefix(root == "/" ? root : root + "/")
      }
      guard let slash = path.lastIndex(of: "/") else { return false }
      path = slash == path.startIndex ? "/" : String(path[..<slash])
    }
  }

  private static func realPath(_ path: String) -> String? {
    guard let real = realpath(path, nil) else { return nil }
    defer { free(real) }
    return String(cString: real)
  }
}
