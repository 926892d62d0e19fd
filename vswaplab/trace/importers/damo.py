"""DAMON's regions over time, as ``damo report access --raw_number`` or ``perf script`` prints them.

A region is a stretch of addresses of which DAMON looks at one page at a time and takes it for all. In each
snapshot every page of a region that was seen accessed becomes one read, in order of address, with as many
repeats as there were further samples that saw an access. So a model of the recorded program has the right
pages, the right working set and the right frequencies as far as DAMON knows them; order inside a
snapshot, writes, and pages that were touched in regions seen idle are lost.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import BinaryIO

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vswaplab.base.errors import InputError
from vswaplab.trace.importers.lines import Block, blocks, sift, whole
from vswaplab.trace.importers.touches import Asked, Tally, Touches, spread

# damo 3: number, address, size, accesses a second, age. Tracepoint: damon:damon_aggregated. damo before 2.3:
# `damo report raw`, addresses in hexadecimal.
_REPORT = r"\d+\s+addr (?P<address>\d+)\s+size (?P<size>\d+)\s+access (?P<hz>\d+(?:\.\d+)?)\s+age \d+"
_TRACEPOINT = (
    r".*\bdamon_aggregated: target_id=\d+ nr_regions=\d+ (?P<start>\d+)-(?P<end>\d+): (?P<samples>\d+)(?: \d+)?"
)
_RAW = r"(?P<hex_start>[0-9a-f]+)-(?P<hex_end>[0-9a-f]+)\s?\(\s*[\d.]+ \w+\):\s+(?P<raw_samples>\d+)(?:\s.*)?"
PATTERN = rf"^\s*(?P<row>{_REPORT}|{_TRACEPOINT}|{_RAW})\s*$"
_INTERVALS = r"^intervals: sample (\d+) aggr (?P<aggr>\d+) "
ASIDE = (
    r"^\s*(?:#|$)|^(?:snapshot time|heatmap|intervals|memory bw estimate|total size|kdamond|context|target_id"
    r"|base_time_absolute|monitoring_\w+|nr_regions|scheme|damos?|record)\b"
)
_ROUNDED = r"^\s*\d+\s+addr [\d.,]+ \w*B\s+size "
KNOWN = rf"{PATTERN}|{_ROUNDED}"
"""What damo's lines look like, those too that cannot be used."""
EXPECTED = (
    "a region as `damo report access --raw_number` prints it, 'N addr BYTES size BYTES access HZ age MICROSECONDS'"
)
LOST = (
    "which pages of a region were touched (all of them count), their order within a snapshot, writes, what happened "
    "between two samples, which target a region is of"
)
_PAGE_SHIFT = np.uint64(12)
_MAX_SAMPLES = 1 << 20
_MICROSECONDS = 1e6


def read(stream: BinaryIO, asked: Asked, tally: Tally) -> Iterator[Touches]:
    """Read regions: each page of one that was seen accessed is read once a snapshot, the rest are repeats.

    Parameters
    ----------
    stream
        Plain text.
    asked
        ``default_op`` is what each touch is.
    tally
        Counts regions that were idle.
    """
    aggregation: float | None = None
    for block in blocks(stream):
        _refuse_rounded(block)
        rows = sift(block, PATTERN, ASIDE, EXPECTED, asked, tally)
        rows, aggregation = _with_intervals(rows, block, aggregation)
        for kind in _kinds(rows):
            yield from _regions(kind, asked, tally)


def _refuse_rounded(block: Block) -> None:
    rounded = block.lines.str.contains(_ROUNDED)
    if rounded.any():
        at = int(rounded.arg_max() or 0)
        raise InputError(
            f"line {block.first + at}: the addresses are rounded, so that no page is known: expected whole bytes, "
            f"as damo report access --raw_number prints them"
        )


def _with_intervals(rows: pl.DataFrame, block: Block, last: float | None) -> tuple[pl.DataFrame, float | None]:
    # Accesses a second become samples by the length of the snapshot, which is said in a line before the regions.
    told = block.lines.str.extract(_INTERVALS, 2).cast(pl.Float64, strict=False)
    told = pl.concat([pl.Series([last], dtype=pl.Float64), told]).fill_null(strategy="forward")
    aggr = told[1:].gather(rows["line"] - block.first)
    missing = (rows["hz"].is_not_null() & aggr.is_null()).arg_max() if rows.height else None
    if missing is not None and rows["hz"][missing] is not None and aggr[missing] is None:
        raise InputError(
            f"line {rows['line'][missing]}: accesses a second without a line 'intervals: ...' before them: "
            f"expected the whole output of damo report access --raw_number"
        )
    return rows.with_columns(aggr=aggr), told[-1]


def _kinds(rows: pl.DataFrame) -> Iterator[pl.DataFrame]:
    # One layout a file, but nothing says so: stretches of one layout, in order.
    layout = rows.select(
        pl.when(pl.col("hz").is_not_null()).then(0).when(pl.col("samples").is_not_null()).then(1).otherwise(2)
    ).to_series()
    cuts = [0, *(layout.diff().fill_null(0) != 0).arg_true().to_list(), rows.height]
    for start, stop in pairwise(cuts):
        if stop > start:
            yield rows[start:stop]


def _regions(rows: pl.DataFrame, asked: Asked, tally: Tally) -> Iterator[Touches]:
    start, end, samples = _columns(rows)
    backwards = np.flatnonzero(end < start)
    if backwards.size:
        raise InputError(f"line {rows['line'][int(backwards[0])]}: the region ends before it starts")
    is_hot = (samples > 0) & (end > start)
    if idle := int((~is_hot).sum()):
        tally["regions seen idle"] += idle
    first = start[is_hot] >> _PAGE_SHIFT
    count = ((end[is_hot] - np.uint64(1)) >> _PAGE_SHIFT) - first + np.uint64(1)
    if (count > asked.max_pages).any():
        at = int(np.argmax(count > asked.max_pages))
        line = rows["line"].to_numpy()[is_hot][at]
        raise InputError(
            f"line {line}: a region of {count[at]:,} pages: raise the limit of {asked.max_pages:,} (--max-pages)"
        )
    repeats = (samples[is_hot] - 1).astype(np.uint32)
    yield from spread(first, count.astype(np.int64), np.full(first.size, asked.default_op, np.uint8), repeats)


def _columns(rows: pl.DataFrame) -> tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.int64]]:
    # First address, address behind the last, samples that saw an access.
    if rows["hz"][0] is not None:
        start, size = whole(rows, "address"), whole(rows, "size")
        wraps = np.flatnonzero(size > np.iinfo(np.uint64).max - start)
        if wraps.size:
            raise InputError(f"line {rows['line'][int(wraps[0])]}: the region ends beyond the last address")
        accesses = rows["hz"].cast(pl.Float64).to_numpy() * rows["aggr"].to_numpy() / _MICROSECONDS
        samples = np.ceil(np.clip(accesses, 0, _MAX_SAMPLES) - 1e-6).astype(np.int64)
        return start, start + size, samples
    if rows["samples"][0] is not None:
        return whole(rows, "start"), whole(rows, "end"), whole(rows, "samples", most=_MAX_SAMPLES).astype(np.int64)
    samples = whole(rows, "raw_samples", most=_MAX_SAMPLES).astype(np.int64)
    return whole(rows, "hex_start", base=16), whole(rows, "hex_end", base=16), samples
