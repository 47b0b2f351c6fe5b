// One record as the footer of its segment tells of it.
//
// In two parts, kept in two columns: what an index is made of fills one cache line; the rest is read
// only when somebody asks. Together they say all that the record's own header says, but for how far
// the log was synced, which means nothing any more in a sealed segment.

package struct FooterEntry: Sendable {
  package var key: Fingerprint
  package var stamp: UInt64
  /// Bits of the objective; `none` if there is none.
  package var objectiveBits: UInt64
  /// Where the record begins, in units of 8 bytes.
  package var offsetUnits: UInt32
  package var storedLength: UInt32
  package var headerUnits: UInt8
  package var kind: UInt8
  package var producer: UInt16
  /// The write time in whole seconds.
  package var writeSeconds: UInt32

  package var writeTime: UInt64
  package var iteration: UInt64
  package var rawLength: UInt32
  package var rawChecksum: UInt32
  package var storedChecksum: UInt32
  package var number: UInt32
  package var run: UInt32
  package var label: UInt32
  package var originNumber: UInt32
  package var origin: UInt16
  package var codec: UInt8
  package var flags: UInt8

  package static let indexLength = 64
  package static let detailLength = 48
  /// A quiet NaN, which no objective is.
  package static let noObjective: UInt64 = 0x7ff8_0000_0000_0000
  static let hasIteration: UInt8 = 1

  package var offset: UInt64 { UInt64(offsetUnits) * 8 }
  package var headerLength: Int { Int(headerUnits) * 8 }
  package var recordLength: Int { headerLength + Int(storedLength).aligned(to: 8) }
  package var objective: Double? {
    objectiveBits == Self.noObjective ? nil : Double(bitPattern: objectiveBits)
  }

  func encodeIndex(to bytes: UnsafeMutableRawBufferPointer, at offset: Int) {
    bytes.put(key, at: offset)
    bytes.put(stamp, at: offset + 32)
    bytes.put(objectiveBits, at: offset + 40)
    bytes.put(offsetUnits, at: offset + 48)
    bytes.put(storedLength, at: offset + 52)
    bytes.put(headerUnits, at: offset + 56)
    bytes.put(kind, at: offset + 57)
    bytes.put(producer, at: offset + 58)
    bytes.put(writeSeconds, at: offset + 60)
  }

  func encodeDetail(to bytes: UnsafeMutableRawBufferPointer, at offset: Int) {
    bytes.put(writeTime, at: offset)
    bytes.put(iteration, at: offset + 8)
    bytes.put(rawLength, at: offset + 16)
    bytes.put(rawChecksum, at: offset + 20)
    bytes.put(storedChecksum, at: offset + 24)
    bytes.put(number, at: offset + 28)
    bytes.put(run, at: offset + 32)
    bytes.put(label, at: offset + 36)
    bytes.put(originNumber, at: offset + 40)
    bytes.put(origin, at: offset + 44)
    bytes.put(codec, at: offset + 46)
    bytes.put(flags, at: offset + 47)
  }

  init(index: RawSpan, at offset: Int, detail: RawSpan, at detailOffset: Int) {
    key = index.fingerprint(offset)
    stamp = index.u64(offset + 32)
    objectiveBits = index.u64(offset + 40)
    offsetUnits = index.u32(offset + 48)
    storedLength = index.u32(offset + 52)
    headerUnits = index.u8(offset + 56)
    kind = index.u8(offset + 57)
    producer = index.u16(offset + 58)
    writeSeconds = index.u32(offset + 60)
    writeTime = detail.u64(detailOffset)
    iteration = detail.u64(detailOffset + 8)
    rawLength = detail.u32(detailOffset + 16)
    rawChecksum = detail.u32(detailOffset + 20)
    storedChecksum = detail.u32(detailOffset + 24)
    number = detail.u32(detailOffset + 28)
    run = detail.u32(detailOffset + 32)
    label = detail.u32(detailOffset + 36)
    originNumber = detail.u32(detailOffset + 40)
    origin = detail.u16(detailOffset + 44)
    codec = detail.u8(detailOffset + 46)
    flags = detail.u8(detailOffset + 47)
  }

  init(
    _ header: RecordHeader, offset: UInt64, producer: UInt16, run: UInt32, label: UInt32,
    origin: UInt16
  ) {
    key = header.key
    stamp = header.stamp
    objectiveBits = header.objective?.bitPattern ?? Self.noObjective
    offsetUnits = UInt32(offset / 8)
    storedLength = UInt32(header.storedLength)
    headerUnits = UInt8(header.length / 8)
    kind = header.kind.rawValue
    self.producer = producer
    writeSeconds = UInt32(clamping: header.writeTime / 1_000_000_000)
    writeTime = header.writeTime
    iteration = header.iteration ?? 0
    rawLength = UInt32(header.rawLength)
    rawChecksum = header.rawChecksum
    storedChecksum = header.storedChecksum
    number = header.number
    self.run = run
    self.label = label
    originNumber = header.origin.number
    self.origin = origin
    codec = header.codec.rawValue
    flags = header.iteration == nil ? 0 : Self.hasIteration
  }
}
