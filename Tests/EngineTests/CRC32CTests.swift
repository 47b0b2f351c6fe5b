import CWarmStart
import Testing
import WarmStart

/// The vectors of RFC 3720, appendix B.4, and "check" of the Rocksoft model.
private let vectors: [(bytes: [UInt8], crc: UInt32)] = [
  (Array(repeating: 0, count: 32), 0x8a91_36aa),
  (Array(repeating: 0xff, count: 32), 0x62a8_ab43),
  (Array(0..<32), 0x46dd_794e),
  (Array((0..<32).reversed()), 0x113f_db5c),
  (
    [
      0x01, 0xc0, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
      0x00, 0x14, 0x00, 0x00, 0x00, 0x00, 0x00, 0x04, 0x00, 0x00, 0x00, 0x00, 0x14, 0x00, 0x00,
      0x00, 0x18, 0x28, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00,
      0x00, 0x00, 0x00,
    ], 0xd996_3a56
  ),
  (Array("123456789".utf8), 0xe306_9283),
  ([], 0),
]

@Suite struct CRC32CTests {
  @Test(arguments: vectors.indices)
  func everyImplementationGivesThePublishedValues(_ index: Int) {
    let (bytes, crc) = vectors[index]
    #expect(ws_crc32c(0, bytes, bytes.count) == crc)
    #expect(ws_crc32c_portable(0, bytes, bytes.count) == crc)
    if ws_crc32c_has_hardware() { #expect(ws_crc32c_hardware(0, bytes, bytes.count) == crc) }
    if ws_crc32c_has_wide() { #expect(ws_crc32c_wide(0, bytes, bytes.count) == crc) }
    #expect(bytes.withUnsafeBytes(CRC32C.of) == crc)
  }

  @Test func implementationsAgreeOnEveryLengthAndAlignment() {
    // Past three long streams of the hardware loop, and all the small cases.
    let bytes = (0..<40_000).map { UInt8(truncatingIfNeeded: $0 &* 197 ^ $0 >> 7) }
    for length in Array(0..<800) + [767, 768, 769, 12_287, 12_288, 12_289, 13_056, 25_000, 39_990] {
      for start in [0, 1, 3, 8] {
        bytes.withUnsafeBytes { all in
          let piece = all.baseAddress! + start
          // The end of one piece is the beginning of the next.
          let portable = ws_crc32c_portable(UInt32(length), piece, length)
          #expect(ws_crc32c(UInt32(length), piece, length) == portable)
          if ws_crc32c_has_hardware() {
            #expect(ws_crc32c_hardware(UInt32(length), piece, length) == portable)
          }
          if ws_crc32c_has_wide() {
            #expect(ws_crc32c_wide(UInt32(length), piece, length) == portable)
          }
        }
      }
    }
  }

  @Test func aChecksumGoesOnWhereItStopped() {
    let bytes = (0..<30_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
    let whole = ws_crc32c(0, bytes, bytes.count)
    for cut in [0, 1, 7, 800, 12_289, 29_999] {
      let first = ws_crc32c(0, bytes, cut)
      let rest = bytes.withUnsafeBytes { ws_crc32c(first, $0.baseAddress! + cut, $0.count - cut) }
      #expect(rest == whole)
    }
  }

  @Test func theSeedIsPartOfTheChecksum() {
    let bytes: [UInt8] = [1, 2, 3]
    func seeded(_ first: UInt64, _ second: UInt64) -> UInt32 {
      var checksum = CRC32C(seed: first, second)
      bytes.withUnsafeBytes { checksum.add($0) }
      return checksum.value
    }
    #expect(seeded(1, 2) != seeded(2, 1))
    #expect(seeded(1, 2) != seeded(1, 3))
    let words: [UInt8] = [1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0]
    #expect(seeded(1, 2) == (words + bytes).withUnsafeBytes(CRC32C.of))
  }
}
