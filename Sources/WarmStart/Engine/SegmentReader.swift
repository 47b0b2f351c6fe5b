// Reads what a segment file holds: its header, its footer, a record.

/// Reads one open segment file.
struct SegmentReader {
  let file: any File
  let id: SegmentID

  /// The header, from whichever copy is intact: the first, the second, or for a sealed segment the
  /// one in the footer, `spare`; nil if there is none. And what is wrong with the copies.
  func head(spare: SegmentHeader?) throws(StoreError) -> (header: SegmentHeader?, damage: [Damage])
  {
    let copy = SegmentHeader.copyLength
    var damage: [Damage] = []
    var found: (header: SegmentHeader, replaced: Int)?
    let bytes = try upTo(2 * copy, at: 0)
    for start in [0, copy] {
      do throws(FormatError) {
        guard bytes.count >= start + copy else { throw .malformed("segment header cut short") }
        let decoded = try SegmentHeader.decodeCopy(
          bytes.span.bytes.extracting(start..<start + copy), id: id)
        if let found, found != decoded {
          throw .malformed("the two copies of the segment header differ")
        }
        found = decoded
      } catch {
        damage.append(place(UInt64(start), UInt64(copy), try reason(error)))
      }
    }
    guard var header = found?.header ?? spare else { return (nil, damage) }
    let replaced = found?.replaced ?? header.replaced.count
    if replaced > 0 {
      let start = 2 * copy
      let list = try upTo(
        SegmentHeader.recordsStart(replaced: replaced) - start, at: UInt64(start))
      do throws(FormatError) {
        header.replaced = try SegmentHeader.decodeReplaced(
          list.span.bytes, count: replaced, salt: header.salt)
      } catch {
        damage.append(place(UInt64(start), UInt64(list.count), try reason(error)))
        // Without any list the records count; what they replaced does too, where it is still there.
        return (spare ?? header, damage)
      }
    }
    return (header, damage)
  }

  /// Whether a log is what a power cut may leave of one that was never synced: nothing but zeros, or,
  /// of a small one, zeros in place of its first sector. Such a log holds access marks at most.
  func isHeadless(fileSize: UInt64) throws(FileError) -> Bool {
    let sector: UInt64 = 512
    let end = fileSize <= FormatLimits.unsyncedLog ? min(fileSize, sector) : fileSize
    return try SegmentScanner(file: file, salt: 0, end: end).isZero(from: 0)
  }

  /// The trailer, or what is wrong with it.
  func trailer(fileSize: UInt64) throws(StoreError) -> (trailer: FooterTrailer?, damage: Damage?) {
    let length = UInt64(FooterTrailer.length)
    guard fileSize >= length + UInt64(SegmentHeader.fixedLength) else {
      return (nil, place(0, fileSize, "too short for a sealed segment"))
    }
    let bytes = try upTo(FooterTrailer.length, at: fileSize - length)
    do throws(FormatError) {
      return (try FooterTrailer(decoding: bytes.span.bytes, id: id, fileSize: fileSize), nil)
    } catch {
      return (nil, place(fileSize - length, length, try reason(error)))
    }
  }

  /// The footer, or what is wrong with it.
  func footer(fileSize: UInt64) throws(StoreError) -> (footer: Footer?, damage: Damage?) {
    let (trailer, damage) = try trailer(fileSize: fileSize)
    guard let trailer else { return (nil, damage) }
    return try footer(trailer)
  }

  /// The footer before a trailer, or what is wrong with it.
  func footer(_ trailer: FooterTrailer) throws(StoreError) -> (footer: Footer?, damage: Damage?) {
    let length = trailer.bodyLength + trailer.tableLength
    let body = try upTo(length, at: trailer.footerOffset)
    do throws(FormatError) {
      return (try Footer(decoding: body, trailer: trailer), nil)
    } catch {
      return (nil, place(trailer.footerOffset, UInt64(length), try reason(error)))
    }
  }

  /// The same, of which nothing is read but what a search for a key needs.
  func search(
    _ trailer: FooterTrailer
  ) throws(StoreError) -> (search: FooterSearch?, damage: Damage?) {
    do throws(FooterSearch.Failure) {
      return (try FooterSearch(file, trailer: trailer), nil)
    } catch {
      switch error {
      case .file(let error): throw .file(error)
      case .malformed(let error):
        let length = UInt64(trailer.bodyLength + trailer.tableLength)
        return (nil, place(trailer.footerOffset, length, try reason(error)))
      }
    }
  }

  /// As many of the bytes as there are before the file ends.
  private func upTo(_ count: Int, at offset: UInt64) throws(StoreError) -> [UInt8] {
    var failure: FileError?
    let bytes = [UInt8](roomFor: count) { buffer, initialized in
      do throws(FileError) {
        initialized = try file.read(into: UnsafeMutableRawBufferPointer(buffer), at: offset)
      } catch { failure = error }
    }
    if let failure { throw .file(failure) }
    return bytes
  }

