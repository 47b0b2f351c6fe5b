// Opening, opening read-only, and closing.

import Glibc
import TestSupport
import Testing
import WarmStart

@Suite struct OpeningTests {
  private let bench = Bench()

  private func mode(_ path: String) -> UInt32 {
    var status = stat()
    return stat(path, &status) == 0 ? status.st_mode & 0o7777 : .max
  }

  @Test func openingMakesTheDirectoryAndNothingElse() throws {
    bench.path += "/below/it"
    let store = try bench.open()
    #expect(mode(bench.path) != .max)
    #expect(listing(bench.path) == [])
    #expect(try store.lookup(key(1)) == nil)
    #expect(try store.keys == [])
    try store.flush()
    try store.close()
    #expect(listing(bench.path) == [])
  }

  @Test func aPathWithASlashAtItsEndIsTheSameStore() throws {
    try bench.open().save(payload(1), for: key(1))
    bench.path += "/"
    #expect(try bench.open().lookup(key(1))?.payload == payload(1))
  }

  @Test func aFileInPlaceOfTheDirectoryIsAnError() {
    write([1], to: bench.path)
    #expect(throws: StoreError.self) { try bench.open() }
    #expect(throws: StoreError.self) { try bench.open(.readOnly) }
    #expect(contents(bench.path) == [1])
  }

  // MARK: Read-only

