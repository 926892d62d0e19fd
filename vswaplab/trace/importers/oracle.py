"""libCacheSim's oracleGeneral: records of 24 bytes, little-endian, without a header."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from vswaplab.base.errors import InputError
from vswaplab.trace.importers.touches import PIECE, Asked, Tally, Touches

RECORD = np.dtype([("time", "<u4"), ("object", "<u8"), ("size", "<u4"), ("next", "<i8")])
"""Seconds; object; bytes; number of the record that next asks for the object, -1 or the largest number: none."""

NEVER = (-1, (1 << 63) - 1)
LOST = (
    "reads and writes (--default-op says which all are), times, object sizes: one object is one page, whatever its size"
)


def read(stream: BinaryIO, asked: Asked, tally: Tally) -> Iterator[Touches]:
    """Read records; each object is one page.

    Parameters
    ----------
    stream
        Records.
    asked
        ``default_op`` is what each touch is.
    tally
        Not used: nothing is passed over.

    Raises
    ------
    InputError
        A record cut off, or one whose next access is not in its future: names the byte.
    """
    start = 0
    while data := stream.read(PIECE * RECORD.itemsize):
        n_records, over = divmod(len(data), RECORD.itemsize)
        if over:
            raise InputError(
                f"byte {start * RECORD.itemsize + len(data) - over}: the last record has {over} bytes of "
                f"{RECORD.itemsize}: the file is cut off, or is not oracleGeneral"
            )
        records = np.frombuffer(data, RECORD)
        _check(records, start)
        yield Touches(records["object"].astype(np.uint64), np.full(n_records, asked.default_op, np.uint8))
        start += n_records


def _check(records: NDArray[np.void], start: int) -> None:
    bad = np.flatnonzero(~is_plausible(records["next"], start))
    if bad.size:
        at = start + int(bad[0])
        raise InputError(
            f"byte {at * RECORD.itemsize}: record {at} says that its object is next asked for by record "
            f"{records['next'][bad[0]]}: expected a later one, or -1; is this oracleGeneral?"
        )


def is_plausible(later: NDArray[np.int64], start: int) -> NDArray[np.bool_]:
    """Tell which records point into their future (counted from 0 or from 1), or nowhere."""
    return (later > np.arange(start, start + later.size)) | np.isin(later, NEVER)


def is_oracle(head: bytes) -> bool:
    """Tell whether a file that begins so can be oracleGeneral: times in order, next accesses in the future."""
    records = np.frombuffer(head[: len(head) // RECORD.itemsize * RECORD.itemsize], RECORD)
    if not records.size or b"\0" not in head:
        return False
    return bool(is_plausible(records["next"], 0).all() and (np.diff(records["time"].astype(np.int64)) >= 0).all())
