// Several merges at once: one copies while another decides, syncs or clears away.

extension Compactor {
  /// The merges that failed.
  private final class Failures: @unchecked Sendable {
    private let lock: any Lock
    // Guarded by lock.
    private var failed: [(group: [SegmentID], error: StoreError)] = []

    init(_ lock: any Lock) { self.lock = lock }

    func add(_ group: [SegmentID], _ error: StoreError) {
      lock.withLock { failed.append((group, error)) }
    }

    var all: [(group: [SegmentID], error: StoreError)] { lock.withLock { failed } }
  }

  /// Merges each of the groups, so many at once; those that had no space beside others are tried again
  /// alone. Gives the errors of those that failed.
  func mergeAll(
    _ groups: [[SegmentID]], evicting evictions: Evictions, atOnce: Int
  ) -> [StoreError] {
    let threads = engine.host.threads
    let first = Failures(threads.makeLock())
    let wereMany = threads.forEach(groups, atOnce: atOnce) { [self] group in
      do throws(StoreError) { try merge(group, evicting: evictions) } catch {
        first.add(group, error)
      }
    }
    return first.all.compactMap { group, error in
      guard wereMany, error.isWantOfSpace else { return error }
      do throws(StoreError) { try merge(group, evicting: evictions) } catch { return error }
      return nil
    }
  }
}
