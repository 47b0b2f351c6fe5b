// Aligned columns.

/// Rows of cells under headings. Cells are made printable as they come in.
struct Table {
  /// On which side of its column a cell stands.
  enum Alignment { case left, right }

  private let columns: [(heading: String, alignment: Alignment)]
  private var rows: [[String]] = []

  /// A table with these columns.
  init(_ columns: [(heading: String, alignment: Alignment)]) { self.columns = columns }

  /// Adds a row; nil is shown as `-`.
  mutating func add(_ cells: [String?]) {
    precondition(cells.count == columns.count, "a cell for every column")
    rows.append(cells.map { ($0 ?? "-").printable })
  }

  /// Writes headings and rows; nothing at all if there is no row.
  func write(to output: inout ResultStream) throws(Failure) {
    guard !rows.isEmpty else { return }
    let headings = columns.map(\.heading)
    let widths = columns.indices.map { column in
      rows.reduce(headings[column].columns) { max($0, $1[column].columns) }
    }
    try output.put(line: Terminal.styled(line(headings, widths), .heading))
    for row in rows { try output.put(line: line(row, widths)) }
  }

  private func line(_ cells: [String], _ widths: [Int]) -> String {
    var result = ""
    for (column, cell) in cells.enumerated() {
      let blanks = String(repeating: " ", count: widths[column] - cell.columns)
      if column > 0 { result += "  " }
      switch columns[column].alignment {
      case .left: result += column == cells.count - 1 ? cell : cell + blanks
      case .right: result += blanks + cell
      }
    }
    return result
  }
}
