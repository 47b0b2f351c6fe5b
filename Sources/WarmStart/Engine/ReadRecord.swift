// A record in memory.

internal import Synchronization

/// A record as it was read: its header, and its payload restored. An object, since a header is large and a
/// record that is asked for again and again passes through many hands.
package final class ReadRecord: @unchecked Sendable {
  // First what a cache notes of a record that is in it, and changes only while nobody else looks: together with the
  // count of references it is all that finding the record takes.
  var spot = Catalog.Spot(segment: .max, offset: .max)
  var cost: UInt32 = 0
  let wasUsed = Atomic(false)

  package let payload: [UInt8]
  package let header: RecordHeader

  /// Of a header and the payload that it belongs to.
  package init(header: RecordHeader, payload: [UInt8]) {
    self.header = header
    self.payload = payload
  }
}
