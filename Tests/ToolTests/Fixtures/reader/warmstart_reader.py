#!/usr/bin/env python3
"""An independent reader of WarmStart stores, format version 1.

Written from FORMAT.md, the page that describes the format, and from nothing else; words in quotes are from there.
It never writes into a store. Takes the package lz4 where it is installed, and else its own decoder, which is slow.

    warmstart_reader.py records STORE                               every valid record
    warmstart_reader.py ls STORE [--producer P]                     what a fit of each key would go on from
    warmstart_reader.py show STORE KEY [--producer P]               every entry of one key, and its slots
    warmstart_reader.py get STORE KEY [--which W] [--producer P]    a payload, to standard output
    warmstart_reader.py check STORE                                 every damage, then a verdict

All but get print one JSON object a line. Exit status: 0 done, 1 no such key, 4 check found damage, 65 damage met.
"""

import argparse
import fcntl
import hashlib
import json
import math
import mmap
import os
import re
import struct
import sys
from collections import namedtuple

try:
    from lz4.block import LZ4BlockError, decompress as decompress_block
except ImportError:
    class LZ4BlockError(Exception):
        """A block that is none."""

    def decompress_block(packed, uncompressed_size):
        """Decodes one block of the raw LZ4 format."""
        raw, at = bytearray(), 0

        def length(nibble):
            nonlocal at
            total = nibble
            while nibble == 15:
                total, at = total + packed[at], at + 1
                if packed[at - 1] != 255:
                    break
            return total

        try:
            while True:
                token, at = packed[at], at + 1
                literals = length(token >> 4)
                if at + literals > len(packed):
                    raise LZ4BlockError("literals cut short")
                raw += packed[at:at + literals]
                at += literals
                if at == len(packed):
                    break
                distance, at = packed[at] | packed[at + 1] << 8, at + 2
                count = length(token & 15) + 4
                if not 0 < distance <= len(raw) or len(raw) + count > uncompressed_size:
                    raise LZ4BlockError("match out of bounds")
                for _ in range(count) if distance < count else ():
                    raw.append(raw[-distance])
                if distance >= count:
                    raw += raw[len(raw) - distance:len(raw) - distance + count]
        except IndexError:
            raise LZ4BlockError("block cut short") from None
        return bytes(raw)

HEAD_MAGIC = bytes.fromhex("8957535345470D0A1A0A0001")
RECORD_MAGIC, FOOTER_MAGIC = b"WREc", b"WSFoot\r\n"
FILE_LIMIT, BLOCK, BODY_BLOCK, RECORD_LIMIT = 1 << 35, 262_144, 4_096, 131_072
CHECKPOINT, FINAL, REMOVAL, ACCESS_MARK = 1, 2, 3, 4
KINDS = {CHECKPOINT: "checkpoint", FINAL: "final", REMOVAL: "removal", ACCESS_MARK: "access mark"}
ENTRIES = (CHECKPOINT, FINAL)
OPTIONAL = 128  # kinds from here on are skipped by a reader that does not know them
CODECS = ("stored", "lz4", "shuffled-lz4")
NO_OBJECTIVE = bytes.fromhex("000000000000F87F")
NAME = re.compile(r"([0-9a-f]{32})\.(log|seg)")

TOO_MANY = "more than 131,072 records"  # which no crash leaves

HEAD = struct.Struct("<12sHHIIQQQQII")
RECORD = struct.Struct("<4sIHBBHBBHHIIIIIQQQ32sdQQQI")
INDEX = struct.Struct("<32sQdIIBBHI")
DETAIL = struct.Struct("<QQIIIIIIIHBB")
TRAILER = struct.Struct("<8sHHIQQQQQIIIIIIQQQQQII")
ID = struct.Struct("<QQ")


class Damage(Exception):
    """Bytes that no writer wrote."""


class LaterFormat(Exception):
    """Said by a segment of a later version."""


