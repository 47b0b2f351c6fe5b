// Memory by hand for what is looked at at random, in large pages where it is large.

internal import CWarmStart

/// Room for elements that are nothing but their bytes. Who has it knows which of them are there.
struct MemoryTable<Element: BitwiseCopyable>: ~Copyable {
  private(set) var base: UnsafeMutablePointer<Element>
  private(set) var capacity: Int

  init(capacity: Int) {
    self.capacity = capacity
    let memory = ws_table_create(capacity * MemoryLayout<Element>.stride)!
    base = memory.bindMemory(to: Element.self, capacity: capacity)
  }

  init(repeating element: Element, count: Int) {
    self.init(capacity: count)
    base.initialize(repeating: element, count: count)
  }

  /// A copy of the first `count` elements.
  init(copying other: borrowing MemoryTable, count: Int, capacity: Int) {
    self.init(capacity: capacity)
    base.initialize(from: other.base, count: count)
  }

  deinit { ws_table_free(base, capacity * MemoryLayout<Element>.stride) }

  /// Makes room for more; a large table is not copied.
  mutating func grow(to larger: Int) {
    precondition(larger > capacity)
    let stride = MemoryLayout<Element>.stride
    base = ws_table_grow(base, capacity * stride, larger * stride)!
      .bindMemory(to: Element.self, capacity: larger)
    capacity = larger
  }
}
