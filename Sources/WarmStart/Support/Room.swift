// Arrays that are filled in place.

extension [UInt8] {
  /// An array that `body` fills: it gets room for so many bytes, and says how many it used. An empty array
  /// has memory of its own, too: to say "none" of it, it would otherwise write to the one empty array that
  /// all threads share.
  init(roomFor count: Int, _ body: (UnsafeMutableBufferPointer<UInt8>, inout Int) -> Void) {
    self.init(unsafeUninitializedCapacity: Swift.max(count, 1)) { buffer, initialized in
      body(UnsafeMutableBufferPointer(rebasing: buffer[..<count]), &initialized)
    }
  }
}
