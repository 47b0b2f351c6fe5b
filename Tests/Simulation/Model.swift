// What the store was asked to do, and what of that it owes: the contract as a plain list of attempts.
//
// Every attempt has a beginning and an end, so that those of several processes are in order only where
// one ended before the other began. What an acknowledgement is worth depends on the durability; that is
// decided in `Worth` alone.

import WarmStart

/// What an acknowledgement is worth from the moment it is given.
enum Worth {
  /// The entry is on stable storage.
  case stable
  /// The kernel has it; it is stable after the next flush, final or close of its store.
  case kernel
  /// The store has it: its own lookups see it, and the next flush, final or close makes it stable.
  case store

  init(_ durability: Durability, isFinal: Bool) {
    switch durability {
    case .synced: self = .stable
    case .buffered: self = isFinal ? .stable : .kernel
    case .background: self = isFinal ? .stable : .store
    }
  }
}

enum AttemptState {
  case underWay
  /// It must be found.
  case acknowledged
  /// It failed, or was cut off: it may be found or not.
  case uncertain
  /// It was not there when everything was looked at.
  case absent
  /// The machine crashed and it is not on the disk: it can never be found any more.
  case lost
}

/// What saves and removals have in common.
struct Course {
  var operation: Int
  var process: Int
  var start: Int
  var end: Int?
  /// When it was written at the latest, if that is after its end: until then others may overtake it.
  var writtenEnd: Int?
  var state = AttemptState.underWay
  var worth: Worth
  /// The caller was told that it is done: only then does a flush vouch for it.
  var isPromised = false
  var isStable = false
  /// A sync failed that should have covered it, and nobody has told so yet.
  var isDoubtful = false
  /// That it may be lost has been told.
  var isDisowned = false
  /// A checkpoint of a session that waited: a better and a newer one of its run may have taken its place.
  var maySupersede = false
  /// The calendar clock was set back meanwhile, or an error kept its process from reading what others
  /// had written: its stamp says nothing about its time.
  var isLoose = false
}

/// One entry that somebody tried to save. Its number is its iteration, by which it is recognised.
struct Attempt {
  var number: Int
  var key: Int
  var kind: EntryKind
  var objective: Double?
  var payload: [UInt8]
  var label: String?
  var run: RunID?
  var producer: String
  var course: Course
}

struct Removal {
  var key: Int
  var course: Course
}

struct Model {
  var attempts: [Attempt] = []
  var removals: [Removal] = []
  /// The clock was set back while something was being saved: from then on stamps need not follow the
  /// order of time, since a process that was not looking cannot know a stamp that lies ahead.
  var isOrderTainted = false
  /// Nothing is ever dropped from the disk but by a crash: until the first compaction.
  var keepsTheDead = true
  /// Processes in which a sync has failed since they last told whether everything accepted is stable.
  private var doubtful: Set<Int> = []

  // MARK: Beginning and end

  mutating func begin(_ attempt: Attempt) { attempts.append(attempt) }
  mutating func begin(_ removal: Removal) { removals.append(removal) }

  /// A compaction is about to leave a key out. Everything of it that there is may be gone from now on.
  mutating func evicting(_ key: Int, by process: Int, at moment: Int) {
    var course = Course(operation: moment, process: process, start: moment, worth: .stable)
    (course.end, course.writtenEnd, course.state) = (moment, moment, .uncertain)
    removals.append(Removal(key: key, course: course))
  }

  /// The operation has returned.
  mutating func end(_ operation: Int, at moment: Int, acknowledged: Bool) {
    let doubtful = doubtful
    forEachCourse { course in
      guard course.operation == operation, course.end == nil else { return }
      course.end = moment
      if course.worth != .store || !acknowledged { course.writtenEnd = moment }
      guard course.state == .underWay else { return }
      course.isPromised = acknowledged
      let isOwed = acknowledged && !course.isDisowned && course.worth != .store
      course.state = isOwed ? .acknowledged : .uncertain
      if course.worth != .stable, doubtful.contains(course.process) { course.isDoubtful = true }
      if acknowledged, course.worth == .stable { course.isStable = true }
      if !acknowledged { course.isDoubtful = false }
    }
  }

  /// Everything that the process had accepted before `start` has been written, or never will be.
  mutating func drained(_ process: Int, since start: Int, at moment: Int) {
    forEachCourse { course in
      guard course.process == process, course.writtenEnd == nil else { return }
      if let end = course.end, end < start { course.writtenEnd = moment }
    }
  }

  /// A final was acknowledged, whose operation began at `start`: it brought what was accepted before.
  /// What was only accepted by the store may have been lost before, if anything had failed.
  mutating func finalized(_ process: Int, since start: Int, hasFailed: Bool) {
    forEachCourse { course in
      guard course.process == process, course.isPromised, course.end! < start else { return }
      if course.worth == .store {
        if hasFailed { return }
        if course.state == .uncertain, !course.isDisowned { course.state = .acknowledged }
      }
      if course.state == .acknowledged, !course.isDoubtful, !course.isDisowned {
        course.isStable = true
      }
    }
  }

