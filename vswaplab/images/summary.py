"""What a corpus says: ratios, shares, runs of like pages, and what devices would hold of it.

Two kinds of ratio are told and never mixed. A *total ratio* is all bytes of
the pages over all bytes of their compressed copies: what capacity depends on.
A *page ratio* is one page's own, and its quantiles say how pages differ; their
mean is no ratio of anything and is not given.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vswaplab.base.codecs import MORE_COLUMNS, SIZE_COLUMNS
from vswaplab.base.units import PAGE_SIZE
from vswaplab.engine.zsmalloc import SHARE_BITS, footprint_table
from vswaplab.machine.profiles import Profile, load_profiles
from vswaplab.trace.corpus import Corpus

QUANTILES = (0.05, 0.25, 0.50, 0.75, 0.95)
"""Of the pages' own ratios."""

CLASSES = ("zero", "to a quarter or less", "to a half or less", "to less than a page", "does not compress")
"""Kinds of pages that runs are told of, by their size under one codec."""

_TITLES = SIZE_COLUMNS | MORE_COLUMNS
_FACTS = ("region", "is_zero", "same_filled", "page", "moment")


def codec_table(corpus: Corpus) -> pl.DataFrame:
    """Say how well the pages compress under each codec.

    Returns
    -------
    table : polars.DataFrame
        ``column``, ``codec`` (in words), ``total_ratio`` (of all pages, zero
        pages as the codec stores them), ``total_ratio_not_zero`` (of those that
        are not zero), ``page_ratio_p5`` ... ``page_ratio_p95`` (quantiles of the
        pages' own ratios), ``incompressible`` (share of pages of 4096 bytes).
    """
    rows = []
    for column in size_columns(corpus):
        size = corpus.sizes(column)
        own = np.quantile(PAGE_SIZE / size, QUANTILES, method="inverted_cdf")
        rows.append(
            {"column": column, "codec": _TITLES.get(column, column)}
            | {"total_ratio": _total(size), "total_ratio_not_zero": _total(size[~corpus.is_zero])}
            | {f"page_ratio_p{100 * q:.0f}": value for q, value in zip(QUANTILES, own.tolist(), strict=True)}
            | {"incompressible": float((size >= PAGE_SIZE).mean())}
        )
    return pl.DataFrame(rows)


def size_columns(corpus: Corpus) -> list[str]:
    """List the columns of a corpus that hold sizes."""
    table = corpus.table
    return [name for name in table.columns if name not in _FACTS and table[name].dtype.is_numeric()]


def shares(corpus: Corpus) -> dict[str, float]:
    """Say which shares of the pages are ``zero``, and ``same_filled`` (one 8-byte word repeated; zero pages are)."""
    found = {"zero": float(corpus.is_zero.mean())}
    if "same_filled" in corpus.table.columns:
        found["same_filled"] = float(corpus.table["same_filled"].to_numpy().mean())
    return found


