// Disks that are full and disks that fail, with a file system in the kernel between them and the
// store.
//
// They take root, to mount; without it they are skipped and say so.

import Glibc
import TestSupport
import Testing
import WarmStart
import checkpoint_writer

extension CrashTests {
  private func write(_ index: Int) -> Write { Write(seed: 3, writer: 0, index: index, to: 0) }

  private func open(_ path: String) throws -> WarmStartStore {
    var options = StoreOptions()
    options.producer = "disk"
    options.segmentLimit = 256 << 10
    // Every entry is asked for, those that are dead by now too.
    options.compactsByItself = false
    return try WarmStartStore.open(at: path, options: options)
  }

  private func save(_ index: Int, in store: WarmStartStore) throws(StoreError) {
    try store.save(
      write(index).payload, for: key(index), objective: write(index).objective,
      iteration: write(index).number, label: write(index).label, run: write(index).run)
  }

  private func key(_ index: Int) -> Fingerprint { Write.fingerprint(index % 50) }

  /// That everything acknowledged is there, and all that is there is whole.
  private func expect(
    _ acknowledged: [Int], in store: WarmStartStore, _ when: Comment
  ) throws {
    let verification = try store.engine().verify(.payloads)
    #expect(verification.damage == [], when)
    var found: Set<UInt64> = []
    for key in Set(acknowledged.map(key)) {
      for entry in try store.entries(for: key) {
        let write = write(Int(try #require(entry.iteration)))
        #expect(entry.payload == write.payload, when)
        found.insert(write.number)
      }
    }
    #expect(acknowledged.filter { !found.contains(write($0).number) } == [], when)
    #expect(try store.statistics.damagedRecords == 0, when)
  }

  private func expectAfterPowerCut(_ acknowledged: [Int], on disk: FailingDisk) throws {
    let isThere: Void? = try disk.afterPowerCut {
      try expect(acknowledged, in: try open($0 + "/store"), "after a power cut")
    }
    try #require(isThere != nil, "no copy of the disk")
  }

  /// Saves until the disk has refused three times; gives what was acknowledged, and why the rest
  /// was not.
  private func fill(
    _ store: WarmStartStore, from first: Int
  ) -> (acknowledged: [Int], errors: [StoreError], next: Int) {
    var acknowledged: [Int] = []
    var errors: [StoreError] = []
    var index = first
    while errors.count < 3, index < first + 20_000 {
      do throws(StoreError) {
        try save(index, in: store)
        acknowledged.append(index)
      } catch { errors.append(error) }
      index += 1
    }
    return (acknowledged, errors, index)
  }

  /// What the kernel said, and whether it has given the file system up.
  private func look(at errors: [StoreError]) -> Bool {
    var hasGivenUp = false
    for error in errors {
      guard case .file(let error) = error else {
        Issue.record("\(error)")
        continue
      }
      #expect([EIO, ENOSPC, EROFS].contains(error.errno), "\(error)")
      if error.errno == EROFS { hasGivenUp = true }
    }
    return hasGivenUp
  }

  /// Twice over: a disk that has failed once is as likely to fail again. A file system that can't
  /// write its own journal takes no more writes, and then there is nothing more to try.
  @Test(
    .timeLimit(.minutes(20)), .enabled(if: FailingDisk.isPossible, "loop devices take root"),
    arguments: FailingDisk.Kind.allCases)
  func whatAFailingDiskAcknowledgedIsOnIt(_ kind: FailingDisk.Kind) throws {
    let disk = try #require(FailingDisk(kind))
    let store = try open(disk.path + "/store")
    let session = Session(store: store, key: Write.fingerprint(99), checkpointInterval: 0)
    var acknowledged: [Int] = []
    var next = 0
    for round in 1...2 {
      #expect(session.checkpoint(write(round).payload, objective: -Double(round)))
      disk.failAfter(kilobytes: 700)
      let filled = fill(store, from: next)
      next = filled.next
      acknowledged += filled.acknowledged
      try #require(filled.acknowledged.count > 10 && filled.errors.count == 3)
      print("\(kind), round \(round): \(filled.acknowledged.count) saves, then \(filled.errors[0])")
      // There may be room again where a file was given up; but what is told must be so.
      let hasWritten = session.checkpoint(write(0).payload, objective: -Double(round) - 0.5)
      #expect(hasWritten || session.lastError != nil)
      #expect(session.tryLoad() != nil)
      try expect(acknowledged, in: store, "while the disk fails")
      try expectAfterPowerCut(acknowledged, on: disk)
      disk.heal()
      if look(at: filled.errors + [session.lastError].compactMap { $0 }) {
        #expect(kind == .ext4)
        return
      }
      // The disk works again, and so does the store.
      for _ in 0..<5 {
        try save(next, in: store)
        acknowledged.append(next)
        next += 1
      }
      try expect(acknowledged, in: store, "once it works again")
    }
    #expect(session.checkpoint(write(3).payload, objective: -3))
    try store.close()
    try expectAfterPowerCut(acknowledged, on: disk)
    let best = try disk.afterPowerCut {
      try open($0 + "/store").lookup(Write.fingerprint(99))?.payload
    }
    #expect(best == write(3).payload)
  }

  @Test(
    .timeLimit(.minutes(20)), .enabled(if: FailingDisk.isPossible, "loop devices take root"),
    arguments: [nil, .ext2, .ext4] as [FailingDisk.Kind?])
  func aFullDiskLosesNothingAndSavesGoOnOnceThereIsSpace(_ kind: FailingDisk.Kind?) throws {
    let memory = try kind == nil ? #require(Mount(megabytes: 4) as Mount?) : nil
    let disk = try kind.map { try #require(FailingDisk($0)) }
    let path = memory?.path ?? disk!.path
    let ballast = path + "/ballast"
    let store = try open(path + "/store")
    let session = Session(store: store, key: Write.fingerprint(99), checkpointInterval: 0)
    #expect(session.checkpoint(write(0).payload, objective: -1))
    if disk != nil {
      let megabytes = kind == .ext2 ? 24 : 17
      TestSupport.write([UInt8](repeating: 1, count: megabytes << 20), to: ballast + "2")
    }
    TestSupport.write([UInt8](repeating: 1, count: 1 << 20), to: ballast)
    var (acknowledged, errors, next) = fill(store, from: 0)
    print("full after \(acknowledged.count) saves: \(errors[0])")
    #expect(acknowledged.count > 10 && errors.count == 3)
    for error in errors {
      guard case .file(let error) = error else {
        Issue.record("\(error)")
        continue
      }
      #expect(error.errno == ENOSPC && error.description.contains("free space"))
    }
    while session.checkpoint(write(0).payload, objective: -1) {}
    guard case .file(let error)? = session.lastError else {
      Issue.record("\(String(describing: session.lastError))")
      return
    }
    #expect(error.errno == ENOSPC)
    try expect(acknowledged, in: store, "while the disk is full")
    #expect(session.tryLoad()?.payload == write(0).payload)
    // Somebody else who comes now can read all of it.
    try expect(acknowledged, in: try open(path + "/store"), "by a newcomer")
    #expect(unlink(ballast) == 0)
    for _ in 0..<10 {
      try save(next, in: store)
      acknowledged.append(next)
      next += 1
    }
    #expect(session.checkpoint(write(1).payload, objective: -2))
    try expect(acknowledged, in: store, "once there is space")
    try store.close()
    try expect(acknowledged, in: try open(path + "/store"), "after the close")
    if let disk { try expectAfterPowerCut(acknowledged, on: disk) }
    withExtendedLifetime((memory, disk)) {}
  }

  @Test(.timeLimit(.minutes(20)), .enabled(if: Mount.isPossible, "mounting takes root"))
  func threeProcessesOnAFullDiskGoOnOnceThereIsSpace() throws {
    let mount = try #require(Mount(megabytes: 6))
    let ballast = mount.path + "/ballast"
    TestSupport.write([UInt8](repeating: 1, count: 3 << 20), to: ballast)
    let programs = try (0..<3).map { writer in
      try RunningProgram.start(
        "fill",
        [
          "store": mount.path + "/store", "writer": writer, "count": 20, "producer": "disk",
          "durability": "synced", "segment": 256 << 10, "compacts": "no",
        ])
    }
    for program in programs { try #require(program.read { $0 == "open" }, "\(program.lines)") }
    for program in programs { program.sendWord() }
    for program in programs {
      try #require(program.read { $0.hasPrefix("full") }, "\(program.lines)")
    }
    print("three processes: \(programs.map { $0.lines.last ?? "" })")
    let path = mount.path + "/store"
    let newcomer = try open(path)
    #expect(try newcomer.engine().verify(.payloads).damage == [])
    #expect(unlink(ballast) == 0)
    for program in programs { program.sendWord() }
    for (writer, program) in programs.enumerated() {
      #expect(program.finish() == .exit(0), "\(program.lines)")
      let words = (program.lines.last ?? "").split(separator: " ")
      try #require(words.first == "closed", "\(program.lines)")
      let last = Int(words[1])! - 1
      let entry = try #require(try open(path).lookupLatest(Write.fingerprint(writer)))
      #expect(Write(seed: 1, writer: writer, index: last, to: writer).discrepancy(entry) == nil)
    }
    let store = try open(path)
    #expect(try store.engine().verify(.payloads).damage == [])
    #expect(try store.statistics.damagedRecords == 0)
    withExtendedLifetime(mount) {}
  }
}
