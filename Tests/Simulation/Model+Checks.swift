// Holding what the store answers against the model.

import WarmStart

/// The questions of a lookup.
enum Question: CaseIterable {
  case resume, best, latest
}

extension Model {
  /// What is wrong with the answer to a question that was asked at `start`; nil if nothing. `isWhole`
  /// is false if the disk refused a read meanwhile: then entries may be missing.
  mutating func objection(
    to entry: WarmStartEntry?, _ question: Question, key: Int, by producer: String,
    since start: Int,
    isWhole: Bool, process: Int? = nil
  ) -> String? {
    var found: Attempt?
    if let entry {
      if let wrong = objection(
        to: entry, key: key, by: producer, since: start, isWhole: isWhole)
      {
        return "\(question) of key \(key): \(wrong)"
      }
      found = attempts[number(of: entry)!]
    }
    guard isWhole else { return nil }
    let owed = attempts.filter { $0.key == key && isOwed($0, since: start, by: process) }
    let finals = owed.filter { $0.kind == .final && $0.producer == producer }
    var missed: Attempt?
    switch question {
    case .latest: missed = owed.first { isMissed($0, found, precedes) }
    case .best: missed = owed.first { isMissed($0, found) { isBetter($1, than: $0) } }
    case .resume:
      let isFinal = found.map { $0.kind == .final && $0.producer == producer } ?? false
      if isFinal {
        missed = finals.first { isMissed($0, found, precedes) }
      } else {
        missed = finals.first ?? owed.first { isMissed($0, found) { isBetter($1, than: $0) } }
      }
    }
    guard let missed else { return nil }
    return "\(question) of key \(key): found \(tell(found)), owed \(tell(missed))"
  }

  private func isMissed(
    _ owed: Attempt, _ found: Attempt?, _ isBehind: (Attempt, Attempt) -> Bool
  ) -> Bool {
    guard let found else { return true }
    return found.number != owed.number && isBehind(found, owed)
  }

  /// What is wrong with an entry that was found: somebody must have tried to save just that.
  mutating func objection(
    to entry: WarmStartEntry, key: Int, by producer: String, since start: Int, isWhole: Bool = true
  ) -> String? {
    guard let number = number(of: entry) else {
      return "nobody saved iteration \(entry.iteration.map(String.init) ?? "none")"
    }
    let attempt = attempts[number]
    let isOwn = attempt.producer == producer
    var wrong: [String] = []
    if attempt.key != key { wrong.append("is of key \(attempt.key)") }
    if entry.payload != attempt.payload { wrong.append("has another payload") }
    if entry.objective != attempt.objective { wrong.append("has another objective") }
    if entry.label != attempt.label { wrong.append("has another label") }
    if entry.producer != attempt.producer { wrong.append("has another producer") }
    if let run = attempt.run, run != entry.runID { wrong.append("has another run") }
    if entry.kind != (isOwn ? attempt.kind : .checkpoint) { wrong.append("is a \(entry.kind)") }
    if attempt.course.state == .lost { wrong.append("was lost in a crash") }
    // Where the disk refuses the segment that has the removal, what was removed may be found.
    if isWhole {
      if attempt.course.state == .absent { wrong.append("was not there before") }
      if isRemoved(attempt, before: start) { wrong.append("was removed") }
    }
    if !wrong.isEmpty { return "\(number) \(wrong.joined(separator: ", "))" }
    if isWhole, attempt.course.state == .uncertain, !attempt.course.isDoubtful,
      let end = attempt.course.writtenEnd, end < start
    {
      // What was found once is owed from then on; what a failed sync took back while somebody looked is not.
      attempts[number].course.state = .acknowledged
    }
    return nil
  }

  func number(of entry: WarmStartEntry) -> Int? {
    guard let iteration = entry.iteration, iteration < UInt64(attempts.count) else { return nil }
    return Int(iteration)
  }

  // MARK: Looking at everything

  /// The machine has crashed; every process is dead.
  mutating func crashed(at moment: Int) {
    forEachCourse { course in
      if course.end == nil { course.end = moment }
      if course.writtenEnd == nil { course.writtenEnd = moment }
      if course.isStable, course.state == .acknowledged { return }
      if course.state != .lost { course.state = .uncertain }
    }
  }

  /// Takes in which entries of a key are on the disk at this moment. Gives what is wrong.
  mutating func settle(
    key: Int, present: Set<Int>, afterCrash: Bool, now: Int
  ) -> String? {
    for index in attempts.indices where attempts[index].key == key {
      let attempt = attempts[index]
      if attempt.course.state == .underWay { continue }
      let isPresent = present.contains(index)
      if !isPresent, isOwed(attempt, since: now), !isSuperseded(attempt, by: present),
        keepsTheDead || !isDead(attempt, by: present)
      {
        return "key \(key): \(tell(attempt)) is owed and not on the disk"
      }
      if isPresent {
        if !attempt.course.isDoubtful || afterCrash {
          attempts[index].course.state = .acknowledged
        }
        if afterCrash {
          attempts[index].course.isStable = true
          attempts[index].course.isDoubtful = false
          attempts[index].course.isDisowned = false
        }
      } else if afterCrash {
        attempts[index].course.state = .lost
      } else if attempt.course.state != .lost, !attempt.course.isDoubtful,
        !(isOwed(attempt, since: now) && restsOnUnstable(attempt, present))
      {
        attempts[index].course.state = .absent
      }
    }
    return nil
  }

  /// Whether what is there may fill every slot that the attempt would fill.
  private func isDead(_ attempt: Attempt, by present: Set<Int>) -> Bool {
    let others = present.map { attempts[$0] }.filter { $0.key == attempt.key }
    let finals = others.filter { $0.kind == .final && $0.producer == attempt.producer }
    return others.contains { !isBetter(attempt, than: $0) }
      && others.contains { !precedes($0, attempt) }
      && (attempt.kind == .checkpoint || finals.contains { !precedes($0, attempt) })
  }

  /// Whether what is on stable storage for all that its caller knows has made way for what is not: then it is
  /// still owed, should the other be lost.
  private func restsOnUnstable(_ attempt: Attempt, _ present: Set<Int>) -> Bool {
    guard attempt.course.state == .acknowledged, attempt.course.isStable else { return false }
    return !isDead(attempt, by: present.filter { attempts[$0].course.isStable })
  }

  /// Whether a newer checkpoint of the same session is there instead, and one that is no worse.
  private func isSuperseded(_ attempt: Attempt, by present: Set<Int>) -> Bool {
    guard attempt.course.maySupersede else { return false }
    let successors = present.map { attempts[$0] }
      .filter { $0.run == attempt.run && $0.key == attempt.key && $0.number != attempt.number }
    return successors.contains { $0.number > attempt.number }
      && successors.contains { !isBetter(attempt, than: $0) }
  }

  func tell(_ attempt: Attempt?) -> String {
    guard let attempt else { return "nothing" }
    let objective = attempt.objective.map { "\($0)" } ?? "no objective"
    let course = attempt.course
    return "\(attempt.number) (\(attempt.kind) by process \(course.process), \(objective), "
      + "\(attempt.payload.count) bytes, \(course.isStable ? "stable" : "not stable"))"
  }
}
