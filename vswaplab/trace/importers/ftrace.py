"""Page faults, swap traffic and reclaim from tracepoints: ftrace, ``trace-cmd report``, ``perf script``, bpftrace.

Events of four kinds can become accesses; of one file, one kind does:

``fault``
    ``page_fault_user``, ``page_fault_kernel``: the page at ``address`` of the process, a write if bit 1 of
    ``error_code`` is set. The process is ``(TGID)``, or PID of ``PID/TID``; where only the thread is told, the thread.
``swap``
    ``swap_in``, ``swap_out``, ``swap_free`` with ``entry``: no tracepoints of the kernel, but what a bpftrace
    program on ``swap_read_folio`` and ``swap_writepage`` prints. The page is the swap entry.
``block``
    ``block_rq_issue``, ``block_bio_queue``: a page-sized slot of the device.
``reclaim``
    ``mm_vmscan_write_folio`` (``mm_vmscan_writepage`` before Linux 5.18): the frame ``pfn`` is written out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import BinaryIO

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vswaplab.base.backing import Op
from vswaplab.base.errors import InputError
from vswaplab.trace.importers.blkparse import requests
from vswaplab.trace.importers.lines import blocks, sift, whole
from vswaplab.trace.importers.touches import Asked, Spaces, Tally, Touches

# ftrace and trace-cmd: COMM-TID [CPU] FLAGS TIME: EVENT: FIELDS, with record-tgid COMM-TID (TGID) [CPU] ..., where
# (-------) is a TGID not known (Linux 6.12, kernel/trace/trace_output.c, trace_print_context). perf script:
# COMM TID [CPU] TIME: GROUP:EVENT: FIELDS, with -F pid,tid COMM PID/TID [CPU] ...
PATTERN = (
    r"^\s*(?P<comm>\S.*?)(?:-|\s+)(?P<id>\d+)(?:/\d+)?\s+(?:\(\s*(?:(?P<tgid>\d+)|-+)\)\s+)?\[\d+\]\s+"
    r"(?:[\w.#]{4,6}\s+)?"
    r"\d+(?:\.\d+)?:\s+(?:\w+:)?(?P<event>[a-z_]\w*):\s*(?P<fields>.*)$"
)
ASIDE = r"^\s*(?:#|$)|^cpus=\d+|^CPU:? ?\d+ (?:is empty|\[LOST)|^Attaching \d+ probes?|^\s*=> "
EXPECTED = "a tracepoint, 'COMM-PID [CPU] FLAGS TIME: EVENT: FIELD=VALUE ...'"
LOST = (
    "every access that did not come to an event. Of page faults: touches of mapped pages; where only the thread is "
    "told, the process, so that each thread has pages of its own (ftrace: set options/record-tgid; perf script: "
    "-F comm,pid,tid,cpu,time,event,trace). Of swap and block events: all that memory answered; a slot used again "
    "counts as the same page. Of reclaim: which page it was, for only its frame is known"
)

KINDS: Mapping[str, tuple[str, ...]] = {
    "fault": ("page_fault_user", "page_fault_kernel"),
    "swap": ("swap_in", "swap_out", "swap_free"),
    "block": ("block_rq_issue", "block_bio_queue"),
    "reclaim": ("mm_vmscan_write_folio", "mm_vmscan_writepage"),
}
"""Kind to its events; what tells most comes first. Of ``block`` the event that the file has first counts."""

_SWAP_OPS = {"swap_in": Op.READ, "swap_out": Op.WRITE, "swap_free": Op.FREE}
_WRITE_BIT = np.uint64(2)  # arch/x86/include/asm/trap_pf.h, X86_PF_WRITE
_KERNEL = np.uint64(1 << 63)
_PAGE_SHIFT = np.uint64(12)


def read(stream: BinaryIO, asked: Asked, tally: Tally) -> Iterator[Touches]:
    """Read the events of one kind.

    Parameters
    ----------
    stream
        Plain text.
    asked
        ``events`` is the kind that counts; "": that of the first megabytes that comes first in ``KINDS``.
    tally
        Counts the other events by name.
    """
    if asked.events and asked.events not in KINDS:
        raise InputError(f"events {asked.events!r} of a trace of tracepoints: choose from {', '.join(KINDS)}")
    names: tuple[str, ...] = KINDS.get(asked.events, ())
    spaces = Spaces("processes or devices")
    for block in blocks(stream):
        rows = sift(block, PATTERN, ASIDE, EXPECTED, asked, tally)
        names = names or _told_best(rows)
        if "block_rq_issue" in names and len(names) > 1:
            names = _one_of(rows, names)
        is_counted = rows["event"].is_in(names)
        for event, count in rows["event"].filter(~is_counted).value_counts().iter_rows():
            tally[f"events {event}"] += count
        yield from _touches(rows.filter(is_counted), names, spaces, tally, asked.max_pages)


def _told_best(rows: pl.DataFrame) -> tuple[str, ...]:
    there = set(rows["event"])
    return next((names for names in KINDS.values() if there.intersection(names)), ())


def _one_of(rows: pl.DataFrame, names: tuple[str, ...]) -> tuple[str, ...]:
    # A request is both queued and issued, and counts once.
    found = rows["event"].filter(rows["event"].is_in(names))
    return (str(found[0]),) if found.len() else names


def _touches(
    rows: pl.DataFrame, names: tuple[str, ...], spaces: Spaces, tally: Tally, max_pages: int
) -> Iterator[Touches]:
    if not rows.height:
        return
    if names[0].startswith("block"):
        yield from _block(rows, spaces, tally, max_pages)
    elif names == KINDS["fault"]:
        yield _faults(rows, spaces, tally)
    elif names == KINDS["swap"]:
        op = rows["event"].replace_strict({name: int(op) for name, op in _SWAP_OPS.items()}, return_dtype=pl.UInt8)
        yield Touches(_field(rows, "entry"), op.to_numpy())
    else:
        yield Touches(_field(rows, "pfn"), np.full(rows.height, Op.WRITE, np.uint8))


def _faults(rows: pl.DataFrame, spaces: Spaces, tally: Tally) -> Touches:
    address = _field(rows, "address")
    is_user = address < _KERNEL
    if others := int((~is_user).sum()):
        tally["faults at kernel addresses"] += others
    rows = rows.filter(pl.Series(is_user, dtype=pl.Boolean))
    op = np.where(_field(rows, "error_code") & _WRITE_BIT, Op.WRITE, Op.READ).astype(np.uint8)
    process = rows.select(pl.coalesce("tgid", "id")).to_series()
    return Touches(spaces.keys(process.to_list(), address[is_user] >> _PAGE_SHIFT), op)


def _field(rows: pl.DataFrame, name: str) -> NDArray[np.uint64]:
    # page_fault_user: address=0x7f3d39894000f ip=0x... error_code=0x6; perf script leaves out nothing of it
    value = pl.col("fields").str.extract(rf"\b{name}=(\w+)").fill_null("")
    table = rows.select("line", value.alias(name))
    is_hex = table[name].str.starts_with("0x")
    return whole(table, name, base=16) if is_hex.all() else whole(table, name)


def _block(rows: pl.DataFrame, spaces: Spaces, tally: Tally, max_pages: int) -> Iterator[Touches]:
    # block_rq_issue: 254,0 W 4096 () 8 + 8 none,0,0 [w]; block_bio_queue: 254,0 W 8 + 8 [w]
    pattern = r"^(?P<device>\d+,\d+) (?P<rwbs>[A-Z]+) (?:\d+ \(.*?\) )?(?P<sector>\d+) \+ (?P<sectors>\d+) "
    table = rows.with_columns(pl.col("fields").str.extract_groups(pattern).alias("found")).unnest("found")
    other = table.filter(pl.col("device").is_null())
    if other.height:
        raise InputError(f"line {other['line'][0]}: expected 'MAJOR,MINOR RWBS ... SECTOR + SECTORS' after the event")
    yield from requests(table, spaces, tally, max_pages)
