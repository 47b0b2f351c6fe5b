// What the layers below the store cost, each alone and in memory but for the replay: where to look first when
// an operation has become slower. With --once everything runs once and the figures mean nothing: whether it does.

internal import Glibc
internal import WarmStart

@main
enum Layers {
  static func main() throws {
    print("| layer | nanoseconds each, median (least) | |\n|---|---|---|")
    checksums()
    codecs()
    headers()
    try footers()
    index()
    try replay()
  }

  // MARK: Format

  private static func checksums() {
    for size in [1 << 10, 16 << 10, 4 << 20] {
      let bytes = sparse(size)
      row("CRC32C of \(name(size))", bytes: size) { bytes.withUnsafeBytes { sink(CRC32C.of($0)) } }
    }
  }

  private static func codecs() {
    for size in [1 << 10, 16 << 10, 256 << 10, 4 << 20] {
      for (what, payload) in [("sparse", sparse(size)), ("a walk", walk(size))] {
        let assistant = Assistant(POSIXThreads())
        defer { assistant.end() }
        let encoder = PayloadEncoder(assistant)
        var stored = [UInt8](repeating: 0, count: PayloadEncoder.bound(size))
        var encoded: EncodedPayload?
        row("encoding \(name(size)), \(what)", bytes: size) {
          encoded = payload.withUnsafeBytes { payload in
            stored.withUnsafeMutableBytes { encoder.encode(payload, to: $0) }
          }
        }
        guard let encoded else { continue }
        let bytes = Array(stored[..<encoded.storedLength])
        var output = [UInt8](repeating: 0, count: size)
        row("decoding it, \(encoded.codec.name)", bytes: size) {
          bytes.withUnsafeBytes { bytes in
            output.withUnsafeMutableBytes {
              try! PayloadDecoder.decode(bytes, encoded.codec, to: $0)
            }
          }
        }
      }
    }
  }

  private static func headers() {
    let header = record(0)
    var bytes = [UInt8](repeating: 0, count: header.length)
    row("encoding a record's header") {
      _ = bytes.withUnsafeMutableBytes { header.encode(to: $0, offset: 4096, salt: 7) }
    }
    row("decoding it") {
      sink(try! RecordHeader.decode(bytes.span.bytes, offset: 4096, salt: 7).number)
    }
  }

  private static func footers() throws {
    let count = 20_000
    var builder = FooterBuilder()
    for number in 0..<count { builder.add(record(number), at: 4096 + 512 * UInt64(number)) }
    let header = SegmentHeader(id: segment, salt: 7, creation: 1)
    let offset = 4096 + 512 * UInt64(count)
    var bytes: [UInt8] = []
    row("a footer's entry, encoding", operations: count) {
      bytes = builder.encoded(header: header, footerOffset: offset)
    }
    let length = FooterTrailer.length
    let trailer = try FooterTrailer(
      decoding: Array(bytes.suffix(length)).span.bytes, id: segment,
      fileSize: offset + UInt64(bytes.count))
    let body = Array(bytes.dropLast(length))
    row("a footer's entry, checking and decoding", operations: count) {
      let footer = try! Footer(decoding: body, trailer: trailer)
      for number in 0..<count { sink(footer.entry(number)!.originNumber) }
    }
    let footer = try Footer(decoding: body, trailer: trailer)
    var next = 0
    row("a search in a footer of \(count) entries") {
      next = (next + 7919) % count
      sink(UInt32(footer.entries(of: key(next)).count))
    }
  }

  // MARK: Index and engine

  private static func index() {
    for count in [100_000, 1_000_000] {
      let keys = (0..<count).map(key)
      var index = Index()
      row("index of \(count) keys, an insert", operations: count) {
        index = Index()
        index.reserve(count)
        _ = index.producerNumber("layers")
        _ = index.originNumber(segment)
        for number in 0..<count { index.insert(keys[number], place(number), saved: 1) }
      }
      var next = 0
      row("index of \(count) keys, a look") {
        next = (next + 7919) % count
        sink(UInt32(index.places(of: keys[next]).count))
      }
    }
  }

