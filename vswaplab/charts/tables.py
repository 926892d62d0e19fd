"""Tables of a result, reduced and reshaped for the figures over the run.

Long runs are thinned to ``MAX_POINTS`` points or ``MAX_WINDOWS`` windows a
curve, so that a figure stays far below altair's limit of 5,000 rows.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from itertools import chain

import polars as pl

from vswaplab.base.units import PAGE_SIZE, format_bytes, time_unit
from vswaplab.charts.theme import HEIGHT, PALE_CRAM, PALE_DRAM, TIER_COLOURS, tier_colour, tier_rank
from vswaplab.results.summary import TIERS

MAX_POINTS = 250
"""Points at most of one curve of what tiers hold."""

MAX_WINDOWS = 100
"""Windows at most of what happens in a window; more are added up."""

MIB = 1 << 20

STORED, WHOLE = "stored on the media", "pages, uncompressed"
"""The two curves of ``media_table``."""

REPEATS = ("repeat_dram", "repeat_cram_read", "repeat_cram_write", "repeat_unserved")
_LABEL_PX = 17  # height of one line of text

COPIED = "copied on write"
FAULTS: dict[str, tuple[tuple[str, ...], str]] = {
    "first touch": (("first_touch",), TIER_COLOURS["DRAM"]),
    COPIED: (("copy_on_write",), PALE_DRAM),
    "zero page": (("swpin_zero",), TIER_COLOURS["ZERO"]),
    "CRAM, mapped in place": (("cram_soft_fault", "cram_made_writable"), PALE_CRAM),
    "CRAM, moved to DRAM": (("cram_promote",), TIER_COLOURS["CRAM"]),
    "zswap, decompressed": (("zswpin",), TIER_COLOURS["zswap"]),
    "zram, decompressed": (("zram_read", "zram_read_recompressed", "zram_bd_reads"), TIER_COLOURS["zram"]),
    "swapfile, read": (("pswpin_swapfile",), TIER_COLOURS["swapfile"]),
}
"""Kind of fault: the counters it adds up, its colour; from the axis outwards."""

TRAFFIC: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "CRAM": (("cram_in",), ("cram_promote",)),
    "zswap": (("zswpout",), ("zswpin",)),
    "zram": (("pswpout_zram",), ("pswpin_zram",)),
    "swapfile": (("pswpout_swapfile",), ("pswpin_swapfile",)),
}
"""Tier: counters of pages that went into it (down in the figure), of pages that came back (up)."""

PLACES = ("epoch", "access", "tier", "pages", "media_bytes")
WINDOWS = ("epoch", "start", "stop")
COUNTERS = tuple(dict.fromkeys([*chain(*(names for names, _ in FAULTS.values())), *chain(*chain(*TRAFFIC.values()))]))
STALLS = ("reads", "writes", *REPEATS, *(f"stall_{tier.lower()}_ns" for tier in TIERS))
"""Columns that the figures need: of ``Result.tiers``; of ``Result.epochs``, and what is counted there."""


def plugged_tiers(epochs: pl.DataFrame) -> list[str]:
    """List plug-ins' tiers of a table of counters, by the columns of their stall."""
    found = [name[len("stall_") : -len("_ns")] for name in epochs.columns if re.fullmatch(r"stall_\w+_ns", name)]
    return sorted({*found} - {tier.lower() for tier in TIERS})


def faults_of(epochs: pl.DataFrame) -> dict[str, tuple[tuple[str, ...], str]]:
    """Give ``FAULTS``, and those of plug-ins' tiers."""
    own = plugged_tiers(epochs)
    return FAULTS | {f"{tier}, loaded": ((f"{tier}_in",), tier_colour(tier, own)) for tier in own}


def traffic_of(epochs: pl.DataFrame) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    """Give ``TRAFFIC``, and that of plug-ins' tiers."""
    return TRAFFIC | {tier: ((f"{tier}_out",), (f"{tier}_in",)) for tier in plugged_tiers(epochs)}


def end_of(table: pl.DataFrame) -> int:
    """Say where a table's time ends, accesses."""
    return max(table["access"].to_list(), default=0)


