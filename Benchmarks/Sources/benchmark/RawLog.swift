// A bare log: the least that one must do to have records on a disk and find them again.

import ArgumentParser
import CLZ4Bare
import Foundation
import WarmStart

final class RawLog: Target, @unchecked Sendable {
  private struct Place {
    var file = 0
    var offset = 0
    /// 0 for none.
    var length = 0
  }
  private struct Slots {
    var best = Place()
    var latest = Place()
    var final = Place()
    var bestObjective = Double.infinity
  }

  /// Records that are written together.
  private struct Batch {
    var frame = Frame()
    var items: [Item] = []
    var places: [Place] = []
  }

  fileprivate static let run = Array(Item.run.description.utf8)

  private let options: TargetOptions
  private let lock = NSLock()
  // Guarded by lock, but for a log that is only read.
  private var index: [Fingerprint: Slots] = [:]
  private var files: [Int32] = []
  private var output: Int32 = -1
  private var outputNumber = 0
  private var end = 0
  private var capacity = Int.max
  private var frame = Frame()
  /// Checkpoints that wait for the one who writes.
  private let turn = NSCondition()
  private var waiting = Batch()
  private var underWay = Batch()
  private var submitted = 0
  private var done = 0
  private var isBusy = false

  fileprivate static let frameHead = 40
  fileprivate static let head = 32

  init(_ options: TargetOptions) throws {
    self.options = options
    for name in names(in: options.path).filter({ $0.hasPrefix("log.") }).sorted() {
      try scan(options.path + "/" + name)
    }
    if options.zeros > 0 { try startWriting() }
  }

  private func scan(_ path: String) throws {
    let file = open(path, O_RDONLY | O_CLOEXEC)
    let bytes = try Data(contentsOf: URL(fileURLWithPath: path), options: .alwaysMapped)
    let number = files.count
    files.append(file)
    bytes.withUnsafeBytes { all in
      var at = 0
      while at + Self.frameHead <= all.count {
        let length = Int(all.loadUnaligned(fromByteOffset: at, as: UInt32.self))
        guard length > 0 else { break }
        let kind = all.loadUnaligned(fromByteOffset: at + 4, as: UInt32.self)
        let key = Fingerprint(bytes: all[at + 8..<at + 40])!
        let value = at + Self.frameHead
        note(
          key, isFinal: kind == 1, all.loadUnaligned(fromByteOffset: value, as: Double.self),
          Place(file: number, offset: value, length: length))
        at = value + (length + 7) / 8 * 8
      }
    }
  }

  private func note(_ key: Fingerprint, isFinal: Bool, _ objective: Double, _ place: Place) {
    var slots = index[key] ?? Slots()
    if isFinal {
      slots.final = place
    } else if objective < slots.bestObjective {
      (slots.best, slots.latest, slots.bestObjective) = (place, Place(), objective)
    } else {
      slots.latest = place
    }
    index[key] = slots
  }

