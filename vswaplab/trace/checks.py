"""What the arrays of a trace must be: each check returns a read-only copy, or names the value that is wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vswaplab.base.backing import MAX_MAPPERS, Op
from vswaplab.base.checks import array_of, number, whole
from vswaplab.base.errors import InputError, shown
from vswaplab.trace.corpus import Corpus

MAX_PAGES = (1 << 31) - 1
MAX_ACCESSES = MAX_PAGES - 1  # of a trace in memory: places of accesses are 32-bit numbers


def access_column(name: str, values: NDArray[np.integer], n_pages: int, first: int = 0) -> NDArray[np.int32]:
    """Check one column of accesses (page, op, repeat_reads, repeat_writes or mapper).

    Parameters
    ----------
    values : (n_accesses,)
        Whole numbers.
    first : access index
        Of the first value: what a message counts from.

    Returns
    -------
    column : (n_accesses,)
        int32; of op and mapper uint8.
    """
    if name == "page":
        return in_range(name, values, n_pages, "n_pages is too small or the trace is damaged", np.int32, first)
    if name == "op":
        return in_range(name, values, len(Op), "0 is read, 1 write, 2 free", np.uint8, first)
    if name == "mapper":
        return in_range(name, values, MAX_MAPPERS, "a page has at most eight mappers", np.uint8, first)
    return in_range(name, values, MAX_PAGES, "a number of touches", np.int32, first)


def frozen(array: NDArray[np.int32]) -> NDArray[np.int32]:
    """Make an array read-only."""
    array.flags.writeable = False
    return array


def whole_numbers(name: str, values: ArrayLike) -> NDArray[np.integer]:
    """Check that values are a one-dimensional array of whole numbers."""
    array = array_of(name, values)
    if array.ndim != 1:
        raise InputError(f"{name} must be one-dimensional, got {array.ndim} dimensions")
    if array.size and not np.issubdtype(array.dtype, np.integer):
        raise InputError(f"{name} must hold whole numbers, got dtype {array.dtype}: convert it first")
    return array if array.size else array.astype(np.int64)


def parallel(name: str, values: ArrayLike, length: int) -> NDArray[np.integer]:
    """Check that values are whole numbers, one for each access."""
    array = whole_numbers(name, values)
    if array.size != length:
        raise InputError(f"{name} has {array.size} entries and page has {length}: they must be parallel arrays")
    return array


def in_range(
    name: str,
    values: NDArray[np.integer],
    stop: int,
    why: str,
    dtype: type[np.int32] | type[np.uint8],
    first: int = 0,
) -> NDArray[np.int32]:
    """Check that whole numbers lie in 0..stop-1; ``first`` is the index of the first."""
    bad = np.flatnonzero((values < 0) | (values >= stop))
    if bad.size:
        value, index = values[bad[0]], first + bad[0]
        raise InputError(f"{name} {value} at index {index} is out of range 0..{stop - 1}: {why}")
    return frozen(values.astype(dtype))


def mapper_sets(
    values: ArrayLike | None, page: NDArray[np.int32], mapper: NDArray[np.uint8] | None, n_pages: int
) -> NDArray[np.uint8] | None:
    """Check every page's mapper set, or make it of those that access the page."""
    if values is None and mapper is None:
        return None
    bit = np.uint8(1) if mapper is None else (np.uint8(1) << mapper).astype(np.uint8)
    if values is None:
        seen = np.zeros(n_pages, np.uint8)
        np.bitwise_or.at(seen, page, bit)
        seen[seen == 0] = 1
        return frozen(seen)  # type: ignore[arg-type,return-value]
    given = whole_numbers("mappers", values)
    if given.size != n_pages:
        raise InputError(f"mappers has {given.size} entries for {n_pages} pages: give one mapper set per page")
    sets = in_range("mappers", given, 1 << MAX_MAPPERS, "one bit for each of eight mappers", np.uint8)
    stray = np.flatnonzero((sets[page].astype(np.uint8) & bit) == 0)
    if stray.size:
        raise InputError(
            f"access {stray[0]} to page {page[stray[0]]} is by a mapper that is not in the page's mapper set "
            f"{sets[page[stray[0]]]}: add its bit to mappers"
        )
    return sets  # type: ignore[return-value]


def shifts(
    values: Sequence[tuple[int, int]], corpus: Corpus, content: Callable[[], NDArray[np.int32]]
) -> tuple[tuple[int, int], ...]:
    """Check when contents shift, and by how many rows."""
    is_list = isinstance(values, Sequence) and not isinstance(values, str)
    if not is_list or not all(isinstance(pair, Sequence) and len(pair) == 2 for pair in values):
        raise InputError(f"content_shifts must be a list of pairs (access, rows), got {shown(values)}")
    checked = tuple((whole("content_shifts", at), whole("content_shifts", by)) for at, by in values)
    if list(checked) != sorted(checked):
        raise InputError(f"content_shifts {checked} must be in the order of their accesses")
    if not checked:
        return checked
    used = np.zeros(len(corpus), np.bool_)
    used[content()] = True
    last = int((corpus.region_start[used] + corpus.region_rows[used]).max())
    worst = max(by for _, by in checked)
    if last + worst > len(corpus):
        raise InputError(
            f"content_shifts by {worst} rows leaves the corpus of {len(corpus)} rows: at most {len(corpus) - last}"
        )
    return checked


def count(name: str, value: object) -> int:
    """Check a whole number from 1 to the most pages there can be."""
    return whole(name, value, 1, MAX_PAGES)


def fraction(name: str, value: object) -> float:
    """Check a number between 0 and 1."""
    return number(name, value, 0, 1, expected="between 0 and 1")


def probability(value: object) -> float:
    """Check ``redraw_probability``."""
    return fraction("redraw_probability", value)
