import Foundation
import TestSupport
import Testing

@Suite struct HelpTests {
  static let verbs = [
    "ls", "show", "get", "put", "rm", "stat", "fsck", "compact", "import", "fingerprint",
  ]

  @Test(arguments: verbs)
  func theHelpOfEachVerbHasAnExample(verb: String) throws {
    let run = Tool.run(verb, "--help")
    #expect(run.status == 0 && run.errors.isEmpty)
    #expect(run.text.contains("EXAMPLE\n  ") && run.text.contains("warmstart \(verb) "))
    #expect(run.text == Tool.run("help", verb).text)
  }

  @Test func theHelpOfTheProgramNamesEveryVerb() throws {
    let run = Tool.run("--help")
    #expect(run.status == 0)
    for verb in Self.verbs { #expect(run.text.contains("\n  \(verb) ")) }
  }

  @Test(arguments: ["bash", "zsh", "fish"])
  func completionKnowsEveryVerb(shell: String) throws {
    let run = Tool.run("--generate-completion-script", shell)
    #expect(run.status == 0 && run.errors.isEmpty)
    for verb in Self.verbs { #expect(run.text.contains(verb)) }
  }

  @Test func theManPageHasEveryVerbAndOption() throws {
    let package = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .deletingLastPathComponent().deletingLastPathComponent()
    let file = package.appendingPathComponent("Tools/warmstart/warmstart.1").path
    let page = String(decoding: contents(file), as: UTF8.self)
    for verb in Self.verbs {
      #expect(page.contains(".Nm warmstart \(verb)\n"), "\(verb)")
      #expect(page.contains(".It Cm \(verb) "), "\(verb)")
      let words = Tool.run(verb, "--help").text.split { " \n[]<>|.,;:".contains($0) }
      for option in Set(words.filter { $0.hasPrefix("--") }) {
        #expect(page.contains("Fl -\(option.dropFirst(2))"), "\(verb) \(option)")
      }
    }
  }
}
