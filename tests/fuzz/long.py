"""Damage files for as long as you like, and keep what gets through.

    python tests/fuzz/long.py [--seconds 600] [--atheris] [READER...]

Each reader gets the seconds. Without ``--atheris`` (guided by coverage: pip install atheris) damage is at random.
Memory is bounded: a file that makes a reader want more than it may is a hole as well. A file that gets through is
kept in the working folder, and the run ends with status 1.
"""

from __future__ import annotations

import argparse
import hashlib
import operator as op
import os
import random
import resource
import runpy
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

_made = runpy.run_path(str(Path(__file__).with_name("readers.py")))
READERS: dict[str, Any] = _made["READERS"]
damage: Callable[[bytes, random.Random], bytes] = _made["damage"]
NOTHING = (b"", b"\x00" * 5000, b"PAR1" * 1000, b"\xff" * 100, b"[" * 100_000, b"a = " + b"[" * 100_000)
ROOM = 2 << 30  # bytes of address space that reading may add
PLAIN = (int, str, bytes)  # what libFuzzer learns from when two of them are compared
COMPARISONS: tuple[Callable[[Any, Any], object], ...] = (op.lt, op.le, op.eq, op.ne, op.gt, op.ge)  # as dis.cmp_op


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600, metavar="S", help="for each reader; default 600")
    parser.add_argument("--atheris", action="store_true", help="guided by coverage instead of at random")
    parser.add_argument("--files", type=int, metavar="N", help="so many instead of seconds")
    parser.add_argument("--seed", type=int, help="of the damage; default: another one every time")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("readers", nargs="*", metavar="READER", help=f"some of: {', '.join(READERS)}")
    arguments = parser.parse_args()
    names = arguments.readers or list(READERS)
    if arguments.alone:
        for name in names:
            _fuzz(name, arguments)
        return 0
    failed = 0
    for name in names:  # each in a process of its own: a reader may take it down
        words = ["--alone", f"--seconds={arguments.seconds}", *(["--atheris"] if arguments.atheris else []), name]
        words += [f"--{option}={n}" for option in ("files", "seed") if (n := getattr(arguments, option)) is not None]
        status = subprocess.run([sys.executable, __file__, *words], check=False).returncode
        if status:
            print(f"{name}: FAILED (status {status})", flush=True)
        failed += status != 0
    return int(failed > 0)


def _fuzz(name: str, arguments: argparse.Namespace) -> None:
    warnings.simplefilter("ignore")
    reader = READERS[name]
    assert reader.survives(reader.whole), name
    for data in NOTHING:
        reader.survives(data)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + ROOM, resource.RLIM_INFINITY))
    seen = {True: 0, False: 0}

    def attempt(data: bytes) -> None:
        (kept := Path(f"fuzz-{hashlib.sha256(data).hexdigest()[:12]}.bin")).write_bytes(data)  # in case we go down
        seen[reader.survives(data)] += 1
        kept.unlink()

    def tell() -> None:
        print(f"{name}: {sum(seen.values()):,} files, {seen[False]:,} refused, {seen[True]:,} accepted", flush=True)

    if arguments.atheris:
        _guided(attempt, reader.whole, arguments.seconds, tell)
    rng, until = random.Random(arguments.seed), time.monotonic() + arguments.seconds
    while sum(seen.values()) < arguments.files if arguments.files is not None else time.monotonic() < until:
        attempt(damage(reader.whole, rng))
    tell()


def _guided(attempt: Callable[[bytes], None], whole: bytes, seconds: float, tell: Callable[[], None]) -> None:
    import atheris

    atheris.instrument_all()  # a minute
    until = time.monotonic() + seconds
    traced: list[Callable[..., Any]] = []

    def compared(left: object, right: object, how: int, *which: object) -> object:
        # atheris 3.0.0 keeps a reference to the result of every comparison for good: an array's would fill the room.
        if type(left) in PLAIN and type(right) in PLAIN:
            return traced[0](left, right, how, *which)
        return COMPARISONS[how](left, right)

    def mutated(data: bytes, most: int, seed: int) -> bytes:
        if not data or seed % 50 == 0:
            data = whole
        return damage(data, random.Random(seed))[:most] if seed % 2 else bytes(atheris.Mutate(data, most))

    def one(data: bytes) -> None:
        if atheris._trace_cmp is not compared:
            traced.append(atheris._trace_cmp)  # only Fuzz() puts the one in place that libFuzzer reads
            atheris._trace_cmp = compared
        if time.monotonic() > until:
            tell()
            os._exit(0)  # libFuzzer does not come back
        attempt(data)

    options = [f"-max_len={4 * len(whole) + 1024}", "-print_final_stats=0", "-verbosity=0", "-rss_limit_mb=0"]
    atheris.Setup([sys.argv[0], *options], one, custom_mutator=mutated)
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