  /// Why bytes are malformed. A later format is not damage, and ends the reading.
  private func reason(_ error: FormatError) throws(StoreError) -> String {
    switch error {
    case .malformed(let why): why
    case .laterFormat(let version, _):
      throw .laterFormat(path: file.path, version: Int(version))
    }
  }

  private func place(_ offset: UInt64, _ length: UInt64, _ what: String) -> Damage {
    let name = file.path.split(separator: "/").last.map(String.init) ?? file.path
    return Damage(segment: name, offset: offset, length: length, what: what)
  }
}

extension SegmentReader {
  /// Why a record could not be read.
  enum RecordFailure: Error {
    case file(FileError)
    /// The bytes are not what was written: which part.
    case damaged(String)
    /// The bytes are those that were written, and do not give the payload that was saved: no crash does that.
    case unfaithful(String)
    /// More bytes than the reader was allowed to take.
    case overLimit(Int)
  }

  /// The record at `offset`, whose lengths are known. `spare` gives the copy of the header that the
  /// footer has, and is asked only if the one in place is damaged. Texts that are the same as those `known` share
  /// their memory.
  func record(
    at offset: UInt64, headerLength: Int, storedLength: Int, salt: UInt64, payloadLimit: Int,
    sharing known: RecordTexts = RecordTexts(), spare: () throws(StoreError) -> RecordHeader?
  ) throws(RecordFailure) -> ReadRecord {
    guard storedLength <= payloadLimit else { throw .overLimit(storedLength) }
    let length = headerLength + storedLength
    // A short one is read to the stack.
    let result = withUnsafeTemporaryAllocation(byteCount: length, alignment: 16) { bytes in
      do throws(RecordFailure) {
        let got: Int
        do throws(FileError) { got = try file.read(into: bytes, at: offset) } catch {
          throw .file(error)
        }
        guard got == length else { throw .damaged("the file ends within the record") }
        return Result<ReadRecord, RecordFailure>.success(
          try record(
            from: UnsafeRawBufferPointer(bytes), at: offset, headerLength: headerLength, salt: salt,
            payloadLimit: payloadLimit, sharing: known, spare: spare))
      } catch { return .failure(error) }
    }
    return try result.get()
  }

  private func record(
    from bytes: UnsafeRawBufferPointer, at offset: UInt64, headerLength: Int, salt: UInt64,
    payloadLimit: Int, sharing known: RecordTexts, spare: () throws(StoreError) -> RecordHeader?
  ) throws(RecordFailure) -> ReadRecord {
    let stored = UnsafeRawBufferPointer(rebasing: bytes[headerLength...])
    let header: RecordHeader
    do throws(FormatError) {
      let head = UnsafeRawBufferPointer(rebasing: bytes[..<headerLength])
      header = try RecordHeader.decode(head.bytes, offset: offset, salt: salt, sharing: known)
    } catch {
      let copy: RecordHeader?
      do throws(StoreError) { copy = try spare() } catch {
        // Nothing is concluded from a disk that does not say.
        guard case .file(let why) = error else { throw .damaged("record header") }
        throw .file(why)
      }
      guard let copy else { throw .damaged("record header") }
      header = copy
    }
    guard header.storedLength == stored.count else { throw .damaged("record header of another") }
    guard header.rawLength <= payloadLimit else { throw .overLimit(header.rawLength) }
    return ReadRecord(header: header, payload: try Self.payload(stored, header))
  }

  /// Whether it is the stored bytes that are to blame for a payload that cannot be restored.
  private static func blame(
    _ failure: RecordFailure, on stored: UnsafeRawBufferPointer, _ header: RecordHeader
  ) -> RecordFailure {
    guard case .damaged(let what) = failure else { return failure }
    return CRC32C.of(stored) == header.storedChecksum ? .unfaithful(what) : failure
  }

  /// Restores the payload that a header belongs to, from its stored bytes, and holds it against its checksum.
  static func payload(
    _ stored: UnsafeRawBufferPointer, _ header: RecordHeader
  ) throws(RecordFailure) -> [UInt8] {
    var failure: RecordFailure?
    let payload = [UInt8](roomFor: header.rawLength) { buffer, initialized in
      let output = UnsafeMutableRawBufferPointer(buffer)
      let room = UnsafeMutableRawBufferPointer(rebasing: output[..<header.rawLength])
      do throws(FormatError) {
        try PayloadDecoder.decode(stored, header.codec, to: room)
        initialized = header.rawLength
        if CRC32C.of(UnsafeRawBufferPointer(room)) != header.rawChecksum {
          failure = .damaged("payload checksum")
        }
      } catch { failure = .damaged("payload does not decompress") }
    }
    if let failure { throw blame(failure, on: stored, header) }
    return payload
  }
}
