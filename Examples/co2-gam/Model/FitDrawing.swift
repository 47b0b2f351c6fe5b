// The picture of a fit: the record with its trend, and the season with what is left of the record
// when the trend is taken away.

/// Draws a fit as an SVG file.
///
/// - Parameters:
///   - study: The record and its model.
///   - state: The state of the fit of the whole record.
/// - Returns: The text of the file.
public func drawing(of study: Study, fittedBy state: FitState) -> String {
  let prediction = Prediction(model: study.model, state: state)
  var canvas = SVGCanvas(width: 960, height: 860)
  drawTrend(study, prediction, on: &canvas)
  drawSeason(study, prediction, state, on: &canvas)
  return canvas.document(
    title: "Carbon dioxide at Mauna Loa: trend and season", styleSheet: styleSheet)
}

private func drawTrend(_ study: Study, _ prediction: Prediction, on canvas: inout SVGCanvas) {
  let record = study.record
  let domain = study.model.trend.domain
  let years = domain.lowerBound.rounded(.down)...domain.upperBound.rounded(.up)
  let panel = Panel(
    left: 80, top: 60, right: 930, bottom: 430, x: years, y: range(of: record.values, step: 10))
  panel.drawTitle("Carbon dioxide at Mauna Loa, weekly means and trend", on: &canvas)
  panel.drawScale(every: 10, name: "CO₂ in ppm", on: &canvas)
  let whole = Int(years.lowerBound)...Int(years.upperBound)
  let labelled = whole.filter { $0 % 5 == 0 }.map(Double.init)
  panel.drawAxis(
    ticks: labelled, labels: labelled.map { ($0, decimal($0, places: 0)) }, name: "year",
    on: &canvas)
  canvas.dots(zip(record.times, record.values).map { panel.place($0, $1) }, style: "week")
  let steps = 1200
  let times = (0...steps).map {
    domain.lowerBound + (domain.upperBound - domain.lowerBound) * Double($0) / Double(steps)
  }
  canvas.path(times.map { panel.place($0, prediction.value(at: $0)) }, style: "fit")
  canvas.path(times.map { panel.place($0, prediction.trend(at: $0)) }, style: "trend")
  drawLegend([("week", "weekly mean"), ("fit", "fit"), ("trend", "trend")], panel, on: &canvas)
}

private func drawSeason(
  _ study: Study, _ prediction: Prediction, _ state: FitState, on canvas: inout SVGCanvas
) {
  let record = study.record
  let rest = zip(record.times, record.values).map {
    ($0 - $0.rounded(.down), $1 - prediction.trend(at: $0))
  }
  let panel = Panel(
    left: 80, top: 540, right: 930, bottom: 790, x: 0...1, y: range(of: rest.map(\.1), step: 1))
  panel.drawTitle("Season: what the trend leaves, by the day of the year", on: &canvas)
  panel.drawScale(every: 1, name: "ppm", on: &canvas)
  let names = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(separator: " ")
  let starts = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365].map { $0 / 365.0 }
  let labels = zip(names, zip(starts, starts.dropFirst())).map { (($1.0 + $1.1) / 2, String($0)) }
  let noise = decimal(state.variance.squareRoot(), places: 2)
  panel.drawAxis(
    ticks: starts, labels: labels, name: "month (standard deviation of the noise: \(noise) ppm)",
    on: &canvas)
  canvas.dots(rest.map { panel.place($0.0, $0.1) }, style: "rest")
  let points = (0...400).map { Double($0) / 400 }
  canvas.path(points.map { panel.place($0, prediction.season(at: $0)) }, style: "season")
  drawLegend([("week", "weekly mean less trend"), ("season", "season")], panel, on: &canvas)
}

/// A legend in a row above the panel, at its right end.
private func drawLegend(
  _ items: [(style: String, name: String)], _ panel: Panel, on canvas: inout SVGCanvas
) {
  var right = panel.right
  let height = panel.top - 18
  for item in items.reversed() {
    canvas.text(item.name, at: (right, height + 4), anchor: .end, style: "number")
    let width = 7 * Double(item.name.count)
    let mark = (right - width - 30, right - width - 8)
    if item.style == "week" {
      canvas.dots([((mark.0 + mark.1) / 2, height)], style: "sample")
    } else {
      canvas.path([(mark.0, height), (mark.1, height)], style: item.style)
    }
    right = mark.0 - 18
  }
}

/// The smallest range of whole steps that holds all values.
private func range(of values: [Double], step: Double) -> ClosedRange<Double> {
  let (low, high) = (values.min() ?? 0, values.max() ?? 0)
  let first = (low / step).rounded(.down) * step
  return first...max(first + step, (high / step).rounded(.up) * step)
}

private let styleSheet = """
  .paper { fill: #ffffff }
  text { font-family: Helvetica, Arial, "Liberation Sans", sans-serif; fill: #333333 }
  .title { font-size: 17px; font-weight: bold }
  .name { font-size: 13px }
  .number { font-size: 12px; fill: #555555 }
  .rule { stroke: #e6e6e6; stroke-width: 1 }
  .axis { stroke: #777777; stroke-width: 1 }
  .week, .rest, .sample { stroke: #5b7fa6; stroke-linecap: round; fill: none }
  .week { stroke-width: 2; stroke-opacity: 0.75 }
  .rest { stroke-width: 2.6; stroke-opacity: 0.3 }
  .sample { stroke-width: 5 }
  .fit { stroke: #9dbad6; stroke-width: 1; fill: none }
  .trend, .season { stroke: #c2410c; stroke-width: 2.2; fill: none; stroke-linejoin: round }
  """
