"""The text of ``valgrind --tool=lackey --trace-mem=yes``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from vswaplab.base.backing import Op
from vswaplab.trace.importers.lines import blocks, sift, whole
from vswaplab.trace.importers.touches import Asked, Tally, Touches, spread

# I: an instruction fetch; L load, S store, M a load and a store; address in hexadecimal, bytes in decimal.
PATTERN = r"^(?P<kind>I | L| S| M) +(?P<address>[0-9A-Fa-f]{1,16}),(?P<size>\d{1,6})$"
ASIDE = r"^(==|--)\d+(==|--)|^$"
EXPECTED = "valgrind's ' L 1ffeffe7e8,8' (or I, S, M), or a line of its messages, '==PID== ...'"
LOST = "which process or thread; instruction fetches are passed over; M, a load and a store at once, is one write"
_PAGE_SHIFT = np.uint64(12)
_MAX_SIZE = 1 << 12


def read(stream: BinaryIO, asked: Asked, tally: Tally) -> Iterator[Touches]:
    """Read loads and stores; an access across a page border touches both pages.

    Parameters
    ----------
    stream
        Plain text.
    asked
    tally
        Counts instruction fetches.
    """
    for block in blocks(stream):
        rows = sift(block, PATTERN, ASIDE, EXPECTED, asked, tally)
        is_data = rows["kind"] != "I "
        if fetches := rows.height - int(is_data.sum()):
            tally["instruction fetches"] += fetches
        rows = rows.filter(is_data)
        address, size = whole(rows, "address", base=16), whole(rows, "size", most=_MAX_SIZE)
        first = address >> _PAGE_SHIFT
        last = (address + np.maximum(size, 1) - np.uint64(1)) >> _PAGE_SHIFT
        count = np.where(last > first, 2, 1).astype(np.int64)  # an address at the very end wraps around
        op = np.where((rows["kind"] == " L").to_numpy(), Op.READ, Op.WRITE).astype(np.uint8)
        yield from spread(first, count, op)