def size_table(corpus: Corpus, columns: Sequence[str]) -> pl.DataFrame:
    """Lay out the distribution of sizes: ``codec``, ``size`` (bytes), ``share`` of pages of at most that size."""
    sizes = np.arange(0, PAGE_SIZE + 1, PAGE_SIZE // 64)
    parts = []
    for column in columns:
        at_most = np.searchsorted(np.sort(corpus.sizes(column)), sizes, "right")
        share = at_most / len(corpus)
        parts.append(pl.DataFrame({"codec": _TITLES.get(column, column), "size": sizes, "share": share}))
    return pl.concat(parts)


def run_table(corpus: Corpus, column: str) -> pl.DataFrame:
    """Say how long the runs of like pages are: neighbours by address, of one class under a codec.

    Parameters
    ----------
    corpus : Corpus
        With ``page``, as ``vl.measure`` makes it. (Pages of a recorded
        program are numbered by first touch, and are a sample: neighbours are few.)
    column
        A size column.

    Returns
    -------
    table : polars.DataFrame
        A row a class that occurs: ``class``, ``share`` of the pages, ``runs``,
        ``mean_run`` and ``longest_run`` in pages, ``shuffled_run``: the mean
        run of the class if the same pages lay in random order (1 over 1 less
        its share).
    """
    order, follows = _by_address(corpus)
    kind, is_start = _classes(corpus, column)[order], ~follows
    is_start[1:] |= kind[1:] != kind[:-1]
    starts = np.flatnonzero(is_start)
    length = np.diff(np.r_[starts, kind.size])
    rows = []
    for index, name in enumerate(CLASSES):
        runs = length[kind[starts] == index]
        if runs.size:
            share = float((kind == index).mean())
            rows.append(
                {"class": name, "share": share, "runs": runs.size, "mean_run": float(runs.mean())}
                | {"longest_run": int(runs.max()), "shuffled_run": 1 / (1 - share) if share < 1 else float(kind.size)}
            )
    return pl.DataFrame(rows)


def neighbour_correlation(corpus: Corpus, column: str) -> float | None:
    """Give the correlation of the log of the ratio between pages next to each other, zero pages left out.

    0: what lies next to a page says nothing of it; None: too few neighbours, or all pages are alike.
    """
    order, follows = _by_address(corpus)
    is_zero, ratio = corpus.is_zero[order], np.log(PAGE_SIZE / corpus.sizes(column)[order])
    later = np.flatnonzero(follows)
    both = later[~is_zero[later] & ~is_zero[later - 1]]
    here, before = ratio[both], ratio[both - 1]
    if both.size < 2 or not here.std() or not before.std():
        return None
    return float(np.corrcoef(here, before)[0, 1])


def _classes(corpus: Corpus, column: str) -> NDArray[np.int64]:
    kind = (
        np.searchsorted([PAGE_SIZE // 4, PAGE_SIZE // 2, PAGE_SIZE - 1], corpus.sizes(column), "left") + 1
    )  # 1024 bytes are a quarter
    return np.where(corpus.is_zero, 0, kind)


def _by_address(corpus: Corpus) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    # Rows by moment and page, and whether each is the page behind the one before it.
    table = corpus.table
    if "page" not in table.columns:
        return np.arange(len(corpus)), np.zeros(len(corpus), np.bool_)
    page = table["page"].to_numpy().astype(np.int64)
    moment = table["moment"].to_numpy() if "moment" in table.columns else np.zeros(len(corpus), np.uint8)
    order = np.lexsort((page, moment))
    return order, np.r_[False, np.diff(page[order]) == 1]


def profile_table(corpus: Corpus, profiles_file: str | Path | None = None) -> pl.DataFrame:
    """Say what each device and compressor would hold of these pages.

    Zero pages are left out: the kernel catches them before any device does.

    Parameters
    ----------
    corpus : Corpus
    profiles_file
        A TOML file of further profiles.

    Returns
    -------
    table : polars.DataFrame
        ``profile``, ``kind`` (cram or compressor), ``title``, ``column``, ``held_ratio``:
        bytes of pages in one byte of media, rounding and metadata of a device
        and zsmalloc's size classes of a compressor counted; ``advertised_ratio``
        of a device; null where the corpus lacks the profile's column.
    """
    known = load_profiles() | ({} if profiles_file is None else load_profiles(profiles_file))
    have = [*size_columns(corpus), "raw"]
    return pl.DataFrame(
        [
            {"profile": profile.name, "kind": profile.kind, "title": profile.title, "column": profile.size_column}
            | {"held_ratio": _held(corpus, profile) if profile.size_column in have else None}
            | {"advertised_ratio": profile.advertised_ratio if profile.kind == "cram" else None}
            for profile in known.values()
        ],
        schema_overrides={"held_ratio": pl.Float64, "advertised_ratio": pl.Float64},
    )


def _held(corpus: Corpus, profile: Profile) -> float | None:
    size = corpus.sizes(profile.size_column)[~corpus.is_zero]
    if not size.size:
        return None
    if profile.kind == "cram":
        return float(size.size * PAGE_SIZE / profile.stored_bytes(size).sum(dtype=np.int64))
    return float(size.size * PAGE_SIZE / (footprint_table()[size].sum() / (1 << SHARE_BITS)))


def _total(size: NDArray[np.int32]) -> float | None:
    return float(size.size * PAGE_SIZE / size.sum(dtype=np.int64)) if size.size else None
