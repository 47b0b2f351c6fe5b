// Dense linear algebra for symmetric positive definite matrices.
//
// Everything heavy is one operation, "subtract multiples of four rows from a row", with the rows
// contiguous and no reduction inside: the compiler can make vectors of it without changing the
// order of any sum, so the result has the same bits however wide the vectors are.

import Glibc

/// The Cholesky factor of a symmetric positive definite matrix: R, upper triangular, with R'R = A.
struct CholeskyFactor: Sendable {
  /// The number of rows and columns.
  let order: Int
  /// R, row after row; below the diagonal is what is left of A.
  let upper: [Double]

  /// How many rows are finished before the rest of the matrix is brought up to date with them: a
  /// panel of them should stay in the second-level cache.
  private static let panel = 48

  /// Factors a matrix of which only the upper triangle is read.
  ///
  /// - Returns: `nil` if the matrix is not positive definite in floating point.
  init?(_ matrix: Matrix) {
    precondition(matrix.rows == matrix.columns)
    let order = matrix.rows
    var elements = matrix.elements
    let isPositive = elements.withUnsafeMutableBufferPointer { buffer in
      guard let base = buffer.baseAddress else { return true }
      var start = 0
      while start < order {
        let end = min(start + Self.panel, order)
        guard Self.finishPanel(base, order, start, end) else { return false }
        var row = end
        while row < order {
          let target = base + (row * order + row)
          subtractRows(
            from: target, count: order - row, multipliers: base + row, rows: base + row,
            start, end, stride: order)
          row += 1
        }
        start = end
      }
      return true
    }
    guard isPositive else { return nil }
    self.order = order
    upper = elements
  }

  /// Turns the rows from `start` to `end`, already free of the rows above, into rows of R.
  private static func finishPanel(
    _ base: UnsafeMutablePointer<Double>, _ order: Int, _ start: Int, _ end: Int
  ) -> Bool {
    var row = start
    while row < end {
      let target = base + (row * order + row)
      subtractRows(
        from: target, count: order - row, multipliers: base + row, rows: base + row,
        start, row, stride: order)
      let pivot = target.pointee
      guard pivot > 0, pivot.isFinite else { return false }
      let scale = 1 / pivot.squareRoot()
      var column = 0
      while column < order &- row {
        target[column] *= scale
        column &+= 1
      }
      row += 1
    }
    return true
  }

  /// The logarithm of the determinant of A.
  var logDeterminant: Double {
    var sum = 0.0
    for index in 0..<order { sum += log(upper[index * order + index]) }
    return 2 * sum
  }

  /// Solves A x = b.
  ///
  /// - Parameter right: b, `order` numbers.
  /// - Returns: x.
  func solve(_ right: [Double]) -> [Double] {
    precondition(right.count == order)
    var x = right
    let order = self.order
    upper.withUnsafeBufferPointer { upper in
      x.withUnsafeMutableBufferPointer { x in
        guard let upper = upper.baseAddress, let x = x.baseAddress else { return }
        for row in 0..<order {
          let line = upper + row * order
          let value = x[row] / line[row]
          x[row] = value
          var column = row + 1
          while column < order {
            x[column] -= value * line[column]
            column &+= 1
          }
        }
        for row in (0..<order).reversed() {
          let line = upper + row * order
          var sum = x[row]
          var column = row + 1
          while column < order {
            sum -= line[column] * x[column]
            column &+= 1
          }
          x[row] = sum / line[row]
        }
      }
    }
    return x
  }

  /// The trace of D A⁻¹ D', which is the sum of the squares of R'⁻¹ D'.
  ///
  /// - Parameters:
  ///   - transposed: D', with `order` rows.
  ///   - isLowerTriangular: Whether column c of D' is zero above row `offset + c`; that saves two
  ///     thirds of the work.
  ///   - offset: The first row of D' that is not all zeros.
  func traceOfInverse(
    transposed: Matrix, offset: Int, isLowerTriangular: Bool
  ) -> Double {
    precondition(transposed.rows == order)
    var elements = transposed.elements
    let width = transposed.columns
    var sum = 0.0
    upper.withUnsafeBufferPointer { upper in
      elements.withUnsafeMutableBufferPointer { buffer in
        guard let upper = upper.baseAddress, let base = buffer.baseAddress else { return }
        var column = 0
        while column < width {
          let end = min(column + Self.strip, width)
          let first = isLowerTriangular ? offset + column : offset
          sum += Self.substitute(
            upper, order, into: base + column, stride: width, columns: end - column, first)
          column = end
        }
      }
    }
    return sum
  }

  /// How many columns are substituted at a time: that many of all rows should stay in the cache.
  private static let strip = 64

  /// Forward substitution with R' into some columns, from row `first` on.
  ///
  /// - Returns: The sum of the squares of the result.
  private static func substitute(
    _ upper: UnsafePointer<Double>, _ order: Int, into base: UnsafeMutablePointer<Double>,
    stride: Int, columns: Int, _ first: Int
  ) -> Double {
    var sum = 0.0
    var row = first
    while row < order {
      let target = base + row * stride
      subtractRows(
        from: target, count: columns, multipliers: upper + row, strideOfMultipliers: order,
        rows: UnsafePointer(base), first, row, stride: stride)
      let scale = 1 / upper[row * order + row]
      var column = 0
      while column < columns {
        let value = target[column] * scale
        target[column] = value
        sum += value * value
        column &+= 1
      }
      row += 1
    }
    return sum
  }
}

/// Subtracts from one row the multiples of the rows `start` to `end` of a matrix that also holds
/// the multipliers, one in each of these rows.
@inline(__always)
private func subtractRows(
  from target: UnsafeMutablePointer<Double>, count: Int, multipliers: UnsafePointer<Double>,
  rows: UnsafePointer<Double>, _ start: Int, _ end: Int, stride: Int
) {
  subtractRows(
    from: target, count: count, multipliers: multipliers, strideOfMultipliers: stride,
    rows: rows, start, end, stride: stride)
}

/// Subtracts from one row the multiples of the rows `start` to `end` of a matrix, four at a time.
@inline(never)
private func subtractRows(
  from target: UnsafeMutablePointer<Double>, count: Int, multipliers: UnsafePointer<Double>,
  strideOfMultipliers: Int, rows: UnsafePointer<Double>, _ start: Int, _ end: Int, stride: Int
) {
  var k = start
  while k &+ 3 < end {
    let a0 = multipliers[k &* strideOfMultipliers]
    let a1 = multipliers[(k &+ 1) &* strideOfMultipliers]
    let a2 = multipliers[(k &+ 2) &* strideOfMultipliers]
    let a3 = multipliers[(k &+ 3) &* strideOfMultipliers]
    let r0 = rows + k &* stride
    let r1 = r0 + stride
    let r2 = r1 + stride
    let r3 = r2 + stride
    var j = 0
    while j < count {
      target[j] -= (a0 * r0[j] + a1 * r1[j]) + (a2 * r2[j] + a3 * r3[j])
      j &+= 1
    }
    k &+= 4
  }
  while k < end {
    let a = multipliers[k &* strideOfMultipliers]
    let r = rows + k &* stride
    var j = 0
    while j < count {
      target[j] -= a * r[j]
      j &+= 1
    }
    k &+= 1
  }
}
