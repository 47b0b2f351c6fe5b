// A log beside the sealed segment of the same name: a directory that was copied over an older copy of itself.

import Glibc
import TestSupport
import Testing
import WarmStart

@Suite struct HiddenLogTests {
  private let bench = Bench()

  /// A store of one sealed segment; its name without the phase.
  private func makeStore() throws -> String {
    let store = try bench.open()
    try store.save(payload(1), for: key(1))
    try store.close()
    return String(try #require(listing(bench.path).first).dropLast(4))
  }

  @Test func itIsNotInForceOnceTheSegmentWasSetAside() throws {
    let name = try makeStore()
    write(noise(1, count: 700), to: "\(bench.path)/\(name).seg")
    write(noise(2, count: 700), to: "\(bench.path)/\(name).log")
    let store = try bench.open()
    let report = try store.engine().repair()
    #expect(
      report.quarantined.sorted() == ["quarantine/\(name).log", "quarantine/\(name).seg"])
    #expect(try store.verify().damage.isEmpty)
    #expect(try bench.open(.readOnly).verify().damage.isEmpty)
    #expect(everything(in: "\(bench.path)/quarantine")["\(name).log"] == noise(2, count: 700))
  }

  @Test func whatTheSegmentHoldsIsServed() throws {
    let name = try makeStore()
    write(noise(2, count: 700), to: "\(bench.path)/\(name).log")
    let store = try bench.open()
    #expect(try store.verify().damage.isEmpty)
    try store.compact()
    #expect(try store.lookup(key(1))?.payload == payload(1))
    #expect(listing("\(bench.path)/quarantine") == ["\(name).log"])
  }
}
