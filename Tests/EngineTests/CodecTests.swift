import TestSupport
import Testing
import WarmStart

/// Payloads of the kinds that fits save, and some that nothing can be done with.
enum Payloads {
  /// Half zeros, the rest with three decimals: sparse coefficients.
  static func sparse(_ count: Int, seed: UInt64 = 1) -> [UInt8] {
    let random = SeededRandom(seed: seed)
    return bytes(
      (0..<count).map { _ in
        random.next() >> 63 == 0 ? 0 : (Double(random.next() >> 44) / 1000).rounded() / 1000
      })
  }

  /// A random walk: dense coefficients of like size.
  static func walk(_ count: Int, seed: UInt64 = 1) -> [UInt8] {
    let random = SeededRandom(seed: seed)
    var value = 100.0
    return bytes(
      (0..<count).map { _ in
        value += Double(Int64(bitPattern: random.next()) >> 11) * 0x1p-53
        return value
      })
  }

  static func noise(_ count: Int, seed: UInt64 = 1) -> [UInt8] {
    let random = SeededRandom(seed: seed)
    return (0..<count).map { _ in UInt8(truncatingIfNeeded: random.next() >> 32) }
  }

  private static func bytes(_ values: [Double]) -> [UInt8] {
    values.withUnsafeBytes { Array($0) }
  }
}

@Suite struct CodecTests {
  private func encode(
    _ payload: [UInt8], _ assistant: Assistant? = nil
  ) -> (EncodedPayload, [UInt8]) {
    let encoder = PayloadEncoder(assistant)
    var output = [UInt8](repeating: 0xaa, count: PayloadEncoder.bound(payload.count))
    let encoded = payload.withUnsafeBytes { payload in
      output.withUnsafeMutableBytes { encoder.encode(payload, to: $0) }
    }
    return (encoded, Array(output[..<encoded.storedLength]))
  }

  private func decode(_ stored: [UInt8], _ codec: Codec, length: Int) throws -> [UInt8] {
    var output = [UInt8](repeating: 0, count: length)
    try stored.withUnsafeBytes { stored in
      try output.withUnsafeMutableBytes { try PayloadDecoder.decode(stored, codec, to: $0) }
    }
    return output
  }

  @Test(arguments: [0, 1, 7, 63, 64, 65, 1024, 4099, 262_143, 262_144, 262_145, 1_000_003])
  func payloadsOfEveryLengthComeBack(_ length: Int) throws {
    for payload in [
      Payloads.noise(length), [UInt8](repeating: 7, count: length),
      Array(Payloads.sparse(length / 8 + 1)[..<length]),
      Array(Payloads.walk(length / 8 + 1)[..<length]),
    ] {
      let (encoded, stored) = encode(payload)
      #expect(try decode(stored, encoded.codec, length: length) == payload)
      #expect(stored.withUnsafeBytes(CRC32C.of) == encoded.storedChecksum)
      #expect(payload.withUnsafeBytes(CRC32C.of) == encoded.rawChecksum)
      #expect(stored.count <= length)
      #expect(FormatLimits.plausible(raw: length, stored: stored.count))
    }
  }

  /// To wake another takes as long as to compress a short payload.
  @Test(arguments: [(131_064, 0), (131_072, 1), (262_144, 1), (700_000, 1), (2_000_000, 1)])
  func aSecondThreadTakesPartWhereItIsWorthIt(_ length: Int, _ threads: Int) {
    let counting = CountingThreads()
    let assistant = Assistant(counting)
    _ = encode(Array(Payloads.sparse(length / 8 + 1)[..<length]), assistant)
    assistant.end()
    #expect(counting.started == threads)
  }

  @Test(arguments: [
    131_072, 200_005, 262_143, 262_144, 262_145, 270_001, 600_000, 786_432, 786_433, 1_000_003,
    1_048_576, 1_048_577, 5_000_008,
  ])
  func twoThreadsMakeTheSameOfALongPayloadAsOne(_ length: Int) throws {
    let half = length / 2 / 8
    for payload in [
      Array(Payloads.sparse(length / 8 + 1)[..<length]),
      Array(Payloads.walk(length / 8 + 1)[..<length]), Payloads.noise(length),
      // Of these one thread's half does not shrink, or does so much more than the other's.
      Payloads.noise(length - half * 8) + [UInt8](repeating: 0, count: half * 8),
      [UInt8](repeating: 0, count: half * 8) + Payloads.noise(length - half * 8),
    ] {
      let (encoded, stored) = encode(payload)
      #expect(stored.count <= length)
      for threads in [POSIXThreads(), NoThreads()] as [any Threads] {
        let assistant = Assistant(threads)
        // Again and again with the same thread, and once it has ended.
        for round in 0..<4 {
          if round == 3 { assistant.end() }
          let (other, otherStored) = encode(payload, assistant)
          #expect(other.codec == encoded.codec)
          #expect(otherStored == stored)
        }
      }
      #expect(try decode(stored, encoded.codec, length: length) == payload)
    }
  }

