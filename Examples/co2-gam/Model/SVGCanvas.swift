// The few shapes of SVG that a diagram needs, and a panel with axes to draw them in.

/// A drawing that grows by shapes and ends as the text of an SVG file.
struct SVGCanvas {
  let width: Double
  let height: Double
  private var shapes: [String] = []

  init(width: Double, height: Double) {
    self.width = width
    self.height = height
  }

  /// Where a text is held.
  enum Anchor: String {
    case start, middle, end
  }

  mutating func line(from a: (Double, Double), to b: (Double, Double), style: String) {
    shapes.append(
      "<line x1=\"\(short(a.0))\" y1=\"\(short(a.1))\" x2=\"\(short(b.0))\" y2=\"\(short(b.1))\" "
        + "class=\"\(style)\"/>")
  }

  mutating func path(_ points: [(Double, Double)], style: String) {
    let steps = points.map { "\(short($0.0)) \(short($0.1))" }
    shapes.append("<path d=\"M\(steps.joined(separator: "L"))\" class=\"\(style)\"/>")
  }

  /// Dots of one style in one shape: lines of no length with round ends.
  mutating func dots(_ points: [(Double, Double)], style: String) {
    let steps = points.map { "M\(short($0.0)) \(short($0.1))h0" }
    shapes.append("<path d=\"\(steps.joined())\" class=\"\(style)\"/>")
  }

  mutating func text(
    _ text: String, at point: (Double, Double), anchor: Anchor, style: String, turned: Bool = false
  ) {
    let turn = turned ? " transform=\"rotate(-90 \(short(point.0)) \(short(point.1)))\"" : ""
    shapes.append(
      "<text x=\"\(short(point.0))\" y=\"\(short(point.1))\" text-anchor=\"\(anchor.rawValue)\" "
        + "class=\"\(style)\"\(turn)>\(text)</text>")
  }

  /// The file, with a style sheet for the classes used.
  func document(title: String, styleSheet: String) -> String {
    """
    <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 \(short(width)) \(short(height))" \
    width="\(short(width))" height="\(short(height))">
    <title>\(title)</title>
    <style>
    \(styleSheet)
    </style>
    <rect width="100%" height="100%" class="paper"/>
    \(shapes.joined(separator: "\n"))
    </svg>

    """
  }

  private func short(_ number: Double) -> String { decimal(number, places: 1) }
}

/// A rectangle of the canvas with a scale on each side.
struct Panel {
  let left: Double
  let top: Double
  let right: Double
  let bottom: Double
  let x: ClosedRange<Double>
  let y: ClosedRange<Double>

  func place(_ x: Double, _ y: Double) -> (Double, Double) { (across(x), up(y)) }

  func across(_ value: Double) -> Double {
    left + (value - x.lowerBound) / (x.upperBound - x.lowerBound) * (right - left)
  }

  func up(_ value: Double) -> Double {
    bottom - (value - y.lowerBound) / (y.upperBound - y.lowerBound) * (bottom - top)
  }

  /// Horizontal rules with their values on the left, and the name of what they measure.
  func drawScale(every step: Double, name: String, on canvas: inout SVGCanvas) {
    var value = (y.lowerBound / step).rounded(.up) * step
    while value <= y.upperBound + step * 1e-9 {
      canvas.line(from: (left, up(value)), to: (right, up(value)), style: "rule")
      canvas.text(
        decimal(value, places: 0), at: (left - 8, up(value) + 4), anchor: .end, style: "number")
      value += step
    }
    canvas.text(
      name, at: (left - 48, (top + bottom) / 2), anchor: .middle, style: "name", turned: true)
  }

  /// The axis at the bottom, with ticks and a label for each; a label may stand between ticks.
  func drawAxis(
    ticks: [Double], labels: [(Double, String)], name: String, on canvas: inout SVGCanvas
  ) {
    canvas.line(from: (left, bottom), to: (right, bottom), style: "axis")
    for tick in ticks {
      canvas.line(from: (across(tick), bottom), to: (across(tick), bottom + 5), style: "axis")
    }
    for (value, label) in labels {
      canvas.text(label, at: (across(value), bottom + 20), anchor: .middle, style: "number")
    }
    canvas.text(name, at: ((left + right) / 2, bottom + 42), anchor: .middle, style: "name")
  }

  func drawTitle(_ title: String, on canvas: inout SVGCanvas) {
    canvas.text(title, at: (left, top - 14), anchor: .start, style: "title")
  }
}
