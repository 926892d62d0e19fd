"""What pages contain: a table of pages with their compressed sizes.

A page's content is a row of a corpus. A device profile or a compressor names
a column, so changing the hardware never changes the workload. Rows of one
region lie together: a rewritten page draws its new content from the region
of its first content, because neighbouring pages are alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vswaplab.base.checks import flag, number, whole
from vswaplab.base.codecs import FACT_COLUMNS, MORE_COLUMNS, OWN, RAW, SIZE_COLUMNS
from vswaplab.base.draws import MAKER, checked_seed, draw
from vswaplab.base.errors import InputError, shown
from vswaplab.base.units import PAGE_SIZE

REGION_PAGES = 64
"""Pages of one region: an aligned piece of 256 KiB of the address space [guess]."""

_MOST_REGIONS = ((1 << 31) - 1) // REGION_PAGES  # of a corpus that is made: rows are 32-bit numbers

_LEAST_ROWS = 8  # of a region of a measured corpus


class Corpus:
    """A table of page contents, sorted by region.

    Parameters
    ----------
    table : polars.DataFrame
        One row per content: ``region`` (any integer; null-free), ``is_zero``
        (bool) and any of ``SIZE_COLUMNS`` or columns of your own, in bytes
        from 1 to 4096 (4096: does not compress). Missing ``region`` means one
        region, missing ``is_zero`` means no zero pages. Truth values may be 0
        and 1.
    is_made_up : bool
        No page was measured: what ``synthetic_corpus`` makes.

    Raises
    ------
    InputError
        An empty table, a size out of range (names the column, row and value; in
        a column that is not one of ``SIZE_COLUMNS`` and does not begin with
        ``own_``, or one that is missing, when it is asked for), rows not sorted
        by region.
    """

    def __init__(self, table: pl.DataFrame, *, is_made_up: bool = False) -> None:
        if not isinstance(table, pl.DataFrame) or table.height == 0:
            raise InputError("a corpus needs a polars table with at least one row")
        self.table, self.is_made_up = table, flag("is_made_up", is_made_up)
        self._columns: dict[str, NDArray[np.int32]] = {}
        for column in table:
            if column.dtype.is_numeric() and is_size_column(column.name):
                _check_sizes(column, may_lack=True)
        for name in ("is_zero", "same_filled"):
            self._truths(name)
        region = _regions(table)
        if (np.diff(region) < 0).any():
            raise InputError("a corpus must be sorted by its region column: sort the table first")
        starts = np.flatnonzero(np.r_[True, region[1:] != region[:-1]])
        counts = np.diff(np.r_[starts, table.height])
        self.region_start: NDArray[np.int32] = np.repeat(starts, counts).astype(np.int32)
        """(n_rows,) first row of the row's region."""
        self.region_rows: NDArray[np.int32] = np.repeat(counts, counts).astype(np.int32)
        """(n_rows,) rows in the row's region."""

    def __len__(self) -> int:
        return self.table.height

    def __repr__(self) -> str:
        return f"Corpus({len(self)} contents, {self.n_regions} regions)"

    @property
    def n_regions(self) -> int:
        """Regions in the table."""
        return int((self.region_start == np.arange(len(self))).sum())

    @cached_property
    def is_zero(self) -> NDArray[np.bool_]:
        """(n_rows,) True for an all-zero page."""
        found = self._truths("is_zero")
        return np.zeros(len(self), np.bool_) if found is None else found

    @cached_property
    def same_filled(self) -> NDArray[np.bool_]:
        """(n_rows,) True for a page that is one machine word repeated, as all-zero pages are."""
        found = self._truths("same_filled")
        return self.is_zero if found is None else found

    def _truths(self, name: str) -> NDArray[np.bool_] | None:
        if name not in self.table.columns:
            return None
        column = self.table[name]
        if column.null_count() or not (column.dtype == pl.Boolean or column.dtype.is_integer()):
            raise InputError(f"the corpus column {name} is {column.dtype} or lacks values: it must hold true or false")
        if column.dtype.is_integer() and not column.is_between(0, 1).all():
            ends = f"{shown(column.min())} to {shown(column.max())}"
            raise InputError(f"the corpus column {name} has values from {ends}: it must hold true or false, or 0 and 1")
        return column.to_numpy().astype(np.bool_)

    def sizes(self, column: str) -> NDArray[np.int32]:
        """Compressed bytes of each content under one codec and granule.

        Parameters
        ----------
        column : str
            A size column of the table, or ``"raw"``.

        Returns
        -------
        sizes : (n_rows,) bytes, 1..4096

        Raises
        ------
        InputError
            The corpus lacks the column, or a value is out of range.
        """
        if column not in self._columns:
            self._columns[column] = self._read(column)
        return self._columns[column]

    def _read(self, column: str) -> NDArray[np.int32]:
        if column == RAW:
            return np.full(len(self), PAGE_SIZE, np.int32)
        if column not in self.table.columns or not self.table[column].dtype.is_numeric():
            have = [c for c in self.table.columns if c not in FACT_COLUMNS]
            raise InputError(
                f"the corpus has no size column {column!r} that the profile stores by: "
                f"it has {', '.join(have) or 'none'}"
            )
        _check_sizes(self.table[column], may_lack=False)
        return self.table[column].to_numpy().astype(np.int32)


