"""``vswaplab record``: a program of the user's, under the recorder."""

from __future__ import annotations

import argparse
import sys
import time
from typing import TextIO

from vswaplab.base.checks import count_of
from vswaplab.base.errors import InputError
from vswaplab.base.units import PAGE_SIZE, format_bytes
from vswaplab.cli.text import INTERRUPTED, OK
from vswaplab.recorder.family import MAX_CHILDREN
from vswaplab.recorder.guest import DUMPS_KEPT, Limits, Ran, Seen
from vswaplab.recorder.record import FAMILY_RECORDS, K, Recording, record

DEFAULT_OUT = "recorded"
_EVERY_S = {True: 0.2, False: 10.0}  # between two lines of progress, on a terminal and elsewhere


def add_arguments(verb: argparse.ArgumentParser) -> None:
    """Say what ``record`` understands."""
    add, usual = verb.add_argument, Limits()
    verb.usage = "vswaplab record [OPTIONS] -- COMMAND ..."
    add("command", nargs=argparse.REMAINDER, metavar="-- COMMAND ...", help="a program for Linux on x86-64")
    add("--children", action="store_true", help=f"record up to {MAX_CHILDREN} processes that fork off, too")
    add(
        "--contents",
        action="store_true",
        help=f"copy out a sample of the pages at up to {DUMPS_KEPT} moments and measure how they compress: a corpus "
        "beside the trace (extra record)",
    )
    add("--out", default=DEFAULT_OUT, metavar="DIR", help=f"traces/ and corpus/ go there, default {DEFAULT_OUT}")
    add("--name", metavar="NAME", help="of the files, default: of the program")
    add("--title", default="", metavar="TEXT", help="of the trace; the trace keeps the command line besides")
    add(
        "--k",
        metavar="PAGES",
        help=f"the trace is exact for LRU memories of so many pages and more; default: a sixteenth of the program's "
        f"pages, {K[0]} to {K[1]}",
    )
    add(
        "--max-records",
        metavar="N",
        help=f"stop the program after so many records, default {usual.max_records:,}, with --children "
        f"{FAMILY_RECORDS:,}: 24 bytes each of temporary disk; of a family 250 of memory",
    )
    add(
        "--max-pages",
        metavar="N",
        help=f"stop the program after it touched so many pages, default {usual.max_pages:,}: 60 bytes of memory each",
    )
    add(
        "--sample",
        metavar="PAGES",
        help=f"with --contents, at most so many pages a moment, default {usual.sample_pages:,}: 4 KiB each, "
        f"{DUMPS_KEPT + 1} moments of temporary disk",
    )
    verb.set_defaults(verb=run_record)


def run_record(arguments: argparse.Namespace) -> int:
    """Record, tell; return the exit status."""
    command = arguments.command[1:] if arguments.command[:1] == ["--"] else arguments.command
    if arguments.sample is not None and not arguments.contents:
        raise InputError("--sample is for --contents, which is not asked for: add it, or leave --sample out")
    limits = Limits(
        _count("--max-records", arguments.max_records, FAMILY_RECORDS if arguments.children else Limits.max_records),
        _count("--max-pages", arguments.max_pages, Limits.max_pages),
        _count("--sample", arguments.sample, Limits.sample_pages),
    )
    with _Status(sys.stderr) as status:
        made = record(
            command,
            arguments.out,
            name=arguments.name,
            title=arguments.title,
            children=arguments.children,
            contents=arguments.contents,
            k=None if arguments.k is None else count_of("--k", arguments.k),
            limits=limits,
            report=status.report,
            told=status.told,
        )
    _tell(made, children=arguments.children)
    return INTERRUPTED if made.ran.stopped == "Ctrl-C" else OK


def _count(option: str, text: str | None, default: int) -> int:
    return default if text is None else count_of(option, text)


class _Status:
    # A line of progress on standard error, between whatever the program writes.
    def __init__(self, stream: TextIO) -> None:
        self._stream, self._is_terminal, self._last = stream, stream.isatty(), time.monotonic()

    def __enter__(self) -> _Status:
        return self

    def __exit__(self, *_: object) -> None:
        self._clear()

    def report(self, seen: Seen) -> None:
        if time.monotonic() - self._last < _EVERY_S[self._is_terminal]:
            return
        self._last = time.monotonic()
        self.told(f"recording: {seen.seconds:.0f} s, {_words(seen)}; Ctrl-C stops it and keeps that")

    def told(self, text: str) -> None:
        if self._is_terminal:
            print(f"\r\x1b[K{text}", end="", file=self._stream, flush=True)
        else:
            print(f"vswaplab: {text}", file=self._stream, flush=True)

    def _clear(self) -> None:
        if self._is_terminal:
            print("\r\x1b[K", end="", file=self._stream, flush=True)


def _words(seen: Seen) -> str:
    return f"{seen.n_accesses:,} accesses to {seen.n_pages:,} pages, {seen.n_records:,} records"


def _tell(made: Recording, *, children: bool) -> None:
    facts, ran = made.facts, made.ran
    print(f"Recorded {facts['name']}: {_end(ran)}")
    size = format_bytes(facts["n_pages"] * PAGE_SIZE)
    print(f"  {facts['n_accesses']:,} accesses to {facts['n_pages']:,} pages ({size}), kept as {facts['n_records']:,}")
    if "n_pages_live_peak" in facts:
        live = facts["n_pages_live_peak"]
        print(f"  at most {live:,} pages ({format_bytes(live * PAGE_SIZE)}) live at one time")
    print(f"  exact for LRU memories of {ran.k:,} pages ({format_bytes(ran.k * PAGE_SIZE)}) and more")
    if facts.get("n_pages_live_peak", ran.k) < ran.k:
        print(f"  which is more than it ever had: record it with a smaller --k, such as {max(1, live // 16)}")
    if "n_processes" in facts:
        print(f"  {facts['n_processes']} processes, {facts['n_copies']:,} pages copied on write")
    if children and ran.n_children > MAX_CHILDREN:
        print(f"  of {ran.n_children} children the first {MAX_CHILDREN} are in it")
    if "redraw_probability" in facts:
        print(f"  a kept write changes a page for good with probability {facts['redraw_probability']}")
        print(f"Corpus: {made.corpus}")
    print(f"Trace: {made.trace}; run it: vswaplab run {made.trace}")


def _end(ran: Ran) -> str:
    if ran.stopped == "Ctrl-C":
        return "stopped by Ctrl-C; what was seen until then is kept"
    if ran.stopped:
        return f"stopped at the limit {ran.stopped}; what was seen until then is kept"
    if ran.status is not None and ran.status < 0:
        return f"the program was killed by signal {-ran.status}; its last moments are not in it"
    return f"the program ended with status {ran.status}"
