"""Make one trace of what the plugin has written: of one process, or of a family that forked.

A family's trace starts at the first fork. Before it the parent was alone and wrote in place pages that
the trace knows as shared, so an earlier start would make copies that never happened. What was live then
comes first, one read by the parent each, in order of last touch: an LRU memory of any size holds
after these reads what it would have held. From there on a row is a record.

A page has one number for all who share it, and a set of mappers that holds from the first row on.
That is true to the kernel while nobody who will fork has changed the page: copies and frees follow
from the set. A page that its owner changed and shares by a later fork is renewed: at its next touch
the owner frees the old number and the page goes on under a new one, whose set is parent and child.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vswaplab.base.errors import InputError

RECORD = np.dtype([("time", "<u8"), ("page", "<u4"), ("op", "<u4"), ("repeat_reads", "<u4"), ("repeat_writes", "<u4")])
READ, WRITE, FREE, FORK, END, MOMENT, CUT, EXEC = range(8)
"""Ops of the plugin's records; from FORK on they are marks, of which a trace has none. EXEC is made here, of an END."""
MAX_CHILDREN = 7
PIECE = 1 << 18
"""Records in memory at once where a trace is streamed."""

Records = NDArray[np.void]
"""Records and marks of one process, in time order; dtype RECORD."""


@dataclass
class Recorded:
    """One trace as a table, and what the rest of a recording needs to know of it.

    `moments` are the rows before each dump; `dumps` are the number of each dump, and what to add to its page
    numbers; `numbers` give, for each dump, the trace's number of each of the numbers so made (None: they are the same).
    """

    table: pl.DataFrame
    moments: list[int]
    dumps: list[tuple[int, int]]
    numbers: list[dict[int, int]] | None = None
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(eq=False, slots=True)
class Page:
    """One page as one process maps it."""

    number: int  # in the trace; -1: not given yet
    frame: int  # what it maps, -1: freed
    is_changed: bool  # written or freed under this number: no later child may join it
    renewal: Renewal | None = None


@dataclass(eq=False, slots=True)
class Renewal:
    """A changed page after a fork: its next touch gives a new number to all who still map it."""

    owner: int
    old: int
    pages: dict[int, Page]  # by mapper


class Family:
    """Follows every process from the first fork on and writes down the rows of the trace.

    Frames are followed as the kernel has them, only to count copies and live pages: the rows must
    lead whoever reads them to the same counts.
    """

    def __init__(self) -> None:
        self.rows: list[tuple[int, int, int, int, int]] = []
        self.sets: list[int] = []
        self.tables: dict[int, dict[int, Page]] = {}
        self.shares: list[int] = []
        self.n_live = self.n_live_peak = self.n_copies = self.n_renewed = 0

    def start(self, live: Iterable[int]) -> None:
        """Let the parent read its live pages, least recently touched first."""
        self.tables[0] = {}
        for local in live:
            self.touch(0, local, READ, 0, 0)
            self.tables[0][local].is_changed = False

    def fork(self, parent: int, child: int) -> None:
        """Give the child what the parent has."""
        table = self.tables[child] = {}
        for local, page in self.tables[parent].items():
            if page.frame >= 0:
                table[local] = self._share(parent, page, child)

    def touch(self, mapper: int, local: int, op: int, repeat_reads: int, repeat_writes: int) -> None:
        """Write down a read or a write."""
        page = self.tables[mapper].setdefault(local, Page(-1, -1, is_changed=False))
        if page.renewal:
            self._renew(page.renewal, mapper, op)
        if page.number < 0:
            page.number = self._new_number(1 << mapper)
        if page.frame < 0:
            page.frame = self._new_frame()
        elif op == WRITE and self.shares[page.frame] > 1:
            self.shares[page.frame] -= 1
            page.frame = self._new_frame()
            self.n_copies += 1
        page.is_changed |= op == WRITE
        self.rows.append((page.number, op, repeat_reads, repeat_writes, mapper))

    def free(self, mapper: int, local: int) -> None:
        """Write down a free, and let go of the frame."""
        page = self.tables[mapper][local]
        if page.renewal:
            self._leave(page.renewal, mapper)
        else:
            self.rows.append((page.number, FREE, 0, 0, mapper))
        self.shares[page.frame] -= 1
        self.n_live -= not self.shares[page.frame]
        page.frame, page.is_changed = -1, True

    def end(self, mapper: int) -> None:
        """Free everything, as the kernel does for a process that ends."""
        for local, page in self.tables[mapper].items():
            if page.frame >= 0:
                self.free(mapper, local)

    def numbers(self) -> dict[int, int]:
        """Trace's number of every live page of the parent."""
        return {
            local: page.renewal.old if page.renewal else page.number
            for local, page in self.tables[0].items()
            if page.frame >= 0
        }

    def _share(self, parent: int, page: Page, child: int) -> Page:
        self.shares[page.frame] += 1
        if page.is_changed and not page.renewal:
            page.renewal = Renewal(parent, page.number, {parent: page})
        if not page.renewal:
            self.sets[page.number] |= 1 << child
            return Page(page.number, page.frame, is_changed=False)
        mine = page.renewal.pages[child] = Page(-1, page.frame, is_changed=False, renewal=page.renewal)
        return mine

    def _renew(self, renewal: Renewal, mapper: int, op: int) -> None:
        if renewal.owner in renewal.pages:
            self.rows.append((renewal.old, FREE, 0, 0, renewal.owner))
        number = self._new_number(sum(1 << holder for holder in renewal.pages))
        for page in renewal.pages.values():
            page.number, page.renewal, page.is_changed = number, None, False
        self.n_renewed += 1
        if op == WRITE and len(renewal.pages) > 1:  # a copy needs something to copy
            self.rows.append((number, READ, 0, 0, mapper))

    def _leave(self, renewal: Renewal, mapper: int) -> None:
        renewal.pages.pop(mapper).renewal = None
        if mapper == renewal.owner:
            self.rows.append((renewal.old, FREE, 0, 0, mapper))
        elif list(renewal.pages) == [renewal.owner]:  # alone again before anybody touched it: nothing happened
            renewal.pages[renewal.owner].renewal = None

    def _new_number(self, mappers: int) -> int:
        self.sets.append(mappers)
        return len(self.sets) - 1

    def _new_frame(self) -> int:
        self.shares.append(1)
        self.n_live += 1
        self.n_live_peak = max(self.n_live_peak, self.n_live)
        return len(self.shares) - 1


