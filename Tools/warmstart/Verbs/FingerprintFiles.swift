// warmstart fingerprint: the key of files, for shell scripts.

import ArgumentParser
import Glibc
import WarmStart

struct FingerprintFiles: Verb {
  static let configuration = CommandConfiguration(
    commandName: "fingerprint",
    abstract: "Prints the key of files, or of standard input.",
    discussion: """
      The key is the SHA-256 of one frame for each FILE, in the order given: a byte 1; the length of \
      the tag, 4 bytes little-endian; the tag; the length of the content, 8 bytes little-endian; the \
      content. That is what Fingerprinter.absorb(content, tag: "file") does for each. Names of files \
      do not matter; their contents, order and number do. Without FILE, or where FILE is -, the \
      content is that of standard input.

      EXAMPLE
        warmstart fingerprint data.csv model.toml
        make-design-matrix | warmstart fingerprint --tag design
      """)

  @Argument(help: "The files; - is standard input.", completion: .file())
  var files: [String] = []

  @Option(parsing: .unconditional, help: "The tag of every frame.")
  var tag = "file"

  @Flag(help: "Print a JSON object with the key.")
  var json = false

  @Flag(help: "Show no progress.")
  var quiet = false

  func perform(_ output: inout ResultStream) throws(Failure) -> ExitStatus {
    var fingerprinter = Fingerprinter()
    var progress = ProgressLine("hashing", quiet: quiet)
    defer { progress.clear() }
    for file in files.isEmpty ? ["-"] : files {
      let input = file == "-" ? InputFile.standard : try InputFile(path: file)
      try absorb(input, into: &fingerprinter, &progress)
    }
    progress.clear()
    let key = fingerprinter.finalize().description
    if json {
      var object = JSONObject()
      object.add("key", key)
      try output.put(object)
    } else {
      try output.put(line: key)
    }
    return .done
  }

  /// A frame begins with the length of its content: known beforehand for a regular file, which can
  /// then be read piece by piece. Of anything else the end must have been seen first.
  private func absorb(
    _ input: borrowing InputFile, into fingerprinter: inout Fingerprinter,
    _ progress: inout ProgressLine
  ) throws(Failure) {
    // Files of the kernel, as in /proc, say that they are empty.
    guard let size = input.regularRest, size > 0 else {
      guard let content = try input.readAll(limit: .max) else { return }
      fingerprinter.absorb(content, tag: tag)
      return
    }
    fingerprinter.write(1 as UInt8)
    let tagLength = UInt32(tag.utf8.count)
    fingerprinter.write((0..<4).map { UInt8(truncatingIfNeeded: tagLength >> (8 * $0)) })
    fingerprinter.write(Array(tag.utf8))
    fingerprinter.write(size)
    var buffer = [UInt8](repeating: 0, count: 1 << 20)
    var done: UInt64 = 0
    while true {
      let count = try input.read(into: &buffer)
      done += UInt64(count)
      fingerprinter.write(count == buffer.count ? buffer : Array(buffer[..<count]))
      progress.show(done, of: size)
      if count < buffer.count { break }
    }
    guard done == size else {
      throw Failure(.ioFailure, "\(input.name) changed while it was read; its key would be wrong")
    }
  }
}
