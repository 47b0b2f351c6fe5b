// The machine that a simulation runs on: its clock, its processes, and the gate that every system call
// goes through. At the gate another thread may go on, the process may be killed, the machine may crash,
// the call may fail; all by the dice.

import Glibc
import WarmStart

/// The system calls that the store makes.
package enum Call: UInt8, Sendable {
  case openDirectory, createDirectory, list, modificationTime, open, create, rename, unlink
  case syncDirectory, size, linkCount, read, write, sync, truncate, lock, unlock

  /// Whether it changes what is on the disk.
  var isWriting: Bool {
    switch self {
    case .createDirectory, .create, .rename, .unlink, .syncDirectory, .write, .sync, .truncate: true
    default: false
    }
  }
}

/// How often what goes wrong: once in so many calls, 0 for never.
package struct Faults: Sendable {
  package var kill = 0
  package var crash = 0
  package var writeError = 0
  package var readError = 0
  package var syncError = 0
  package var directorySyncError = 0
  package var unlinkError = 0
  /// Bytes that fit on the disk; 0 for any number.
  package var capacity = 0
  package var syncFailure: SyncFailure = .likeExt4

  package init() {}
}

/// How much of everything there was.
package struct Counts: Sendable {
  package var operations = 0
  package var calls = 0
  package var crashes = 0
  package var kills = 0
  package var errors = 0
  package var switches = 0

  package init() {}

  package static func += (left: inout Counts, right: Counts) {
    left.operations += right.operations
    left.calls += right.calls
    left.crashes += right.crashes
    left.kills += right.kills
    left.errors += right.errors
    left.switches += right.switches
  }
}

/// One process of the simulated machine, from its start to its end.
package final class SimulatedProcess: @unchecked Sendable {
  let number: Int
  let machine: Machine
  /// Once it is dead its calls fail and have no effect, so that its threads come to their ends.
  fileprivate(set) var isDead = false
  /// Whether it may write at all.
  let mayWrite: Bool
  /// Errors that its calls met.
  var errors = 0
  /// Flushes and closes that were called, and those of them that have not returned.
  var vouchesBegun = 0
  var vouchesUnderWay = 0
  /// Hears of every error that one of its calls meets.
  var onError: () -> Void = {}
  /// Hears of a sync of a file that failed.
  var onFailedSync: () -> Void = {}

  init(number: Int, machine: Machine, mayWrite: Bool) {
    self.number = number
    self.machine = machine
    self.mayWrite = mayWrite
  }
}