  /// A flush or close returned well: it vouches for everything accepted before that nobody has disowned.
  mutating func flushed(_ process: Int, since start: Int) {
    doubtful.remove(process)
    forEachCourse { course in
      guard course.process == process, course.isPromised, course.end! < start else { return }
      let isAccepted = course.worth == .store && course.state == .uncertain
      guard !course.isDisowned, course.state == .acknowledged || course.isDoubtful || isAccepted
      else { return }
      course.state = .acknowledged
      course.isDoubtful = false
      course.isStable = true
    }
  }

  /// A flush or close told of a failure.
  mutating func disowned(_ process: Int) {
    doubtful.remove(process)
    forEachCourse { course in
      guard course.process == process else { return }
      if course.isDoubtful || course.worth == .store && !course.isStable {
        course.isDisowned = true
      }
    }
  }

  /// A sync of the process failed. What only the kernel had may be lost at the next crash, or is at once.
  mutating func doubt(_ process: Int, _ manner: SyncFailure) {
    doubtful.insert(process)
    forEachCourse { course in
      let isAccepted = course.worth == .store && course.isPromised && course.state == .uncertain
      guard course.process == process, course.worth != .stable, !course.isStable,
        course.state == .acknowledged || course.state == .underWay || isAccepted
      else { return }
      course.isDoubtful = true
      if manner == .likeBtrfs {
        if course.state == .underWay { course.isDisowned = true } else { course.state = .uncertain }
      }
    }
    guard manner == .likeBtrfs else { return }
    // With a removal what it removed may have come back.
    for removal in removals where removal.course.isDoubtful {
      for index in attempts.indices
      where attempts[index].key == removal.key && attempts[index].course.state == .absent {
        attempts[index].course.state = .uncertain
      }
    }
  }

  /// The calendar clock was set back.
  mutating func clockWentBack() {
    forEachCourse { course in
      guard course.writtenEnd == nil else { return }
      course.isLoose = true
    }
    if attempts.contains(where: { $0.course.writtenEnd == nil })
      || removals.contains(where: { $0.course.writtenEnd == nil })
    {
      isOrderTainted = true
    }
  }

  mutating func forEachCourse(_ change: (inout Course) -> Void) {
    for index in attempts.indices { change(&attempts[index].course) }
    for index in removals.indices { change(&removals[index].course) }
  }

  /// A process met an error: what it writes behind the back of its callers, it may write anew.
  mutating func metError(_ process: Int) {
    forEachCourse { course in
      if course.process == process, course.worth == .store, course.writtenEnd == nil {
        course.isLoose = true
      }
    }
  }

  /// The operation met an error.
  mutating func loosen(_ operation: Int) {
    forEachCourse { course in if course.operation == operation { course.isLoose = true } }
  }

  // MARK: Order

  /// Whether the one is certainly older than the other.
  func precedes(_ left: Attempt, _ right: Attempt) -> Bool {
    if left.course.operation == right.course.operation {
      return !left.course.isLoose && left.number < right.number
    }
    return precedes(left.course, right.course)
  }

  private func precedes(_ left: Course, _ right: Course) -> Bool {
    // What one store has accepted it writes in that order; others may come between.
    let end = left.process == right.process ? left.end : left.writtenEnd
    guard !isOrderTainted, !left.isLoose, !right.isLoose, let end else { return false }
    return end < right.start
  }

  /// Whether the one certainly goes before the other where the best is asked for.
  func isBetter(_ left: Attempt, than right: Attempt) -> Bool {
    switch (left.objective, right.objective) {
    case (let left?, let right?) where left != right: return left < right
    case (.some, nil): return true
    case (nil, .some): return false
    default: return precedes(right, left)
    }
  }

  // MARK: What is owed

  /// Whether a lookup that begins at `start` and ends now must reckon with it. `process` is who asks,
  /// if nothing has failed there: then it must also find what it has accepted itself.
  func isOwed(_ attempt: Attempt, since start: Int, by process: Int? = nil) -> Bool {
    let course = attempt.course
    let isAccepted =
      course.worth == .store && course.state == .uncertain && course.isPromised
      && course.process == process
    // Others see it when it has been written.
    guard course.state == .acknowledged || isAccepted,
      let end = isAccepted ? course.end : course.writtenEnd, end < start
    else { return false }
    return !removals.contains {
      $0.key == attempt.key && $0.course.state != .absent
        && !precedes($0.course, attempt.course)
    }
  }

  /// Whether it was certainly removed before `start`. A removal reads everything first, and so is newer
  /// than all that had ended, whatever the clock says.
  func isRemoved(_ attempt: Attempt, before start: Int) -> Bool {
    guard let end = attempt.course.writtenEnd else { return false }
    return removals.contains {
      $0.key == attempt.key && $0.course.state == .acknowledged && $0.course.end! < start
        && end < $0.course.start
    }
  }
}
