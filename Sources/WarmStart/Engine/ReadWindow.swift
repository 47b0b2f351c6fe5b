// Reads a file from front to back in large pieces, and hands out small ones.

/// A window over a file. For one thread.
final class ReadWindow {
  let file: any File
  private let window: UnsafeMutableRawBufferPointer
  private var start: UInt64 = 0
  private var count = 0
  private var fresh = 0

  /// Bytes that are read at once, and so the most that can be asked for.
  static let length = 1 << 20

  init(_ file: any File) {
    self.file = file
    window = .allocate(byteCount: Self.length, alignment: 16)
  }

  deinit { window.deallocate() }

  /// `count` bytes at `offset`, valid until the next call; nil where the file ends before. With `orLess`
  /// as many of them as are in the window, at least one. Where something must be read it is `ahead` bytes.
  func bytes(
    _ count: Int, at offset: UInt64, ahead: Int = ReadWindow.length, orLess: Bool = false
  ) throws(FileError) -> UnsafeRawBufferPointer? {
    precondition(count <= Self.length)
    guard count > 0 else { return UnsafeRawBufferPointer(start: nil, count: 0) }
    let isInside = offset >= start && offset < start + UInt64(self.count)
    let available = isInside ? self.count - Int(offset - start) : 0
    if available < count, !orLess || available == 0 {
      let room = UnsafeMutableRawBufferPointer(
        rebasing: window[..<min(max(ahead, count), Self.length)])
      self.count = 0
      self.count = try file.read(into: room, at: offset, orOnly: count)
      start = offset
      fresh += self.count
    }
    let at = Int(offset - start)
    let got = min(count, self.count - at)
    guard got == count || orLess && got > 0 else { return nil }
    return UnsafeRawBufferPointer(rebasing: window[at..<at + got])
  }

  /// Reads anew what was read before.
  func forget() { count = 0 }

  /// Bytes read since this was last asked.
  func takeFresh() -> Int {
    defer { fresh = 0 }
    return fresh
  }
}

extension File {
  /// As ``read(into:at:)``, but of `count` bytes only where the disk refuses some of those behind.
  func read(
    into room: UnsafeMutableRawBufferPointer, at offset: UInt64, orOnly count: Int
  ) throws(FileError) -> Int {
    do throws(FileError) { return try read(into: room, at: offset) } catch {
      guard error.isDiskError, count < room.count else { throw error }
      return try read(
        into: UnsafeMutableRawBufferPointer(rebasing: room[..<count]), at: offset)
    }
  }
}
