// A disk that is full, and a store that has space to give back.

import Glibc
import TestSupport
import Testing
import WarmStart

extension CrashTests {
  private func noise(_ number: Int, count: Int) -> [UInt8] {
    let random = SeededRandom(seed: UInt64(number) + 1)
    return [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
      for index in 0..<count { buffer[index] = UInt8(truncatingIfNeeded: random.next() >> 40) }
      initialized = count
    }
  }

  private func size(_ path: String) -> Int {
    var status = stat()
    return stat(path, &status) == 0 ? Int(status.st_size) : 0
  }

  @Test(.enabled(if: Mount.isPossible, "mounting takes root"))
  func aStoreOnAFullDiskGivesSpaceBack() throws {
    let disk = try #require(Mount(megabytes: 40))
    let path = disk.path + "/store"
    var options = StoreOptions()
    options.segmentLimit = 1 << 20
    options.compactsByItself = false
    options.durability = .buffered
    let key = { (number: Int) in
      Fingerprint(bytes: (0..<32).map { UInt8(truncatingIfNeeded: number >> ($0 % 4 * 8)) })!
    }
    let first = try WarmStartStore.open(at: path, options: options)
    for number in 0..<1100 { try first.save(noise(number, count: 16 << 10), for: key(number)) }
    try first.compact()
    #expect(size(path + "/compaction.lock") > 256 << 10)
    // Two of three are dead.
    for number in 0..<600 {
      try first.save(
        noise(number, count: 16 << 10), for: key(5000 + number / 3), objective: -Double(number))
    }
    try first.close()
    let filler = open(disk.path + "/filler", O_WRONLY | O_CREAT, 0o600)
    let zeros = [UInt8](repeating: 0, count: 4096)
    while write(filler, zeros, zeros.count) > 0 {}
    close(filler)
    let store = try WarmStartStore.open(at: path, options: options)
    #expect(throws: StoreError.self) { try store.save([1], for: key(9999)) }
    let before = try store.statistics
    try store.compact()
    let after = try store.statistics
    #expect(after.totalBytes + (5 << 20) < before.totalBytes && after.liveBytes == before.liveBytes)
    #expect(try store.engine().verify(.payloads).damage == [])
    for number in stride(from: 0, to: 1100, by: 50) {
      #expect(try store.lookup(key(number))?.payload == noise(number, count: 16 << 10))
    }
    for number in stride(from: 2, to: 600, by: 30) {
      let found = try store.lookup(key(5000 + number / 3))
      #expect(found?.payload == noise(number, count: 16 << 10))
    }
    // There is room again.
    try store.save([1], for: key(9999))
    #expect(try store.lookup(key(9999))?.payload == [1])
  }
}
