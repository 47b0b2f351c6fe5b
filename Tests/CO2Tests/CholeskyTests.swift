import Testing

@testable import CO2Model

@Suite struct CholeskyTests {
  /// A symmetric positive definite matrix, B'B + I with numbers from a fixed sequence in B.
  private func definite(_ order: Int) -> Matrix {
    var numbers = Sequence64(seed: UInt64(order))
    let base = (0..<order * order).map { _ in numbers.next() }
    var matrix = Matrix(rows: order, columns: order)
    for i in 0..<order {
      for j in 0...i {
        var sum = i == j ? 1.0 : 0.0
        for k in 0..<order { sum += base[k * order + i] * base[k * order + j] }
        matrix[i, j] = sum
        matrix[j, i] = sum
      }
    }
    return matrix
  }

  /// Orders around the panel, the strip and the four rows that are taken at a time.
  private static let orders = [1, 2, 3, 4, 5, 47, 48, 49, 63, 64, 65, 100, 131]

  @Test(arguments: orders) func theFactorMultipliesBackToTheMatrix(order: Int) throws {
    let matrix = definite(order)
    let factor = try #require(CholeskyFactor(matrix))
    var residual = 0.0
    var size = 0.0
    for i in 0..<order {
      for j in i..<order {
        var sum = 0.0
        for k in 0...i { sum += factor.upper[k * order + i] * factor.upper[k * order + j] }
        residual = max(residual, abs(sum - matrix[i, j]))
        size = max(size, abs(matrix[i, j]))
      }
    }
    #expect(residual <= 1e-15 * Double(order + 8) * size)
  }

  @Test(arguments: orders) func theSolutionSatisfiesTheEquations(order: Int) throws {
    let matrix = definite(order)
    let right = (0..<order).map { Double($0 % 5) - 2 }
    let x = try #require(CholeskyFactor(matrix)).solve(right)
    for i in 0..<order {
      let left = (0..<order).reduce(0.0) { $0 + matrix[i, $1] * x[$1] }
      #expect(isClose(left, right[i], within: 1e-10))
    }
  }

  @Test(arguments: orders) func theTraceIsThatOfTheInverse(order: Int) throws {
    let matrix = definite(order)
    let factor = try #require(CholeskyFactor(matrix))
    var identity = Matrix(rows: order, columns: order)
    var expected = 0.0
    for i in 0..<order {
      identity[i, i] = 1
      expected += factor.solve((0..<order).map { $0 == i ? 1 : 0 })[i]
    }
    for isLower in [true, false] {
      let trace = factor.traceOfInverse(
        transposed: identity, offset: 0, isLowerTriangular: isLower)
      #expect(isClose(trace, expected, within: 1e-11 * expected))
    }
  }

  @Test func theDeterminantOfADiagonalMatrix() throws {
    var matrix = Matrix(rows: 3, columns: 3)
    for i in 0..<3 { matrix[i, i] = Double(i + 2) }
    let factor = try #require(CholeskyFactor(matrix))
    #expect(isClose(factor.logDeterminant, 3.178_053_830_347_945_8, within: 1e-14))  // log 24
  }

  @Test func anIndefiniteMatrixHasNoFactor() {
    var matrix = definite(60)
    matrix[50, 50] = -1
    #expect(CholeskyFactor(matrix) == nil)
    matrix[50, 50] = .nan
    #expect(CholeskyFactor(matrix) == nil)
  }
}

/// Numbers between -1 and 1 from a linear congruence.
struct Sequence64 {
  private var state: UInt64

  init(seed: UInt64) { state = seed }

  mutating func next() -> Double {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return Double(state >> 11) / Double(1 << 52) - 1
  }
}
