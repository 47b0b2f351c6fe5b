// Places in 32 bytes, so that a key and what is known of it lie in one line of the processor's cache.
//
// What many places have in common is numbered: the producer with the length of a header, and the origins. Of each there
// are so few, as a rule, that the numbers do; a place for which they do not is kept elsewhere as it is.

/// A place as a row of the table has it, or why there is none.
struct CompactPlace: BitwiseCopyable {
  let stamp: UInt64
  fileprivate let objectiveOrNaN: Double
  fileprivate let offsetUnits: UInt32
  fileprivate let lengthAndKind: UInt32
  // The number of the origin, of all that were met.
  fileprivate let origin: UInt32
  // Segment below, shape above.
  fileprivate let segmentAndShape: UInt32

  fileprivate static let segmentBits = 20
  fileprivate static let segmentLimit: UInt32 = 1 << segmentBits - 1
  fileprivate static let shapeLimit = 1 << (32 - segmentBits)

  /// A row without a place of its own: no entry of the key counts, or what counts is kept elsewhere.
  enum Absence: UInt32 {
    case empty, elsewhere
  }

  init(_ absence: Absence, stamp: UInt64) {
    self.stamp = stamp
    objectiveOrNaN = .nan
    (offsetUnits, lengthAndKind, origin) = (0, 0, 0)
    segmentAndShape = absence.rawValue << Self.segmentBits | Self.segmentLimit
  }

  fileprivate init(
    _ place: Place, origin: UInt32, shape: UInt32
  ) {
    stamp = place.stamp
    objectiveOrNaN = place.objectiveOrNaN
    offsetUnits = place.offsetUnits
    lengthAndKind = place.lengthAndKind
    self.origin = origin
    segmentAndShape = shape << Self.segmentBits | place.segment
  }

  fileprivate var segment: UInt32 { segmentAndShape & Self.segmentLimit }
  fileprivate var shape: Int { Int(segmentAndShape >> Self.segmentBits) }

  /// Nil if there is a place.
  var absence: Absence? { segment == Self.segmentLimit ? Absence(rawValue: UInt32(shape)) : nil }
}

/// So many records that one segment had.
struct OriginBlock: BitwiseCopyable {
  var segment: UInt32
  var number: UInt32
}

/// What the places of one index have in common, by number. Several threads may unpack while none packs.
struct PlacePacking: ~Copyable {
  // Memory by hand, since several threads look at it without counting references.
  private var shapes = MemoryTable<UInt32>(capacity: 8)
  private var shapeCount = 0
  private var shapeNumbers: [UInt32: UInt32] = [:]

  // Origins are numbered in blocks of records that one segment had: which is whose, and the numbers of those of each
  // segment one behind the other, 0 for none.
  private var blocks = MemoryTable<OriginBlock>(capacity: 8)
  private var blockCount = 0
  private var blockNumbers = MemoryTable<UInt32>(repeating: 0, count: blocksOfSegment)

  private static let blockBits: UInt32 = 13
  private static let blockLimit = 1 << (32 - blockBits)
  private static let belowBlock: UInt32 = 1 << blockBits - 1
  private static let blocksOfSegment = FormatLimits.records >> Int(blockBits)

  init() {}

  init(copying other: borrowing PlacePacking) {
    (shapeCount, shapeNumbers) = (other.shapeCount, other.shapeNumbers)
    shapes = MemoryTable(
      copying: other.shapes, count: other.shapeCount, capacity: other.shapes.capacity)
    blockCount = other.blockCount
    blocks = MemoryTable(
      copying: other.blocks, count: other.blockCount, capacity: other.blocks.capacity)
    let numbers = other.blockNumbers.capacity
    blockNumbers = MemoryTable(copying: other.blockNumbers, count: numbers, capacity: numbers)
  }

  /// Nil if there are too many of something.
  mutating func pack(_ place: Place) -> CompactPlace? {
    guard place.segment < CompactPlace.segmentLimit,
      let shape = shapeNumber(place.producerAndHeader), let origin = originNumber(place)
    else { return nil }
    return CompactPlace(place, origin: origin, shape: shape)
  }

  /// The place that was packed so; of a row that has one.
  func unpack(_ compact: CompactPlace) -> Place {
    let block = blocks.base[Int(compact.origin >> Self.blockBits)]
    return Place(
      stamp: compact.stamp, objectiveOrNaN: compact.objectiveOrNaN, segment: compact.segment,
      offsetUnits: compact.offsetUnits, lengthAndKind: compact.lengthAndKind,
      producerAndHeader: shapes.base[compact.shape], originSegment: block.segment,
      originNumber: block.number << Self.blockBits | compact.origin & Self.belowBlock)
  }

  private mutating func shapeNumber(_ shape: UInt32) -> UInt32? {
    // Mostly it is that of the last new one.
    if shapeCount > 0, shapes.base[shapeCount - 1] == shape { return UInt32(shapeCount - 1) }
    if let number = shapeNumbers[shape] { return number }
    guard shapeCount < CompactPlace.shapeLimit else { return nil }
    if shapeCount == shapes.capacity { shapes.grow(to: 2 * shapeCount) }
    let number = UInt32(shapeCount)
    shapeNumbers[shape] = number
    (shapes.base + shapeCount).initialize(to: shape)
    shapeCount += 1
    return number
  }

  private mutating func originNumber(_ place: Place) -> UInt32? {
    guard place.originNumber < FormatLimits.records else { return nil }
    let block = OriginBlock(
      segment: place.originSegment, number: place.originNumber >> Self.blockBits)
    let at = Int(block.segment) * Self.blocksOfSegment + Int(block.number)
    if at >= blockNumbers.capacity { growBlockNumbers(beyond: at) }
    if blockNumbers.base[at] == 0 {
      guard blockCount + 1 < Self.blockLimit else { return nil }
      if blockCount == blocks.capacity { blocks.grow(to: 2 * blockCount) }
      (blocks.base + blockCount).initialize(to: block)
      blockCount += 1
      blockNumbers.base[at] = UInt32(blockCount)
    }
    return (blockNumbers.base[at] - 1) << Self.blockBits | place.originNumber & Self.belowBlock
  }

  private mutating func growBlockNumbers(beyond number: Int) {
    let present = blockNumbers.capacity
    blockNumbers.grow(to: max(2 * present, number + 1))
    (blockNumbers.base + present).initialize(repeating: 0, count: blockNumbers.capacity - present)
  }
}