def read(path: Path, *, whole: bool = False) -> list[Records]:
    """Read the records of every process, the parent first.

    Parameters
    ----------
    path
        The parent's records; those of the children lie beside it.
    whole
        Refuse a process that was stopped or killed; else it ends where its records end.
    """
    numbers = [0, *(n for n in range(1, MAX_CHILDREN + 1) if path.with_name(f"{path.name}.{n}").exists())]
    found = [[np.fromfile(file, RECORD) for file in programs(path, number)] for number in numbers]
    base = max(n_pages(records) for process in found for records in process)
    processes = [_joined(process, base) for process in found]
    for number, records in zip(numbers, processes, strict=True):
        if whole and (not len(records) or records["op"][-1] != END):
            raise InputError(f"process {number} was killed or still ran: its last records are missing")
    return [_closed(records) for records in processes]


def programs(path: Path, process: int = 0) -> list[Path]:
    """List the records of the programs that a process was, one after the other.

    Parameters
    ----------
    path
        The parent's records.
    process
        0, or the number of the child.
    """
    later = path.parent.glob(f"{path.name}.{process}.*")
    first = path if process == 0 else path.with_name(f"{path.name}.{process}")
    return [first, *sorted(later, key=lambda file: int(file.suffix[1:]))]


def _joined(programs: Sequence[Records], base: int) -> Records:
    # One after the other with EXEC in between, each with page numbers beyond all that the ones before touched or got
    # from a parent.
    if base * len(programs) > np.iinfo(np.uint32).max:
        raise InputError(f"a process became another program {len(programs) - 1} times: record a part of it")
    for generation, (before, after) in enumerate(pairwise(programs), 1):
        if len(before) and before["op"][-1] == END:
            before["op"][-1] = EXEC
        after["page"][after["op"] <= FREE] += np.uint32(generation * base)
        after["repeat_reads"][after["op"] == MOMENT] = generation * base
    return np.concatenate(programs)


def n_pages(records: Records) -> int:
    """Count the pages of one program: they are numbered from 0."""
    page = records["page"][records["op"] <= FREE]
    return int(page.max()) + 1 if len(page) else 0


def _closed(records: Records) -> Records:
    if len(records) and records["op"][-1] in (END, CUT):
        return records
    last = int(records["time"][-1]) if len(records) else 0
    return np.append(records, np.array([(last, 0, CUT, 0, 0)], RECORD))


def recorded(path: Path, *, whole: bool = False) -> Recorded:
    """Make the trace of a recording, whether it forked or not; ``whole`` as in ``read``."""
    processes = read(path, whole=whole)
    if (processes[0]["op"] == FORK).any():
        return merged(processes)
    records = np.concatenate(list(alone(path)))
    is_row, marks = records["op"] <= FREE, records[records["op"] == MOMENT]
    moments = is_row.cumsum()[records["op"] == MOMENT].tolist()
    return Recorded(table_of(records[is_row]), moments, dumps_of(marks))


def dumps_of(marks: Records) -> list[tuple[int, int]]:
    """Read MOMENT marks: the number of each dump, and what to add to its page numbers."""
    return list(zip(marks["page"].tolist(), marks["repeat_reads"].tolist(), strict=True))


