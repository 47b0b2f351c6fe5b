// Payloads. Unpacking takes any bytes and writes nothing but its output; what is packed comes back.

import WarmStart

enum CodecTarget {
  /// A block, and some of the next.
  private static let longest = Codec.blockLength + (1 << 14)
  private static let canary: UInt8 = 0xc5

  /// A byte that says which codec, four of raw length, then what is stored; or, with the codec's byte at 128
  /// or above, what is packed, as many times over as the next byte says.
  static func run(_ bytes: [UInt8]) throws(Finding) {
    var input = Input(bytes)
    let what = input.byte()
    let number = Int(input.number(UInt32.self))
    // More than one block is rare: it takes time.
    let isLong = number >> 24 >= 248
    if what & 128 == 0 {
      let codec = Codec(rawValue: what % 3)!
      try unpack(input.all(), codec, to: number % (isLong ? longest + 1 : 4097))
    } else {
      let piece = input.all()
      let times = max(1, min(1 + number % (isLong ? 65_536 : 16), longest / max(piece.count, 1)))
      var payload: [UInt8] = []
      payload.reserveCapacity(times * piece.count)
      for _ in 0..<times { payload += piece }
      try pack(payload)
    }
  }

  private static func unpack(_ stored: [UInt8], _ codec: Codec, to length: Int) throws(Finding) {
    var output = [UInt8](repeating: canary, count: length + 16)
    stored.withUnsafeBytes { stored in
      output.withUnsafeMutableBytes { all in
        let output = UnsafeMutableRawBufferPointer(rebasing: all[8..<8 + length])
        try? PayloadDecoder.decode(stored, codec, to: output)
      }
    }
    try require(
      output.prefix(8).allSatisfy { $0 == canary } && output.suffix(8).allSatisfy { $0 == canary },
      "unpacking wrote beside its output")
  }

  private static func pack(_ payload: [UInt8]) throws(Finding) {
    let encoder = PayloadEncoder()
    // The second time a codec that did well is taken without a trial. What is long takes time.
    let isLong = payload.count > 1 << 14
    let again = isLong ? [] : [payload, Array(payload.dropLast(payload.count / 3))]
    for payload in [payload] + again {
      var stored = [UInt8](repeating: 0, count: PayloadEncoder.bound(payload.count) + 1)
      let encoded = payload.withUnsafeBytes { payload in
        stored.withUnsafeMutableBytes { encoder.encode(payload, to: $0) }
      }
      stored.removeLast(stored.count - encoded.storedLength)
      try require(
        encoded.storedLength <= payload.count, "\(encoded.storedLength) for \(payload.count) bytes")
      try require(
        FormatLimits.plausible(raw: payload.count, stored: stored.count), "an implausible length")
      try require(
        encoded.rawChecksum == payload.withUnsafeBytes(CRC32C.of)
          && encoded.storedChecksum == stored.withUnsafeBytes(CRC32C.of), "a wrong checksum")
      try require(decoded(stored, encoded.codec, payload.count) == payload, "another payload")
    }
    if !isLong { try shuffle(payload) }
  }

  private static func decoded(_ stored: [UInt8], _ codec: Codec, _ count: Int) -> [UInt8]? {
    var output = [UInt8](repeating: 0, count: count)
    let isWhole = stored.withUnsafeBytes { stored in
      output.withUnsafeMutableBytes { output in
        (try? PayloadDecoder.decode(stored, codec, to: output)) != nil
      }
    }
    return isWhole ? output : nil
  }

  private static func shuffle(_ payload: [UInt8]) throws(Finding) {
    var shuffled = [UInt8](repeating: 0, count: payload.count)
    var back = shuffled
    payload.withUnsafeBytes { payload in
      shuffled.withUnsafeMutableBytes { Shuffle.forward(payload, to: $0) }
    }
    shuffled.withUnsafeBytes { shuffled in
      back.withUnsafeMutableBytes { Shuffle.backward(shuffled, to: $0) }
    }
    try require(back == payload, "shuffled and not back")
  }
}