  @Test func openingReadOnlyCreatesNothing() {
    #expect(
      throws: StoreError.file(FileError(.open, path: bench.path, errno: ENOENT))
    ) { try bench.open(.readOnly) }
    #expect(listing(bench.directory.path) == [])
  }

  @Test func aDirectoryOfOtherFilesIsNoStore() throws {
    mkdir(bench.path, 0o700)
    write([1], to: bench.path + "/notes.txt")
    #expect(throws: StoreError.notAStore(path: bench.path)) { try bench.open(.readOnly) }
  }

  @Test func anEmptyDirectoryIsAnEmptyStore() throws {
    mkdir(bench.path, 0o700)
    let store = try bench.open(.readOnly)
    #expect(store.isReadOnly)
    #expect(try store.keys == [])
    #expect(listing(bench.path) == [])
  }

  @Test(arguments: [true, false])
  func aReadOnlyStoreChangesNothingByteForByte(_ wasClosed: Bool) throws {
    let writer = try bench.open { $0.segmentLimit = 64 << 10 }
    for number in 0..<30 {
      try writer.save(noise(number, count: 5000), for: key(number % 5), objective: 1)
    }
    try writer.remove(key(4))
    if wasClosed { try writer.close() }
    let before = everything(in: bench.path)
    let times = before.keys.map { modified($0) }
    let reader = try bench.open(.readOnly)
    for number in 0..<6 {
      #expect((try reader.lookup(key(number)) == nil) == (number >= 4))
      _ = try reader.lookupBest(key(number))
      _ = try reader.lookupLatest(key(number))
      _ = try reader.entries(for: key(number))
    }
    #expect(try reader.keys.count == 4)
    _ = try reader.statistics
    let refused = StoreError.readOnly(path: bench.path)
    #expect(throws: refused) { try reader.save([1], for: key(1)) }
    #expect(throws: refused) { try reader.save([1], for: key(1), kind: .final, run: RunID("r")!) }
    #expect(throws: refused) { try reader.save([NewEntry([1], for: key(1))]) }
    #expect(throws: refused) { try reader.remove(key(1)) }
    try reader.flush()
    try reader.close()
    #expect(everything(in: bench.path) == before)
    #expect(before.keys.map { modified($0) } == times)
  }

  private func modified(_ name: String) -> Int {
    var status = stat()
    stat(bench.path + "/" + name, &status)
    return status.st_mtim.tv_sec * 1_000_000_000 + status.st_mtim.tv_nsec
  }

  @Test func aReadOnlyStoreSeesWhatAWriterAdds() throws {
    let writer = try bench.open()
    let reader = try bench.open(.readOnly)
    for number in 0..<10 {
      try writer.save(payload(number), for: key(1))
      #expect(try reader.lookupLatest(key(1))?.payload == payload(number))
    }
    try writer.remove(key(1))
    #expect(try reader.lookup(key(1)) == nil)
  }

  // MARK: Closing

  @Test func everyUseAfterCloseThrows() throws {
    let store = try bench.open()
    try store.save(payload(1), for: key(1))
    try store.close()
    let closed = StoreError.closed(path: bench.path)
    #expect(throws: closed) { try store.save([1], for: key(1)) }
    #expect(throws: closed) { try store.save([NewEntry([1], for: key(1))]) }
    #expect(throws: closed) { try store.remove(key(1)) }
    #expect(throws: closed) { try store.lookup(key(1)) }
    #expect(throws: closed) { try store.lookupBest(key(1)) }
    #expect(throws: closed) { try store.lookupLatest(key(1)) }
    #expect(throws: closed) { try store.entries(for: key(1)) }
    #expect(throws: closed) { try store.keys }
    #expect(throws: closed) { try store.statistics }
    #expect(throws: closed) { try store.flush() }
    try store.close()
    try store.close()
    #expect(try bench.open().lookup(key(1))?.payload == payload(1))
  }

  @Test func closingOneStoreLeavesTheOthersOpen() throws {
    let first = try bench.open()
    let second = try bench.open()
    try first.save(payload(1), for: key(1))
    try first.close()
    try second.save(payload(2), for: key(1))
    #expect(try second.entries(for: key(1)).count == 2)
  }

  @Test func closingSealsTheSegment() throws {
    let store = try bench.open()
    try store.save(payload(1), for: key(1))
    #expect(listing(bench.path).map { $0.suffix(4) } == [".log"])
    try store.close()
    #expect(listing(bench.path).map { $0.suffix(4) } == [".seg"])
  }

  // MARK: Permissions

  @Test(arguments: [Permissions.owner, .group])
  func permissionsAreThoseAskedFor(_ permissions: Permissions) throws {
    bench.path += "/below"
    let store = try bench.open { $0.permissions = permissions }
    try store.save(payload(1), for: key(1))
    #expect(mode(bench.path) == permissions.directoryMode)
    let file = "\(bench.path)/\(listing(bench.path)[0])"
    #expect(mode(file) == permissions.fileMode)
    try store.close()
    let sealed = "\(bench.path)/\(listing(bench.path)[0])"
    #expect(sealed.hasSuffix(".seg") && mode(sealed) == permissions.fileMode)
    #expect(Permissions.owner.directoryMode == 0o700 && Permissions.owner.fileMode == 0o600)
    #expect(Permissions.group.directoryMode == 0o770 && Permissions.group.fileMode == 0o660)
  }

  @Test func aStrictUmaskDoesNotShutTheGroupOut() async {
    await #expect(processExitsWith: .success) {
      umask(0o077)
      let bench = Bench()
      let store = try bench.open { $0.permissions = .group }
      try store.save(payload(1), for: key(1))
      var status = stat()
      stat(bench.path, &status)
      precondition(status.st_mode & 0o777 == 0o770)
      stat("\(bench.path)/\(listing(bench.path)[0])", &status)
      precondition(status.st_mode & 0o777 == 0o660)
    }
  }

  @Test func whatIsMadeInALabsDirectoryBelongsToItsGroup() throws {
    let bench = Bench()
    chmod(bench.directory.path, 0o2770)
    bench.path = bench.directory.appending("projects/store")
    try bench.open { $0.permissions = .group }.save(payload(1), for: key(1))
    for path in [bench.directory.appending("projects"), bench.path] {
      var status = stat()
      stat(path, &status)
      #expect(status.st_mode & 0o7777 == 0o2770)
    }
  }

  @Test func aLaxUmaskOpensNothingToOthers() async {
    await #expect(processExitsWith: .success) {
      umask(0)
      let bench = Bench()
      try bench.open().save(payload(1), for: key(1))
      var status = stat()
      stat(bench.path, &status)
      precondition(status.st_mode & 0o777 == 0o700)
      stat("\(bench.path)/\(listing(bench.path)[0])", &status)
      precondition(status.st_mode & 0o777 == 0o600)
    }
  }
}