package final class Machine: @unchecked Sendable {
  package internal(set) var disk: Disk
  let scheduler: Scheduler
  let dice: Dice
  package var faults = Faults()
  package private(set) var counts = Counts()
  /// The first thing that was wrong.
  package private(set) var failure: String?
  /// Changes with everything that happens: two runs with the same digest were the same.
  package private(set) var digest: UInt64 = 0
  /// Hears of a crash, when every process is dead and the disk is what the next boot finds.
  var onCrash: () -> Void = {}
  /// Hears of every call before it has an effect.
  var beforeCall: (Call) -> Void = { _ in }
  private(set) var processes: [SimulatedProcess] = []
  private var handles = 0
  private(set) var moments: Int
  private var wall: UInt64
  private var monotonic: UInt64 = 1_000_000_000_000
  /// How many times the calendar clock was set back.
  private(set) var jumpsBack = 0

  /// `moments` goes on counting where another machine left off.
  init(
    disk: Disk = Disk(), dice: Dice, switchesOnceIn: Int = 0, wall: UInt64, moments: Int = 0
  ) {
    self.moments = moments
    self.disk = disk
    self.dice = dice
    self.wall = wall
    scheduler = Scheduler(dice: dice, switchesOnceIn: switchesOnceIn)
    touchDirectory()
  }

  // MARK: Time

  /// A number for what happens now; larger than all before.
  func moment() -> Int {
    moments += 1
    return moments
  }

  /// Both clocks go on.
  func advance(_ nanoseconds: UInt64) {
    monotonic += nanoseconds
    wall += nanoseconds
  }

  /// The calendar clock is set.
  func setWall(_ nanoseconds: UInt64) {
    if nanoseconds < wall { jumpsBack += 1 }
    wall = nanoseconds
  }

  var now: UInt64 { wall }

  /// The kernel's tick is 4 ms.
  func touchDirectory() { disk.modified = Int64(wall / 4_000_000 * 4_000_000) }

  // MARK: Processes

  func startProcess(mayWrite: Bool = true) -> SimulatedProcess {
    let process = SimulatedProcess(
      number: processes.count, machine: self, mayWrite: mayWrite)
    processes.append(process)
    return process
  }

  /// What a store in this process takes from outside.
  func host(_ process: SimulatedProcess, files: (any FileSystem)? = nil) -> Host {
    Host(
      files: files ?? SimulatedFileSystem(process),
      wallClock: {
        self.advance(100)
        return self.wall
      },
      monotonicClock: {
        self.advance(100)
        return self.monotonic
      },
      random: { self.dice.next() }, threads: SimulatedThreads(scheduler: scheduler),
      executable: { nil }, processID: { Int32(1000 + process.number) },
      sleep: { nanoseconds in
        self.advance(nanoseconds)
        self.scheduler.yield()
      })
  }

  func kill(_ process: SimulatedProcess) {
    guard !process.isDead else { return }
    counts.kills += 1
    note(100, UInt64(process.number), 0)
    end(process)
  }

  /// The process ends, by itself or not; the kernel gives up its locks.
  func end(_ process: SimulatedProcess) {
    process.isDead = true
    for entry in disk.names { entry.inode.locks.removeAll { $0.process == process.number } }
  }

  /// The machine loses power, and is there again.
  func crash() {
    counts.crashes += 1
    note(101, 0, 0)
    for process in processes where !process.isDead { end(process) }
    disk = disk.afterCrash(.random(disk, dice))
    onCrash()
  }

  /// Runs `body` with nobody else running and nothing going wrong.
  func undisturbed<Value>(_ body: () throws -> Value) rethrows -> Value {
    scheduler.undisturbed += 1
    defer { scheduler.undisturbed -= 1 }
    return try body()
  }

  // MARK: The gate

  func handle() -> Int {
    handles += 1
    return handles
  }

  /// Makes a system call. It can fail, end its process or the machine before and after its effect.
  func call<Value>(
    _ call: Call, _ process: SimulatedProcess, _ path: String, _ detail: Int = 0,
    _ effect: () throws(FileError) -> Value
  ) throws(FileError) -> Value {
    try begin(call, process, path, detail)
    let value = try effect()
    try strike(process, call, path, isAfter: true)
    return value
  }

  private func begin(
    _ call: Call, _ process: SimulatedProcess, _ path: String, _ detail: Int
  ) throws(FileError) {
    guard !process.isDead else { throw Machine.gone(call, path) }
    scheduler.point()
    guard !process.isDead else { throw Machine.gone(call, path) }
    if call.isWriting, !process.mayWrite || scheduler.current.isReading {
      fail("\(call) by what only reads, on \(path)")
    }
    beforeCall(call)
    counts.calls += 1
    advance(1000 + dice.next() % 40_000)
    note(UInt64(call.rawValue), UInt64(process.number), UInt64(detail) ^ wall << 20)
    try strike(process, call, path, isAfter: false)
    if let errno = error(of: call) {
      inject(process)
      note(102, UInt64(errno), 0)
      throw FileError(call.operation, path: path, errno: errno)
    }
  }

  /// A process that was killed hears of it so.
  static func gone(_ call: Call, _ path: String) -> FileError {
    FileError(call.operation, path: path, errno: ESRCH)
  }

  /// The end of the process or of the machine, if it is time for it.
  func strike(
    _ process: SimulatedProcess, _ call: Call, _ path: String, isAfter: Bool
  ) throws(FileError) {
    guard scheduler.undisturbed == 0 else { return }
    let factor = isAfter ? 2 : 1
    if dice.once(in: faults.crash * factor) {
      crash()
    } else if dice.once(in: faults.kill * factor) {
      kill(process)
    }
    if process.isDead { throw Machine.gone(call, path) }
  }

  private func error(of call: Call) -> Int32? {
    guard scheduler.undisturbed == 0 else { return nil }
    switch call {
    case .read: return dice.once(in: faults.readError) ? EIO : nil
    case .syncDirectory: return dice.once(in: faults.directorySyncError) ? EIO : nil
    case .unlink: return dice.once(in: faults.unlinkError) ? ENOSPC : nil
    case .create: return hasRoom(for: 1) ? nil : ENOSPC
    default: return nil
    }
  }

  /// How many of these bytes are written before the write fails; nil if it does not.
  func bytesBeforeFailure(
    _ count: Int, growing: Int, _ process: SimulatedProcess
  ) -> (count: Int, errno: Int32)? {
    guard scheduler.undisturbed == 0, count > 0 else { return nil }
    if dice.once(in: faults.writeError) {
      inject(process)
      return (dice.below(count), EIO)
    }
    guard !hasRoom(for: growing) else { return nil }
    inject(process)
    let room = max(0, faults.capacity - disk.usedBytes)
    return (dice.once(in: 2) ? 0 : min(room, count - 1), ENOSPC)
  }

  private func hasRoom(for bytes: Int) -> Bool {
    faults.capacity == 0 || disk.usedBytes + bytes <= faults.capacity
  }

  func failsSync(_ process: SimulatedProcess) -> Bool {
    guard scheduler.undisturbed == 0, dice.once(in: faults.syncError) else { return false }
    inject(process)
    return true
  }

  private func inject(_ process: SimulatedProcess) {
    counts.errors += 1
    process.errors += 1
    process.onError()
  }

  // MARK: Notes

  func fail(_ what: String) {
    if failure == nil { failure = "operation \(counts.operations), call \(counts.calls): \(what)" }
  }

  func noteOperation() { counts.operations += 1 }

  /// Nobody works on the machine any more.
  package func finish() {
    counts.switches = scheduler.switches
    // Each refers to the machine, and what it tells of its errors refers to it.
    for process in processes { (process.onError, process.onFailedSync) = ({}, {}) }
    processes = []
  }

  func note(_ a: UInt64, _ b: UInt64, _ c: UInt64) {
    let thread = UInt64(scheduler.current.number)
    digest = mixed(digest ^ a ^ b << 8 ^ c << 16 ^ thread << 56)
  }
}

extension Call {
  var operation: FileError.Operation {
    switch self {
    case .openDirectory, .open: .open
    case .createDirectory: .createDirectory
    case .list: .list
    case .modificationTime, .size, .linkCount: .status
    case .create: .create
    case .rename: .rename
    case .unlink: .unlink
    case .syncDirectory, .sync: .sync
    case .read: .read
    case .write: .write
    case .truncate: .truncate
    case .lock, .unlock: .lock
    }
  }
}
