// One segment, of which every byte may be a lie, read by a store.

import TestSupport
import WarmStart

enum SegmentTarget {
  /// A byte that says what is mended, and whether it is a log (64) whose writer lives (128); then the file.
  static func run(_ bytes: [UInt8]) throws(Finding) {
    var input = Input(bytes)
    let flags = input.byte()
    let isSealed = flags & 64 == 0
    let file = Mender.mend(input.all(), Mending(rawValue: flags & 63), isSealed: isSealed)
    // Its name is what its header says, so that it is read.
    var id = SegmentID(creation: 1, random: 1)
    if file.count >= 40 { id = SegmentID(creation: file.u64(24), random: file.u64(32)) }
    let name = SegmentName(id: id, phase: isSealed ? .sealed : .log).description
    var testimony = Testimony()
    testimony.add(file, id: id)
    let files = FixedFileSystem([name: file], hasWriters: flags & 128 != 0)
    guard let store = open(files) else { return }
    let report = Look.unlessItFails { () throws(StoreError) in try store.verify() }
    let look = try Look(at: store, testimony)
    guard let report, report.damage.isEmpty, report.unread.isEmpty else { return }
    // What is whole is served.
    let keys = Look.unlessItFails { () throws(StoreError) in try store.keys } ?? []
    for key in keys {
      guard let answers = look.answers[key], answers.best != nil, answers.latest != nil else {
        throw Finding("no damage, and a key without an entry: \(key)")
      }
    }
  }

  private static func open(_ files: FixedFileSystem) -> WarmStartStore? {
    var host = Host.test(clock: ManualClock(wall: Look.now))
    host.files = files
    return Look.unlessItFails { () throws(StoreError) in
      try WarmStartStore(path: files.path, options: Look.options, access: .readOnly, host: host)
    }
  }
}
