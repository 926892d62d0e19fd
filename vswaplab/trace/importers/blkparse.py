"""What was read from, written to and discarded on a swap device, as blkparse prints it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vswaplab.base.backing import Op
from vswaplab.trace.importers.lines import blocks, sift, whole
from vswaplab.trace.importers.touches import Asked, Spaces, Tally, Touches, spread

# device, CPU, sequence, seconds, PID, action, what is done, first sector + sectors
PATTERN = (
    r"^\s*(?P<device>\d+,\d+)\s+\d+\s+\d+\s+\d+\.\d+\s+\d+\s+(?P<action>[A-Z]{1,2})\s+(?P<rwbs>[A-Z]+)"
    r"(?:\s+(?P<sector>\d+)(?:\s+\+\s+(?P<sectors>\d+))?(?:\s.*)?|\s+\[.*)$"
)
ASIDE = (
    r"^\s*$|^\s*\d+,\d+\s+\d+\s+\d+\s+\d+\.\d+\s+\d+\s+(?:[A-Z]{1,2}|m)\s"  # other actions, messages
    r"|^(?:CPU\s?\d+|Total) \(|^\s*(?:Reads?|Writes?|IO|PC|Read|Write) [A-Za-z]+:"  # the summary
    r"|^\s*(?:IO unplugs|Throughput|Events|Skips|Read depth|Input file)\b"
)
EXPECTED = "blkparse's 'MAJOR,MINOR CPU SEQUENCE TIME PID ACTION RWBS SECTOR + SECTORS [COMM]'"
ACTION = "Q"
"""The action that counts: a request is queued once, whatever becomes of it later."""

LOST = (
    "every access that memory answered: only what went to the device is there. A page is a slot of the device, so "
    "that a slot used again by another page counts as the same page. A discard is a free"
)
_SECTORS = np.uint64(8)
_MAX_SECTOR = 1 << 54


def read(stream: BinaryIO, asked: Asked, tally: Tally) -> Iterator[Touches]:
    """Read queued requests; each page-sized slot of a device is a page.

    Parameters
    ----------
    stream
        Plain text.
    asked
        ``events`` is the action that counts; "": Q.
    tally
        Counts other actions, and requests that move nothing.
    """
    spaces, action = Spaces("devices"), asked.events or ACTION
    for block in blocks(stream):
        rows = sift(block, PATTERN, ASIDE, EXPECTED, asked, tally)
        is_counted = rows["action"] == action
        if others := rows.height - int(is_counted.sum()):
            tally[f"actions other than {action}"] += others
        yield from requests(rows.filter(is_counted), spaces, tally, asked.max_pages)


def requests(rows: pl.DataFrame, spaces: Spaces, tally: Tally, max_pages: int) -> Iterator[Touches]:
    """Make touches of requests to block devices.

    Parameters
    ----------
    rows
        ``line``, ``device``, ``rwbs``, ``sector``, ``sectors`` (texts).
    spaces
    tally
        Counts requests that move nothing.
    max_pages
        Most that one may cover.
    """
    moves = rows["rwbs"].str.contains("[RWD]") & rows["sectors"].is_not_null() & (rows["sectors"] != "0")
    if still := rows.height - int(moves.sum()):
        tally["requests that move nothing"] += still
    rows = rows.filter(moves)
    first = whole(rows, "sector", most=_MAX_SECTOR)
    last = first + whole(rows, "sectors", most=max_pages * int(_SECTORS)) - np.uint64(1)
    slot = first // _SECTORS
    count = (last // _SECTORS - slot).astype(np.int64) + 1
    yield from spread(spaces.keys(rows["device"].to_list(), slot), count, _op(rows))


def _op(rows: pl.DataFrame) -> NDArray[np.uint8]:
    rwbs = pl.col("rwbs").str
    op = pl.when(rwbs.contains("D")).then(int(Op.FREE)).when(rwbs.contains("W")).then(int(Op.WRITE))
    return rows.select(op.otherwise(int(Op.READ)).cast(pl.UInt8).alias("op"))["op"].to_numpy()
