// What only a terminal gets: colour and progress.

import Glibc
import WarmStart

/// The terminal, if there is one.
enum Terminal {
  /// How a piece of text stands out.
  enum Style: String {
    case heading = "1"
    case good = "32"
    case bad = "1;31"
  }

  /// The text in a style, if standard output is a terminal and nobody objects (`NO_COLOR`).
  static func styled(_ text: String, _ style: Style) -> String {
    hasColour ? "\u{1b}[\(style.rawValue)m\(text)\u{1b}[0m" : text
  }

  private static var hasColour: Bool {
    isCapable(STDOUT_FILENO) && (environment("NO_COLOR") ?? "").isEmpty
  }

  /// Whether it is a terminal that understands escape sequences.
  fileprivate static func isCapable(_ descriptor: Int32) -> Bool {
    isatty(descriptor) == 1 && environment("TERM") != "dumb"
  }

  private static func environment(_ name: String) -> String? {
    getenv(name).map { String(cString: $0) }
  }
}

/// A line on standard error that says how far a long work has come; nothing if that is no terminal.
struct ProgressLine {
  private let what: String
  private let isShown: Bool
  private let amount: (UInt64) -> String
  private let begin = Host.system.monotonicClock()
  private var lastShown: UInt64 = 0
  private var isThere = false

  private static let interval: UInt64 = 100_000_000
  private static let barLength = 24

  /// `what` is being done, such as "verifying"; `amount` says how much, bytes unless given.
  init(
    _ what: String, quiet: Bool, amount: @escaping (UInt64) -> String = Quantity.bytes
  ) {
    self.what = what
    self.amount = amount
    isShown = !quiet && Terminal.isCapable(STDERR_FILENO)
  }

  /// So much is done, of all.
  mutating func show(_ done: UInt64, of total: UInt64) {
    guard isShown else { return }
    let now = Host.system.monotonicClock()
    guard now - lastShown >= Self.interval, now - begin >= Self.interval else { return }
    lastShown = now
    isThere = true
    let share = total == 0 ? 1 : min(1, Double(done) / Double(total))
    let filled = Int(share * Double(Self.barLength))
    let bar =
      String(repeating: "#", count: filled)
      + String(repeating: ".", count: Self.barLength - filled)
    let seconds = Double(now - begin) / 1e9
    let rate = Double(done) / seconds
    let left = rate > 0 ? Double(total - min(done, total)) / rate : 0
    StandardStreams.writeToStandardError(
      "\r\(what) [\(bar)] \(amount(done)) of \(amount(total)), "
        + "\(amount(UInt64(rate)))/s, \(Quantity.duration(seconds: left)) left\u{1b}[K")
  }

  /// Takes the line away.
  mutating func clear() {
    guard isThere else { return }
    isThere = false
    StandardStreams.writeToStandardError("\r\u{1b}[K")
  }
}
