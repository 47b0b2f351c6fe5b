import Testing

@testable import CO2Model

@Suite struct PayloadTests {
  @Test func aFitStoppedAfterAnyIterationEndsWithTheSameBits() throws {
    let study = try smallStudy()
    let tolerance = study.specification.gradientTolerance
    let likelihood = RestrictedLikelihood(model: study.model, record: study.record)
    var states = [FitState(starting: likelihood, seed: nil, tolerance: tolerance)]
    while let last = states.last, last.search.phase == .searching {
      var next = last
      next.advance(likelihood, tolerance: tolerance)
      states.append(next)
    }
    let end = try #require(states.last)
    for state in states {
      // The criterion is built anew too, as it is in another process.
      let rebuilt = RestrictedLikelihood(model: study.model, record: study.record)
      var resumed = try FitState(payload: state.payload, of: study.model)
      #expect(resumed == state)
      while resumed.search.phase == .searching {
        resumed.advance(rebuilt, tolerance: tolerance)
      }
      #expect(resumed.payload == end.payload)
    }
  }

  @Test func everyTruncationIsRefused() throws {
    let study = try smallStudy()
    let payload = fit(study).payload
    for count in 0..<payload.count {
      #expect(throws: PayloadError.self) {
        try FitState(payload: Array(payload[..<count]), of: study.model)
      }
    }
    #expect(throws: PayloadError.length) {
      try FitState(payload: payload + [0], of: study.model)
    }
  }

  @Test func theStateOfAnotherModelIsRefused() throws {
    let payload = fit(try smallStudy()).payload
    let other = try study(trendKnots: 1, seasonFunctions: 12)
    #expect(throws: PayloadError.otherModel) {
      try FitState(payload: payload, of: other.model)
    }
  }

  /// Words of the payload by their place: 0 is the magic.
  private enum Word {
    static let version = 1
    static let evaluations = 5
    static let phase = 6
    static let criterion = 8
    static let variance = 10
    static let hessian = 16
  }

  @Test(arguments: [
    (0, UInt64(0), PayloadError.notAFit),
    (Word.version, 2, .version(2)),
    (Word.evaluations, .max, .content),
    (Word.phase, 3, .content),
    (Word.criterion, Double.infinity.bitPattern, .content),
    (Word.criterion, Double.nan.bitPattern, .content),
    (Word.variance, (-1.0).bitPattern, .content),
    (Word.hessian, (-1.0).bitPattern, .content),
    (Word.hessian + 1, 1e9.bitPattern, .content),
  ])
  func impossibleContentIsRefused(word: Int, value: UInt64, error: PayloadError) throws {
    let study = try smallStudy()
    var payload = fit(study).payload
    withUnsafeBytes(of: value.littleEndian) { bytes in
      payload.replaceSubrange(8 * word..<8 * word + 8, with: bytes)
    }
    #expect(throws: error) { try FitState(payload: payload, of: study.model) }
  }
}
