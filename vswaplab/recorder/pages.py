"""The contents that a recording copied out: a corpus of sizes, and how often a write changes a page for good."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vswaplab.base.errors import InputError
from vswaplab.base.units import PAGE_SIZE
from vswaplab.contents.schemes import Pages
from vswaplab.contents.sizes import Measure, measure_pages
from vswaplab.recorder.family import FREE, READ, WRITE
from vswaplab.trace.corpus import REGION_PAGES, number_regions

DUMP = np.dtype([("page", "<u8"), ("address", "<u8"), ("bytes", "u1", PAGE_SIZE)])
"""What the plugin writes of a page: its own number, its address / 4096, its bytes."""

PARENT = 0
"""The process whose pages are copied out."""

_WHERE = ("page", "moment", "region")
_STEP = 4096  # pages in memory at once


def measure_dump(path: Path, moment: int, measures: Mapping[str, Measure]) -> pl.DataFrame:
    """Measure one dump and delete it.

    Returns
    -------
    rows : polars.DataFrame
        ``page``, ``address``, ``moment`` and the content columns of a corpus.
    """
    n_pages = path.stat().st_size // DUMP.itemsize
    parts = []
    for start in range(0, n_pages, _STEP):
        part = np.fromfile(path, DUMP, min(_STEP, n_pages - start), offset=start * DUMP.itemsize)
        content: Pages = np.ascontiguousarray(part["bytes"])
        where = {"page": part["page"].astype(np.uint32), "address": part["address"].astype(np.uint64)}
        parts.append(pl.DataFrame(where | measure_pages(content, measures)))
    path.unlink()
    return pl.concat(parts).with_columns(moment=pl.lit(moment, pl.UInt8)) if parts else pl.DataFrame()


def make_corpus(
    dumps: Sequence[Path],
    numbers: Sequence[Mapping[int, int]] | None,
    measures: Mapping[str, Measure],
    offsets: Sequence[int] | None = None,
) -> pl.DataFrame:
    """Measure every dump; a page belongs to the region where it was first sampled.

    Parameters
    ----------
    dumps
        One for each moment, in order.
    numbers
        For each, the trace's number of each page; None: they are the same.
    offsets
        What to add to the page numbers of each dump before.
    measures
        What ``measures()`` of ``vswaplab.contents.sizes`` gives.

    Raises
    ------
    InputError
        There is no page in any of them.
    """
    parts = [measure_dump(path, moment, measures) for moment, path in enumerate(dumps)]
    if offsets is not None:
        parts = [_shifted(part, offset) for part, offset in zip(parts, offsets, strict=True)]
    if numbers is not None:
        parts = [_renumbered(part, number) for part, number in zip(parts, numbers, strict=True)]
    parts = [part for part in parts if part.height]
    if not parts:
        raise InputError("no page of the program was live when its contents were to be copied: record without contents")
    rows = pl.concat(parts)
    first = rows.group_by("page").agg(pl.col("address").sort_by("moment").first())
    rows = rows.drop("address").join(first, on="page", how="left")
    region = number_regions((rows["address"] // REGION_PAGES).to_numpy())
    rows = rows.with_columns(region=pl.Series(region)).sort("region", "page", "moment")
    return rows.select(*_WHERE, "is_zero", "same_filled", *measures)


def _shifted(part: pl.DataFrame, offset: int) -> pl.DataFrame:
    return part.with_columns(pl.col("page") + pl.lit(offset, pl.UInt32)) if part.height else part


def _renumbered(part: pl.DataFrame, number: Mapping[int, int]) -> pl.DataFrame:
    if not part.height:
        return part
    return part.with_columns(pl.col("page").replace_strict(number, return_dtype=pl.UInt32))


def redraw_points(
    page: NDArray[np.uint32], op: NDArray[np.uint8], corpus: pl.DataFrame, moments: Sequence[int]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Count kept writes between two consecutive moments, and tell whether any size changed, per page pair.

    Pages freed in between and pages without a kept write are left out.

    Parameters
    ----------
    page, op : (n_rows,)
        Of the trace; of several processes, ops that are not the parent's are reads.
    corpus
    moments : row of the trace before which each dump was made

    Returns
    -------
    writes, changed : (n_pairs,)
    """
    n_pages = int(page.max()) + 1
    sizes = [name for name in corpus.columns if name not in _WHERE]
    writes, changed = [np.zeros(0, np.int64)], [np.zeros(0, np.bool_)]
    for moment in range(len(moments) - 1):
        window = slice(moments[moment], moments[moment + 1])
        n_writes = np.bincount(page[window][op[window] == WRITE], minlength=n_pages)
        n_frees = np.bincount(page[window][op[window] == FREE], minlength=n_pages)
        before = corpus.filter(pl.col("moment") == moment)
        after = corpus.filter(pl.col("moment") == moment + 1)
        both = before.join(after, on="page", suffix="_after")
        differs = both.select(pl.any_horizontal(pl.col(n) != pl.col(f"{n}_after") for n in sizes))
        pages = both["page"].to_numpy()
        keep = (n_writes[pages] > 0) & (n_frees[pages] == 0)
        writes.append(n_writes[pages][keep])
        changed.append(differs.to_series().to_numpy()[keep])
    return np.concatenate(writes), np.concatenate(changed)


def parents_ops(trace: pl.DataFrame) -> NDArray[np.uint8]:
    """Take a trace's ops, with those of other processes than the parent as reads."""
    op = trace["op"].to_numpy()
    if "mapper" not in trace.columns:
        return op
    return np.where(trace["mapper"].to_numpy() == PARENT, op, READ).astype(np.uint8)


def redraw_probability(writes: NDArray[np.int64], changed: NDArray[np.bool_]) -> float:
    """Find the maximum-likelihood p of P(changed after w writes) = 1 - (1 - p) ** w, by bisection.

    Examples
    --------
    >>> redraw_probability(np.array([1, 1, 1, 1]), np.array([True, False, False, False]))
    0.25
    """

    def slope(p: float) -> float:
        w = writes.astype(float)
        unchanged = (1 - p) ** w
        gain = w * unchanged / ((1 - p) * (1 - unchanged))
        return float(np.where(changed, gain, -w / (1 - p)).sum())

    if not changed.any() or changed.all():
        return float(changed.any())
    low, high = 1e-9, 1 - 1e-9
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) > 0 else (low, middle)
    return round((low + high) / 2, 4)
