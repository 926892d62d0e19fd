"""Checksums of a trace file's columns: they show damage that Parquet itself does not notice.

CRC-32, as in zlib and gzip: it is there against bits that turn over on a disk
or on the way, not against anybody; it takes 4 ms for a shipped trace, where
SHA-256 takes 13 and the whole file 80.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vswaplab.base.errors import InputError

KEY = "crc32"
"""Where they are in what a trace file says of itself: column to number."""

_STORED = {"page": "<u4", "op": "u1", "repeat_reads": "<u4", "repeat_writes": "<u4", "mapper": "u1"}


class Checksums:
    """One number a column, over all its values whatever the pieces they come in.

    Examples
    --------
    >>> whole, pieces = Checksums(), Checksums()
    >>> whole.add("page", np.array([3, 1, 2]))
    >>> pieces.add("page", np.array([3], np.uint32)), pieces.add("page", np.array([1, 2], np.uint32))
    (None, None)
    >>> whole.of == pieces.of
    True
    """

    def __init__(self) -> None:
        self.of: dict[str, int] = {}

    def add(self, name: str, values: NDArray[np.generic]) -> None:
        """Take the next values of a column."""
        stored = np.ascontiguousarray(values, _STORED[name])
        self.of[name] = zlib.crc32(stored.data, self.of.get(name, 0))


def checksums_of(columns: Mapping[str, NDArray[np.generic]]) -> dict[str, int]:
    """Give the checksums of whole columns."""
    sums = Checksums()
    for name, values in columns.items():
        sums.add(name, values)
    return sums.of


def told_checksums(path: Path, about: Mapping[str, object], columns: list[str]) -> Mapping[str, int] | None:
    """Give the checksums that a file tells of its columns; None: it tells none.

    Raises
    ------
    InputError
        They are of other columns than the file has.
    """
    told = about.get(KEY)
    if told is None:
        return None
    if not isinstance(told, dict) or set(told) != set(columns):
        raise InputError(f"{path} is damaged: its columns are not those that were written; copy it again")
    return told


def check_columns(path: Path, told: Mapping[str, int] | None, found: Mapping[str, int]) -> None:
    """Compare columns that were read whole with what the file tells of them.

    Raises
    ------
    InputError
        A column is not what was written.
    """
    wrong = [] if told is None else [name for name, value in found.items() if told[name] != value]
    if wrong:
        raise InputError(f"{path} is damaged: the values of {', '.join(wrong)} are not those written; copy it again")
