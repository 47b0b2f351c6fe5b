import Testing

@testable import CO2Model

@Suite struct WeeklyRecordTests {
  @Test func theShippedRecordHasAllItsWeeksAndYears() throws {
    let record = try shippedRecord()
    #expect(record.count == 2225)
    #expect(record.years == Array(1958...2001))
    #expect(record.times == record.times.sorted())
    #expect(record.values.allSatisfy { (310...375).contains($0) })
  }

  @Test func aYearAndTheRestAreTheWholeRecord() throws {
    let record = try shippedRecord()
    for year in record.years {
      let (inside, outside) = (record.only(year: year), record.without(year: year))
      #expect(inside.count + outside.count == record.count)
      #expect(inside.years == [year])
      #expect(!outside.years.contains(year))
    }
  }

  @Test func weeksWithoutAValueAreDropped() throws {
    let record = try WeeklyRecord(csv: "date,co2\n19580329,316.1\n19580405,\n19580412,317.6\n")
    #expect(record.values == [316.1, 317.6])
    let days: [Double] = [87, 101]
    #expect(record.times == days.map { 1958 + $0 / 365 })
  }

  @Test(arguments: [
    ("19581301,1", 2), ("19580230,1", 2), ("1958-3-2,1", 2), ("19580329", 2), ("19580329,x", 2),
    ("19580329,1,2", 2), ("19580329,inf", 2), ("19580329,1\n+9580329,1", 3),
  ])
  func aLineThatIsNoWeekIsRefusedByItsNumber(lines: String, number: Int) {
    #expect(throws: RecordError.malformed(line: number)) {
      try WeeklyRecord(csv: "date,co2\n" + lines)
    }
  }

  @Test func aRecordThatIsTooShortOrMissingIsRefused() throws {
    let short = try WeeklyRecord(csv: "date,co2\n19580329,316\n19580405,\n19580412,317\n")
    #expect(throws: RecordError.tooShort(weeks: 2)) {
      try Study(specification: ModelSpecification(), record: short)
    }
    #expect(throws: RecordError.self) { try WeeklyRecord(contentsOf: "/nowhere/co2.csv") }
  }

  @Test func aYearThatLeavesTooLittleIsNotLeftOut() throws {
    let weeks = "19580329,316\n19580405,316\n19580412,317\n19590329,317\n"
    let record = try WeeklyRecord(csv: "date,co2\n" + weeks)
    let study = try Study(specification: ModelSpecification(), record: record)
    #expect(study.years == [1959])
  }

  @Test func leapDaysBelongToLeapYears() {
    #expect(decimalYear(date: "20000229") == 2000 + 59.0 / 366)
    #expect(decimalYear(date: "19000229") == nil)
    #expect(decimalYear(date: "20011231") == 2001 + 364.0 / 365)
  }
}
