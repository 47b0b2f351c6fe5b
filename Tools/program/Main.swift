// The program `warmstart`. All of it is in the library `WarmStartTool`, where tests and fuzzing reach it.

import WarmStartTool

@main
enum Main {
  static func main() { Program.main() }
}
