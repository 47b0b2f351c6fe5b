// Directories that somebody else filled, or changes at the wrong moment: a clear error at worst.

import Glibc
import Synchronization
import TestSupport
import Testing
import WarmStart

@Suite struct HostileDirectoryTests {
  private let bench = Bench()

  private func segment(_ number: UInt64, _ phase: SegmentName.Phase = .sealed) -> String {
    "\(bench.path)/"
      + SegmentName(id: SegmentID(creation: number, random: number), phase: phase).description
  }

  private func fill(_ count: Int = 3) throws {
    for number in 0..<count {
      bench.clock.advance(seconds: 1)
      let store = try bench.open()
      try store.save(noise(number, count: 3000), for: key(number))
      try store.close()
    }
  }

  /// Opens, reads, verifies, repairs and compacts; everything that was saved is there in the end.
  private func useEverything(_ count: Int = 3) throws {
    let reader = try bench.open(.readOnly)
    #expect(try reader.verify().damage.isEmpty)
    let store = try bench.open()
    #expect(try store.engine().repair().quarantined.isEmpty)
    try store.compact()
    for number in 0..<count {
      #expect(try store.lookup(key(number))?.payload == noise(number, count: 3000))
      #expect(try reader.lookup(key(number))?.payload == noise(number, count: 3000))
    }
    try store.save(payload(77), for: key(77))
    #expect(try reader.lookup(key(77)) != nil)
    try store.close()
  }

  @Test(.timeLimit(.minutes(20)), arguments: [SegmentName.Phase.log, .sealed, .temporary])
  func whatIsNamedLikeASegmentAndIsNoFileIsLeftAlone(_ phase: SegmentName.Phase) throws {
    try fill()
    let elsewhere = bench.directory.appending("elsewhere")
    let target = listing(bench.path).first { $0.hasSuffix(".seg") }!
    write(contents("\(bench.path)/\(target)"), to: elsewhere)
    symlink(elsewhere, segment(1, phase))
    symlink("nowhere", segment(2, phase))
    symlink(segment(3, phase), segment(3, phase))
    mkdir(segment(4, phase), 0o700)
    mkfifo(segment(5, phase), 0o600)
    symlink("/dev/zero", segment(6, phase))
    // Only a privileged user can make one.
    _ = mknod(segment(7, phase), S_IFCHR | 0o600, dev_t(1 << 8 | 5))
    let strange = (1...7).map { segment(UInt64($0), phase) }.filter {
      var status = stat()
      return lstat($0, &status) == 0
    }
    #expect(strange.count >= 6)
    try useEverything()
    for path in strange {
      var status = stat()
      #expect(lstat(path, &status) == 0, "\(path) is gone")
    }
    #expect(contents(elsewhere) != [])
  }

  enum Strange: CaseIterable {
    case link
    case pipe
    case file
    case directory
  }

  private func make(_ strange: Strange, _ path: String) {
    switch strange {
    case .link:
      mkdir(bench.directory.appending("outside"), 0o700)
      symlink(bench.directory.appending("outside"), path)
    case .pipe: mkfifo(path, 0o600)
    case .file: write([1, 2, 3], to: path)
    case .directory: mkdir(path, 0o700)
    }
  }

  /// Something that is no file of a store, under the name of a segment that a compaction replaced.
  @Test(arguments: [Strange.link, .pipe, .directory])
  func whatHasTheNameOfAReplacedSegmentStopsNobody(_ strange: Strange) throws {
    try fill()
    let name = listing(bench.path).sorted().first { $0.hasSuffix(".seg") }!
    let compacting = try bench.open()
    try compacting.compact()
    try compacting.close()
    make(strange, "\(bench.path)/\(name)")
    let store = try bench.open()
    try store.save(payload(9), for: key(9))
    try store.close()
    try useEverything()
    #expect(listing(bench.path).contains(name))
  }

  @Test func whatCannotBeSetAsideKeepsNothingElseFromBeingMerged() throws {
    try fill()
    write(noise(4, count: 900), to: segment(1))
    make(.file, "\(bench.path)/quarantine")
    let store = try bench.open()
    #expect(throws: StoreError.self) { try store.compact() }
    #expect(listing(bench.path).count { $0.hasSuffix(".seg") } == 2)
    #expect(try store.lookup(key(1))?.payload == noise(1, count: 3000))
  }

