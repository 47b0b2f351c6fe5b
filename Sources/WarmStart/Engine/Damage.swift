// Damage, as it is told to people and scripts.

/// A place in a segment that is not what was once written there.
public struct Damage: Hashable, Sendable, CustomStringConvertible {
  /// What damage means for those who look something up.
  public enum Effect: String, Hashable, Sendable {
    /// Nothing is lost: there is a second copy of what stood there, or nothing that counts stood there.
    case nothingLost
    /// An entry is lost: lookups that it would have answered give the next best one of its key.
    case entryLost
    /// Whatever stood there is lost, and whose it was is unknown: lookups of its key give the next best entry.
    case unknownLost
    /// Nothing in the segment can be read: lookups of its keys give the next best entries elsewhere.
    case segmentLost

    func isWorse(than other: Effect) -> Bool {
      let order: [Effect] = [.nothingLost, .entryLost, .unknownLost, .segmentLost]
      return order.firstIndex(of: self)! > order.firstIndex(of: other)!
    }

    /// For people.
    var text: String {
      switch self {
      case .nothingLost: "nothing is lost"
      case .entryLost:
        "the entry is lost, lookups that it would have answered give the next best one"
      case .unknownLost: "what stood there is lost, lookups of its key give the next best entry"
      case .segmentLost: "the segment is lost, lookups of its keys give the next best entries"
      }
    }
  }

  /// The file's name within the store's directory.
  public let segment: String
  /// Where it begins, bytes from the start of the file.
  public let offset: UInt64
  /// How long it is, bytes.
  public let length: UInt64
  /// What is wrong.
  public let what: String
  /// The key of the record that it hit, where that is known.
  public let key: Fingerprint?
  /// The run that wrote the record, where that is known.
  public let run: String?
  /// What it means for lookups; nil where nobody has looked into that.
  public let effect: Effect?

  package init(
    segment: String, offset: UInt64, length: UInt64, what: String, key: Fingerprint? = nil,
    run: String? = nil, effect: Effect? = nil
  ) {
    self.segment = segment
    self.offset = offset
    self.length = length
    self.what = what
    self.key = key
    self.run = run
    self.effect = effect
  }

  /// One line.
  public var description: String {
    let whose = key.map { ", key \($0)" } ?? ""
    let whoseRun = run.map { ", run \($0)" } ?? ""
    let meaning = effect.map { "; \($0.text)" } ?? ""
    return "\(segment) at byte \(offset), \(length) bytes: \(what)\(whose)\(whoseRun)\(meaning)"
  }

  func with(effect: Effect) -> Damage {
    Damage(
      segment: segment, offset: offset, length: length, what: what, key: key, run: run,
      effect: effect)
  }
}
