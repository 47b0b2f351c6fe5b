// A log beside the sealed segment of the same name: a directory that was copied over an older copy of itself.

import Glibc
import TestSupport
import Testing
import WarmStart

@Suite struct HiddenLogTests {
  private let bench = Bench()

  /// A store of one sealed segment, beside which its log of before stands again.
  private func makeStore() throws -> (log: String, bytes: [UInt8]) {
    let store = try bench.open()
    try store.save(payload(1), for: key(1))
    let (log, bytes) = try #require(everything(in: bench.path).first)
    try store.close()
    write(bytes, to: "\(bench.path)/\(log)")
    #expect(listing(bench.path).filter { $0.hasSuffix(".seg") || $0.hasSuffix(".log") }.count == 2)
    return (log, bytes)
  }

  @Test func whatWasRemovedDoesNotComeBackFromIt() throws {
    let (log, bytes) = try makeStore()
    bench.clock.advance(seconds: 1)
    let store = try bench.open()
    #expect(try store.lookup(key(1))?.payload == payload(1))
    try store.remove(key(1))
    try store.close()
    try bench.open().compact()
    #expect(try bench.open(.readOnly).entries(for: key(1)).isEmpty)
    #expect(contents("\(bench.path)/quarantine/\(log)") == bytes)
  }

  @Test func aRepairOfTheSegmentLeavesNoDamageOfIt() throws {
    let (log, _) = try makeStore()
    let name = String(log.dropLast(4))
    write(noise(1, count: 700), to: "\(bench.path)/\(name).seg")
    write(noise(2, count: 700), to: "\(bench.path)/\(log)")
    let store = try bench.open()
    let report = try store.engine().repair()
    #expect(report.quarantined.sorted() == ["quarantine/\(log)", "quarantine/\(name).seg"])
    #expect(try bench.open().verify().damage.isEmpty)
    #expect(contents("\(bench.path)/quarantine/\(log)") == noise(2, count: 700))
  }
}