Flaw = namedtuple("Flaw", "offset length what")
Head = namedtuple("Head", "salt count")
Footer = namedtuple("Footer", "head replaced records flaws")
Trailer = namedtuple("Trailer", "count ident salt F B n o q t removals marks smallest largest raws storeds table_crc")
Trailer.table_length = property(lambda trailer: up8(4 * -(-trailer.B // BODY_BLOCK)))


def need(condition, what):
    if not condition:
        raise Damage(what)


def up8(number):
    return number + 7 & ~7


def is_zero(data):
    return data.count(0) == len(data)


def u32(data, place):
    return int.from_bytes(data[place:place + 4], "little")


def hex_id(creation, random):
    return f"{creation:016x}{random:016x}"


# CRC32C, eight bytes at a time

CRC_TABLES = [[]]
for crc in range(256):
    for _ in range(8):
        crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    CRC_TABLES[0].append(crc)
for _ in range(7):
    CRC_TABLES.append([CRC_TABLES[0][crc & 255] ^ crc >> 8 for crc in CRC_TABLES[-1]])


def crc32c(data, seed=()):
    """The CRC32C of data; seed is the pair of numbers that go before it."""
    t0, t1, t2, t3, t4, t5, t6, t7 = CRC_TABLES
    crc = 0xFFFFFFFF
    for view in (memoryview(struct.pack(f"<{len(seed)}Q", *seed)), memoryview(data)):
        whole = len(view) & ~7
        for low, high in struct.iter_unpack("<II", view[:whole]):
            low ^= crc
            crc = (t7[low & 255] ^ t6[low >> 8 & 255] ^ t5[low >> 16 & 255] ^ t4[low >> 24]
                   ^ t3[high & 255] ^ t2[high >> 8 & 255] ^ t1[high >> 16 & 255] ^ t0[high >> 24])
        for byte in view[whole:]:
            crc = t0[(crc ^ byte) & 255] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def unpack_block(packed, length, shuffled):
    try:
        raw = decompress_block(packed, uncompressed_size=length)
    except (LZ4BlockError, ValueError) as error:
        raise Damage(f"LZ4 block: {error}") from None
    need(len(raw) == length, "LZ4 block of a wrong length")
    if not shuffled:
        return raw
    count, out = length // 8, bytearray(raw)
    for j in range(8):
        out[j:8 * count:8] = raw[j * count:(j + 1) * count]
    return bytes(out)


def unpack(stored, codec, raw_length):
    """The payload of stored bytes."""
    count = -(-raw_length // BLOCK)
    if codec == 0:
        return stored
    if count == 1:
        return unpack_block(stored, raw_length, codec == 2)
    need(4 * count <= len(stored), "the lengths of the blocks reach beyond the payload")
    out, place = [], 4 * count
    for i in range(count):
        length, size = min(BLOCK, raw_length - i * BLOCK), u32(stored, 4 * i)
        as_it_is, size = size >> 31, size & 0x7FFFFFFF
        block = stored[place:place + size]
        need(len(block) == size and (size == length or not as_it_is), "the length of a block")
        out.append(block if as_it_is else unpack_block(block, length, codec == 2))
        place += size
    need(place == len(stored), "bytes behind the last block")
    return b"".join(out)


class Record(namedtuple("Record", "offset h stored_length kind codec raw_length raw_crc stored_crc number stamp written"
                                  " key objective iteration run label producer origin origin_number"
                                  " synced source segment", defaults=(None, "record", None))):
    """What a record's header says, or its entry in the footer; run, label and producer are bytes, empty for none."""

    @property
    def end(self):
        return self.offset + self.h + up8(self.stored_length)

    @property
    def age(self):
        """The larger the newer; records that agree in it are copies of one."""
        return self.stamp, self.origin, self.origin_number

    @property
    def merit(self):
        """The larger the better."""
        return self.objective is not None, 0.0 if self.objective is None else -self.objective, self.age

    def says_the_same(self, other):
        """Whether header and footer entry agree, in all but synced."""
        return repr(self[:19]) == repr(other[:19])

    def check_limits(self):
        need(self.kind in KINDS and self.codec < len(CODECS), "unknown kind or codec")
        need(self.stamp < 1 << 63 and self.raw_length < 1 << 31, "stamp or raw length")
        need(self.objective is None or math.isfinite(self.objective), "objective is not finite")
        texts = self.run, self.label, self.producer
        need(all(len(text) <= limit for text, limit in zip(texts, (64, 128, 256))), "text too long")
        need(all(32 <= byte < 127 for byte in self.run), "run id is not printable ASCII")
        need(self.run or self.kind not in ENTRIES, "no run id")
        need(self.h == up8(136 + sum(map(len, texts))), "header length")
        try:
            b"\0".join(texts).decode()
        except UnicodeDecodeError:
            raise Damage("text is not UTF-8") from None
        if self.kind not in ENTRIES:
            need(not any((self.raw_length, self.stored_length, self.codec, self.raw_crc, self.stored_crc)),
                 "payload of a record that has none")
        elif self.codec == 0:
            need((self.raw_length, self.raw_crc) == (self.stored_length, self.stored_crc), "stored payload is not raw")
        else:
            need(0 < self.raw_length and self.stored_length <= self.raw_length <= 255 * self.stored_length + 64,
                 "impossible raw length")

    def stored_payload(self, data):
        return data[self.offset + self.h:self.offset + self.h + self.stored_length]

    def payload(self):
        """What counts is the CRC of the raw payload; one over stored bytes that fails is damage all the same."""
        raw = unpack(self.stored_payload(self.segment.data), self.codec, self.raw_length)
        need(crc32c(raw) == self.raw_crc, "CRC of the raw payload")
        return raw


# What a replay finds at a place: a record, a fault, or (both None) a record of an optional kind
Piece = namedtuple("Piece", "offset end record fault synced", defaults=(None, None, 0))


def read_header(data, offset, limit, salt):
    """The piece whose header passes at offset, or None; limit is F or the end of the file."""
    if offset + 136 > limit or data[offset:offset + 4] != RECORD_MAGIC:
        return None
    prefix = data[offset:offset + 24]
    if crc32c(prefix[:20], (salt, offset)) != u32(prefix, 20):
        return None
    stored_length, h = struct.unpack_from("<IH", prefix, 4)
    end = offset + h + up8(stored_length)
    if not 136 <= h <= 584 or h % 8 or end > limit:
        return None
    header = data[offset:offset + h]
    synced = int.from_bytes(header[56:64], "little")
    if crc32c(header[:-4], (salt, offset)) != u32(header, h - 4) or synced > offset:
        return None
    try:
        record = decode_header(header, offset, synced) if header[10] < OPTIONAL else None
        return Piece(offset, end, record, None, synced)
    except Damage as damage:
        return Piece(offset, end, None, str(damage), synced)


def decode_header(header, offset, synced):
    """The record of a header whose CRCs passed; raises Damage if it says what no writer writes."""
    (_, stored_length, h, kind, codec, flags, r, l, p, zero, _, raw_length, raw_crc, stored_crc, number, stamp,
     written, _, key, objective, iteration, creation, random, origin_number) = RECORD.unpack_from(header)
    need(flags < 4 and zero == 0, "reserved bits")
    need(h == up8(136 + r + p + l), "header length")
    texts = header[132:132 + r + p + l]
    need(is_zero(header[132 + r + p + l:-4]), "zeros of the header")
    need((flags & 1 or is_zero(header[96:104])) and (flags & 2 or iteration == 0), "a value without its flag")
    record = Record(offset, h, stored_length, kind, codec, raw_length, raw_crc, stored_crc, number, stamp, written, key,
                    objective if flags & 1 else None, iteration if flags & 2 else None,
                    texts[:r], texts[r + p:], texts[r:r + p], hex_id(creation, random), origin_number, synced)
    record.check_limits()
    return record


def replay(data, first, end, salt):
    """Every piece from first to end; what lies between valid headers is one with a fault."""
    place, count = first, 0
    while place < end:
        piece, following = read_header(data, place, end, salt), place
        while piece is None:
            following = data.find(RECORD_MAGIC, following + 1, end)
            if following < 0:
                yield Piece(place, end, None, "no valid record header")
                return
            if following % 8 == 0:
                piece = read_header(data, following, end, salt)
        if following > place:
            yield Piece(place, following, None, "no valid record header")
        count += piece.record is not None
        if count > RECORD_LIMIT:
            yield Piece(piece.offset, end, None, TOO_MANY)
            return
        yield piece
        place = piece.end


def list_length(count):
    """Bytes of the list of replaced segments, with its CRC and zeros."""
    return up8(16 * count + 4) if count else 0


def read_copy(data, ident):
    """One copy of the segment header."""
    need(len(data) == 64, "cut off")
    magic, version, zero, reading, _, creation, random, salt, _, count, crc = HEAD.unpack(data)
    need(magic == HEAD_MAGIC, "magic number")
    need(crc == crc32c(data[:60]), "CRC")
    if version != 1 or reading:
        raise LaterFormat
    need(zero == 0 and count <= 4_096 and hex_id(creation, random) == ident, "reserved bytes, count or id")
    return Head(salt, count)


def read_list(data, head):
    """The ids of the replaced segments."""
    length, ids = list_length(head.count), data[:16 * head.count]
    need(len(data) >= length, "cut off")
    need(not ids or crc32c(ids, (head.salt, 128)) == u32(data, len(ids)), "CRC")
    need(is_zero(data[len(ids) + 4:length]), "zeros")
    return tuple(hex_id(*pair) for pair in ID.iter_unpack(ids))


def read_trailer(data, size, ident):
    raw = data[max(0, size - 128):size]
    need(len(raw) == 128 and raw[:8] == FOOTER_MAGIC, "magic number")
    need(u32(raw, 124) == crc32c(raw[:124]), "CRC")
    _, version, zero, count, creation, random, *numbers, zero2, table_crc, _ = TRAILER.unpack(raw)
    need(version == 1 and zero == 0 and zero2 == 0, "version or reserved bytes")
    t = Trailer(count, hex_id(creation, random), *numbers, table_crc)
    need(t.ident == ident, "id of another segment")
    need(t.count <= 4_096 and t.n <= RECORD_LIMIT and t.o <= 65_536 and t.q <= 65_536 and t.t <= 262_145, "counts")
    need(t.smallest <= t.largest < 1 << 63, "stamps")
    need(t.F % 8 == 0 and t.B % 8 == 0 and t.F >= 128 + list_length(t.count), "places")
    need(t.F + t.B + t.table_length + 128 == size, "lengths that do not fit the file")
    need(t.storeds <= t.F and t.raws <= 255 * t.storeds + 64 * t.n, "sums of lengths")
    need(t.removals + t.marks <= t.n, "removals and marks")
    texts = t.B - 112 * t.n - 64 - list_length(t.count) - 16 * t.o
    need(2 * (t.q + t.t) <= texts < 258 * t.q + 130 * t.t + 8, "length of the texts")
    return t


def read_footer(data, t):
    """The footer of a trailer that passed."""
    table = data[t.F + t.B:t.F + t.B + t.table_length]
    need(crc32c(table, (t.salt, t.F + t.B)) == t.table_crc, "CRC of the table")
    for i, start in enumerate(range(t.F, t.F + t.B, BODY_BLOCK)):
        block = data[start:min(start + BODY_BLOCK, t.F + t.B)]
        need(crc32c(block, (t.salt, start)) == u32(table, 4 * i), f"CRC of block {i}")
    need(is_zero(table[4 * i + 4:]), "zeros behind the table")
    body, place = data[t.F:t.F + t.B], 112 * t.n
    head = read_copy(body[place:place + 64], t.ident)
    need(head == (t.salt, t.count), "its segment header does not fit the trailer")
    replaced = read_list(body[place + 64:], head)
    place += 64 + list_length(head.count)
    origins = [hex_id(*pair) for pair in ID.iter_unpack(body[place:place + 16 * t.o])]
    producers, place = read_texts(body, place + 16 * t.o, t.q)
    labels, place = read_texts(body, place, t.t)
    need(len(body) - place < 8 and is_zero(body[place:]), "zeros behind the texts")
    tables = (origins, producers, labels)
    entries = [read_entry(body, t, i, 128 + list_length(head.count), tables) for i in range(t.n)]
    keys = [(record.key, record.offset) for record, _ in entries]
    need(all(a < b for a, b in zip(keys, keys[1:])), "entries are not sorted")
    records, flaws = settle_entries(data, t, entries)
    return Footer(head, replaced, sorted(records, key=lambda record: record.offset), flaws)


def read_texts(body, place, count):
    texts = []
    for _ in range(count):
        length = int.from_bytes(body[place:place + 2], "little")
        need(place + 2 + length <= len(body), "texts reach beyond the body")
        texts.append(body[place + 2:place + 2 + length])
        place += 2 + length
    return texts, place


def read_entry(body, t, i, first, tables):
    """The record of an entry, and what is wrong with it that no other entry suffers from."""
    key, stamp, objective, eighths, stored_length, h, kind, producer, seconds = INDEX.unpack_from(body, 64 * i)
    (written, iteration, raw_length, raw_crc, stored_crc, number, run, label, origin_number, origin, codec,
     flags) = DETAIL.unpack_from(body, 64 * t.n + 48 * i)
    origins, producers, labels = tables
    need(origin < len(origins) and producer < len(producers) and max(run, label) < len(labels), "entry points nowhere")
    objective = None if body[64 * i + 40:64 * i + 48] == NO_OBJECTIVE else objective
    need(objective is None or math.isfinite(objective), "objective of an entry")
    record = Record(8 * eighths, 8 * h, stored_length, kind, codec, raw_length, raw_crc, stored_crc, number, stamp,
                    written, key, objective, iteration if flags & 1 else None, labels[run], labels[label],
                    producers[producer], origins[origin], origin_number, source="footer")
    need(136 <= record.h <= 584 and first <= record.offset and record.end <= t.F, "entry points outside of the records")
    try:
        need(flags < 2 and (flags or iteration == 0), "flags or iteration")
        need(seconds == min(written // 10**9, 2**32 - 1), "its two write times differ")
        if kind < OPTIONAL:
            record.check_limits()
    except Damage as damage:
        return record, str(damage)
    return record, None


def settle_entries(data, t, entries):
    """The records of the entries; in place of an odd entry, what the record's own header says."""
    records, flaws = [], []
    for record, fault in entries:
        if fault:
            flaws.append(Flaw(record.offset, record.end - record.offset, f"footer entry: {fault}"))
            piece = read_header(data, record.offset, t.F, t.salt)
            record = piece and piece.record
        if record:
            records.append(record)
    stamps = [record.stamp for record in records] or [0]
    sums = (sum(r.kind == REMOVAL for r in records), sum(r.kind == ACCESS_MARK for r in records), min(stamps),
            max(stamps), sum(r.raw_length for r in records), sum(r.stored_length for r in records))
    if not flaws and sums != (t.removals, t.marks, t.smallest, t.largest, t.raws, t.storeds):
        flaws.append(Flaw(t.F, t.B, "footer: counts, stamps or sums differ from the entries"))
    return records, flaws


class Segment:
    """A segment file, read as "What a reader makes of it" says."""

    def __init__(self, name, descriptor):
        self.name, self.ident, self.sealed = name, name[:32], name.endswith(".seg")
        self.size = os.fstat(descriptor).st_size
        self.living = not self.sealed and not self.can_be_locked(descriptor)
        self.data = self.contents(descriptor)
        self.end = min(len(self.data), FILE_LIMIT)
        self.flaws, self.records, self.replaced = [], [], ()
        self.head = self.trailer = self.footer = None
        self.torn, self.lost = False, set()  # lost: the offsets of records that only the footer knows
        if self.size > FILE_LIMIT:
            self.flaw(FILE_LIMIT, self.size, "beyond the largest file")
        try:
            self.read()
        except LaterFormat:
            self.flaw(0, 128, "of a later format")
        self.records = [record._replace(segment=self) for record in self.records]

    @staticmethod
    def can_be_locked(descriptor):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            return True
        except BlockingIOError:
            return False

    def contents(self, descriptor):
        if self.sealed and self.size:
            return mmap.mmap(descriptor, self.size, access=mmap.ACCESS_READ)
        with open(descriptor, "rb", closefd=False) as file:
            return file.read()

    def flaw(self, start, end, what):
        self.flaws.append(Flaw(start, end - start, what))

    def read(self):
        if not self.sealed and is_zero(self.data[:512] if self.size <= 4_096 else self.data):
            self.torn = self.size > 0
            return
        self.read_head()
        if self.sealed:
            self.read_footer()
        if self.head is None:
            return
        self.read_list()
        if self.footer:
            self.records = self.footer.records
        else:
            end = self.trailer.F if self.trailer else self.end
            self.take(list(replay(self.data, self.first, end, self.head.salt)))

    def read_head(self):
        copies = []
        for place in (0, 64):
            try:
                copies.append(read_copy(self.data[place:place + 64], self.ident))
            except Damage as damage:
                self.flaw(place, place + 64, f"segment header: {damage}")
        if len(copies) == 2 and self.data[:64] != self.data[64:128]:
            self.flaw(64, 128, "segment header: the copies differ")
        self.head = copies[0] if copies else None

    def read_footer(self):
        try:
            trailer = read_trailer(self.data, self.end, self.ident)
            need(self.head in (None, (trailer.salt, trailer.count)), "does not fit the segment header")
        except Damage as damage:
            self.flaw(0 if self.end < 256 else self.end - 128, self.end, f"trailer: {damage}")
            return
        self.trailer = trailer
        try:
            self.footer = read_footer(self.data, trailer)
            self.flaws += self.footer.flaws
        except (Damage, LaterFormat) as damage:
            self.flaw(trailer.F, self.end - 128, f"footer: {damage}")
            return
        # With an intact footer the trailer says of the header all that is needed.
        self.head = self.head or Head(trailer.salt, trailer.count)

    def read_list(self):
        self.first = end = 128 + list_length(self.head.count)
        self.replaced = self.footer.replaced if self.footer else ()
        try:
            replaced = read_list(self.data[128:end], self.head)
            need(not self.footer or replaced == self.replaced, "the copies differ")
            self.replaced = replaced
        except Damage as damage:
            if self.footer or self.end <= 128:
                self.flaw(128, end, f"list of replaced segments: {damage}")
            else:
                self.first = 128  # bytes without a record, like those that may follow

    def take(self, pieces):
        """Takes what a replay found. In a sealed segment nothing can be a torn place."""
        attested = self.end if self.sealed else max((piece.synced for piece in pieces), default=0)
        torn = []
        for piece in pieces:
            record = piece.record
            if record and (record.end <= attested or crc32c(record.stored_payload(self.data)) == record.stored_crc):
                self.records.append(record)
            elif piece.fault and (piece.offset < attested or piece.fault is TOO_MANY):
                self.flaw(piece.offset, piece.end, piece.fault)
            elif record or piece.fault and (piece.end < self.end or not is_zero(self.data[piece.offset:])):
                torn.append(piece)
        if self.living and torn and torn[-1].end == self.end:
            torn.pop()  # not there yet
        self.torn = bool(torn)

    def in_own_words(self, record):
        """The record as its own header says it, or as the footer does if the header does not pass or differs."""
        if self.footer and record.source == "footer":
            piece = read_header(self.data, record.offset, self.trailer.F, self.head.salt)
            if piece and piece.record and piece.record.says_the_same(record):
                return piece.record._replace(segment=self)
        return record

    def check(self):
        """Finds every damage that reading the headers alone does not meet."""
        if self.footer:
            self.check_against_footer()
        for record in self.records:
            if record.kind >= OPTIONAL or record.offset in self.lost:
                continue
            try:
                need(crc32c(record.stored_payload(self.data)) == record.stored_crc, "CRC of the stored payload")
                record.payload()
                need(is_zero(self.data[record.offset + record.h + record.stored_length:record.end]), "zeros behind it")
            except Damage as damage:
                self.flaw(record.offset, record.end, str(damage))

    def check_against_footer(self):
        t, first = self.trailer, 128 + list_length(self.head.count)
        pieces = list(replay(self.data, first, t.F, self.head.salt))
        entries = {record.offset: record for record in self.records}
        self.lost = set(entries) - {piece.offset for piece in pieces if not piece.fault}
        for piece in pieces:
            entry = entries.get(piece.offset)
            if piece.fault:
                self.check_gap(piece, entries)
            elif piece.record and not entry:
                self.flaw(piece.offset, piece.end, "not in the footer")
                self.flaw(t.F, t.F + t.B, "footer: not all records")
            elif not piece.record.says_the_same(entry) if piece.record else entry and entry.kind < OPTIONAL:
                self.flaw(piece.offset, piece.end, "header and footer differ")
        known = all(piece.record for piece in pieces)  # whether optional kinds count is not said
        if known and any(piece.record.number != i for i, piece in enumerate(pieces)):
            self.flaw(t.F, t.F + t.B, "numbers of the records")

    def check_gap(self, gap, entries):
        """Bytes that no header passes for: each record that the footer names there is a place, and what is between."""
        end = gap.offset
        for offset in sorted(offset for offset in entries if gap.offset <= offset < gap.end):
            record = entries[offset]
            if record.kind >= OPTIONAL:
                continue
            if offset < end or record.end > gap.end:
                self.flaw(self.trailer.F, self.trailer.F + self.trailer.B, "footer: records overlap")
                continue
            if offset > end:
                self.flaw(end, offset, gap.fault)
            self.flaw(offset, record.end, gap.fault)
            end = record.end
        if end < gap.end:
            self.flaw(end, gap.end, gap.fault)


class Store:
    """All segments of a directory, and of those in force the entries and the newest removal of each key."""

    def __init__(self, path):
        self.every = []
        for name, descriptor in self.open_all(path):
            self.every.append(Segment(name, descriptor))
            os.close(descriptor)
        replaced = {ident for segment in self.every for ident in segment.replaced if ident != segment.ident}
        self.segments = [segment for segment in self.every if segment.ident not in replaced]
        self.entries, self.removed = {}, {}
        for record in (record for segment in self.segments for record in segment.records):
            if record.kind in ENTRIES:
                self.entries.setdefault(record.key, []).append(record)
            elif record.kind == REMOVAL:
                self.removed[record.key] = max(record.stamp, self.removed.get(record.key, -1))

    @classmethod
    def open_all(cls, path):
        """Names and open files; once more if a writer or a compaction came between."""
        while True:
            names, opened = cls.names(path), []
            try:
                for name in names:
                    opened.append((name, os.open(f"{path}/{name}", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)))
                if cls.names(path) == names:
                    return opened
            except FileNotFoundError:
                pass
            for _, descriptor in opened:
                os.close(descriptor)

    @staticmethod
    def names(path):
        found = {}
        for item in os.scandir(path):
            match = NAME.fullmatch(item.name)
            if match and item.is_file(follow_symlinks=False):
                found[match[1]] = max(item.name, found.get(match[1], ""))  # .seg before .log
        return sorted(found.values())

    def status(self):
        return 65 if any(segment.flaws for segment in self.every) else 0

    def keys(self):
        return [key for key in self.entries if Key(self, key).live]


class Key:
    """What counts of a key, without entries that turned out to be damaged."""

    def __init__(self, store, key, producer=None, damaged=()):
        copies, finals, removed = {}, {}, store.removed.get(key, -1)
        for record in store.entries[key]:
            if record.stamp > removed and (record.segment.name, record.offset) not in damaged:
                copies.setdefault(record.age, record)
        self.live = [copies[age] for age in sorted(copies, reverse=True)]
        for record in self.live:
            if record.kind == FINAL:
                finals.setdefault(record.producer, record)
        self.finals = dict(list(finals.items())[:8])
        self.producer = next(iter(finals), b"") if producer is None else producer
        self.latest = self.live[0] if self.live else None
        self.best = max(self.live, key=lambda record: record.merit, default=None)
        self.resume = self.finals.get(self.producer, self.best) if self.producer else self.best

    def row(self, record):
        filled = (("final", record in self.finals.values()), ("best", record is self.best),
                  ("latest", record is self.latest))
        own = record.kind == FINAL and record.producer and record.producer == self.producer
        return {**describe(record), "kind": KINDS[FINAL if own else CHECKPOINT],
                "writtenNanos": record.written, "slots": [slot for slot, yes in filled if yes]}


def describe(record):
    return {"segment": record.segment.name, "offset": record.offset, "key": record.key.hex(),
            "kind": KINDS[record.kind], "run": record.run.decode() or None, "label": record.label.decode() or None,
            "producer": record.producer.decode() or None, "objective": record.objective,
            "iteration": record.iteration, "payloadBytes": record.raw_length, "storedBytes": record.stored_length,
            "codec": CODECS[record.codec]}


def emit(row):
    print(json.dumps(row, ensure_ascii=False, separators=(",", ":")))


def find_key(store, prefix):
    found = [key for key in store.keys() if key.hex().startswith(prefix.lower())]
    if len(found) != 1:
        raise KeyError("more than one such key" if found else "no such key")
    return found[0]


def command_records(store, _):
    for segment in store.segments:
        for record in map(segment.in_own_words, segment.records):
            if record.kind >= OPTIONAL:
                continue
            digest = None
            try:
                digest = hashlib.sha256(record.payload()).hexdigest() if record.kind in ENTRIES else None
            except Damage as damage:
                print(f"{segment.name} at {record.offset}: {damage}", file=sys.stderr)
            emit({**describe(record), "stamp": record.stamp, "writeNanos": record.written,
                  "originSegment": record.origin, "originNumber": record.origin_number, "number": record.number,
                  "synced": record.synced, "payloadSha256": digest, "from": record.source})
    return store.status()


def command_ls(store, options):
    keys = [Key(store, key, options.producer) for key in store.keys()]
    for key in sorted(keys, key=lambda key: (key.resume.stamp, key.resume.key)):
        emit(key.row(key.resume))
    return store.status()


def command_show(store, options):
    key = Key(store, find_key(store, options.key), options.producer)
    for record in key.live:
        emit(key.row(record))
    return store.status()


def command_get(store, options):
    key = find_key(store, options.key)
    damaged, producer = set(), Key(store, key, options.producer).producer
    while record := getattr(Key(store, key, producer, damaged), options.which):
        try:
            sys.stdout.buffer.write(record.payload())
            return 65 if damaged or record.segment.in_own_words(record).source == "footer" else store.status()
        except Damage as damage:
            print(f"{record.segment.name} at {record.offset}: {damage}", file=sys.stderr)
            damaged.add((record.segment.name, record.offset))
    return 65


def command_check(store, _):
    damage = records = 0
    for segment in store.every:
        segment.check()
        for flaw in segment.flaws:
            emit({"segment": segment.name, **flaw._asdict()})
        damage += len(segment.flaws)
        records += len(segment.records) - len(segment.lost)
    emit({"verdict": "damaged" if damage else "clean", "segments": len(store.every), "records": records,
          "tornTails": sum(segment.torn for segment in store.every)})
    return 4 if damage else 0


def main(arguments=None):
    verbs = {"records": command_records, "ls": command_ls, "show": command_show, "get": command_get,
             "check": command_check}
    parser = argparse.ArgumentParser(description="Reads WarmStart stores.")
    parser.add_argument("verb", choices=verbs)
    parser.add_argument("store")
    parser.add_argument("key", nargs="?", default="", help="of show and get: the key, or its first digits")
    parser.add_argument("--producer", type=os.fsencode, help="of ls, show and get: for whom to answer")
    parser.add_argument("--which", choices=("resume", "best", "latest"), default="resume", help="of get")
    options = parser.parse_args(arguments)
    if not os.path.isdir(options.store):
        print("no store there", file=sys.stderr)
        return 66
    try:
        return verbs[options.verb](Store(options.store), options)
    except KeyError as error:
        print(error.args[0], file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
