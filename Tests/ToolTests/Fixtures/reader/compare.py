#!/usr/bin/env python3
"""Holds what the program prints of stores against what the independent reader makes of them.

    compare.py PROGRAM STORE...                        stores as they are
    compare.py PROGRAM --rounds N --seed S STORE...    copies of them, each damaged at random

Prints each difference; the exit status is 1 if there is any. Nothing is written into the stores.
"""

import argparse
import contextlib
import io
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import warmstart_reader as reader

KEYS = 12  # keys of a store that are looked at one by one


def asked(program, *arguments):
    done = subprocess.run([program, *arguments], capture_output=True, check=False)
    return done.returncode, done.stdout


def read(*arguments):
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding="utf-8")
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        status = reader.main(list(arguments))
        out.flush()
    return status, raw.getvalue()


def rows(answer, without=()):
    lines = [json.loads(line) for line in answer[1].splitlines()]
    return answer[0], [{name: line[name] for name in line if name not in without} for line in lines]


def has_copies(store):
    """Whether some record is there twice: then either may be named."""
    records = [(r.key, r.stamp, r.origin) for segment in reader.Store(store).segments for r in segment.records]
    return len(set(records)) < len(records)


def agree(theirs, ours):
    # Whether damage was met is not on the page for those who only look something up.
    met = {theirs[0], ours[0]} == {0, 65}
    return theirs[1] == ours[1] and (theirs[0] == ours[0] or met)


def verdict(status, summary, damage):
    places = sorted({(place["segment"], place["offset"]) for place in damage})
    counts = [summary[name] for name in ("verdict", "segments", "records", "tornTails")]
    return status, counts, places


def differences(program, store):
    """What the two say differently, a line each."""
    found = []

    def hold(what, theirs, ours):
        if not agree(theirs, ours):
            found.append(f"{what}\n    program {str(theirs)[:2000]}\n    reader  {str(ours)[:2000]}")

    place = ("segment", "offset") if has_copies(store) else ()
    for extra in ([], ["--producer", "fit 1"]):
        theirs = rows(asked(program, "ls", store, "--json", *extra), place)
        hold(f"ls {extra}", theirs, rows(read("ls", store, *extra), place))
    keys = sorted({r.key.hex() for segment in reader.Store(store).segments for r in segment.records})
    for key in random.Random(1).sample(keys, min(len(keys), KEYS)):
        theirs = rows(asked(program, "show", store, key, "--json"), place)
        hold(f"show {key}", theirs, rows(read("show", store, key), place))
        for which in ("resume", "best", "latest"):
            arguments = ("get", store, key, "--which", which)
            hold(f"get {key} {which}", asked(program, *arguments), read(*arguments))
    status, lines = rows(asked(program, "fsck", store, "--json"))
    theirs = verdict(status, lines[-1], lines[-1]["damage"])
    status, lines = rows(read("check", store))
    ours = verdict(status, lines[-1], lines[:-1])
    if theirs != ours:
        found.append(f"fsck\n    program {theirs}\n    reader  {ours}")
    return found


def damage(store, chance):
    """Changes a few bytes of a store, half of them where structure is. Gives what was done."""
    names = sorted(name for name in os.listdir(store) if name.endswith((".seg", ".log")))
    done = []
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        path = os.path.join(store, chance.choice(names))
        size = os.path.getsize(path)
        if size == 0:
            continue
        near = chance.choice((size, size, min(size, 400), None))
        at = size - 1 - chance.randrange(min(size, 900)) if near is None else chance.randrange(near)
        kind = chance.choice(("bit", "bit", "bit", "byte", "zeros", "cut"))
        with open(path, "r+b") as file:
            if kind == "cut":
                file.truncate(at)
            else:
                file.seek(at)
                old = file.read(1)[0]
                new = {"bit": bytes([old ^ 1 << chance.randrange(8)]), "byte": bytes([chance.randrange(256)]),
                       "zeros": bytes(min(chance.randrange(1, 700), size - at))}[kind]
                file.seek(at)
                file.write(new)
        done.append((os.path.basename(path), kind, at))
    return done


def main():
    parser = argparse.ArgumentParser(description="Holds the program against the independent reader.")
    parser.add_argument("program")
    parser.add_argument("stores", nargs="+")
    parser.add_argument("--rounds", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    different = 0

    def look(store, what):
        nonlocal different
        for difference in differences(options.program, store):
            different += 1
            print(f"{what}: {difference}")

    if options.rounds == 0:
        for store in options.stores:
            look(store, store)
    with tempfile.TemporaryDirectory() as scratch:
        for number in range(options.rounds):
            source = options.stores[number % len(options.stores)]
            copy = os.path.join(scratch, "store")
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(source, copy)
            done = damage(copy, random.Random(options.seed * 100_003 + number))
            look(copy, f"{source}, {done}")
    print(f"{options.rounds or len(options.stores)} stores, {different} differences")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
