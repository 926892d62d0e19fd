"""What a reader gives: touches of pages, named by keys of 64 bits; and what it was asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vswaplab.base.backing import Op
from vswaplab.base.errors import InputError

PIECE = 1 << 18
"""Touches handed on at once."""

MAX_PAGES = 1 << 25
"""Distinct pages an import takes unless it is told otherwise: 128 GiB of memory, 0.8 GB while it runs."""

Keys = NDArray[np.uint64]
_SPACE_SHIFT = 48
_MAX_SPACES = 1 << 16
_PAGE_MASK = np.uint64((1 << _SPACE_SHIFT) - 1)


class Touches(NamedTuple):
    """Touches in order of time. Arrays are (n_touches,)."""

    key: Keys
    """Which page; equal keys are the same page."""
    op: NDArray[np.uint8]
    repeat_reads: NDArray[np.uint32] | None = None
    """Further reads of the page right after it."""
    repeat_writes: NDArray[np.uint32] | None = None
    mapper: NDArray[np.uint8] | None = None
    """Which process."""
    mappers: NDArray[np.uint8] | None = None
    """Which processes map the page at the start, one bit each."""


@dataclass(frozen=True)
class Asked:
    """What a user may say about a file.

    Parameters
    ----------
    columns
        Of a table: role (page, address, sector, op, size, ...) to column name, or number from 1.
    separator
        Of a CSV file; "": found out.
    default_op
        What a touch is where the file does not say.
    events
        Which kind of event counts; "": the kind the file has most to say with.
    skip_unknown
        Pass over lines that are not understood.
    max_pages
        Most pages that one record may cover.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    separator: str = ""
    default_op: Op = Op.READ
    events: str = ""
    skip_unknown: bool = False
    max_pages: int = MAX_PAGES


class Tally(Counter[str]):
    """What was passed over, by what it is."""


class Spaces:
    """Numbers for address spaces (processes, devices), so that the same address in two of them is two pages."""

    def __init__(self, noun: str) -> None:
        self._noun, self._numbers = noun, dict[str, int]()

    def keys(self, space: list[str], page: Keys) -> Keys:
        """Make keys of page numbers, each in its space.

        Parameters
        ----------
        space : (n,) names
        page : (n,)
            Of canonical addresses: bits above the 48th repeat it.
        """
        number = np.fromiter(map(self._number, space), np.uint64, len(space))
        return number << np.uint64(_SPACE_SHIFT) | page & _PAGE_MASK

    def _number(self, name: str) -> int:
        number = self._numbers.setdefault(name, len(self._numbers))
        if number >= _MAX_SPACES:
            raise InputError(f"more than {_MAX_SPACES} {self._noun}: split the file")
        return number


def spread(
    first: Keys,
    count: NDArray[np.int64],
    op: NDArray[np.uint8],
    repeat_reads: NDArray[np.uint32] | None = None,
    mapper: NDArray[np.uint8] | None = None,
    mappers: NDArray[np.uint8] | None = None,
) -> Iterator[Touches]:
    """Touch each page of runs of pages, in order, a piece at a time.

    Parameters
    ----------
    first : (n,) key of each run's first page
    count : (n,) pages of each run, from 1
    op : (n,)
    repeat_reads, mapper, mappers : (n,)
        Of each page of the run.
    """
    ends = np.cumsum(count)
    total = int(ends[-1]) if count.size else 0
    for start in range(0, total, PIECE):
        at = np.arange(start, min(start + PIECE, total))
        run = np.searchsorted(ends, at, "right")
        key = first[run] + (at - (ends[run] - count[run])).astype(np.uint64)
        reads, who, sets = (None if each is None else each[run] for each in (repeat_reads, mapper, mappers))
        yield Touches(key, op[run], reads, mapper=who, mappers=sets)  # type: ignore[arg-type] # each is as it was