  @Test(.timeLimit(.minutes(20)), arguments: [Strange.link, .pipe, .file])
  func aQuarantineThatIsNoDirectoryTakesNothing(_ strange: Strange) throws {
    try fill()
    make(strange, "\(bench.path)/quarantine")
    let name = listing(bench.path).first { $0.hasSuffix(".seg") }!
    var bytes = contents("\(bench.path)/\(name)")
    bytes[400] ^= 1
    write(bytes, to: "\(bench.path)/\(name)")
    let store = try bench.open()
    let report = try store.engine().repair()
    #expect(report.errors.count == 1 && report.left.count == 1)
    #expect("\(report.errors)".contains("quarantine"))
    #expect(contents("\(bench.path)/\(name)") == bytes)
    #expect(listing(bench.directory.appending("outside")).isEmpty)
    #expect(try store.lookup(key(2))?.payload == noise(2, count: 3000))
  }

  @Test(.timeLimit(.minutes(20)), arguments: [Strange.link, .pipe, .directory])
  func aLockThatIsNoFileIsAnErrorOfTheCompactionAlone(_ strange: Strange) throws {
    try fill()
    make(strange, "\(bench.path)/compaction.lock")
    let store = try bench.open()
    let error = #expect(throws: StoreError.self) { try store.compact() }
    #expect(error?.description.contains("compaction.lock") ?? false)
    #expect(try store.lookup(key(2))?.payload == noise(2, count: 3000))
    try store.save(payload(5), for: key(5))
    try store.close()
    #expect(listing(bench.directory.appending("outside")).isEmpty)
  }

  /// Unoptimised a tenth of it takes as long.
  #if DEBUG
    private static let aMillion = 100_000
  #else
    private static let aMillion = 1_000_000
  #endif

  @Test(.timeLimit(.minutes(20))) func aMillionOtherNamesAreNoHindrance() throws {
    try fill()
    for number in 0..<Self.aMillion {
      let file = creat("\(bench.path)/data-\(number).json", 0o600)
      try #require(file >= 0)
      close(file)
    }
    let store = try bench.open(.readOnly)
    #expect(try store.lookup(key(1))?.payload == noise(1, count: 3000))
    let found = try store.verify()
    #expect(found.damage.isEmpty && found.segments == 3)
    #expect(found.foreign.count == 1000)
    let writer = try bench.open()
    try writer.save(payload(4), for: key(4))
    try writer.close()
    #expect(try store.lookup(key(4)) != nil)
  }

  @Test(.timeLimit(.minutes(20))) func moreNamesThanAnyStoreHasAreAnError() throws {
    let files = Dictionary(
      uniqueKeysWithValues: (0..<(1 << 22)).map { (String($0, radix: 36), [UInt8]()) })
    var host = bench.host()
    host.files = FixedFileSystem(files)
    #expect(throws: StoreError.self) { try bench.open(.readOnly, host: host) }
  }