def is_size_column(name: str) -> bool:
    """Say whether a corpus column of that name holds sizes, whatever plug-ins there are."""
    return name.startswith(OWN) or name in SIZE_COLUMNS or name in MORE_COLUMNS


def _check_sizes(column: pl.Series, *, may_lack: bool) -> None:
    is_size = column.is_between(1, PAGE_SIZE) & (column == column.floor())
    bad = (~is_size.fill_null(may_lack)).arg_true()
    if bad.len():
        raise InputError(
            f"corpus column {column.name!r} row {bad[0]} is {column[bad[0]]}: sizes are whole bytes, 1 to {PAGE_SIZE}"
        )


def as_corpus(given: object) -> Corpus:
    """Give a corpus, or make one of its table."""
    return given if isinstance(given, Corpus) else Corpus(given)  # type: ignore[arg-type] # which is checked there


def stretched(corpus: Corpus, factors: Sequence[float]) -> Corpus:
    """Append to a corpus one copy of all its rows for each factor, every size times the factor, at most 4096.

    Returns
    -------
    corpus : Corpus
        Row r under factor k (from 1) is row ``r + k * len(corpus)``.
    """
    for factor in factors:
        number("factor", factor, above=0, at_most=PAGE_SIZE, expected=f"a number above 0 and up to {PAGE_SIZE}")
    region = _regions(corpus.table)
    step = int(region.max()) - min(int(region.min()), 0) + 1
    kept = {*FACT_COLUMNS}
    sizes = [c for c in corpus.table.columns if c not in kept and corpus.table[c].dtype.is_numeric()]
    base = corpus.table.select([c for c in corpus.table.columns if c in ("is_zero", "same_filled") or c in sizes])
    blocks = []
    for k, factor in enumerate([1.0, *factors]):
        size = [(pl.col(c) * factor).round().clip(1, PAGE_SIZE).cast(pl.UInt16) for c in sizes]
        blocks.append(base.with_columns(*size, region=pl.Series(region + k * step)))
    return Corpus(pl.concat(blocks), is_made_up=corpus.is_made_up)


def number_regions(pieces: NDArray[np.integer]) -> NDArray[np.uint32]:
    """Give each row of a measured corpus its region.

    Parameters
    ----------
    pieces : (n_rows,)
        Which piece of ``REGION_PAGES`` pages each row lies in, by address.

    Returns
    -------
    region : (n_rows,)
        From 0, dense, in order of address; a piece of fewer than 8 rows joins
        those next to it.

    Examples
    --------
    >>> number_regions(np.array([3] * 8 + [5] * 2 + [9] * 8)).tolist()[::5]
    [0, 0, 1, 1]
    """
    _, index, rows = np.unique(pieces, return_inverse=True, return_counts=True)
    region_of = np.zeros(len(rows), dtype=np.uint32)
    region, filled, left = 0, 0, int(rows.sum())
    for piece, count in enumerate(rows.tolist()):
        if filled >= _LEAST_ROWS and left >= _LEAST_ROWS:
            region, filled = region + 1, 0
        region_of[piece] = region
        filled += count
        left -= count
    numbers: NDArray[np.uint32] = region_of[index]
    return numbers


