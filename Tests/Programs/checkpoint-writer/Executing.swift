// Processes that start another program, or become one, with a store open and a log being written.

import Glibc
import WarmStart

/// This program in the mode that tells what it was given.
private func withArgumentsOfHeir(
  _ arguments: Arguments, _ body: ([UnsafeMutablePointer<CChar>?]) -> Void
) {
  let words = [CommandLine.arguments[0], "inherit", "store=\(arguments.text("store"))"]
  let pointers: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
  defer { for pointer in pointers { free(pointer) } }
  body(pointers)
}

private func openAndSave(_ arguments: Arguments) -> [WarmStartStore] {
  let stores = [arguments.openStore(), arguments.openStore()]
  for (number, store) in stores.enumerated() {
    orFail("save") { try store.save(write(number, 0)) }
    for other in stores { expect(other, number, 0) }
  }
  if openFiles(in: stores[0]).count < 4 { fail("two directories and two logs are open") }
  return stores
}

/// Says "saved", and becomes another program when it gets a word.
func becomeAnotherProgram(_ arguments: Arguments) {
  let stores = openAndSave(arguments)
  say("saved")
  waitForWord()
  withExtendedLifetime(stores) {
    withArgumentsOfHeir(arguments) { words in _ = execv(words[0]!, words) }
  }
  fail("execv: errno \(errno)")
}

/// Starts another program, which gets everything that is not closed for it, says "saved" and waits
/// to be killed.
func startAnotherProgram(_ arguments: Arguments) {
  let stores = openAndSave(arguments)
  var child = pid_t()
  withArgumentsOfHeir(arguments) { words in
    let result = posix_spawn(&child, words[0]!, nil, nil, words, environ)
    if result != 0 { fail("posix_spawn: errno \(result)") }
  }
  withExtendedLifetime(stores) { while true { pause() } }
}

/// Says what it has open of the store, and waits for a word.
func tellWhatWasInherited(_ arguments: Arguments) {
  let kept = openFiles(below: arguments.text("store"))
  say("inherited \(kept.count) \(kept.joined(separator: " "))")
  waitForWord()
  say("heir ends")
}
