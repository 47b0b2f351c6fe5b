// The slots of one key.
//
// Each slot is a maximum in a total order, so what is in them depends neither on the order in which
// records were seen nor on which of the dead have been dropped already.

/// A place and the slots it fills.
package struct SlottedPlace: Sendable {
  package var place: Place
  package var slots: Slots
}

/// What the index knows of a key beyond its newest record that fills every slot.
package struct KeyState: Sendable {
  /// The places that fill a slot. Mostly one.
  package internal(set) var places: [SlottedPlace] = []
  /// The stamp of the newest removal; 0 if there was none.
  package internal(set) var removedThrough: UInt64 = 0
}

/// The two total orders.
package struct EntryOrder {
  let origins: [SegmentID]

  /// Larger stamp, then larger origin.
  package func isNewer(_ left: Place, than right: Place) -> Bool {
    if left.stamp != right.stamp { return left.stamp > right.stamp }
    if left.originSegment != right.originSegment {
      return origins[Int(left.originSegment)] > origins[Int(right.originSegment)]
    }
    return left.originNumber > right.originNumber
  }

  /// Lower objective; one before none; else the newer.
  package func isBetter(_ left: Place, than right: Place) -> Bool {
    Self.isBetter(left.objective, than: right.objective) ?? isNewer(left, than: right)
  }

  /// Whether the one objective is the better; nil if neither is, so that the newer entry counts.
  package static func isBetter(_ left: Double?, than right: Double?) -> Bool? {
    switch (left, right) {
    case (let left?, let right?) where left != right: left < right
    case (.some, nil): true
    case (nil, .some): false
    default: nil
    }
  }
}

extension KeyState {
  /// Finals of at most this many producers are kept.
  package static let producers = 8

  /// Fills the slots anew from the places that are there and one more.
  mutating func refill(adding place: Place, order: EntryOrder) {
    var candidates = places.map(\.place)
    if let same = candidates.firstIndex(where: { $0.isSameRecord(as: place) }) {
      candidates[same] = place
    } else {
      candidates.append(place)
    }
    refill(from: candidates, order: order)
  }

  /// Fills the slots from these places alone.
  mutating func refill(from candidates: [Place], order: EntryOrder) {
    guard var best = candidates.first else {
      places = []
      return
    }
    var latest = best
    for place in candidates.dropFirst() {
      if order.isBetter(place, than: best) { best = place }
      if order.isNewer(place, than: latest) { latest = place }
    }
    let finals = Self.newestFinals(candidates, order: order)
    places = candidates.compactMap { place in
      var slots: Slots = []
      if place.isSameRecord(as: best) { slots.insert(.best) }
      if place.isSameRecord(as: latest) { slots.insert(.latest) }
      if finals.contains(where: { $0.isSameRecord(as: place) }) { slots.insert(.final) }
      return slots.isEmpty ? nil : SlottedPlace(place: place, slots: slots)
    }
  }

  private static func newestFinals(_ candidates: [Place], order: EntryOrder) -> [Place] {
    var finals: [Place] = []
    for place in candidates where place.isFinal {
      if let same = finals.firstIndex(where: { $0.producer == place.producer }) {
        if order.isNewer(place, than: finals[same]) { finals[same] = place }
      } else {
        finals.append(place)
      }
    }
    guard finals.count > producers else { return finals }
    return Array(finals.sorted { order.isNewer($0, than: $1) }.prefix(producers))
  }
}
