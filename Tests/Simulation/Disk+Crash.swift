// What is left of a disk after the machine lost power.
//
// Between two syncs a drive may write in any order: so any subset of what was not synced may be there,
// and of a write any of its sectors. A length is a change of its own: it may survive without the bytes,
// or be lost although the bytes were written.

/// What becomes of one change that was not synced.
enum Fate: Hashable {
  case whole
  case dropped
  /// Each sector of 512 bytes is there or not, by these bits.
  case torn(UInt64)

  static func random(_ dice: Dice, keep: Int) -> Fate {
    if dice.once(in: 4) { return .torn(dice.next()) }
    return dice.below(4) < keep ? .whole : .dropped
  }
}

/// What becomes of the length of a file.
enum LengthFate: CaseIterable {
  /// It is what the surviving bytes need.
  case ofData
  /// It is what it was before the crash: zeros stand where no bytes survived.
  case ofCache
  /// It is what was synced: bytes beyond are lost.
  case ofSync
}

/// One way to lose power.
struct LossPlan {
  /// By the sequence of the change; a change without a fate has `otherwise`.
  var fates: [Int: Fate] = [:]
  var otherwise: Fate = .dropped
  var length: (Inode) -> LengthFate = { _ in .ofData }
  /// Which of the unsynced changes of the directory survive.
  var names: [Bool] = []

  /// By the dice: more or less survives, and of the names any subset or only the first so many.
  static func random(_ disk: Disk, _ dice: Dice) -> LossPlan {
    var plan = LossPlan()
    let keep = dice.below(5)
    for change in disk.pendingChanges { plan.fates[change.sequence] = .random(dice, keep: keep) }
    let count = disk.pendingNames.count
    if dice.once(in: 2) {
      plan.names = (0..<count).map { _ in dice.below(4) < keep }
    } else {
      let first = dice.below(count + 1)
      plan.names = (0..<count).map { $0 < first }
    }
    plan.length = { _ in dice.pick([.ofData, .ofData, .ofCache, .ofSync]) }
    return plan
  }
}

extension Disk {
  /// Every file that has, had or may yet have a name.
  private var inodes: [Inode] {
    var found: [Inode] = []
    for entry in names + durableNames where !found.contains(where: { $0 === entry.inode }) {
      found.append(entry.inode)
    }
    for change in pendingNames {
      if case .create(_, let inode) = change, !found.contains(where: { $0 === inode }) {
        found.append(inode)
      }
    }
    return found
  }

  /// Changes of files that were not synced, in the order in which they were made.
  var pendingChanges: [FileChange] {
    inodes.flatMap(\.pending).sorted { $0.sequence < $1.sequence }
  }

  /// The disk as the next boot finds it. This one is left as it is.
  func afterCrash(_ plan: LossPlan) -> Disk {
    var entries = durableNames
    for (change, survives) in zip(pendingNames, plan.names) where survives {
      switch change {
      case .create(let name, let inode):
        entries.append((name, inode))
      case .rename(let name, let newName, let inode):
        entries.removeAll { $0.name == name }
        entries.append((newName, inode))
      case .unlink(let name):
        entries.removeAll { $0.name == name }
      }
    }
    var settled: [(old: Inode, new: Inode)] = []
    let survivors = entries.map { entry in
      if let known = settled.first(where: { $0.old === entry.inode }) {
        known.new.links += 1
        return (name: entry.name, inode: known.new)
      }
      let inode = Inode()
      inode.data = content(of: entry.inode, plan)
      inode.durable = inode.data
      inode.base = inode.data
      inode.links = 1
      settled.append((entry.inode, inode))
      return (name: entry.name, inode: inode)
    }
    // Without its own name in the directory above nothing in it is found.
    return Disk(
      names: existsDurably ? survivors : [], exists: existsDurably, modified: modified)
  }

  private func content(of inode: Inode, _ plan: LossPlan) -> [UInt8] {
    if inode.pending.isEmpty { return inode.durable }
    var bytes = inode.written { plan.fates[$0.sequence] ?? plan.otherwise }
    switch plan.length(inode) {
    case .ofData: break
    case .ofCache: bytes.resize(to: inode.data.count)
    case .ofSync: bytes.resize(to: inode.durable.count)
    }
    return bytes
  }
}

extension Inode {
  private static let sector = 512

  /// What the medium has when each pending change has met its fate. A sector is written as it was after
  /// a change of it, earlier changes of the same sector included.
  func written(_ fate: (FileChange) -> Fate) -> [UInt8] {
    var cache = base
    var medium = durable
    for change in pending {
      let fate = fate(change)
      switch change.kind {
      case .truncate(let size):
        cache.resize(to: size)
        if fate != .dropped { medium.resize(to: size) }
      case .write(let offset, let bytes):
        bytes.withUnsafeBytes { cache.put($0, at: offset) }
        let sectors = offset / Self.sector...(offset + bytes.count - 1) / Self.sector
        for number in sectors where fate.keeps(number) {
          let range =
            number * Self.sector..<min((number + 1) * Self.sector, cache.count)
          cache.withUnsafeBytes {
            medium.put(UnsafeRawBufferPointer(rebasing: $0[range]), at: range.lowerBound)
          }
        }
      }
    }
    return medium
  }
}

extension Fate {
  /// Whether a sector reaches the medium.
  fileprivate func keeps(_ sector: Int) -> Bool {
    switch self {
    case .whole: true
    case .dropped: false
    case .torn(let bits): mixed(bits &+ UInt64(sector)) & 1 == 1
    }
  }
}
