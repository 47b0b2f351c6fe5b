// File systems of a test's own: in memory, and on a disk that is a file in memory. They take root.
//
// Whatever was mounted is unmounted at the end, also of a test that fails or crashes.

import Glibc

/// A file system that is unmounted when the last reference goes.
public final class Mount: Sendable {
  private let directory = TemporaryDirectory()
  private let unmounting: LastWill
  /// Where it is mounted.
  public var path: String { directory.path }

  /// Whether this process may mount file systems.
  public static let isPossible = Mount(megabytes: 1) != nil

  /// One in memory, of this size. Nil if it cannot be had.
  public convenience init?(megabytes: Int) {
    self.init(["-t", "tmpfs", "-o", "size=\(megabytes)m", "tmpfs"])
  }

  /// The one on a device.
  fileprivate convenience init?(device: String) { self.init(["-o", "noatime", device]) }

  private init?(_ words: [String]) {
    guard geteuid() == 0, let unmounting = LastWill(["umount", "-l", directory.path]) else {
      return nil
    }
    self.unmounting = unmounting
    guard runCommand(["mount"] + words + [directory.path]).status == 0 else { return nil }
  }

  /// Whatever writes from now on gets EROFS.
  public func makeReadOnly() { remount("ro") }

  fileprivate func resize(kilobytes: Int) { remount("size=\(kilobytes)k") }

  private func remount(_ options: String) {
    let done = runCommand("mount", "-o", "remount,\(options)", directory.path)
    precondition(done.status == 0, done.output)
  }
}

/// A disk whose blocks lie in a file in memory, so that it fails, with an I/O error, where there is
/// no memory left for a block that was never written.
public final class FailingDisk: Sendable {
  public enum Kind: String, Sendable, CaseIterable {
    /// Without a journal.
    case ext2
    /// With one.
    case ext4
  }

  private let mount: Mount
  private let device: LoopDevice
  private let memory: Mount
  private var image: String { memory.path + "/disk" }
  /// Where it is mounted.
  public var path: String { mount.path }

  private static let megabytes = 32

  /// Whether there are loop devices and everything else that is needed.
  public static let isPossible = FailingDisk(.ext2) != nil && FailingDisk(.ext4) != nil

  /// Nil if it cannot be had.
  public init?(_ kind: Kind) {
    guard let memory = Mount(megabytes: 2 * Self.megabytes) else { return nil }
    let image = memory.path + "/disk"
    // Tables and journal come first, and are there from the start: what fails is where files are. A
    // file system that loses its tables promises nothing any more.
    let tables = kind == .ext2 ? 3 : 8
    guard runCommand("truncate", "-s", "\(Self.megabytes)M", image).status == 0,
      runCommand(
        "mkfs.\(kind.rawValue)", "-q", "-F", "-m", "0", "-b", "4096", "-N", "2048", "-E",
        "packed_meta_blocks=1,lazy_itable_init=0,lazy_journal_init=0,nodiscard", image
      ).status == 0,
      runCommand(
        "dd", "if=\(image)", "of=\(image)", "conv=notrunc", "bs=1M", "count=\(tables)"
      ).status == 0,
      let device = LoopDevice(image), let mount = Mount(device: device.path)
    else { return nil }
    self.memory = memory
    self.device = device
    self.mount = mount
  }

  /// From here on the disk can take this much more, and then fails.
  public func failAfter(kilobytes: Int) {
    var status = stat()
    stat(image, &status)
    memory.resize(kilobytes: Int(status.st_blocks) / 2 + kilobytes)
  }

  /// The disk works again.
  public func heal() { memory.resize(kilobytes: Self.megabytes << 11) }

  /// Runs `body` with what would be found if the power failed now: the bytes that have reached the
  /// disk, mounted elsewhere. Nil if that cannot be had.
  public func afterPowerCut<Value>(_ body: (String) throws -> Value) rethrows -> Value? {
    guard let memory = Mount(megabytes: Self.megabytes + 1) else { return nil }
    let copy = memory.path + "/copy"
    guard runCommand("cp", "--sparse=always", image, copy).status == 0,
      let device = LoopDevice(copy), let mount = Mount(device: device.path)
    else { return nil }
    return try withExtendedLifetime((memory, device, mount)) { try body(mount.path) }
  }
}

/// A file as a block device, which is let go of once nothing on it is mounted any more.
private final class LoopDevice: Sendable {
  let path: String
  private let detaching: LastWill

  init?(_ file: String) {
    let made = runCommand("losetup", "--find", "--show", file)
    let path = String(made.output.prefix { $0 != "\n" })
    guard made.status == 0, let detaching = LastWill(["losetup", "--detach", path]) else {
      return nil
    }
    self.path = path
    self.detaching = detaching
    // The kernel's driver takes a request for done when only its beginning could be written. So
    // each is of one page, which is written or not.
    let limit = "/sys/block/\(path.split(separator: "/").last ?? "")/queue/max_sectors_kb"
    guard runCommand("sh", "-c", "echo 4 > \(limit)").status == 0 else { return nil }
  }
}
