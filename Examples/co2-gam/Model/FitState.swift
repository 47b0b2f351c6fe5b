// A fit between two iterations: the search for the smoothing parameters and the coefficients at the
// best of them. It is what a checkpoint holds.

/// The whole state of a fit.
public struct FitState: Sendable, Equatable {
  /// The search for log λ of the trend and log λ of the season.
  public var search: QuasiNewtonState
  /// The intercept in ppm.
  public var intercept: Double
  /// The free coefficients at the search's point; see `AdditiveModel`.
  public var coefficients: [Double]
  /// The variance of the noise there, in ppm².
  public var variance: Double
  /// The effective degrees of freedom there.
  public var effectiveDegrees: Double

  /// Begins a fit with one evaluation of the criterion.
  ///
  /// - Parameters:
  ///   - likelihood: The criterion.
  ///   - seed: The state of a similar fit. Its smoothing parameters and curvature are a better
  ///     guess than none; neither decides where the fit ends.
  ///   - tolerance: The largest component of the gradient at the end.
  public init(starting likelihood: RestrictedLikelihood, seed: FitState?, tolerance: Double) {
    let point = seed?.search.point ?? likelihood.coldStart
    let result = likelihood.evaluate(point)
    intercept = likelihood.intercept
    coefficients = result.coefficients
    variance = result.variance
    effectiveDegrees = result.effectiveDegrees
    let known = seed.flatMap { $0.search.hasCurvature ? $0.search.inverseHessian : nil }
    search = QuasiNewtonState(
      point: point, inverseHessian: known, result: result, tolerance: tolerance)
  }

  /// Does one iteration of the search.
  public mutating func advance(_ likelihood: RestrictedLikelihood, tolerance: Double) {
    let result = search.advance(tolerance: tolerance) { likelihood.evaluate($0) }
    guard let result else { return }
    coefficients = result.coefficients
    variance = result.variance
    effectiveDegrees = result.effectiveDegrees
  }
}

// MARK: - Bytes

/// Why bytes are not the state of a fit.
public enum PayloadError: Error, Equatable, CustomStringConvertible {
  /// They do not begin as such a state does.
  case notAFit
  /// They are of another version of this program.
  case version(UInt64)
  /// They are of a model with other bases.
  case otherModel
  /// They end too soon or go on too long.
  case length
  /// They hold something that no fit can: a number that is not finite, a variance that is not
  /// positive.
  case content

  public var description: String {
    switch self {
    case .notAFit: "not the state of a fit"
    case .version(let version): "the state of a fit in format \(version)"
    case .otherModel: "the state of a fit of another model"
    case .length: "the state of a fit, but not of the right length"
    case .content: "the state of a fit with impossible numbers"
    }
  }
}

extension FitState {
  private static let magic = Array("co2-gam\n".utf8)
  private static let version: UInt64 = 1

  /// The state as bytes: a magic, then words of 64 bits, little-endian; all doubles by their bits.
  public var payload: [UInt8] {
    var bytes = Self.magic
    func append(_ word: UInt64) {
      withUnsafeBytes(of: word.littleEndian) { bytes.append(contentsOf: $0) }
    }
    func append(_ numbers: [Double]) { for number in numbers { append(number.bitPattern) } }
    append(Self.version)
    append(UInt64(search.point.count))
    append(UInt64(coefficients.count))
    append(UInt64(search.iteration))
    append(UInt64(search.evaluations))
    append(search.phase.rawValue)
    append(search.hasCurvature ? 1 : 0)
    append([search.value, intercept, variance, effectiveDegrees])
    append(search.point)
    append(search.gradient)
    append(search.inverseHessian)
    append(coefficients)
    return bytes
  }

  /// The state of a fit of a model from its bytes, checked.
  public init(payload: [UInt8], of model: AdditiveModel) throws(PayloadError) {
    guard payload.starts(with: Self.magic) else { throw .notAFit }
    var words = WordReader(bytes: payload[Self.magic.count...])
    let version = try words.next()
    guard version == Self.version else { throw .version(version) }
    let parameters = RestrictedLikelihood.parameterCount
    guard try words.next() == UInt64(parameters),
      try words.next() == UInt64(model.coefficientCount)
    else { throw .otherModel }
    let iteration = try words.next()
    let evaluations = try words.next()
    guard let phase = QuasiNewtonState.Phase(rawValue: try words.next()),
      iteration <= UInt64(Int32.max), evaluations <= UInt64(Int32.max)
    else { throw .content }
    let hasCurvature = try words.next() != 0
    let scalars = try words.numbers(4)
    let point = try words.numbers(parameters)
    let gradient = try words.numbers(parameters)
    let inverseHessian = try words.numbers(parameters * parameters)
    let coefficients = try words.numbers(model.coefficientCount)
    guard words.isAtEnd else { throw .length }
    let everything = scalars + point + gradient + inverseHessian + coefficients
    guard everything.allSatisfy(\.isFinite), scalars[2] > 0,
      Self.isPositiveDefinite(inverseHessian, order: parameters)
    else { throw .content }

    var search = QuasiNewtonState(
      point: point, inverseHessian: inverseHessian,
      result: Resumed(value: scalars[0], gradient: gradient), tolerance: 0)
    search.hasCurvature = hasCurvature
    search.iteration = Int(iteration)
    search.evaluations = Int(evaluations)
    search.phase = phase
    self.search = search
    intercept = scalars[1]
    variance = scalars[2]
    effectiveDegrees = scalars[3]
    self.coefficients = coefficients
  }

  private static func isPositiveDefinite(_ elements: [Double], order: Int) -> Bool {
    var matrix = Matrix(rows: order, columns: order)
    matrix.elements = elements
    for i in 0..<order {
      for j in 0..<i where matrix[i, j] != matrix[j, i] { return false }
    }
    return CholeskyFactor(matrix) != nil
  }

  private struct Resumed: Differentiated {
    var value: Double
    var gradient: [Double]
  }
}

/// Takes words of 64 bits off bytes.
private struct WordReader {
  var bytes: ArraySlice<UInt8>

  var isAtEnd: Bool { bytes.isEmpty }

  mutating func next() throws(PayloadError) -> UInt64 {
    guard bytes.count >= 8 else { throw .length }
    var word: UInt64 = 0
    for byte in bytes.prefix(8).reversed() { word = word << 8 | UInt64(byte) }
    bytes = bytes.dropFirst(8)
    return word
  }

  mutating func numbers(_ count: Int) throws(PayloadError) -> [Double] {
    guard bytes.count >= 8 * count else { throw .length }
    var result: [Double] = []
    for _ in 0..<count { result.append(Double(bitPattern: try next())) }
    return result
  }
}