  /// The log of a writer that lives, which has no footer, opened by another.
  private static func replay() throws {
    let named = getenv("TMPDIR").map { String(cString: $0) } ?? ""
    let base = named.isEmpty ? "/tmp" : named
    var template = Array("\(base)/warmstart-layers-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw NoDirectory(base: base, errno: errno) }
    let path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    defer { remove(path) }
    let count = 50_000
    var options = StoreOptions()
    options.durability = .buffered
    let writer = try WarmStartStore.open(at: path, options: options)
    let payload = sparse(1024)
    for number in 0..<count {
      try writer.save(payload, for: key(number), objective: -Double(number))
    }
    row("replay of a log, a record of 1 KiB", operations: count) {
      try! WarmStartStore.openReadOnly(at: path).close()
    }
    try writer.close()
  }

  /// There is none to write to in that directory.
  private struct NoDirectory: Error {
    var base: String
    var errno: Int32
  }

  private static func remove(_ path: String) {
    guard let directory = opendir(path) else { return }
    while let entry = readdir(directory) {
      let name = withUnsafeBytes(of: &entry.pointee.d_name) {
        String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
      }
      unlink("\(path)/\(name)")
    }
    closedir(directory)
    rmdir(path)
  }

  // MARK: Data

  private static let segment = SegmentID(creation: 1, random: 2)

  /// Half zeros, the others with three decimals.
  private static func sparse(_ size: Int) -> [UInt8] {
    var state: UInt64 = 42
    return numbers(size) {
      state = mixed(state)
      return state >> 63 == 0 ? 0 : Double(state >> 44) / 1000
    }
  }

  /// A random walk.
  private static func walk(_ size: Int) -> [UInt8] {
    var state: UInt64 = 42
    var value = 100.0
    return numbers(size) {
      state = mixed(state)
      value += Double(Int64(bitPattern: state) >> 11) * 0x1p-53
      return value
    }
  }

  private static func numbers(_ size: Int, _ next: () -> Double) -> [UInt8] {
    (0..<size / 8).map { _ in next() }.withUnsafeBytes { Array($0) }
  }

  /// splitmix64.
  private static func mixed(_ state: UInt64) -> UInt64 {
    var z = state &+ 0x9e37_79b9_7f4a_7c15
    z = (z ^ z >> 30) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ z >> 27) &* 0x94d0_49bb_1331_11eb
    return z ^ z >> 31
  }

  private static func key(_ number: Int) -> Fingerprint {
    let words = (0..<4).map { mixed(UInt64(4 * number + $0)) }
    return words.withUnsafeBytes { Fingerprint(bytes: $0)! }
  }

  private static func record(_ number: Int) -> RecordHeader {
    var header = RecordHeader(
      kind: .checkpoint, stamp: 1 << 60 + UInt64(number), writeTime: 1 << 60,
      origin: Origin(segment: segment, number: UInt32(number)), key: key(number),
      number: UInt32(number))
    header.objective = Double(number)
    header.runID = "run-00000042"
    header.producer = "layers"
    header.rawLength = 256
    header.storedLength = 200
    header.codec = .lz4
    return header
  }

  private static func place(_ number: Int) -> Place {
    Place(
      stamp: 1_000_000_000 + UInt64(number), objective: -Double(number),
      segment: UInt32(number >> 17), offset: 512 * UInt64(number), storedLength: 256,
      headerLength: 160, isFinal: false, producer: 0, originSegment: UInt32(number >> 17),
      originNumber: UInt32(number & (1 << 17 - 1)))
  }

  // MARK: Timing

  /// Keeps what was computed, so that it has to be.
  @inline(never) private static func sink(_ value: UInt32) { withUnsafeBytes(of: value) { _ in } }

  private static func name(_ bytes: Int) -> String {
    bytes < 1 << 20 ? "\(bytes >> 10) KiB" : "\(bytes >> 20) MiB"
  }

  private static let runsOnce = CommandLine.arguments.contains("--once")

  /// Runs `body` in seven rounds of at least 50 ms; prints what one operation took, of which a call has
  /// `operations`, and if each has so many bytes the rate.
  private static func row(
    _ what: String, bytes: Int = 0, operations: Int = 1, _ body: () -> Void
  ) {
    if !runsOnce { body() }
    let rounds = (0..<(runsOnce ? 1 : 7)).map { _ in
      let start = nanoseconds()
      var calls = 0
      repeat {
        body()
        calls += 1
      } while !runsOnce && nanoseconds() - start < 50_000_000
      return Double(nanoseconds() - start) / Double(calls * operations)
    }.sorted()
    let median = rounds[rounds.count / 2]
    let rate = bytes > 0 ? "\(rounded(Double(bytes) / median)) GB/s" : ""
    print("| \(what) | \(rounded(median)) (\(rounded(rounds[0]))) | \(rate) |")
    fflush(nil)
  }

  /// Three digits.
  private static func rounded(_ value: Double) -> String {
    if value >= 100 { return "\(Int(value.rounded()))" }
    return value >= 10 ? "\((value * 10).rounded() / 10)" : "\((value * 100).rounded() / 100)"
  }

  private static func nanoseconds() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
  }
}
