// Texts that look the same and are not: accents put together in two ways.

import TestSupport
import Testing
import WarmStart

@Suite struct ExactTextTests {
  private let bench = Bench()
  private static let composed = "caf\u{e9}"
  private static let decomposed = "cafe\u{301}"

  @Test(arguments: Witness.allCases)
  func labelsComeBackAsTheyWentIn(_ way: Witness) throws {
    var store: WarmStartStore? = try bench.open()
    try store!.save(payload(1), for: key(1), objective: 1, label: Self.composed)
    try store!.save(payload(2), for: key(2), objective: 1, label: Self.decomposed)
    try bench.witness(way, of: &store)
    for (number, label) in [(1, Self.composed), (2, Self.decomposed)] {
      let entry = try #require(try store!.entries(for: key(number)).first)
      #expect(Array(entry.label!.utf8) == Array(label.utf8))
    }
    #expect(try store!.engine().verify(.payloads).damage.isEmpty)
  }

  @Test func aDamagedEntryDoesNotHideOneWhoseLabelLooksLikeAnother() throws {
    let store = try bench.open()
    try store.save(payload(1), for: key(1), label: Self.composed)
    try store.save(payload(2), for: key(2), objective: 2, label: Self.decomposed)
    try store.save(payload(3), for: key(2), objective: 1)
    try store.close()
    let name = listing(bench.path)[0]
    var bytes = contents("\(bench.path)/\(name)")
    let at = try #require(bytes.firstRange(of: payload(3))).lowerBound
    bytes[at + 20] ^= 1
    write(bytes, to: "\(bench.path)/\(name)")
    let found = try bench.open().lookup(key(2))
    #expect(found?.payload == payload(2))
  }

  @Test(arguments: Witness.allCases)
  func aProducerIsItsBytes(_ way: Witness) throws {
    var store: WarmStartStore? = try bench.open(as: Self.composed)
    try store!.save(payload(1), for: key(1), kind: .final, objective: 1)
    try bench.witness(way, of: &store)
    #expect(try store!.lookup(key(1))?.kind == .final)
    #expect(try bench.open(as: Self.decomposed).lookup(key(1))?.kind == .checkpoint)
  }
}
