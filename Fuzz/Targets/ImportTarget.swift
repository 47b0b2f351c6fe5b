// Entries of the ancestor, as `warmstart import` reads them: a JSON of unknown origin, and a payload.

import Crypto
import Glibc
import Simulation
import TestSupport
import WarmStart
import WarmStartTool

enum ImportTarget {
  private static let key = Fingerprint(words: (1, 2, 3, 4))
  private static let run = RunID("run")!
  private static let payloadLimit = 1 << 20
  /// The folder of one key, used again for every input.
  private static let folder: TemporaryDirectory = {
    setenv("TMPDIR", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp", 0)
    let folder = TemporaryDirectory()
    mkdir(folder.appending(key.description), 0o700)
    return folder
  }()

  /// Two bytes of length, the JSON, then the payload. In the JSON `@H` stands for the payload's checksum and
  /// `@N` for its length.
  static func run(_ bytes: [UInt8]) throws(Finding) {
    var input = Input(bytes)
    let count = Int(input.number(UInt16.self))
    let json = input.bytes(count)
    let payload = input.all()
    let place = folder.appending(key.description)
    write(filled(json, payload), to: "\(place)/\(run).json")
    write(payload, to: "\(place)/\(run).bin")
    let entry: GamEntry
    let read: [UInt8]
    do {
      let parent = try GamFolder(path: folder.path)
      let folder = try GamFolder(key.description, in: parent)
      entry = try GamEntry(key: key, run: run, in: folder, payloadLimit: payloadLimit)
      read = try entry.payload(in: folder)
    } catch { return }
    try require(read == payload && entry.payloadBytes == payload.count, "another payload")
    try save(entry, payload)
  }

  private static func filled(_ json: [UInt8], _ payload: [UInt8]) -> [UInt8] {
    guard json.contains(UInt8(ascii: "@")) else { return json }
    var result: [UInt8] = []
    var index = 0
    while index < json.count {
      let next = index + 1 < json.count ? json[index + 1] : 0
      guard json[index] == UInt8(ascii: "@"), next == UInt8(ascii: "H") || next == UInt8(ascii: "N")
      else {
        result.append(json[index])
        index += 1
        continue
      }
      let digest = Fingerprint(bytes: Array(SHA256.hash(data: payload)))!
      let text = next == UInt8(ascii: "H") ? digest.description : String(payload.count)
      result += Array(text.utf8)
      index += 2
    }
    return result
  }

  /// What was read can be saved, and comes back.
  private static func save(_ entry: GamEntry, _ payload: [UInt8]) throws(Finding) {
    let machine = Machine(files: [:], wall: Look.now)
    defer { machine.finish() }
    let found: WarmStartEntry?
    do throws(StoreError) {
      let store = try WarmStartStore(
        path: SimulatedFileSystem.path, options: Look.options, access: .createIfMissing,
        host: machine.hostWithOneThread())
      try store.engine().append(
        [PendingRecord(entry.draft, payload)], durability: .synced)
      found = try store.lookupLatest(key)
      try store.close()
    } catch { throw Finding("what was read of an entry cannot be saved: \(error)") }
    guard let found else { throw Finding("what was saved of an entry is not there") }
    try require(found.payload == payload, "another payload comes back")
    try require(
      found.producer.hasSameBytes(as: entry.draft.producer)
        && found.objective?.bitPattern == entry.draft.objective?.bitPattern
        && found.iteration == entry.draft.iteration, "something else comes back")
  }
}
