// Keys as they are typed: 64 digits, or as many of the first as tell one key from the others.

import ArgumentParser
package import WarmStart

/// The first digits of a key, or all of them.
package struct KeyPrefix: Equatable {
  /// Lowercase hexadecimal digits, 1 to 64.
  package let digits: String

  /// Refuses what no key begins with.
  package init(_ text: String) throws {
    guard (1...64).contains(text.utf8.count), text.utf8.allSatisfy(Self.isDigit) else {
      throw ValidationError("a key is 64 hexadecimal digits, or the first of them")
    }
    digits = text.lowercased()
  }

  /// The key, if all its digits are there.
  package var complete: Fingerprint? { Fingerprint(digits) }

  /// The key among `keys`, which are in order, that this is or that begins so.
  package func key(among keys: [Fingerprint], in path: String) throws(Failure) -> Fingerprint {
    let low = padded(with: "0")
    let high = padded(with: "f")
    let start = keys.partitioningIndex { $0 >= low }
    let end = keys.partitioningIndex { $0 > high }
    guard start < end else {
      let what = complete == nil ? "no key begins with" : "no key"
      throw Failure(.noSuchKey, "\(what) \(digits) in \(path)")
    }
    guard end - start == 1 else {
      throw Failure(
        .wrongUsage, "\(digits) fits \(end - start) keys in \(path); give more of its digits")
    }
    return keys[start]
  }

  private func padded(with digit: String) -> Fingerprint {
    Fingerprint(digits + String(repeating: digit, count: 64 - digits.utf8.count))!
  }

  private static func isDigit(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "f"),
      UInt8(ascii: "A")...UInt8(ascii: "F"):
      true
    default: false
    }
  }
}

extension OpenStore {
  /// The one key of the store that the prefix fits.
  func key(_ prefix: KeyPrefix) throws(Failure) -> Fingerprint { try keys([prefix])[0] }

  /// The one key of the store that each prefix fits.
  func keys(_ prefixes: [KeyPrefix]) throws(Failure) -> [Fingerprint] {
    let all = try ask { store throws(StoreError) in try store.engine.keys() }
    var found: [Fingerprint] = []
    for prefix in prefixes { found.append(try prefix.key(among: all, in: path)) }
    return found
  }
}

extension [Fingerprint] {
  /// The first index for which the predicate holds, which it does for all behind it too.
  fileprivate func partitioningIndex(where holds: (Fingerprint) -> Bool) -> Int {
    var low = 0
    var high = count
    while low < high {
      let middle = (low + high) / 2
      if holds(self[middle]) { high = middle } else { low = middle + 1 }
    }
    return low
  }

  /// How many digits tell each of these keys, which are in order, from the others; at least 12.
  var distinctiveDigits: Int {
    var longest = 12
    for (left, right) in zip(self, dropFirst()) {
      let shared = zip(left.description.utf8, right.description.utf8).prefix { $0 == $1 }.count
      longest = Swift.max(longest, shared + 1)
    }
    return longest
  }
}