  @Test func namesOfAnyBytesAreLeftAlone() throws {
    try fill()
    let names = [
      "a\nb", "\u{1b}[31m", "..seg", ".seg", String(repeating: "x", count: 255),
      "0123456789abcdef0123456789abcdef.SEG", "0123456789ABCDEF0123456789abcdef.seg",
      "0123456789abcdef0123456789abcdef.seg ", "0123456789abcdef0123456789abcdef.seg\n",
    ]
    for name in names { write([1], to: "\(bench.path)/\(name)") }
    // And one that is no text at all.
    let raw = bench.path.utf8CString.dropLast() + [47, -1, -2, 0]
    close(Array(raw).withUnsafeBufferPointer { open($0.baseAddress!, O_CREAT | O_WRONLY, 0o600) })
    try useEverything()
    for name in names { #expect(contents("\(bench.path)/\(name)") == [1]) }
  }

  @Test(.timeLimit(.minutes(20)), arguments: [SegmentName.Phase.sealed, .log])
  func aHugeFileOfHolesTakesNoTime(_ phase: SegmentName.Phase) throws {
    try fill()
    // Nothing but a hole; and a good segment that somebody made longer.
    let empty = segment(1, phase)
    write([], to: empty)
    truncate(empty, 1 << 40)
    let good = listing(bench.path).first { $0.hasSuffix(".seg") && !empty.hasSuffix($0) }!
    let grown = "\(bench.path)/" + good.replacing(".seg", with: phase == .sealed ? ".seg" : ".log")
    rename("\(bench.path)/\(good)", grown)
    truncate(grown, 1 << 40)
    let store = try bench.open()
    for number in 0..<3 {
      #expect(try store.lookup(key(number))?.payload == noise(number, count: 3000))
    }
    #expect(try !store.verify().damage.isEmpty)
    let report = try store.engine().repair()
    #expect(report.left.isEmpty && report.errors.isEmpty)
    #expect(try store.verify().damage.isEmpty)
    for number in 0..<3 {
      #expect(try store.lookup(key(number))?.payload == noise(number, count: 3000))
    }
  }

  @Test func withoutPermissionThereIsAClearError() async throws {
    // Permissions are nothing to a privileged user, so that it becomes another.
    await #expect(processExitsWith: .success) {
      let bench = Bench()
      let store = try bench.open()
      try store.save([1], for: key(1))
      try store.close()
      let name = listing(bench.path).first { $0.hasSuffix(".seg") }!
      chmod(bench.directory.path, 0o755)
      chmod(bench.path, 0o755)
      if geteuid() == 0 {
        precondition(setegid(65534) == 0 && seteuid(65534) == 0)
      } else {
        chmod("\(bench.path)/\(name)", 0)
      }
      // The files are another's, and may not be read.
      requireRefusal { _ = try bench.open(.readOnly) }
      // The directory may not be written, and is not.
      requireRefusal { try bench.open().save([2], for: key(2)) }
      if getuid() == 0 {
        precondition(seteuid(0) == 0)
      } else {
        chmod("\(bench.path)/\(name)", 0o600)
      }
      chmod(bench.path, 0)
      if getuid() == 0 { precondition(seteuid(65534) == 0) }
      requireRefusal { _ = try bench.open(.readOnly) }
      if getuid() == 0 { precondition(seteuid(0) == 0) }
      chmod(bench.path, 0o700)
    }
  }

  enum Reader: CaseIterable {
    case lookup
    case verify
    case compaction
    case repair
  }

  @Test(arguments: Reader.allCases)
  func aFileThatShrinksWhileItIsReadCostsOnlyWhatItLost(_ reader: Reader) throws {
    let files = FaultyFiles()
    let store = try bench.open()
    try store.save(noise(1, count: 3000), for: key(1))
    try store.save(noise(2, count: 3000), for: key(2))
    try store.close()
    try fill(1)
    let name = listing(bench.path).sorted().first { $0.hasSuffix(".seg") }!
    var host = bench.host()
    host.files = files
    let reading = try bench.open(host: host)
    // Its footer is known; then it is cut amid the second record.
    #expect(try reading.lookup(key(1)) != nil)
    let path = "\(bench.path)/\(name)"
    let isCut = Atomic<Bool>(false)
    files.failReads { read in
      if read.hasSuffix(name), !isCut.exchange(true, ordering: .relaxed) { truncate(path, 4000) }
      return nil
    }
    switch reader {
    case .lookup: #expect(try reading.lookup(key(2)) == nil)
    case .verify: #expect(try !reading.verify().damage.isEmpty)
    case .compaction: #expect(try reading.compact().quarantined.count == 1)
    case .repair: #expect(try reading.engine().repair().quarantined.count == 1)
    }
    let wasCut = isCut.load(ordering: .relaxed)
    #expect(wasCut)
    files.failReads(nil)
    #expect(try reading.lookup(key(1))?.payload == noise(1, count: 3000))
    #expect(try reading.lookup(key(0))?.payload == noise(0, count: 3000))
    #expect(try bench.open(.readOnly).lookup(key(1))?.payload == noise(1, count: 3000))
  }
}

/// Ends the process unless it is refused for want of permission; for the body of an exit test.
private func requireRefusal(_ body: () throws -> Void) {
  var refusal = "nothing was refused"
  do { try body() } catch { refusal = "\(error)" }
  precondition(refusal.contains("Permission denied"), refusal)
}
