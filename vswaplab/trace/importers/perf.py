"""Memory samples and page faults as ``perf script -F comm,pid,tid,time,event,addr`` prints them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
import polars as pl

from vswaplab.base.backing import Op
from vswaplab.trace.importers.lines import blocks, sift, whole
from vswaplab.trace.importers.touches import Asked, Spaces, Tally, Touches

PATTERN = (
    r"^\s*(?P<comm>\S.*?)\s+(?P<pid>-?\d+)(?:/-?\d+)?\s+(?:\[\d+\]\s+)?(?:\d+\.\d+:\s+)?(?:\d+\s+)?"
    r"(?P<event>[A-Za-z][^\s]*):\s+(?P<address>[0-9a-f]{1,16})(?P<rest>\s*$|\s+\|OP .*$|\s+[0-9a-f]+ \|OP .*$)"
)
KNOWN = (
    PATTERN + r"|^\s*\S.*?\s+-?\d+(?:/-?\d+)?\s+(?:\[\d+\]\s+)?\d+\.\d+:\s+(?:\d+\s+)?[A-Za-z]\S*:\s+[0-9a-f]{1,16}\s"
)
"""What perf's lines look like, those too that have no data address."""
ASIDE = r"^\s*(#|$)"
EXPECTED = (
    "a sample with its data address, 'COMM PID/TID TIME: EVENT: ADDRESS', as "
    "`perf script -F comm,pid,tid,time,event,addr` prints it"
)
LOST = (
    "all that happened between two samples; whether a page fault or a sampled load was a write, unless the event "
    "or the data source says store (--default-op); without PID/TID the process, so that each thread has pages of its "
    "own; samples of kernel addresses are passed over"
)
_KERNEL = np.uint64(1 << 63)
_PAGE_SHIFT = np.uint64(12)


def read(stream: BinaryIO, asked: Asked, tally: Tally) -> Iterator[Touches]:
    """Read samples; each process has pages of its own: PID of PID/TID, or the one number that there is.

    Parameters
    ----------
    stream
        Plain text.
    asked
        ``default_op`` is what a touch is where the event does not say.
    tally
        Counts samples without a user's address.
    """
    spaces = Spaces("processes")
    for block in blocks(stream):
        rows = sift(block, PATTERN, ASIDE, EXPECTED, asked, tally)
        address = whole(rows, "address", base=16)
        is_user = (address < _KERNEL) & (address > 0)
        if others := int((~is_user).sum()):
            tally["samples without an address of the program's own"] += others
        rows, address = rows.filter(pl.Series(is_user, dtype=pl.Boolean)), address[is_user]
        yield Touches(spaces.keys(rows["pid"].to_list(), address >> _PAGE_SHIFT), _op(rows, asked.default_op))


def _op(rows: pl.DataFrame, default: Op) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    words = pl.concat_str("event", "rest").str.to_lowercase()
    store, load = words.str.contains("store"), words.str.contains("load")
    op = pl.when(store).then(int(Op.WRITE)).when(load).then(int(Op.READ)).otherwise(int(default))
    return rows.select(op.cast(pl.UInt8).alias("op"))["op"].to_numpy()
