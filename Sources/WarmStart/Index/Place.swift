// What the index tells of one record.

/// A record that counts: where it is, and what its place in the two orders depends on. 40 bytes.
package struct Place: Sendable {
  /// Nanoseconds since 1970.
  package let stamp: UInt64
  // NaN stands for none, so that an optional costs nothing.
  let objectiveOrNaN: Double
  /// The segment, by the number that the engine gave it.
  package let segment: UInt32
  let offsetUnits: UInt32
  let lengthAndKind: UInt32
  let producerAndHeader: UInt32
  /// Where the record was first written: the segment by the index's number, and the record there.
  package let originSegment: UInt32
  package let originNumber: UInt32

  package init(
    stamp: UInt64, objective: Double?, segment: UInt32, offset: UInt64, storedLength: Int,
    headerLength: Int, isFinal: Bool, producer: UInt32, originSegment: UInt32, originNumber: UInt32
  ) {
    precondition(storedLength < 1 << 31 && headerLength < 8 << 8 && producer < 1 << 24)
    self.stamp = stamp
    objectiveOrNaN = objective ?? .nan
    self.segment = segment
    offsetUnits = UInt32(offset / 8)
    lengthAndKind = UInt32(storedLength) | (isFinal ? 1 << 31 : 0)
    producerAndHeader = producer << 8 | UInt32(headerLength / 8)
    self.originSegment = originSegment
    self.originNumber = originNumber
  }

  init(
    stamp: UInt64, objectiveOrNaN: Double, segment: UInt32, offsetUnits: UInt32,
    lengthAndKind: UInt32, producerAndHeader: UInt32, originSegment: UInt32, originNumber: UInt32
  ) {
    self.stamp = stamp
    self.objectiveOrNaN = objectiveOrNaN
    self.segment = segment
    self.offsetUnits = offsetUnits
    self.lengthAndKind = lengthAndKind
    self.producerAndHeader = producerAndHeader
    self.originSegment = originSegment
    self.originNumber = originNumber
  }

  package var objective: Double? { objectiveOrNaN.isNaN ? nil : objectiveOrNaN }
  package var offset: UInt64 { UInt64(offsetUnits) * 8 }
  package var storedLength: Int { Int(lengthAndKind & 0x7fff_ffff) }
  package var headerLength: Int { Int(producerAndHeader & 0xff) * 8 }
  package var isFinal: Bool { lengthAndKind >> 31 == 1 }
  /// The producer, by the index's number.
  package var producer: UInt32 { producerAndHeader >> 8 }
  /// Bytes of the whole record.
  package var recordLength: Int { headerLength + storedLength.aligned(to: 8) }

  /// Whether the two are the same record, or copies of the same.
  package func isSameRecord(as other: Place) -> Bool {
    stamp == other.stamp && originNumber == other.originNumber
      && originSegment == other.originSegment
  }
}

/// What of one key counts.
package struct Slots: OptionSet, Sendable {
  package let rawValue: UInt8
  package init(rawValue: UInt8) { self.rawValue = rawValue }

  /// The newest final of its producer.
  package static let final = Slots(rawValue: 1)
  /// The best entry of either kind.
  package static let best = Slots(rawValue: 2)
  /// The newest entry of either kind.
  package static let latest = Slots(rawValue: 4)
}
