"""A trace: accesses in time order, and what each page contains."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self, cast

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from vswaplab.base.checks import whole
from vswaplab.base.draws import CONTENT, draws
from vswaplab.base.errors import InputError, shown
from vswaplab.trace.access_index import AccessIndex, index_accesses
from vswaplab.trace.checks import (
    MAX_ACCESSES,
    MAX_PAGES,
    access_column,
    count,
    frozen,
    in_range,
    mapper_sets,
    parallel,
    probability,
    shifts,
    whole_numbers,
)
from vswaplab.trace.corpus import REGION_PAGES, Corpus, as_corpus, synthetic_corpus
from vswaplab.trace.sharing import Sharing, resolve

_BLOCK = 1 << 14  # regions whose contents are laid out at once

EMPTY = "the trace is empty: it needs at least one access"


@dataclass(frozen=True)
class Piece:
    """Accesses of a trace that lie in memory together. Arrays are (n_accesses,)."""

    start: int
    """Access index of the first."""
    page: NDArray[np.int32]
    op: NDArray[np.uint8]
    repeat_reads: NDArray[np.int32] | None = None
    repeat_writes: NDArray[np.int32] | None = None
    mapper: NDArray[np.uint8] | None = None

    def __len__(self) -> int:
        return int(self.page.size)


class Workload:
    """What a run must know of a trace but for its accesses: which pages there are and what they contain.

    ``Trace`` has the accesses in memory, ``TraceFile`` reads them piece by piece.
    """

    mapper: NDArray[np.uint8] | None = None
    mappers: NDArray[np.uint8] | None = None
    sharing: Sharing | None = None

    def __init__(
        self,
        *,
        n_pages: int,
        content: ArrayLike | None = None,
        corpus: Corpus | pl.DataFrame | None = None,
        redraw_probability: float = 0.0,
        content_shifts: Sequence[tuple[int, int]] = (),
        recorder_k: int = 0,
        name: str = "trace",
        title: str = "",
    ) -> None:
        self.n_pages = n_pages
        self.name, self.title = str(name), str(title) or str(name)
        self.corpus = synthetic_corpus() if corpus is None else as_corpus(corpus)
        if content is not None:
            self.content = self._given(content)
        self.redraw_probability = probability(redraw_probability)
        self.content_shifts = shifts(content_shifts, self.corpus, lambda: self.content)
        self.recorder_k = whole("recorder_k", recorder_k)

    def _given(self, content: ArrayLike) -> NDArray[np.int32]:
        rows = whole_numbers("content", content)
        if rows.size != self.n_pages:
            raise InputError(f"content has {rows.size} entries for {self.n_pages} pages: give one corpus row per page")
        return in_range("content", rows, len(self.corpus), "the corpus has too few rows", np.int32)

    @cached_property
    def content(self) -> NDArray[np.int32]:
        """(n_pages,) row of the corpus that each page holds when first touched."""
        return frozen(default_content(self.n_pages, self.corpus))

    def __len__(self) -> int:
        raise NotImplementedError

    def pieces(self) -> Iterator[Piece]:
        """Give the accesses, a piece at a time."""
        raise NotImplementedError

    def like(self, **changes: object) -> Self:
        """Make a trace that differs from this one in the arguments given, and in nothing else."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, {len(self):,} accesses, {self.n_pages:,} pages)"

    @property
    def first_content(self) -> NDArray[np.int32]:
        """(pages, own copies included) row of the corpus that each holds when first touched."""
        return self.content

    @cached_property
    def digest(self) -> str:
        """SHA-256 over everything a run depends on, hexadecimal."""
        sha = hashlib.sha256(f"{self.n_pages} {self.redraw_probability!r} {self.content_shifts}".encode())
        for name in ("page", "op", "repeat_reads", "repeat_writes", "content", "mapper", "mappers"):
            is_there = False
            for array in self._arrays(name):
                sha.update(np.ascontiguousarray(array).data)
                is_there = True
            if not is_there:
                sha.update(b"-")
        for column in sorted(self.corpus.table.columns):
            sha.update(column.encode())
            sha.update(_bytes_of(self.corpus.table[column]))
        return sha.hexdigest()

    def _arrays(self, name: str) -> Iterable[NDArray[np.generic]]:
        # The pieces of an array, in order; none if the trace has no such array.
        values = getattr(self, name)
        return () if values is None else (values,)


def check_trace(trace: object) -> None:
    """Check that it is a trace, in memory or in a file."""
    if not isinstance(trace, Workload):
        raise InputError(f"trace must be a vl.Trace, got {shown(trace)}: read one with vl.load_trace or vl.open_trace")


