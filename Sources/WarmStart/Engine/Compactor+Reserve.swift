// Space that is kept for a full disk.
//
// To give space back a merge needs some first. On a full disk there is none: so the lock file holds as
// much as the output of a segment takes of which half is dead, and is emptied when that is needed. A small
// store keeps none, since it could not give much back.

internal import Glibc

extension Compactor {
  /// Bytes of the store for every byte of the reserve.
  private static let part: UInt64 = 32
  private static let smallestStore: UInt64 = 16 << 20

  /// Fills the reserve, or gives back what is too much of it, after a run that went well. Without space
  /// there is none.
  func keepReserve() {
    guard let plan = try? engine.plan(), let size = try? lockFile.size() else { return }
    let goal =
      plan.fileBytes < Self.smallestStore
      ? 0 : min(plan.fileBytes / Self.part, engine.options.largestReserve)
    guard size > 2 * goal || size < goal / 2, isOurs(size) else { return }
    if size > 2 * goal { try? lockFile.truncate(to: goal) }
    guard size < goal / 2 else { return }
    do throws(FileError) {
      let zeros = [UInt8](repeating: 0, count: 64 << 10)
      for start in stride(from: size, to: goal, by: zeros.count) {
        try zeros.withBytesThrowing { bytes throws(FileError) in
          try lockFile.write(
            UnsafeRawBufferPointer(rebasing: bytes[..<min(bytes.count, Int(goal - start))]),
            at: start)
        }
      }
    } catch { try? lockFile.truncate(to: 0) }
  }

  /// Whether the file is nobody else's: one that has another name too, or holds anything, is left as it is.
  private func isOurs(_ size: UInt64) -> Bool {
    guard (try? lockFile.linkCount()) == 1 else { return false }
    return (try? SegmentScanner(file: lockFile, salt: 0, end: size).isZero(from: 0)) ?? false
  }

  /// Gives the reserve up, after an error for want of space. Gives whether there was any.
  func giveUpReserve(_ error: StoreError) -> Bool {
    guard error.isWantOfSpace, let size = try? lockFile.size(), size > 0, isOurs(size)
    else { return false }
    return (try? lockFile.truncate(to: 0)) != nil
  }
}
