/// A dense matrix, row after row.
struct Matrix: Sendable, Equatable {
  /// The number of rows.
  let rows: Int
  /// The number of columns.
  let columns: Int
  /// The elements; the one of row i and column j is at `i * columns + j`.
  var elements: [Double]

  /// A matrix of zeros.
  init(rows: Int, columns: Int) {
    self.rows = rows
    self.columns = columns
    elements = [Double](repeating: 0, count: rows * columns)
  }

  /// The element of a row and a column.
  subscript(row: Int, column: Int) -> Double {
    get { elements[row * columns + column] }
    set { elements[row * columns + column] = newValue }
  }
}
