import Foundation
import Testing

@testable import CO2Model

@Suite struct DrawingTests {
  @Test func theDrawingIsAFileOfShapesWithinItsFrame() throws {
    let study = try smallStudy()
    let text = drawing(of: study, fittedBy: fit(study))
    #expect(text.hasPrefix("<svg xmlns=\"http://www.w3.org/2000/svg\""))
    #expect(text.hasSuffix("</svg>\n"))
    #expect(!text.contains("nan") && !text.contains("inf"))
    // A dot for each week, above and below.
    #expect(text.components(separatedBy: "h0").count - 1 == 2 * study.record.count + 2)
    for name in ["year", "CO₂ in ppm", "Jan", "Dec", "trend", "season"] {
      #expect(text.contains(">\(name)<"))
    }
  }

  @Test(arguments: [
    (0.0, 2, "0.00"), (-0.001, 2, "0.00"), (-0.5, 1, "-0.5"), (3.14159, 3, "3.142"),
    (-12.999, 2, "-13.00"), (0.05, 2, "0.05"), (7, 0, "7"), (1e20, 2, "1e+20"),
    (.infinity, 2, "inf"),
  ])
  func numbersForPeople(value: Double, places: Int, text: String) {
    #expect(decimal(value, places: places) == text)
  }
}