class Trace(Workload):
    """Accesses in time order; checked once, then read-only, arrays and attributes: ``like`` makes another.

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
        pages = whole_numbers("page", page)
        if pages.size == 0:
            raise InputError(EMPTY)
        n_pages = n_pages_of(int(pages.max())) if n_pages is None else count("n_pages", n_pages)
        self.page = access_column("page", pages, n_pages)
        self.op = cast("NDArray[np.uint8]", _column("op", np.zeros(pages.size, np.uint8) if op is None else op, self))
        self.repeat_reads = _repeats("repeat_reads", repeat_reads, self)
        self.repeat_writes = _repeats("repeat_writes", repeat_writes, self)
        self.mapper = None if mapper is None else cast("NDArray[np.uint8]", _column("mapper", mapper, self))
        self.mappers = mapper_sets(mappers, self.page, self.mapper, n_pages)
        super().__init__(
            n_pages=n_pages,
            content=content,
            corpus=corpus,
            redraw_probability=redraw_probability,
            content_shifts=content_shifts,
            recorder_k=recorder_k,
            name=name,
            title=title,
        )
        self._is_made = True

    def __setattr__(self, name: str, value: object) -> None:
        """Set an attribute while the trace is made: what is known of it since would be of another."""
        if "_is_made" in self.__dict__:
            raise InputError(f"a trace is read-only, and {name} cannot be set: trace.like({name}=...) makes another")
        super().__setattr__(name, value)

    def __len__(self) -> int:
        return int(self.page.size)

    def __getstate__(self) -> dict[str, object]:
        """Give what a pickle holds: with what every run needs to know, worked out once, here, and sent along."""
        _ = self.digest, self.access_index, self.first_content
        return self.__dict__

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the arrays of accesses that it has."""
        names = ("page", "op", "repeat_reads", "repeat_writes", "mapper")
        return tuple(name for name in names if getattr(self, name) is not None)

    def pieces(self) -> Iterator[Piece]:
        """Give the accesses, all in one piece."""
        yield Piece(0, **{name: getattr(self, name) for name in self.columns})

    @property
    def has_repeats(self) -> bool:
        """Whether any record stands for several touches."""
        return self.repeat_reads is not None or self.repeat_writes is not None

    @cached_property
    def sharing(self) -> Sharing | None:  # type: ignore[override] # made when it is first asked for
        """The accesses with every mapper's copies under their own numbers; None: no page is shared."""
        if self.mappers is None or not (np.bitwise_count(self.mappers) > 1).any():
            return None
        mapper = np.zeros(len(self), np.uint8) if self.mapper is None else self.mapper
        return resolve(self.page, self.op, mapper, self.mappers)

    @cached_property
    def access_index(self) -> AccessIndex:
        """What engines know of the accesses beforehand, copies under their own numbers.

        Raises
        ------
        InputError
            Places of more accesses than 32 bits can number.
        """
        if len(self) > MAX_ACCESSES:
            raise InputError(
                f"trace {self.name!r} has {len(self):,} accesses, and at most {MAX_ACCESSES:,} can be simulated from "
                "memory: save it with vl.save_trace and read it with vl.open_trace"
            )
        of = self if self.sharing is None else self.sharing
        return index_accesses(of.page, of.op, of.n_pages)

    @cached_property
    def first_content(self) -> NDArray[np.int32]:
        """(pages, own copies included) row of the corpus that each holds when first touched."""
        return self.content if self.sharing is None else frozen(self.content[self.sharing.root])

    def head(self, n_accesses: int) -> Self:
        """Cut the trace after its first accesses; pages and contents stay as they are.

        Examples
        --------
        >>> Trace([0, 1, 2], n_pages=3).head(2)
        Trace('trace', 2 accesses, 3 pages)
        """
        stop = slice(0, count("n_accesses", n_accesses))
        return self.like(
            page=self.page[stop],
            op=self.op[stop],
            repeat_reads=None if self.repeat_reads is None else self.repeat_reads[stop],
            repeat_writes=None if self.repeat_writes is None else self.repeat_writes[stop],
            mapper=None if self.mapper is None else self.mapper[stop],
        )

    def like(self, **changes: object) -> Self:
        """Make a trace that differs from this one in the arguments given, and in nothing else.

        Examples
        --------
        >>> Trace([0, 1], name="short").like(name="same accesses")
        Trace('same accesses', 2 accesses, 2 pages)
        """
        arguments = {name: getattr(self, name) for name in _ARGUMENTS}
        return type(self)(**arguments | changes)


_ARGUMENTS = (
    "page", "op", "n_pages", "repeat_reads", "repeat_writes", "mapper", "mappers", "content", "corpus",
    "redraw_probability", "content_shifts", "recorder_k", "name", "title",
)  # fmt: skip


def n_pages_of(largest: int) -> int:
    """Give the number of pages of a trace that says none: its largest page number plus one."""
    return min(max(largest, 0), MAX_PAGES - 1) + 1


def default_content(n_pages: int, corpus: Corpus) -> NDArray[np.int32]:
    """Give each page a row of the corpus: 64 neighbours share a region.

    Returns
    -------
    content : (n_pages,) row of the corpus
    """
    n_regions = -(-n_pages // REGION_PAGES)
    starts = np.flatnonzero(corpus.region_start == np.arange(len(corpus))).astype(np.int32)
    region = draws(0, np.arange(n_regions, dtype=np.int64), CONTENT) % np.uint64(starts.size)
    start = starts[region.astype(np.int64)]
    content = np.empty((n_regions, REGION_PAGES), np.int32)
    for block in range(0, n_regions, _BLOCK):  # what it takes besides its result stays small
        stop = min(block + _BLOCK, n_regions)
        page = np.arange(block * REGION_PAGES, stop * REGION_PAGES).reshape(-1, REGION_PAGES)
        first = start[block:stop, np.newaxis]
        content[block:stop] = first + page % corpus.region_rows[first]
    return content.reshape(-1)[:n_pages]


def _bytes_of(column: pl.Series) -> bytes:
    if (column.dtype.is_integer() or column.dtype == pl.Boolean) and not column.null_count():
        return column.to_numpy().astype(np.int64).tobytes()
    return "\n".join(map(repr, column.to_list())).encode()


def _column(name: str, values: ArrayLike, trace: Trace) -> NDArray[np.int32]:
    return access_column(name, parallel(name, values, len(trace)), MAX_PAGES)


def _repeats(name: str, values: ArrayLike | None, trace: Trace) -> NDArray[np.int32] | None:
    if values is None:
        return None
    column = _column(name, values, trace)
    return column if column.any() else None