def _thin(tiers: pl.DataFrame) -> pl.DataFrame:
    # Every so many windows and always the last one, after a start at which every tier is empty.
    n_windows = tiers["epoch"].n_unique()
    step = max(1, -(-n_windows // MAX_POINTS))
    kept = tiers.filter((pl.col("epoch") % step == 0) | (pl.col("epoch") == pl.col("epoch").max()))
    columns = ["access", "tier", "pages", "media_bytes"]
    zero = [pl.lit(0, pl.Int64).alias(name) for name in ("access", "pages", "media_bytes")]
    start = tiers.select(pl.col("tier").unique(maintain_order=True)).with_columns(zero)
    return pl.concat([start.select(columns), kept.select(columns)])


def add_up(epochs: pl.DataFrame) -> pl.DataFrame:
    """Add neighbouring windows up, so that at most ``MAX_WINDOWS`` are left."""
    step = max(1, -(-epochs.height // MAX_WINDOWS))
    if step == 1:
        return epochs
    sums = [pl.col(name).sum() for name in epochs.columns if name not in ("epoch", "start", "stop")]
    group = (pl.col("epoch") // step).alias("epoch")
    return epochs.group_by(group, maintain_order=True).agg(pl.col("start").min(), pl.col("stop").max(), *sums)


def _series(windows: pl.DataFrame, keys: Mapping[str, str | int], value: pl.Expr) -> pl.DataFrame:
    # One curve of steps: a point at each window's start, and one at the end of the last.
    labels = [pl.lit(key).alias(name) for name, key in keys.items()]
    steps = windows.select(pl.col("start").alias("access"), *labels, value.cast(pl.Float64).alias("value"))
    last = windows.tail(1).select(pl.col("stop").alias("access"), *labels, value.cast(pl.Float64).alias("value"))
    return pl.concat([steps, last])


def _curves(parts: list[pl.DataFrame], key: str) -> pl.DataFrame:
    if parts:
        return pl.concat(parts)
    return pl.DataFrame(schema={"access": pl.Int64, key: pl.String, "rank": pl.Int32, "value": pl.Float64})


def _per_thousand(counters: tuple[str, ...]) -> pl.Expr:
    return pl.sum_horizontal(counters) * 1000.0 / pl.max_horizontal("accesses", 1)


def _happened(windows: pl.DataFrame, counters: tuple[str, ...]) -> bool:
    return any(int(windows[name].sum()) for name in counters)


def places_table(tiers: pl.DataFrame) -> pl.DataFrame:
    """Lay out what each tier holds: ``access``, ``tier``, ``pages``, ``mib``, ``rank``."""
    rank = pl.col("tier").map_elements(tier_rank, return_dtype=pl.Int64)
    mib = pl.col("pages") * PAGE_SIZE / MIB
    return _thin(tiers).select("access", "tier", "pages", mib=mib, rank=rank)


def faults_table(windows: pl.DataFrame) -> pl.DataFrame:
    """Lay out faults per 1,000 accesses: ``access``, ``kind``, ``rank``, ``value``."""
    parts = [
        _series(windows, {"kind": kind, "rank": rank}, _per_thousand(counters))
        for rank, (kind, (counters, _)) in enumerate(faults_of(windows).items())
        if _happened(windows, counters)
    ]
    return _curves(parts, "kind")


def traffic_table(windows: pl.DataFrame) -> pl.DataFrame:
    """Lay out traffic, MiB per 1,000 accesses, negative into a tier: ``access``, ``tier``, ``way``, ``value``."""
    parts = []
    for rank, (tier, (down, up)) in enumerate(traffic_of(windows).items()):
        if _happened(windows, down + up):
            mib_down = -_per_thousand(down) * PAGE_SIZE / MIB
            mib_up = _per_thousand(up) * PAGE_SIZE / MIB
            parts.append(_series(windows, {"tier": tier, "way": "into the tier", "rank": rank}, mib_down))
            parts.append(_series(windows, {"tier": tier, "way": "back to DRAM", "rank": rank}, mib_up))
    return _curves(parts, "tier")


def stall_table(windows: pl.DataFrame) -> pl.DataFrame:
    """Lay out the stall outside DRAM, ns per touch: ``access``, ``tier``, ``rank``, ``value``."""
    tiers = [*TIERS[1:], *plugged_tiers(windows)]
    columns = {tier: f"stall_{tier.lower()}_ns" for tier in tiers}
    touches = pl.max_horizontal(pl.sum_horizontal("reads", "writes", *REPEATS), 1)
    parts = [
        _series(windows, {"tier": tier, "rank": rank}, pl.col(column) / touches)
        for rank, (tier, column) in enumerate(columns.items())
        if _happened(windows, (column,))
    ]
    return _curves(parts, "tier")


def stall_totals(epochs: pl.DataFrame) -> pl.DataFrame:
    """Add up the stall of each tier that has any: ``tier``, ``stall_ns``, ``share``, ``label``, all in one unit."""
    tiers = [*TIERS, *plugged_tiers(epochs)]
    by_tier = {tier: int(epochs[f"stall_{tier.lower()}_ns"].sum()) for tier in tiers}
    whole = max(1, sum(by_tier.values()))
    unit, size = time_unit(max(by_tier.values()))
    rows = [
        {
            "tier": tier,
            "stall_ns": ns,
            "share": ns / whole,
            "label": f"{ns / size:,.2f} {unit} ({100 * ns / whole:.1f} %)",
        }
        for tier, ns in by_tier.items()
        if ns
    ]
    schema = {"tier": pl.String, "stall_ns": pl.Int64, "share": pl.Float64, "label": pl.String}
    return pl.DataFrame(rows, schema=schema)


def media_table(tiers: pl.DataFrame) -> pl.DataFrame:
    """Lay out CRAM's bytes, uncompressed and stored: ``access``, ``series``, ``mib``."""
    cram = _thin(tiers.filter(pl.col("tier") == "CRAM"))
    bytes_of = {WHOLE: pl.col("pages") * PAGE_SIZE, STORED: pl.col("media_bytes")}
    parts = [cram.select("access", series=pl.lit(name), mib=value / MIB) for name, value in bytes_of.items()]
    return pl.concat(parts)


def mark_table(media_bytes: int, thresholds: Mapping[str, float], top: float) -> pl.DataFrame:
    """Lay out levels from the top down; ``label`` is where a name stands, a line apart from the one above."""
    names: dict[float, list[str]] = {1.0: [f"media {format_bytes(media_bytes)}"]}
    for name, share in thresholds.items():
        names.setdefault(share, []).append(f"{name} {100 * share:g} %")
    rows, above = [], math.inf
    for share in sorted(names, reverse=True):
        mib = share * media_bytes / MIB
        above = min(mib, above - top * _LABEL_PX / HEIGHT)
        rows.append({"mark": ", ".join(names[share]), "mib": mib, "label": above})
    return pl.DataFrame(rows)