  /// Where a payload shrinks in one half only, or the halves' literals meet, neither costs what was saved.
  @Test(arguments: [131_072, 262_144, 500_000])
  func whatTwoThreadsMakeIsHardlyLongerThanWhatOneMakes(_ length: Int) {
    let half = length / 16 * 8
    for payload in [
      Array(Payloads.sparse(length / 8 + 1)[..<length]), [UInt8](repeating: 3, count: length),
      Payloads.noise(half) + [UInt8](repeating: 0, count: length - half),
      [UInt8](repeating: 0, count: half) + Payloads.noise(length - half),
      [UInt8](repeating: 1, count: half - 600) + Payloads.noise(1200)
        + [UInt8](repeating: 2, count: length - half - 600),
    ] {
      // A block of less than that goes to one thread: what was there before two took part.
      let whole = stride(from: 0, to: length, by: 65_536).reduce(0) { sum, start in
        sum + encode(Array(payload[start..<min(start + 65_536, length)])).1.count
      }
      #expect(encode(payload).1.count <= whole + whole / 100 + 64)
    }
  }

  @Test func shortPayloadsAreTheSameWhateverWasBeforeThem() throws {
    let encoder = PayloadEncoder()
    var output = [UInt8](repeating: 0, count: PayloadEncoder.bound(2048))
    for round in 0..<200 {
      let length = [64, 100, 256, 1000, 1024, 1025][round % 6]
      // What does not fit makes the compressor fail, which must not be seen in what follows.
      let payload =
        round % 3 == 2
        ? Payloads.noise(length, seed: UInt64(round))
        : Array(Payloads.sparse(length / 8 + 1, seed: UInt64(round))[..<length])
      let encoded = payload.withUnsafeBytes { payload in
        output.withUnsafeMutableBytes { encoder.encode(payload, to: $0) }
      }
      let stored = Array(output[..<encoded.storedLength])
      #expect(try decode(stored, encoded.codec, length: length) == payload)
    }
  }

  @Test func eachKindOfPayloadGetsTheCodecThatShrinksItMost() {
    #expect(encode(Payloads.sparse(4096)).0.codec == .lz4)
    #expect(encode(Payloads.walk(4096)).0.codec == .shuffledLZ4)
    #expect(encode(Payloads.noise(32_768)).0.codec == .stored)
    #expect(encode(Payloads.sparse(4096)).0.storedLength < 32_768 / 2)
    #expect(encode(Payloads.walk(4096)).0.storedLength < 32_768 * 8 / 10)
  }

  /// What did best for long gives way at once to what it does not shrink, and in time to what does better.
  @Test func aPayloadOfAnotherKindGetsItsOwnCodecHoweverLongThereWasAnother() {
    let encoder = PayloadEncoder()
    func codec(_ payload: [UInt8]) -> Codec {
      var output = [UInt8](repeating: 0, count: PayloadEncoder.bound(payload.count))
      return payload.withUnsafeBytes { payload in
        output.withUnsafeMutableBytes { encoder.encode(payload, to: $0).codec }
      }
    }
    let (sparse, walk) = (Payloads.sparse(512), Payloads.walk(512))
    for _ in 0..<600 { #expect(codec(sparse) == .lz4) }
    #expect(codec(walk) == .shuffledLZ4)
    for _ in 0..<600 { #expect(codec(walk) == .shuffledLZ4) }
    #expect(codec(Payloads.noise(4096)) == .stored)
    for _ in 0..<600 { #expect(codec(walk) == .shuffledLZ4) }
    let codecs = (0..<150).map { _ in codec(sparse) }
    #expect(codecs.last == .lz4)
  }

  @Test func aPayloadThatBeginsWithZerosIsStillJudgedByItsMiddle() {
    let payload = [UInt8](repeating: 0, count: 1000) + Payloads.noise(100_000)
    #expect(encode(payload).0.codec == .stored)
  }

  @Test(arguments: [Codec.lz4, .shuffledLZ4])
  func noCutOrFlippedStoredPayloadEverOverflows(_ codec: Codec) {
    let payload = codec == .lz4 ? Payloads.sparse(40_000) : Payloads.walk(40_000)
    let (encoded, stored) = encode(payload)
    #expect(encoded.codec == codec)
    let random = SeededRandom(seed: 5)
    for _ in 0..<500 {
      var bad = stored
      let place = Int(random.next() % UInt64(bad.count))
      bad[place] ^= 1 << UInt8(random.next() % 8)
      if let output = try? decode(bad, codec, length: payload.count) {
        #expect(output.count == payload.count)
      }
      #expect(throws: FormatError.self) {
        try decode(Array(stored[..<place]), codec, length: payload.count)
      }
    }
    #expect(throws: FormatError.self) { try decode(stored + [0], codec, length: payload.count) }
    #expect(throws: FormatError.self) { try decode(stored, codec, length: payload.count - 1) }
    #expect(throws: FormatError.self) { try decode(stored, codec, length: 0) }
  }

  @Test func shufflingIsAsTheFormatSays() {
    let input: [UInt8] = Array(0..<19)
    var output = [UInt8](repeating: 0, count: 19)
    input.withUnsafeBytes { input in
      output.withUnsafeMutableBytes { Shuffle.forward(input, to: $0) }
    }
    #expect(output == [0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15, 16, 17, 18])
  }
}
