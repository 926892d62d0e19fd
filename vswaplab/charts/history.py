"""Figures over the run: where pages lie, what faults, where the time goes, how full the media is.

Each function takes a table of a ``Result`` and returns a chart; it simulates
nothing, reads nothing and shows nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

import altair as alt
import polars as pl

from vswaplab.base.checks import mapping_of, need_columns, number, whole
from vswaplab.base.units import format_bytes, format_share, time_unit
from vswaplab.charts.tables import (
    COUNTERS,
    MIB,
    PLACES,
    STALLS,
    STORED,
    WHOLE,
    WINDOWS,
    add_up,
    end_of,
    faults_of,
    faults_table,
    mark_table,
    media_table,
    places_table,
    stall_table,
    stall_totals,
    traffic_table,
)
from vswaplab.charts.theme import (
    HEIGHT,
    PALE_CRAM,
    TIER_COLOURS,
    WIDTH,
    cram_note,
    layered,
    line_legend,
    tier_scale,
    time_axis,
    titled,
)
from vswaplab.results.summary import TIERS

_PANEL_PX = 200


def residency_chart(tiers: pl.DataFrame, *, title: str | None = None, cram_mode: str | None = None) -> alt.Chart:
    """Show where the workload's pages lie over the run, stacked by tier.

    Parameters
    ----------
    tiers : polars.DataFrame
        ``Result.tiers``: ``epoch``, ``access``, ``tier``, ``pages``,
        ``media_bytes``.
    title
        Instead of the usual one.
    cram_mode : {"swap", "tier"}
        Which CRAM the figure shows; said under the title.

    Returns
    -------
    chart
    """
    need_columns(tiers, PLACES)
    table = places_table(tiers)
    found = last_places(table)
    heading = titled(title or "Where the workload's pages lie", f"At the end: {found}", cram_note(cram_mode))
    alt_text = f"Areas over the run, MiB of pages in each tier, fastest at the bottom. At the end: {found}."
    chart: alt.Chart = (
        alt.Chart(table.drop("pages"), title=heading, description=alt_text, width=WIDTH, height=HEIGHT)
        .mark_area(stroke="white", strokeWidth=0.6)
        .encode(
            x=time_axis(end_of(table)),
            y=alt.Y("mib:Q", title="Pages (MiB, uncompressed)", stack="zero"),
            color=alt.Color("tier:N", title="Tier", scale=tier_scale(table["tier"])),
            order=alt.Order("rank:Q"),
            tooltip=_tooltip("tier", alt.Tooltip("mib:Q", title="MiB", format=",.2f")),
        )
    )
    return chart


def faults_chart(epochs: pl.DataFrame, *, title: str | None = None, cram_mode: str | None = None) -> alt.VConcatChart:
    """Show what the faults were over the run, and the pages that moved because of them.

    Parameters
    ----------
    epochs : polars.DataFrame
        ``Result.epochs``: ``epoch``, ``start``, ``stop`` and the counters.
    title, cram_mode
        As in ``residency_chart``.

    Returns
    -------
    chart
        Faults per 1,000 accesses by kind; below it the traffic of each tier,
        in MiB per 1,000 accesses: upwards what came back to DRAM, downwards
        what went into the tier.
    """
    need_columns(epochs, (*WINDOWS, *COUNTERS))
    windows = add_up(epochs)
    found = fault_counts(epochs)
    heading = titled(title or "Faults, and the traffic they cause", found, cram_note(cram_mode))
    alt_text = f"Two panels over the run: faults by kind, and traffic by tier. {found}."
    parts = alt.vconcat(_faults_panel(windows), _traffic_panel(windows), spacing=16)
    joined: alt.VConcatChart = parts.resolve_scale(color="independent")
    return joined.properties(title=heading, description=alt_text)


def stall_chart(epochs: pl.DataFrame, *, title: str | None = None, cram_mode: str | None = None) -> alt.VConcatChart:
    """Show where the time goes: the stall of the tiers below DRAM over the run, and of every tier in all.

    Serving from DRAM is most of the time of any machine that works, and hides
    the rest: only the totals show it.

    Parameters
    ----------
    epochs : polars.DataFrame
        ``Result.epochs``: ``epoch``, ``start``, ``stop``, ``stall_TIER_ns`` and the counters.
    title, cram_mode
        As in ``residency_chart``.

    Returns
    -------
    chart
    """
    need_columns(epochs, (*WINDOWS, *STALLS))
    totals = stall_totals(epochs)
    found = ", ".join(f"{row['tier']} {row['label']}" for row in totals.iter_rows(named=True)) or "no stall"
    heading = titled(title or _stall_title(totals), cram_note(cram_mode))
    alt_text = f"Stall time outside DRAM by tier over the run, and totals as bars: {found}."
    parts = alt.vconcat(_stall_panel(add_up(epochs)), _stall_bars(totals), spacing=16)
    joined: alt.VConcatChart = parts.resolve_scale(color="independent")
    return joined.properties(title=heading, description=alt_text)


def media_chart(
    tiers: pl.DataFrame,
    *,
    media_bytes: int,
    advertised_bytes: int | None = None,
    thresholds: Mapping[str, float] | None = None,
    title: str | None = None,
    cram_mode: str | None = None,
) -> alt.LayerChart:
    """Show how full the CRAM device is: stored bytes against its media and its thresholds.

    Parameters
    ----------
    tiers : polars.DataFrame
        ``Result.tiers``; the rows of tier CRAM are used.
    media_bytes : bytes
        What the device really has.
    advertised_bytes : bytes
        What the node shows; said under the title.
    thresholds : name to share of media
        Lines to draw, such as ``{"close_at": 0.95, "writeback_high": 0.9}``.
    title, cram_mode
        As in ``residency_chart``.

    Returns
    -------
    chart
    """
    need_columns(tiers, PLACES)
    whole("media_bytes", media_bytes, 1)
    if advertised_bytes is not None:
        whole("advertised_bytes", advertised_bytes, 1)
    shares = {} if thresholds is None else mapping_of("thresholds", thresholds, "{'close_at': 0.95}")
    table = media_table(tiers)
    stored = table.filter(pl.col("series") == STORED)["mib"].to_list()
    top = 1.08 * max([media_bytes / MIB, *table["mib"].to_list()])
    share = max(stored, default=0.0) * MIB / media_bytes
    found = f"Fullest: {format_share(share)} of {format_bytes(media_bytes)} of media"
    if advertised_bytes is not None:
        found += f", which the node shows as {format_bytes(advertised_bytes)}"
    heading = titled(title or "How full the CRAM device is", found, cram_note(cram_mode))
    alt_text = f"Uncompressed and stored bytes of CRAM pages over the run, with the media's size. {found}."
    marks = mark_table(media_bytes, {name: number(name, value, 0) for name, value in shares.items()}, top)
    parts = (_media_lines(table, top), *_media_marks(marks))
    return layered(*parts, title=heading, description=alt_text, width=WIDTH, height=HEIGHT)


# Findings -------------------------------------------------------------------------------------


def last_places(table: pl.DataFrame) -> str:
    """Say what share of the pages lies in each tier at the end, of a ``places_table``."""
    end = table.filter(pl.col("access") == pl.col("access").max()).sort("rank")
    whole = int(end["pages"].sum())
    if not whole:
        return "every page is freed"
    return ", ".join(f"{row['tier']} {format_share(row['pages'] / whole)}" for row in end.iter_rows(named=True))


def fault_counts(epochs: pl.DataFrame) -> str:
    """Say how many faults there were and of which kind most."""
    counts = {kind: sum(int(epochs[name].sum()) for name in names) for kind, (names, _) in faults_of(epochs).items()}
    whole = sum(counts.values())
    if not whole:
        return "No fault"
    most = max(counts, key=counts.__getitem__)
    return f"{whole:,} faults, most often: {most} ({format_share(counts[most] / whole)})"


def _stall_title(totals: pl.DataFrame) -> str:
    if not totals.height:
        return "Where the time goes"
    shares: dict[str, float] = dict(zip(totals["tier"], totals["share"], strict=True))
    dram = shares.pop("DRAM", 0.0)
    words = f"Where the time goes: {format_share(dram)} in DRAM"
    if not shares:
        return words
    most = max(shares, key=shares.__getitem__)
    return f"{words}, most of the rest in {most} ({format_share(shares[most])})"


# Panels ---------------------------------------------------------------------------------------


def _tooltip(key: str, value: alt.Tooltip) -> list[alt.Tooltip]:
    return [
        alt.Tooltip(f"{key}:N", title=key.capitalize()),
        alt.Tooltip("access:Q", title="Access", format=","),
        value,
    ]


def _steps(table: pl.DataFrame, key: str, colour: alt.Color, y: alt.Y) -> alt.Chart:
    value = alt.Tooltip("value:Q", title="Value", format=",.3~f")
    panel: alt.Chart = (
        alt.Chart(table, width=WIDTH, height=_PANEL_PX)
        .mark_area(interpolate="step-after")
        .encode(
            x=time_axis(end_of(table)),
            y=y,
            color=colour,
            order=alt.Order("rank:Q"),
            tooltip=_tooltip(key, value),
        )
    )
    return panel


def _faults_panel(windows: pl.DataFrame) -> alt.Chart:
    table = faults_table(windows)
    faults = faults_of(windows)
    kinds = [kind for kind in reversed(faults) if kind in set(table["kind"])]
    scale = alt.Scale(domain=kinds, range=[faults[kind][1] for kind in kinds])
    colour = alt.Color("kind:N", title="Fault", scale=scale)
    return _steps(table, "kind", colour, alt.Y("value:Q", title="Faults (per 1,000 accesses)", stack="zero"))


def _traffic_panel(windows: pl.DataFrame) -> alt.LayerChart:
    table = traffic_table(windows)
    colour = alt.Color("tier:N", title="Traffic of", scale=tier_scale(table["tier"]))
    title = ["Traffic (MiB per 1,000 accesses)", "\u2190 into the tier | back to DRAM \u2192"]
    sizes = alt.Axis(labelExpr="format(abs(datum.value), '~r')", tickCount=6)
    y = alt.Y("value:Q", title=title, stack="zero", axis=sizes)
    ways = table.partition_by("way") if table.height else [table]
    areas = [_steps(way, "tier", colour, y) for way in ways]
    zero = alt.Chart(pl.DataFrame({"value": [0.0]})).mark_rule(color="#333333").encode(y="value:Q")
    return layered(*areas, zero)


def _stall_panel(windows: pl.DataFrame) -> alt.Chart:
    table = stall_table(windows)
    colour = alt.Color("tier:N", title="Time in", scale=tier_scale(table["tier"]))
    return _steps(table, "tier", colour, alt.Y("value:Q", title="Stall outside DRAM (ns per touch)", stack="zero"))


def _stall_bars(totals: pl.DataFrame) -> alt.LayerChart:
    longest = max(totals["stall_ns"].to_list(), default=1)
    unit, size = time_unit(longest)
    room = alt.Scale(domain=[0, 1.35 * longest / size], nice=False)
    table = totals.with_columns(time=pl.col("stall_ns") / size)
    title = f"Stall time of the whole run ({unit})"
    bars = alt.Chart(table, width=WIDTH, height=30 * max(1, table.height)).encode(
        x=alt.X("time:Q", title=title, scale=room, axis=alt.Axis(tickCount=6)),
        y=alt.Y("tier:N", title="Tier", sort=list(TIERS)),
    )
    coloured = bars.mark_bar().encode(color=alt.Color("tier:N", scale=tier_scale(table["tier"]), legend=None))
    return layered(coloured, bars.mark_text(align="left", dx=5).encode(text="label:N"))


def _media_lines(table: pl.DataFrame, top: float) -> alt.Chart:
    names = [WHOLE, STORED]
    colours = alt.Scale(domain=names, range=[PALE_CRAM, TIER_COLOURS["CRAM"]])
    dashes = alt.Scale(domain=names, range=[[6, 4], [1, 0]])
    legend = line_legend(orient="top", title=None)
    lines: alt.Chart = (
        alt.Chart(table)
        .mark_line(strokeWidth=2.5)
        .encode(
            x=time_axis(end_of(table)),
            y=alt.Y("mib:Q", title="CRAM (MiB)", scale=alt.Scale(domain=[0, top], nice=False)),
            color=alt.Color("series:N", scale=colours, legend=legend),
            strokeDash=alt.StrokeDash("series:N", scale=dashes, legend=legend),
            tooltip=_tooltip("series", alt.Tooltip("mib:Q", title="MiB", format=",.2f")),
        )
    )
    return lines


def _media_marks(marks: pl.DataFrame) -> tuple[alt.Chart, alt.Chart]:
    base = alt.Chart(marks)
    rules = base.mark_rule(strokeDash=[3, 3], color="#333333").encode(y="mib:Q")
    names = base.mark_text(align="left", dx=6, color="#333333").encode(text="mark:N", x=alt.value(WIDTH), y="label:Q")
    return rules, names
