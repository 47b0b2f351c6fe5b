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

  private let options: TargetOptions
  private let lock = NSLock()
  // Guarded by lock, but for a log that is only read.
  private var index: [Fingerprint: Slots] = [:]
  private var files: [Int32] = []
  private var output: Int32 = -1
  private var outputNumber = 0
  private var end = 0
  private var capacity = Int.max
  private var frame: [UInt8] = []
  /// Checkpoints that wait for the one who writes.
  private let turn = NSCondition()
  private var waiting: [Item] = []
  private var submitted = 0
  private var done = 0
  private var isBusy = false

  private static let frameHead = 40
  private static let head = 32

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
        let key = Fingerprint(bytes: Array(all[at + 8..<at + 40]))!
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
    guard output >= 0 else { throw ValidationError("cannot create the log") }
    if options.zeros > 0 {
      capacity = options.zeros
      let zeros = [UInt8](repeating: 0, count: 1 << 20)
      for at in stride(from: 0, to: capacity, by: zeros.count) {
        guard pwrite(output, zeros, zeros.count, off_t(at)) == zeros.count else {
          throw ValidationError("cannot write zeros")
        }
      }
      fdatasync(output)
    }
    outputNumber = files.count
    files.append(output)
  }

  // MARK: Writing

  private func append(_ item: Item) {
    let start = frame.count
    let value = start + Self.frameHead
    let text = Array(Item.run.description.utf8)
    let payload = item.payload
    let bound = Int(LZ4_compressBound(Int32(payload.count)))
    let room = value + Self.head + text.count + bound + 8
    frame.append(contentsOf: repeatElement(0, count: room - start))
    let length = frame.withUnsafeMutableBytes { all in
      let at = all.baseAddress! + value + Self.head + text.count
      var length = payload.withUnsafeBytes {
        Int(
          LZ4_compress_default(
            $0.baseAddress!.assumingMemoryBound(to: CChar.self),
            at.assumingMemoryBound(to: CChar.self), Int32(payload.count), Int32(bound)))
      }
      if length == 0 || length >= payload.count {
        payload.withUnsafeBytes { at.copyMemory(from: $0.baseAddress!, byteCount: payload.count) }
        length = payload.count
      }
      let size = Self.head + text.count + length
      all.storeBytes(of: UInt32(size), toByteOffset: start, as: UInt32.self)
      all.storeBytes(
        of: item.kind == .final ? 1 : 0, toByteOffset: start + 4, as: UInt32.self)
      for (number, byte) in item.key.bytes.enumerated() { all[start + 8 + number] = byte }
      all.storeBytes(of: item.objective, toByteOffset: value, as: Double.self)
      all.storeBytes(of: item.iteration, toByteOffset: value + 8, as: UInt64.self)
      all.storeBytes(of: UInt32(payload.count), toByteOffset: value + 24, as: UInt32.self)
      all.storeBytes(of: UInt8(text.count), toByteOffset: value + 28, as: UInt8.self)
      for (number, byte) in text.enumerated() { all[value + Self.head + number] = byte }
      return size
    }
    frame.removeLast(frame.count - (value + (length + 7) / 8 * 8))
  }

  func put(_ item: Item) throws { try put([item]) }

  func put(_ items: [Item]) throws {
    lock.lock()
    defer { lock.unlock() }
    frame.removeAll(keepingCapacity: true)
    var places: [Place] = []
    for item in items {
      let start = frame.count
      append(item)
      let length = frame.withUnsafeBytes {
        $0.loadUnaligned(fromByteOffset: start, as: UInt32.self)
      }
      places.append(Place(file: 0, offset: end + start + Self.frameHead, length: Int(length)))
    }
    if output < 0 { try startWriting() }
    guard pwrite(output, frame, frame.count, off_t(end)) == frame.count,
      !options.durable || fdatasync(output) == 0
    else { throw ValidationError("the disk refuses") }
    for (item, place) in zip(items, places) {
      var place = place
      place.file = outputNumber
      note(item.key, isFinal: item.kind == .final, item.objective, place)
    }
    end += frame.count
  }

  /// Whoever finds nobody writing writes everything that waits.
  func putTogether(_ item: Item) throws {
    turn.lock()
    waiting.append(item)
    submitted += 1
    let mine = submitted
    while done < mine, isBusy { turn.wait() }
    guard done < mine else { return turn.unlock() }
    isBusy = true
    let batch = waiting
    waiting = []
    let through = submitted
    turn.unlock()
    try put(batch)
    turn.lock()
    done = through
    isBusy = false
    turn.broadcast()
    turn.unlock()
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
    guard fstat(files[place.file], &status) == 0 else { throw ValidationError("the disk refuses") }
    let bytes = [UInt8](unsafeUninitializedCapacity: place.length) { buffer, count in
      count = max(
        pread(files[place.file], buffer.baseAddress, place.length, off_t(place.offset)), 0)
    }
    guard bytes.count == place.length else { throw ValidationError("the disk refuses") }
    return try bytes.withUnsafeBytes(Self.decode)
  }

  private static func decode(_ bytes: UnsafeRawBufferPointer) throws -> Found {
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
    guard payload.count == raw else { throw ValidationError("LZ4 stream is damaged") }
    return Found(
      objective: bytes.loadUnaligned(fromByteOffset: 0, as: Double.self),
      iteration: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self), payload: payload)
  }

  func hasRoom(_ bytes: Int) -> Bool { end + bytes <= capacity }
  func reclaim() -> String { "nothing" }
  func close() throws { for file in files { Foundation.close(file) } }
}
