// Several merges at once: one copies while another decides, syncs or clears away.

extension Compactor {
  /// What the threads share.
  private final class Groups: @unchecked Sendable {
    let lock: any Lock
    // Guarded by lock.
    private var rest: ArraySlice<[SegmentID]>
    private var failed: [(group: [SegmentID], error: StoreError)] = []

    init(_ groups: [[SegmentID]], _ lock: any Lock) {
      rest = groups[...]
      self.lock = lock
    }

    func next() -> [SegmentID]? { lock.withLock { rest.popFirst() } }

    func fail(_ group: [SegmentID], _ error: StoreError) {
      lock.withLock { failed.append((group, error)) }
    }

    func takeFailed() -> [(group: [SegmentID], error: StoreError)] {
      lock.withLock {
        defer { failed = [] }
        return failed
      }
    }
  }

  /// Merges each of the groups, so many at once; those that had no space beside others are tried again alone.
  /// Gives the errors of those that failed.
  func mergeAll(
    _ groups: [[SegmentID]], evicting evictions: Evictions, atOnce: Int
  ) -> [StoreError] {
    let shared = Groups(groups, engine.host.threads.makeLock())
    let work: @Sendable () -> Void = { [self] in
      while let group = shared.next() {
        do throws(StoreError) { try merge(group, evicting: evictions) } catch {
          shared.fail(group, error)
        }
      }
    }
    // Where there can be no more threads one does it all.
    let others = (1..<max(1, min(atOnce, groups.count))).compactMap { _ in
      try? engine.host.threads.start(work)
    }
    work()
    for thread in others { thread.join() }
    guard !others.isEmpty else { return shared.takeFailed().map(\.error) }
    var failures: [StoreError] = []
    for (group, error) in shared.takeFailed() {
      guard error.isWantOfSpace else {
        failures.append(error)
        continue
      }
      do throws(StoreError) { try merge(group, evicting: evictions) } catch {
        failures.append(error)
      }
    }
    return failures
  }
}
