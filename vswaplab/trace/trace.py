"""A trace: accesses in time order, and what each page contains."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from vswaplab.base.backing import Op
from vswaplab.base.draws import CONTENT, draws
from vswaplab.base.errors import InputError
from vswaplab.trace.corpus import REGION_PAGES, Corpus, synthetic_corpus
from vswaplab.trace.sharing import MAX_MAPPERS, Sharing, resolve

MAX_PAGES = (1 << 31) - 1


class Trace:
    """Accesses in time order; checked once, then read-only.

    Parameters
    ----------
    page : (n_accesses,) whole numbers
        Page of each access, 0..n_pages-1.
    op : (n_accesses,)
        0 read, 1 write, 2 free; default: all reads.
    n_pages : int
        Default: the largest page number plus one.
    repeat_reads, repeat_writes : (n_accesses,)
        Touches of the same page that a recorder dropped until its next record.
    mapper : (n_accesses,)
        Which process makes the access, 0..7; default: always 0.
    mappers : (n_pages,)
        Which processes map each page at the start, one bit a mapper (1:
        mapper 0 only, 3: mappers 0 and 1). Default: those that access it.
    content : (n_pages,)
        Row of ``corpus`` that each page holds when first touched; default:
        regions of 64 pages, each a region of the corpus picked by page number.
    corpus : Corpus or polars.DataFrame
        Default: ``synthetic_corpus()``.
    redraw_probability : float
        Chance that a write changes the page's content to another of its region.
    content_shifts : sequence of (access, rows)
        From that access on, what is first touched or redrawn is the row that
        many rows further down the corpus; ``vl.drift`` and ``vl.collapse``
        make them. Bytes at rest never change.
    recorder_k : int
        Block size of the recorder that reduced the stream, 0: not reduced.
    name, title : str

    Raises
    ------
    InputError
        No access at all, arrays of different length or wrong dtype, a page or
        op out of range (names the access index and the value), a content row
        that the corpus does not have.
    """

    def __init__(
        self,
        page: ArrayLike,
        op: ArrayLike | None = None,
        *,
        n_pages: int | None = None,
        repeat_reads: ArrayLike | None = None,
        repeat_writes: ArrayLike | None = None,
        mapper: ArrayLike | None = None,
        mappers: ArrayLike | None = None,
        content: ArrayLike | None = None,
        corpus: Corpus | pl.DataFrame | None = None,
        redraw_probability: float = 0.0,
        content_shifts: Sequence[tuple[int, int]] = (),
        recorder_k: int = 0,
        name: str = "trace",
        title: str = "",
    ) -> None:
        pages = _whole_numbers("page", page)
        if pages.size == 0:
            raise InputError("the trace is empty: it needs at least one access")
        self.name, self.title = str(name), str(title) or str(name)
        last = min(max(int(pages.max()), 0), MAX_PAGES - 1)
        self.n_pages = last + 1 if n_pages is None else _count("n_pages", n_pages)
        self.page = _in_range("page", pages, self.n_pages, "n_pages is too small or the trace is damaged", np.int32)
        self.op = _ops(op, pages.size)
        self.repeat_reads = _repeats("repeat_reads", repeat_reads, pages.size)
        self.repeat_writes = _repeats("repeat_writes", repeat_writes, pages.size)
        self.mapper = _mapper(mapper, pages.size)
        self.mappers = _mappers(mappers, self.page, self.mapper, self.n_pages)
        self.corpus = corpus if isinstance(corpus, Corpus) else synthetic_corpus() if corpus is None else Corpus(corpus)
        self.content = self._content(content)
        self.redraw_probability = _probability(redraw_probability)
        self.content_shifts = _shifts(content_shifts, self.content, self.corpus)
        self.recorder_k = _at_least_zero("recorder_k", recorder_k)

    def _content(self, content: ArrayLike | None) -> NDArray[np.int32]:
        if content is None:
            return _frozen(default_content(self.n_pages, self.corpus))
        rows = _whole_numbers("content", content)
        if rows.size != self.n_pages:
            raise InputError(f"content has {rows.size} entries for {self.n_pages} pages: give one corpus row per page")
        return _in_range("content", rows, len(self.corpus), "the corpus has too few rows", np.int32)

    def __len__(self) -> int:
        return int(self.page.size)

    def __repr__(self) -> str:
        return f"Trace({self.name!r}, {len(self):,} accesses, {self.n_pages:,} pages)"

    @property
    def has_repeats(self) -> bool:
        """Whether any record stands for several touches."""
        return self.repeat_reads is not None or self.repeat_writes is not None

    @cached_property
    def sharing(self) -> Sharing | None:
        """The accesses with every mapper's copies under their own numbers; None: no page is shared."""
        if self.mappers is None or not (np.bitwise_count(self.mappers) > 1).any():
            return None
        mapper = np.zeros(len(self), np.uint8) if self.mapper is None else self.mapper
        return resolve(self.page, self.op, mapper, self.mappers)

    @cached_property
    def first_content(self) -> NDArray[np.int32]:
        """(pages, own copies included) row of the corpus that each holds when first touched."""
        return self.content if self.sharing is None else _frozen(self.content[self.sharing.root])

    @cached_property
    def digest(self) -> str:
        """SHA-256 over everything a run depends on, hexadecimal."""
        sha = hashlib.sha256(f"{self.n_pages} {self.redraw_probability!r} {self.content_shifts}".encode())
        for array in (
            self.page, self.op, self.repeat_reads, self.repeat_writes, self.content, self.mapper, self.mappers,
        ):  # fmt: skip
            sha.update(b"-" if array is None else array.tobytes())
        for column in sorted(self.corpus.table.columns):
            sha.update(column.encode())
            sha.update(_bytes_of(self.corpus.table[column]))
        return sha.hexdigest()

    def head(self, n_accesses: int) -> Trace:
        """Cut the trace after its first accesses; pages and contents stay as they are.

        Examples
        --------
        >>> Trace([0, 1, 2], n_pages=3).head(2)
        Trace('trace', 2 accesses, 3 pages)
        """
        stop = slice(0, _count("n_accesses", n_accesses))
        return self.like(
            page=self.page[stop],
            op=self.op[stop],
            repeat_reads=None if self.repeat_reads is None else self.repeat_reads[stop],
            repeat_writes=None if self.repeat_writes is None else self.repeat_writes[stop],
            mapper=None if self.mapper is None else self.mapper[stop],
        )

    def like(self, **changes: object) -> Trace:
        """Make a trace that differs from this one in the arguments given, and in nothing else.

        Examples
        --------
        >>> Trace([0, 1], name="short").like(name="same accesses")
        Trace('same accesses', 2 accesses, 2 pages)
        """
        arguments = {name: getattr(self, name) for name in _ARGUMENTS}
        return Trace(**arguments | changes)