  private func startWriting() throws {
    let name = String(format: "log.%06d.%d", files.count, getpid())
    output = open("\(options.path)/\(name)", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
    guard output >= 0 else { throw Failure(errno: errno, "cannot create \(options.path)/\(name)") }
    if options.zeros > 0 {
      capacity = options.zeros
      let zeros = [UInt8](repeating: 0, count: 1 << 20)
      for at in stride(from: 0, to: capacity, by: zeros.count) {
        guard pwrite(output, zeros, zeros.count, off_t(at)) == zeros.count else {
          throw Failure(errno: errno, "cannot write zeros")
        }
      }
      fdatasync(output)
    }
    outputNumber = files.count
    files.append(output)
  }

  // MARK: Writing

  /// A frame that is being put together.
  private struct Frame {
    var bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 16, alignment: 16)
    var count = 0

    mutating func reserve(_ more: Int) {
      guard count + more > bytes.count else { return }
      let larger = UnsafeMutableRawBufferPointer.allocate(
        byteCount: max(2 * bytes.count, count + more), alignment: 16)
      larger.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[..<count]))
      bytes.deallocate()
      bytes = larger
    }

    /// Gives the place of the value, from the start of the frame on.
    mutating func append(_ item: Item) -> Place {
      let payload = item.payload
      let bound = Int(LZ4_compressBound(Int32(payload.count)))
      reserve(RawLog.frameHead + RawLog.head + RawLog.run.count + bound + 8)
      let start = count
      let value = start + RawLog.frameHead
      let at = bytes.baseAddress! + value + RawLog.head + RawLog.run.count
      let packed = payload.withUnsafeBytes { raw -> Int in
        let length = LZ4_compress_default(
          raw.baseAddress!.assumingMemoryBound(to: CChar.self),
          at.assumingMemoryBound(to: CChar.self), Int32(raw.count), Int32(bound))
        if length > 0, Int(length) < raw.count { return Int(length) }
        at.copyMemory(from: raw.baseAddress!, byteCount: raw.count)
        return raw.count
      }
      let size = RawLog.head + RawLog.run.count + packed
      let end = value + (size + 7) / 8 * 8
      for byte in value + size..<end { bytes[byte] = 0 }
      put(UInt32(size), start)
      put(UInt32(item.kind == .final ? 1 : 0), start + 4)
      // A fingerprint is kept as four words, the first byte on top.
      withUnsafeBytes(of: item.key) { key in
        for word in 0..<4 {
          put(key.load(fromByteOffset: 8 * word, as: UInt64.self).bigEndian, start + 8 + 8 * word)
        }
      }
      put(item.objective, value)
      put(item.iteration, value + 8)
      put(UInt64(0), value + 16)
      put(UInt32(payload.count), value + 24)
      put(UInt32(RawLog.run.count), value + 28)
      RawLog.run.withUnsafeBytes {
        (bytes.baseAddress! + value + RawLog.head).copyMemory(
          from: $0.baseAddress!, byteCount: $0.count)
      }
      count = end
      return Place(file: 0, offset: value, length: size)
    }

    private func put<Value: BitwiseCopyable>(_ value: Value, _ offset: Int) {
      bytes.storeBytes(of: value, toByteOffset: offset, as: Value.self)
    }
  }

  func put(_ item: Item) throws { try put([item]) }

  func put(_ items: [Item]) throws {
    lock.lock()
    defer { lock.unlock() }
    frame.count = 0
    var places: [Place] = []
    for item in items { places.append(frame.append(item)) }
    try write(frame, items, places)
  }

  /// With the lock.
  private func write(_ frame: Frame, _ items: [Item], _ places: [Place]) throws {
    if output < 0 { try startWriting() }
    guard pwrite(output, frame.bytes.baseAddress, frame.count, off_t(end)) == frame.count,
      !options.durable || fdatasync(output) == 0
    else { throw Failure(errno: errno, "the disk refuses") }
    for (item, place) in zip(items, places) {
      let place = Place(file: outputNumber, offset: end + place.offset, length: place.length)
      note(item.key, isFinal: item.kind == .final, item.objective, place)
    }
    end += frame.count
  }

  /// Whoever finds nobody writing writes everything that waits; each has compressed its own before.
  func putTogether(_ item: Item) throws {
    var own = Frame()
    defer { own.bytes.deallocate() }
    let place = own.append(item)
    turn.lock()
    defer { turn.unlock() }
    let start = waiting.frame.count
    waiting.frame.reserve(own.count)
    UnsafeMutableRawBufferPointer(rebasing: waiting.frame.bytes[start..<start + own.count])
      .copyMemory(from: UnsafeRawBufferPointer(rebasing: own.bytes[..<own.count]))
    waiting.frame.count += own.count
    waiting.items.append(item)
    waiting.places.append(
      Place(file: 0, offset: start + place.offset, length: place.length))
    submitted += 1
    let mine = submitted
    while done < mine, isBusy { turn.wait() }
    guard done < mine else { return }
    isBusy = true
    let through = submitted
    swap(&waiting, &underWay)
    turn.unlock()
    lock.lock()
    defer {
      lock.unlock()
      turn.lock()
      underWay.frame.count = 0
      underWay.items.removeAll(keepingCapacity: true)
      underWay.places.removeAll(keepingCapacity: true)
      done = through
      isBusy = false
      turn.broadcast()
    }
    try write(underWay.frame, underWay.items, underWay.places)
  }

  // MARK: Reading

  func get(_ key: Fingerprint, _ slot: Slot) throws -> Found? {
    if !options.isReadOnly { lock.lock() }
    let slots = index[key]
    if !options.isReadOnly { lock.unlock() }
    guard let slots else { return nil }
    let place =
      switch slot {
      case .best: slots.best
      case .latest: slots.latest.length > 0 ? slots.latest : slots.best
      case .final: slots.final
      }
    guard place.length > 0 else { return nil }
    // One call that asks whether there is anything new, and one that reads.
    var status = stat()
    guard fstat(files[place.file], &status) == 0 else {
      throw Failure(errno: errno, "the disk refuses")
    }
    let bytes = [UInt8](unsafeUninitializedCapacity: place.length) { buffer, count in
      count = max(
        pread(files[place.file], buffer.baseAddress, place.length, off_t(place.offset)), 0)
    }
    guard bytes.count == place.length else { throw Failure(errno: errno, "the disk refuses") }
    return try bytes.withUnsafeBytes { try Self.decode($0, slot == .final ? .final : .checkpoint) }
  }

  private static func decode(_ bytes: UnsafeRawBufferPointer, _ kind: EntryKind) throws -> Found {
    let raw = Int(bytes.loadUnaligned(fromByteOffset: 24, as: UInt32.self))
    let start = head + Int(bytes[28])
    let stored = bytes.count - start
    let payload = [UInt8](unsafeUninitializedCapacity: raw) { buffer, count in
      let source = bytes.baseAddress! + start
      if stored == raw {
        UnsafeMutableRawPointer(buffer.baseAddress!).copyMemory(from: source, byteCount: raw)
        count = raw
        return
      }
      buffer.baseAddress!.withMemoryRebound(to: CChar.self, capacity: raw) { target in
        count = max(
          Int(
            LZ4_decompress_safe(
              source.assumingMemoryBound(to: CChar.self), target, Int32(stored), Int32(raw))), 0)
      }
    }
    guard payload.count == raw else { throw Failure("LZ4 stream is damaged") }
    let isOfRun =
      start == head + run.count
      && run.withUnsafeBytes { memcmp($0.baseAddress!, bytes.baseAddress! + head, $0.count) } == 0
    return Found(
      kind: kind, run: isOfRun ? Item.run : nil,
      objective: bytes.loadUnaligned(fromByteOffset: 0, as: Double.self),
      iteration: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self), payload: payload)
  }

  func hasRoom(_ bytes: Int) -> Bool { lock.withLock { end + bytes <= capacity } }
  func reclaim() -> String { "nothing" }
  func close() throws { for file in files { Foundation.close(file) } }
}