def alone(path: Path) -> Iterator[Records]:
    """Read a process that did not fork, a piece at a time: its records and MOMENT marks.

    Where it became another program it frees what it had.
    """
    files, offset = programs(path), 0
    for file in files:
        last, n_pages = np.zeros(0, np.uint8), 0
        for records in _pieces(file):
            records = records[(records["op"] <= FREE) | (records["op"] == MOMENT)]
            is_row = records["op"] <= FREE
            if is_row.any():
                page = records["page"][is_row]
                n_pages = max(n_pages, int(page.max()) + 1)
                last = np.append(last, np.full(n_pages - last.size, FREE, np.uint8))
                last[page] = records["op"][is_row]  # of a page's ops the last one stays
            records["page"][is_row] += np.uint32(offset)
            records["repeat_reads"][~is_row] = offset
            yield records
        if file != files[-1]:
            yield _frees(np.flatnonzero(last != FREE) + offset)
        offset += n_pages


def _frees(page: NDArray[np.int64]) -> Records:
    frees = np.zeros(page.size, RECORD)
    frees["page"], frees["op"] = page, FREE
    return frees


def _pieces(file: Path) -> Iterator[Records]:
    n_records = file.stat().st_size // RECORD.itemsize
    for start in range(0, n_records, PIECE):
        yield np.fromfile(file, RECORD, min(PIECE, n_records - start), offset=start * RECORD.itemsize)


def table_of(records: Records) -> pl.DataFrame:
    """Turn records without marks into the columns of a trace file."""
    return pl.DataFrame(
        {
            "page": records["page"],
            "op": records["op"].astype(np.uint8),
            "repeat_reads": records["repeat_reads"],
            "repeat_writes": records["repeat_writes"],
        }
    )


def live_at_the_end(records: Records) -> list[int]:
    """List the pages live after these records of one process, least recently touched first."""
    page = records["page"]
    last = np.sort(len(page) - 1 - np.unique(page[::-1], return_index=True)[1])
    kept: list[int] = page[last][records["op"][last] != FREE].tolist()
    return kept


def merged(processes: list[Records]) -> Recorded:
    """Make one trace of a family that forked."""
    first_fork = int(np.flatnonzero(processes[0]["op"] == FORK)[0])
    before, processes = processes[0][:first_fork], [processes[0][first_fork:], *processes[1:]]
    if (before["op"] == EXEC).any():
        before = before[np.flatnonzero(before["op"] == EXEC)[-1] + 1 :]
    family = Family()
    family.start(live_at_the_end(before[before["op"] <= FREE]))
    n_start = len(family.rows)
    moments, dumps, numbers = follow(family, processes)
    rows = pl.DataFrame(
        family.rows,
        schema={
            "page": pl.UInt32, "op": pl.UInt8, "repeat_reads": pl.UInt32, "repeat_writes": pl.UInt32,
            "mapper": pl.UInt8,
        },
        orient="row",
    )  # fmt: skip
    touches = rows.filter(pl.col("op") != FREE)
    repeats = touches.select(pl.col("repeat_reads", "repeat_writes").cast(pl.UInt64).sum()).row(0)
    facts = {
        "n_pages": len(family.sets),
        "n_pages_live_peak": family.n_live_peak,
        "n_accesses": len(touches) + sum(repeats),
        "n_processes": len(processes),
        "n_start_records": n_start,
        "n_copies": family.n_copies,
        "n_renewed": family.n_renewed,
        "mappers": family.sets,
    }
    return Recorded(rows, moments, dumps, numbers, facts)


def follow(family: Family, processes: list[Records]) -> tuple[list[int], list[tuple[int, int]], list[dict[int, int]]]:
    """Hand the family all records in order of time; say at which rows the dumps lie, with what numbers."""
    ends = [int(records["time"][-1]) for records in processes]
    mapper = np.repeat(np.arange(len(processes)), [len(records) for records in processes])
    records = np.concatenate(processes)
    order = np.argsort(records["time"], kind="stable")
    moments: list[int] = []
    dumps: list[tuple[int, int]] = []
    numbers: list[dict[int, int]] = []
    for process, row in zip(mapper[order].tolist(), records[order].tolist(), strict=True):
        time, page, op, repeat_reads, repeat_writes = row
        if op <= WRITE:
            family.touch(process, page, op, repeat_reads, repeat_writes)
        elif op == FREE:
            family.free(process, page)
        elif op == FORK and page <= MAX_CHILDREN:  # one beyond them has no number and recorded nothing
            family.fork(process, page)
        elif op == EXEC:
            family.end(process)
        elif op == MOMENT:
            moments.append(len(family.rows))
            dumps.append((page, repeat_reads))
            numbers.append(family.numbers())
        elif op == END and time == ends[process] and time != max(ends):
            # Not an exec that failed, and not the last process: a trace ends with its pages live.
            family.end(process)
    return moments, dumps, numbers
