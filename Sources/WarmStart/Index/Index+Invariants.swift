// What must hold of an index at any time. Tests call it after every step.

extension Index {
  /// The first promise that does not hold, or nil.
  package func brokenInvariant() -> String? {
    var live: [UInt32: UInt64] = [:]
    var keys = 0
    var broken: String?
    let order = order
    forEachKey { key, places in
      keys += 1
      for place in places {
        live[place.place.segment, default: 0] += UInt64(place.place.recordLength)
      }
      broken = broken ?? Self.brokenInvariant(of: key, places, order)
    }
    if let broken { return broken }
    if keys != liveKeys { return "\(keys) keys have entries, \(liveKeys) are counted" }
    let counted = liveBytesBySegment
    return live == counted ? nil : "live bytes are \(live), counted are \(counted)"
  }

  private static func brokenInvariant(
    of key: Fingerprint, _ places: [SlottedPlace], _ order: EntryOrder
  ) -> String? {
    for slot in [Slots.best, .latest] where places.filter({ $0.slots.contains(slot) }).count != 1 {
      return "\(key): slot \(slot) is not filled by one place"
    }
    let best = places.first { $0.slots.contains(.best) }!.place
    let latest = places.first { $0.slots.contains(.latest) }!.place
    for place in places {
      if place.slots.isEmpty { return "\(key): a place without a slot" }
      if order.isBetter(place.place, than: best) { return "\(key): best is not the best" }
      if order.isNewer(place.place, than: latest) { return "\(key): latest is not the newest" }
      if place.slots.contains(.final), !place.place.isFinal { return "\(key): final is none" }
    }
    let finals = places.filter { $0.slots.contains(.final) }
    if finals.count > KeyState.producers { return "\(key): finals of too many producers" }
    let producers = Set(finals.map(\.place.producer))
    return producers.count == finals.count ? nil : "\(key): two finals of one producer"
  }
}
