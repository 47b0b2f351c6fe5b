import TestSupport
import Testing
import WarmStart

@Suite struct FingerprintTests {
  /// SHA-256 of 01, 04000000, "file", 0200000000000000, "a\n", by another program.
  private static let known = "97aaddb8760c758f91391926fee7c4686c17778546952e2392e01b258b31c404"

  @Test func theKeyIsThatOfTheDocumentedFrame() throws {
    let run = Tool.run("fingerprint", input: Array("a\n".utf8))
    #expect(run.status == 0 && run.text == Self.known + "\n")
    #expect(
      Tool.run("fingerprint", "--json", input: Array("a\n".utf8)).text
        == "{\"key\":\"\(Self.known)\"}\n")
  }

  @Test func filesPipesAndStandardInputAgreeWithTheLibrary() throws {
    let directory = TemporaryDirectory()
    let (large, small) = (SampleStore.noise(2_500_000), Array("small".utf8))
    write(large, to: directory.appending("large"))
    write(small, to: directory.appending("small"))
    write([], to: directory.appending("empty"))
    var fingerprinter = Fingerprinter()
    for content in [large, [], small] { fingerprinter.absorb(content, tag: "data") }
    let expected = fingerprinter.finalize().description + "\n"
    let (first, last) = (directory.appending("large"), directory.appending("small"))
    let empty = directory.appending("empty")
    #expect(Tool.run("fingerprint", "--tag", "data", first, empty, last).text == expected)
    #expect(
      Tool.run("fingerprint", "--tag", "data", first, empty, "-", input: small).text == expected)
    let piped = Tool.run(
      command: [
        "sh", "-c", "cat \"$2\" | \"$1\" fingerprint --tag data - \"$3\" \"$4\"", "sh", Tool.path,
        first, empty, last,
      ])
    #expect(piped.text == expected)
  }

  @Test func contentOrderNumberAndTagMatter() throws {
    let directory = TemporaryDirectory()
    let (a, b) = (directory.appending("a"), directory.appending("b"))
    write([1], to: a)
    write([2], to: b)
    let keys = [["x", a, b], ["x", b, a], ["x", a], ["x", a, b, b], ["y", a, b]].map {
      Tool.run(command: [Tool.path, "fingerprint", "--tag"] + $0).text
    }
    #expect(Set(keys).count == keys.count)
  }

  @Test(arguments: ["/nonexistent", "/etc"])
  func whatCannotBeReadIsAnError(path: String) throws {
    let run = Tool.run("fingerprint", path)
    #expect(run.status == 74 && run.complainsOnce && run.output.isEmpty)
  }
}
