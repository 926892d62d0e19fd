"""Figures that set things side by side: machines, and single pages."""

from __future__ import annotations

import altair as alt
import polars as pl

from vswaplab.base.checks import need_columns
from vswaplab.charts.theme import (
    TIER_COLOURS,
    TIME_TITLE,
    WIDTH,
    cram_note,
    layered,
    tier_rank,
    tier_scale,
    titled,
)
from vswaplab.results.summary import TIERS

NOWHERE = "nowhere"
"""What ``folio_chart`` calls a page that holds no data: not touched yet, or freed."""

_CELL_PX = 34
_BAR_PX = 40


def comparison_chart(
    table: pl.DataFrame,
    x: tuple[str, str] | None = None,
    machine: str = "Machine",
    *,
    title: str | None = None,
    cram_mode: str | None = None,
) -> alt.LayerChart:
    """Show several machines or profiles side by side: what an access costs, or another time, by tier.

    Parameters
    ----------
    table : polars.DataFrame
        One row per machine and tier (``results.summary.comparison_table``):
        ``machine`` (any label), ``tier``, and ``access_ns``: the tier's stall
        time over all touches, ns. Machines are drawn in the order of the table.
    x : (column, axis title), optional
        Another time to show; its unit ends the title, in brackets.
    machine
        Axis title of what is compared.
    title, cram_mode
        As in ``residency_chart``.

    Returns
    -------
    chart
    """
    time = "access_ns" if x is None else x[0]
    need_columns(table, ("machine", "tier", time))
    shown = table.select("machine", "tier", time).with_columns(
        rank=pl.col("tier").map_elements(tier_rank, return_dtype=pl.Int64)
    )
    where = "" if "DRAM" in set(shown["tier"]) else ", outside DRAM"
    axes = (f"Mean time of an access{where} (ns)" if x is None else x[1], machine)
    what, _, unit = axes[0].removesuffix(")").partition(" (")
    totals = shown.group_by("machine", maintain_order=True).agg(pl.col(time).sum())
    totals = totals.with_columns(label=pl.col(time).map_elements(lambda sum_: f"{sum_:,.1f} {unit}", pl.String))
    found = ", ".join(f"{row['machine']} {row['label']}" for row in totals.iter_rows(named=True)) or "nothing"
    order = totals["machine"].to_list()
    heading = titled(title or (_comparison_title(totals) if x is None else what), cram_note(cram_mode))
    alt_text = f"Horizontal bars of {what}, stacked by tier: {found}."
    height = _BAR_PX * max(1, len(order))
    bars, labels = (
        _bars(shown, time, axes, order, 1.12 * max(totals[time].to_list(), default=1.0)),
        _bar_ends(totals, time, order),
    )
    return layered(bars, labels, title=heading, description=alt_text, width=WIDTH, height=height)


def folio_chart(table: pl.DataFrame, *, title: str | None = None, cram_mode: str | None = None) -> alt.LayerChart:
    """Show the life of single pages: a grid of pages and accesses, coloured by where each page is.

    Parameters
    ----------
    table : polars.DataFrame
        One row per page and access: ``access``, ``page`` (whole numbers),
        ``place`` (where the page is after the access: a tier's name; anything
        else, or null, is nowhere) and ``op`` (a letter for the page that the
        access touched; null or "" for the others).
    title, cram_mode
        As in ``residency_chart``.

    Returns
    -------
    chart
    """
    need_columns(table, ("access", "page", "place", "op"))
    known = pl.col("place").is_in(list(TIERS))
    cells = table.select(
        "access",
        "page",
        pl.when(known).then("place").otherwise(pl.lit(NOWHERE)).alias("place"),
        pl.col("op").fill_null(""),
    )
    places = [tier for tier in (*TIERS, NOWHERE) if tier in set(cells["place"])]
    colours = TIER_COLOURS | {NOWHERE: "#F2F2F2"}
    grid = alt.Chart(cells).encode(
        x=alt.X(
            "access:O",
            title=TIME_TITLE,
            axis=alt.Axis(labelAngle=0, labelOverlap=True),
        ),
        y=alt.Y("page:O", title="Page (number)"),
    )
    scale = alt.Scale(domain=places, range=[colours[place] for place in places])
    squares = grid.mark_rect(stroke="white", strokeWidth=2).encode(
        color=alt.Color("place:N", title="Where the page is", scale=scale),
        tooltip=["access:O", "page:O", "place:N", "op:N"],
    )
    dark = alt.FieldOneOfPredicate(field="place", oneOf=["DRAM", "CRAM", "swapfile"])
    letters = (
        grid.transform_filter("datum.op !== ''")
        .mark_text(fontWeight="bold")
        .encode(text="op:N", color=alt.condition(dark, alt.value("white"), alt.value("black")))
    )
    n_pages, n_accesses = cells["page"].n_unique(), cells["access"].n_unique()
    heading = titled(title or "The life of single pages", cram_note(cram_mode))
    alt_text = f"A grid of {n_pages} pages by {n_accesses} accesses; colours say where a page is: "
    alt_text += f"{', '.join(places)}."
    width, height = min(900, _CELL_PX * n_accesses), _CELL_PX * n_pages
    return layered(squares, letters, title=heading, description=alt_text, width=width, height=height)


def _bars(shown: pl.DataFrame, time: str, axes: tuple[str, str], order: list[str], longest: float) -> alt.Chart:
    bars: alt.Chart = (
        alt.Chart(shown)
        .mark_bar(stroke="white", strokeWidth=0.6)
        .encode(
            x=alt.X(
                f"{time}:Q",
                title=axes[0],
                stack="zero",
                axis=alt.Axis(tickCount=8),
                scale=alt.Scale(domain=[0, longest], nice=False),
            ),
            y=alt.Y("machine:N", title=axes[1], sort=order, axis=alt.Axis(labelLimit=260)),
            color=alt.Color("tier:N", title="Time in", scale=tier_scale(shown["tier"])),
            order=alt.Order("rank:Q"),
            tooltip=["machine:N", "tier:N", alt.Tooltip(f"{time}:Q", format=",.1f")],
        )
    )
    return bars


def _bar_ends(totals: pl.DataFrame, time: str, order: list[str]) -> alt.Chart:
    ends: alt.Chart = (
        alt.Chart(totals)
        .mark_text(align="left", dx=5)
        .encode(x=f"{time}:Q", y=alt.Y("machine:N", sort=order), text="label:N")
    )
    return ends


def _comparison_title(totals: pl.DataFrame) -> str:
    ranked = totals.filter(pl.col("access_ns") > 0).sort("access_ns")
    if ranked.height < 2:
        return "What an access costs"
    best, worst = ranked.row(0, named=True), ranked.row(-1, named=True)
    times = worst["access_ns"] / best["access_ns"]
    more = f"{times:.1f} times that" if times >= 1.5 else f"{100 * (times - 1):.1f} % more"
    return f"What an access costs: {best['machine']} least, {worst['machine']} {more}"
