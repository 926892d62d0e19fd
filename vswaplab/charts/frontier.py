"""Cost against stall: the machines of a design, the front that nothing beats, and what the next dollar buys."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import altair as alt
import polars as pl

from vswaplab.base.checks import need_columns
from vswaplab.base.errors import InputError
from vswaplab.charts.theme import FONT_PX, TIER_COLOURS, cram_note, layered, titled
from vswaplab.results.pareto import limits_of, pareto

_COLUMNS = ("usd_per_gib", "risk", "runs", "poisoned", "poison_high")
_STEPS = ("machine", "tier", "points_per_usd_per_gib")
# what a frontier says of data, with a colour and a shape; no tier's colours
_RISKS = {
    "cannot lose data": ("#333333", "circle"),
    "lost none": ("#CC79A7", "triangle-up"),
    "lost data": ("#B2182B", "cross"),
}
_X = "Cost of memory and swap ($ per GiB of the program's memory)"
_TITLES: dict[str, str | list[str]] = {
    "stall_percent": "Time below DRAM (% of memory-access time)",
    "stall_cached_percent": ["Time below DRAM, repeats cached", "(% of memory-access time)"],
}
_WIDTH, _HEIGHT, _SIDE, _BAR_PX = 560, 330, 250, 26


def frontier_chart(
    table: pl.DataFrame,
    steps: pl.DataFrame | None = None,
    *,
    title: str | None = None,
    cram_mode: str | None = None,
    note: str | None = None,
    all_dram: float | None = None,
    below: Mapping[str, float] | None = None,
    stall: str = "stall_percent",
) -> alt.LayerChart | alt.HConcatChart:
    """Show what machines cost and make a program wait, and which of them nothing beats.

    Parameters
    ----------
    table : polars.DataFrame
        What ``vl.frontier`` gives. A column ``label``, if there is one, names
        some of the points.
    steps : polars.DataFrame
        Tables of ``vl.next_dollar`` for one account, joined, with a column
        ``machine``: a second panel then shows what the next dollar saves in
        each tier.
    title, cram_mode
        As in ``residency_chart``.
    note
        Under the title.
    all_dram : dollars a GiB
        A rule at what DRAM for every page would cost.
    below : column to limit
        A rule at the limit of ``stall``.
    stall : {"stall_percent", "stall_cached_percent"}
        Which of the two; the front is that of this one.

    Returns
    -------
    chart

    Raises
    ------
    InputError
        A column is missing, or no machine has numbers.
    """
    need_columns(table, (*_COLUMNS, stall))
    shown = table.with_columns(stall=pl.col(stall)).filter(pl.col("stall").is_not_null())
    shown = shown.with_columns(said=_said(), is_on_front=_is_on_front(shown))
    if not shown.height:
        raise InputError("no machine of the table has numbers: see its column reason")
    notes = [note, cram_note(cram_mode)]
    heading = titled(title or _finding(shown), *notes)
    panel = _panel(shown, all_dram, limits_of(below).get(stall), stall)
    if steps is None:
        return panel.properties(title=heading, description=_alt_text(shown))
    need_columns(steps, _STEPS, "the table of steps")
    side = _next_panel(steps)
    joined: alt.HConcatChart = alt.hconcat(panel, side, spacing=30).resolve_scale(
        color="independent", shape="independent"
    )
    return joined.properties(title=heading, description=f"{_alt_text(shown)} {_steps_text(steps)}")


def _is_on_front(shown: pl.DataFrame) -> pl.Series:
    rows = shown.select("usd_per_gib", "stall").with_row_index("row")
    front = pareto(rows, ["usd_per_gib", "stall"])["row"]
    return rows["row"].is_in(front.implode())


def _finding(shown: pl.DataFrame) -> str:
    front = shown.filter("is_on_front").sort("usd_per_gib")
    first, last = front.row(0, named=True), front.row(-1, named=True)
    return (
        f"From ${first['usd_per_gib']:.2f} to ${last['usd_per_gib']:.2f} a GiB, "
        f"time below DRAM falls from {first['stall']:.2g} to {last['stall']:.2g} %"
    )


def _said() -> pl.Expr:
    # The legend's words: a bound where runs were counted, for no number of runs shows a chance of 0.
    plural = pl.when(pl.col("runs") == 1).then(pl.lit("")).otherwise(pl.lit("s"))
    bound = pl.format("at most {} % of runs", (100 * pl.col("poison_high")).round(1))
    return (
        pl.when(pl.col("risk") == "cannot lose data")
        .then(pl.lit("cannot lose data (by rule)"))
        .when(pl.col("risk") == "lost none")
        .then(pl.format("lost none in {} run{}: {}", pl.col("runs"), plural, bound))
        .otherwise(pl.lit("lost data in some runs"))
    )


def _panel(shown: pl.DataFrame, all_dram: float | None, limit: float | None, stall: str) -> alt.LayerChart:
    columns = ["usd_per_gib", "stall", "said", "is_on_front", "risk"]
    data = shown.select(*columns, *(["label"] if "label" in shown.columns else []))
    x = alt.X("usd_per_gib:Q", title=_X, scale=alt.Scale(zero=False, nice=True), axis=alt.Axis(format="$,.4~g"))
    y = alt.Y("stall:Q", title=_TITLES.get(stall, stall))
    front = alt.Chart(data.filter("is_on_front").drop("risk"))
    line = front.mark_line(interpolate="step-after", color="#0072B2", strokeWidth=2).encode(x=x, y=y)
    rank = pl.col("risk").replace_strict({risk: i for i, risk in enumerate(_RISKS)})
    is_bold = pl.col("is_on_front") | (pl.col("risk") != "cannot lose data")
    by_risk = data.with_columns(is_bold=is_bold).sort(rank, "is_on_front").drop("risk")
    # the edge lets a risk show on a point without
    points = alt.Chart(by_risk).mark_point(filled=True, stroke="white", strokeWidth=1)
    points = points.encode(x=x, y=y, **_risk_looks(shown))
    parts = [line, points]
    if "label" in data.columns:
        named = alt.Chart(data.filter(pl.col("label").is_not_null()).drop("risk"))
        parts.append(
            named.mark_text(align="left", dx=9, dy=-9, fontWeight="bold", fontSize=FONT_PX + 1).encode(
                x=x, y=y, text="label:N"
            )
        )
    if all_dram is not None:
        parts += _rule(x=all_dram, words="DRAM for every page")
    if limit is not None:
        parts += _rule(y=limit, words=f"limit: {limit:g} %")
    return layered(*parts, width=_WIDTH, height=_HEIGHT)


def _risk_looks(shown: pl.DataFrame) -> dict[str, Any]:
    order = {risk: i for i, risk in enumerate(_RISKS)}
    kinds = shown.select("risk", "said").unique().sort(pl.col("risk").replace_strict(order), "said")
    domain = kinds["said"].to_list()
    colours, shapes = ([_RISKS[risk][i] for risk in kinds["risk"]] for i in (0, 1))
    legend = alt.Legend(orient="top", columns=1, title="Risk", symbolOpacity=1, labelLimit=460)
    is_bold = alt.datum.is_bold
    return {
        "color": alt.Color("said:N", scale=alt.Scale(domain=domain, range=colours), legend=legend),
        "shape": alt.Shape("said:N", scale=alt.Scale(domain=domain, range=shapes), legend=legend),
        "opacity": alt.condition(is_bold, alt.value(1.0), alt.value(0.45)),
        "size": alt.condition(is_bold, alt.value(120), alt.value(60)),
    }


def _rule(*, words: str, x: float | None = None, y: float | None = None) -> list[alt.Chart]:
    at = alt.X("at:Q") if y is None else alt.Y("at:Q")
    base = alt.Chart(pl.DataFrame({"at": [x if y is None else y], "words": [words]}))
    rule = base.mark_rule(strokeDash=[5, 4], color="#6B6B6B", strokeWidth=1.5).encode(at)
    if y is None:
        said = base.mark_text(align="right", dx=-5, color="#444444").encode(at, y=alt.value(10), text="words:N")
    else:
        said = base.mark_text(align="right", baseline="bottom", dy=-4, color="#444444").encode(
            at, x=alt.value(_WIDTH), text="words:N"
        )
    return [rule, said]


def _next_panel(steps: pl.DataFrame) -> alt.LayerChart:
    tiers = steps["tier"].unique(maintain_order=True).to_list()
    machines = steps["machine"].unique(maintain_order=True).to_list()
    colours = alt.Scale(domain=tiers, range=[TIER_COLOURS[tier] for tier in tiers])
    shown, saved = steps.select(_STEPS).drop_nulls(), "points_per_usd_per_gib"
    title = ["Percentage points saved", "by $1 more per GiB"]
    bars = (
        alt.Chart(shown)
        .mark_bar()
        .encode(
            x=alt.X(f"{saved}:Q", title=title, axis=alt.Axis(values=_ticks(shown[saved].to_list()), format="~g")),
            y=alt.Y("machine:N", title="Machine", sort=machines, scale=alt.Scale(paddingInner=0.25)),
            yOffset=alt.YOffset("tier:N", sort=tiers),
            color=alt.Color("tier:N", scale=colours, legend=alt.Legend(orient="top", title="Spent on", columns=3)),
        )
    )
    zero = alt.Chart(pl.DataFrame({saved: [0.0]})).mark_rule(color="#333333", strokeWidth=1.5).encode(x=f"{saved}:Q")
    height = min(_HEIGHT, len(machines) * (_BAR_PX * len(tiers) + 12))
    return layered(bars, zero, title="What the next dollar saves", width=_SIDE, height=height)


def _ticks(values: list[float]) -> list[float]:
    # A few round numbers with 0 among them: the drawing library's own may leave the 0 without its label.
    low, high = min([0.0, *values]), max([0.0, *values])
    least = (high - low) / 4 or 1.0
    size = 10 ** math.floor(math.log10(least))
    step = next(size * times for times in (1, 2, 5, 10) if size * times >= least)
    return [round(step * i, 12) for i in range(math.floor(low / step), math.ceil(high / step) + 1)]


def _alt_text(shown: pl.DataFrame) -> str:
    front = shown.filter("is_on_front").sort("usd_per_gib")
    told = [f"${row['usd_per_gib']:.2f} and {row['stall']:.3g} %" for row in front.iter_rows(named=True)]
    return (
        f"{shown.height} machines by cost a GiB of the program's memory and time below DRAM; "
        f"a line joins those that nothing beats: {'; '.join(told)}."
    )


def _steps_text(steps: pl.DataFrame) -> str:
    rows = steps.select(_STEPS).drop_nulls().iter_rows()
    told = [f"{machine}, {tier} {points:.3g}" for machine, tier, points in rows]
    return f"Bars of the percentage points that $1 more a GiB saves: {'; '.join(told)}."
