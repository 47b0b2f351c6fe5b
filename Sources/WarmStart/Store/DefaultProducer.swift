// The producer of a program that names none.

extension Host {
  /// Names this build of this program: the executable's name and sixteen hexadecimal digits of the
  /// SHA-256 of its path, size and modification time. Empty if that cannot be found out: then no final
  /// is ever taken for one.
  func defaultProducer() -> String {
    guard let identity = executable() else { return "" }
    var fingerprinter = Fingerprinter()
    fingerprinter.absorb(identity.path, tag: "path")
    fingerprinter.absorb(identity.size, tag: "size")
    fingerprinter.absorb(UInt64(bitPattern: identity.modifiedNanoseconds), tag: "modified")
    var name = identity.path.split(separator: "/").last.map(String.init) ?? "unknown"
    while name.utf8.count > 64 { name.removeLast() }
    return name + "@" + fingerprinter.finalize().description.prefix(16)
  }
}