def _regions(table: pl.DataFrame) -> NDArray[np.int64]:
    if "region" not in table.columns:
        return np.zeros(table.height, np.int64)
    column = table["region"]
    if column.null_count() or not column.dtype.is_integer():
        raise InputError(f"the corpus column region is {column.dtype} or lacks values: it must hold whole numbers")
    return column.to_numpy().astype(np.int64)


# Size under each codec relative to lz4 on the same page. lzo, zstd 3 and deflate 1: the middles of what several corpora
# give (1.02 to 1.05, 1.28 to 1.53, 1.13 to 1.34) [D]; fixed codes: Silesia through zswap
# (github.com/intel/memory-usage-analyzer) [P]; lz4 in 1 KiB blocks as measured on the pages of a Python process [M];
# zstd 1 and deflate in 1 KiB blocks [guess]; bdi from the 1.85 suite mean against lz4's 2.6 [guess].
_RELATIVE_SIZE = {
    "lz4_4k": 1.0,
    "lzo_4k": 1 / 1.03,
    "zstd1_4k": 1 / 1.35,
    "zstd3_4k": 1 / 1.40,
    "deflate1_4k": 1 / 1.23,
    "deflate_fixed_4k": 1 / 1.13,
    "lz4_1k": 1.10,
    "deflate1_1k": 0.95,
    "bdi_64": 1.40,
}


def synthetic_corpus(
    *,
    n_regions: int = 64,
    ratio: float = 2.6,
    sigma: float = 0.45,
    correlation: float = 0.65,
    p_zero: float = 0.05,
    p_incompressible: float = 0.05,
    seed: int = 0,
) -> Corpus:
    """Make a corpus whose pages compress like a published distribution.

    Log-normal ratios, alike inside a region, plus a share of all-zero and of
    incompressible pages. The pages are made up: only
    their sizes exist.

    Parameters
    ----------
    n_regions : int
        Regions of 64 pages each.
    ratio : float
        Median of original over compressed size under lz4, of pages that compress [guess: real zram content has 2.6 as
        its total ratio (A); the total of what the defaults draw, all-zero pages counted in as free, is 2.3 on average
        over seeds: 2.5 of seed 0, 2.1 to 2.5 of seeds 0 to 39].
    sigma : float
        Standard deviation of the log of the ratio [guess].
    correlation : float
        Of two pages of one region [guess: 0.5-0.8].
    p_zero, p_incompressible : float
        Shares of all-zero pages and of pages that do not compress.
    seed : int
    """
    shares = {"correlation": correlation, "p_zero": p_zero, "p_incompressible": p_incompressible}
    for name, value in shares.items():
        number(name, value, 0, 1, expected="a share between 0 and 1")
    if p_zero + p_incompressible > 1:
        raise InputError(f"p_zero {p_zero} and p_incompressible {p_incompressible} add up to more than 1")
    number("ratio", ratio, 1, PAGE_SIZE, expected=f"a number from 1 to {PAGE_SIZE}")
    number("sigma", sigma, 0, 10, expected="a number from 0 to 10")
    n_regions = whole("n_regions", n_regions, 1, _MOST_REGIONS)
    rng = np.random.default_rng(draw(checked_seed(seed), 0, MAKER))
    shape = (n_regions, REGION_PAGES)
    shared = rng.standard_normal((n_regions, 1)) * np.sqrt(correlation)
    own = rng.standard_normal(shape) * np.sqrt(1 - correlation)
    lz4_ratio = ratio * np.exp(sigma * (shared + own)).ravel()
    kind = rng.random(lz4_ratio.size)
    is_zero = kind < p_zero
    is_raw = (kind >= p_zero) & (kind < p_zero + p_incompressible)
    columns: dict[str, NDArray[np.uint16]] = {}
    for name, factor in _RELATIVE_SIZE.items():
        size = np.clip(np.rint(PAGE_SIZE / lz4_ratio * factor), 64, PAGE_SIZE)
        size[is_zero], size[is_raw] = 64, PAGE_SIZE
        columns[name] = size.astype(np.uint16)
    region = np.repeat(np.arange(n_regions, dtype=np.uint32), REGION_PAGES)
    return Corpus(pl.DataFrame({"region": region, "is_zero": is_zero, **columns}), is_made_up=True)