_ARGUMENTS = (
    "page", "op", "n_pages", "repeat_reads", "repeat_writes", "mapper", "mappers", "content", "corpus",
    "redraw_probability", "content_shifts", "recorder_k", "name", "title",
)  # fmt: skip


def default_content(n_pages: int, corpus: Corpus) -> NDArray[np.int32]:
    """Give each page a row of the corpus: 64 neighbours share a region.

    Returns
    -------
    content : (n_pages,) row of the corpus
    """
    page = np.arange(n_pages, dtype=np.int64)
    starts = np.flatnonzero(corpus.region_start == np.arange(len(corpus)))
    region = draws(0, page // REGION_PAGES, CONTENT) % np.uint64(starts.size)
    start = starts[region.astype(np.int64)]
    return (start + page % corpus.region_rows[start]).astype(np.int32)


def _bytes_of(column: pl.Series) -> bytes:
    if (column.dtype.is_integer() or column.dtype == pl.Boolean) and not column.null_count():
        return column.to_numpy().astype(np.int64).tobytes()
    return "\n".join(map(repr, column.to_list())).encode()


def _frozen(array: NDArray[np.int32]) -> NDArray[np.int32]:
    array.flags.writeable = False
    return array


def _whole_numbers(name: str, values: ArrayLike) -> NDArray[np.integer]:
    try:
        array = np.asarray(values)
    except ValueError:  # rows of different length
        raise InputError(f"{name} must be one-dimensional, got rows of different length") from None
    if array.ndim != 1:
        raise InputError(f"{name} must be one-dimensional, got {array.ndim} dimensions")
    if array.size and not np.issubdtype(array.dtype, np.integer):
        raise InputError(f"{name} must hold whole numbers, got dtype {array.dtype}: convert it first")
    return array if array.size else array.astype(np.int64)


def _parallel(name: str, values: ArrayLike, length: int) -> NDArray[np.integer]:
    array = _whole_numbers(name, values)
    if array.size != length:
        raise InputError(f"{name} has {array.size} entries and page has {length}: they must be parallel arrays")
    return array


def _in_range(
    name: str, values: NDArray[np.integer], stop: int, why: str, dtype: type[np.int32] | type[np.uint8]
) -> NDArray[np.int32]:
    bad = np.flatnonzero((values < 0) | (values >= stop))
    if bad.size:
        raise InputError(f"{name} {values[bad[0]]} at index {bad[0]} is out of range 0..{stop - 1}: {why}")
    return _frozen(values.astype(dtype))


def _ops(op: ArrayLike | None, length: int) -> NDArray[np.uint8]:
    values = np.zeros(length, np.uint8) if op is None else _parallel("op", op, length)
    return _in_range("op", values, len(Op), "0 is read, 1 write, 2 free", np.uint8)  # type: ignore[return-value]


def _repeats(name: str, values: ArrayLike | None, length: int) -> NDArray[np.int32] | None:
    if values is None:
        return None
    array = _parallel(name, values, length)
    return _in_range(name, array, MAX_PAGES, "a number of touches", np.int32) if array.any() else None


def _at_least_zero(name: str, value: object) -> int:
    number = value.__index__() if hasattr(value, "__index__") else -1
    if number < 0:
        raise InputError(f"{name} must be a whole number of at least 0, got {value!r}")
    return int(number)


def _shifts(
    values: Sequence[tuple[int, int]], content: NDArray[np.int32], corpus: Corpus
) -> tuple[tuple[int, int], ...]:
    shifts = tuple((_at_least_zero("content_shifts", at), _at_least_zero("content_shifts", by)) for at, by in values)
    if list(shifts) != sorted(shifts):
        raise InputError(f"content_shifts {shifts} must be in the order of their accesses")
    last = int((corpus.region_start[content] + corpus.region_rows[content]).max())
    worst = max((by for _, by in shifts), default=0)
    if last + worst > len(corpus):
        raise InputError(
            f"content_shifts by {worst} rows leaves the corpus of {len(corpus)} rows: at most {len(corpus) - last}"
        )
    return shifts


def _mapper(values: ArrayLike | None, length: int) -> NDArray[np.uint8] | None:
    if values is None:
        return None
    mapper = _parallel("mapper", values, length)
    return _in_range("mapper", mapper, MAX_MAPPERS, "a page has at most eight mappers", np.uint8)  # type: ignore[return-value]


def _mappers(
    values: ArrayLike | None, page: NDArray[np.int32], mapper: NDArray[np.uint8] | None, n_pages: int
) -> NDArray[np.uint8] | None:
    if values is None and mapper is None:
        return None
    bit = np.uint8(1) if mapper is None else (np.uint8(1) << mapper).astype(np.uint8)
    if values is None:
        seen = np.zeros(n_pages, np.uint8)
        np.bitwise_or.at(seen, page, bit)
        seen[seen == 0] = 1
        return _frozen(seen)  # type: ignore[arg-type,return-value]
    given = _whole_numbers("mappers", values)
    if given.size != n_pages:
        raise InputError(f"mappers has {given.size} entries for {n_pages} pages: give one mapper set per page")
    sets = _in_range("mappers", given, 1 << MAX_MAPPERS, "one bit for each of eight mappers", np.uint8)
    stray = np.flatnonzero((sets[page].astype(np.uint8) & bit) == 0)
    if stray.size:
        raise InputError(
            f"access {stray[0]} to page {page[stray[0]]} is by a mapper that is not in the page's mapper set "
            f"{sets[page[stray[0]]]}: add its bit to mappers"
        )
    return sets  # type: ignore[return-value]


def _count(name: str, value: object) -> int:
    number = value.__index__() if hasattr(value, "__index__") else -1
    if not 1 <= number <= MAX_PAGES:
        raise InputError(f"{name} must be a whole number from 1 to {MAX_PAGES}, got {value!r}")
    return int(number)


def _probability(value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise InputError(f"redraw_probability must be between 0 and 1, got {value!r}")
    return float(value)
