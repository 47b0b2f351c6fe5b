// What costs grow with the number of keys and of segments: the steps that `scale` has beside those of `keys`.

import Foundation
import WarmStart

extension Measure {
  /// Opens for writing, and saves under keys by the dice, each on stable storage.
  func saveDurably() throws {
    let payloads = Payloads(bytes: size)
    var opening = measurement("open-and-save")
    var generator = Generator(seed: 11)
    func item(_ number: Int) -> Item {
      let index = Int(generator.next() % UInt64(keyCount))
      return Item(key(index), keyCount + number, payloads[number])
    }
    let target = try opening.time {
      let target = try options(durable: true).open()
      try target.put(item(0))
      return target
    }
    opening.noteUsage()
    opening.print()
    var measurement = measurement("save-durable")
    var done = 0
    while pace.goesOn(done, measurement) {
      try measurement.time { try target.put(item(done + 1)) }
      done += 1
    }
    measurement.stop()
    try target.close()
    measurement.noteUsage()
    measurement.bytesOnDisk = bytesOnDisk(store!)
    measurement.print()
  }

  /// Saves every second key anew, and gives the space back.
  func compactHalf() throws {
    let payloads = Payloads(bytes: size)
    let target = try options(durable: false).open()
    for start in stride(from: 0, to: keyCount, by: 2000) {
      try target.put(
        stride(from: start, to: min(start + 2000, keyCount), by: 2).map {
          Item(key($0), keyCount + $0, payloads[$0])
        })
    }
    let before = bytesOnDisk(store!)
    var measurement = measurement("compact")
    let name = try measurement.time { try target.reclaim() }
    measurement.noteUsage()
    measurement.bytesOnDisk = bytesOnDisk(store!)
    measurement.extra = [("\(name)_from_bytes", Double(before))]
    measurement.print()
    try target.close()
  }
}
