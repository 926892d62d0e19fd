"""Policies of reclaim or of writeback between floor and ceiling."""

from __future__ import annotations

from typing import NamedTuple

import altair as alt
import polars as pl

from vswaplab.base.checks import need_columns
from vswaplab.base.errors import InputError
from vswaplab.base.units import format_share
from vswaplab.charts.theme import cram_note, layered, line_legend, titled

_COLUMNS = ("policy", "title", "bound", "miss_share", "access_ns")
_BOUNDS = {"floor": "#000000", "ceiling": "#6B6B6B"}  # no tier's
_WORDS = {"floor": "floor: unlimited DRAM", "ceiling": "ceiling: clairvoyant"}
_DASHES = {"floor": [1, 0], "ceiling": [6, 4]}
_POINT = "#0072B2"
_ROW_PX, _PANEL_PX = 34, 310


class _Measure(NamedTuple):
    column: str
    axis: str
    text: str  # a number's format on the figure
    scale: float


_MEASURES = (
    _Measure("miss_share", "Accesses that missed {} (%)", ".2f", 100.0),
    _Measure("access_ns", "Mean time of an access (ns)", ",.0f", 1.0),
)


def policies_chart(table: pl.DataFrame, *, title: str | None = None, cram_mode: str | None = None) -> alt.HConcatChart:
    """Show policies of reclaim, or of CRAM writeback, between floor and ceiling.

    Parameters
    ----------
    table : polars.DataFrame
        One row a policy, as ``vl.compare_policies`` gives it: ``policy``,
        ``title``, ``bound``, ``miss_share``, ``access_ns``, and ``of`` if it is
        not DRAM's; one row must be the floor and one the ceiling. Policies under
        which memory ran out (``oom``) are named, not drawn.
    title, cram_mode
        As in ``residency_chart``.

    Returns
    -------
    chart
        Two panels, the policy with the fewest misses on top: the share of
        accesses that missed DRAM (or DRAM and CRAM), and what an access cost. A
        rule stands at each bound.

    Raises
    ------
    InputError
        A column is missing, or a bound, or every policy but the bounds; memory
        ran out under a bound, or under every other policy.
    """
    need_columns(table, _COLUMNS)
    for bound in _BOUNDS:
        if bound not in table["bound"]:
            raise InputError(f"the table has no {bound}: take all rows that vl.compare_policies gives")
    if not table["bound"].null_count():
        raise InputError("the table has no policy besides the bounds: compare at least one")
    is_ended = pl.col("oom") > 0 if "oom" in table.columns else pl.lit(value=False)
    whole, ended = table.filter(~is_ended), table.filter(is_ended)
    shown = whole.filter(pl.col("bound").is_null()).sort("miss_share", maintain_order=True)
    if not shown.height or ended["bound"].count():
        raise InputError(f"memory ran out under {_named(ended)}, so nothing compares: give the machine more room")
    panels = [_panel(shown, whole, measure, has_names=i == 0) for i, measure in enumerate(_MEASURES)]
    heading, description = title or policies_finding(whole), _alt_text(whole)
    if ended.height:
        heading += f"; memory ran out under {_named(ended)}"
        description += f" Memory ran out under {_named(ended)}."
    chart: alt.HConcatChart = alt.hconcat(*panels, spacing=24).properties(
        title=titled(heading, cram_note(cram_mode)), description=description
    )
    return chart


def _named(table: pl.DataFrame) -> str:
    return ", ".join(table["title"])


def policies_finding(table: pl.DataFrame) -> str:
    """Say which policy misses least, and how much of the way from the worst to the ceiling it goes."""
    ranked = table.filter(pl.col("bound").is_null()).sort("miss_share", maintain_order=True)
    best, worst = ranked.row(0, named=True), ranked.row(-1, named=True)
    ceiling = table.filter(pl.col("bound") == "ceiling")["miss_share"].item()
    words = f"{best['title']} misses {_missed(table)} least: {100 * best['miss_share']:.1f} %"
    gap = worst["miss_share"] - ceiling
    if ranked.height < 2 or gap <= 0:
        return f"{words}, the clairvoyant {100 * ceiling:.1f} %"
    share = (worst["miss_share"] - best["miss_share"]) / gap
    return f"{words}, {format_share(share)} of the way from {worst['title']} to the clairvoyant"


def _missed(table: pl.DataFrame) -> str:
    # What a miss did not find its page in.
    return "DRAM and CRAM" if "of" in table.columns and table["of"][0] == "cram" else "DRAM"


def _panel(shown: pl.DataFrame, table: pl.DataFrame, measure: _Measure, *, has_names: bool) -> alt.LayerChart:
    def scaled(frame: pl.DataFrame) -> pl.DataFrame:
        return frame.select("title", "bound", value=pl.col(measure.column) * measure.scale)

    points, bounds = scaled(shown), scaled(table.filter(pl.col("bound").is_not_null()))
    bounds = bounds.with_columns(what=pl.col("bound").replace_strict(_WORDS))
    most = max(points["value"].max(), bounds["value"].max())  # type: ignore[type-var]
    scale = alt.Scale(domain=[0, 1.22 * float(str(most))], nice=False)  # room for the numbers
    x = alt.X("value:Q", title=measure.axis.format(_missed(table)), scale=scale, axis=alt.Axis(tickCount=6))
    y = alt.Y(
        "title:N",
        title="Policy" if has_names else None,
        sort=shown["title"].to_list(),
        axis=alt.Axis(grid=True, labels=has_names, ticks=has_names, labelLimit=200),
    )
    dots = alt.Chart(points).mark_point(filled=True, size=110, color=_POINT, opacity=1).encode(x=x, y=y)
    numbers = alt.Chart(points).mark_text(align="left", dx=10).encode(
        x=x, y=y, text=alt.Text("value:Q", format=measure.text)
    )  # fmt: skip
    ends = [_rule_end(bounds, measure, x, bound) for bound in _BOUNDS]
    return layered(_rules(bounds, x), *ends, dots, numbers, width=_PANEL_PX, height=_ROW_PX * shown.height)


def _rules(bounds: pl.DataFrame, x: alt.X) -> alt.Chart:
    names = [_WORDS[bound] for bound in _BOUNDS]
    legend = line_legend(orient="top", columns=1)
    colour = alt.Color("what:N", title=None, scale=alt.Scale(domain=names, range=list(_BOUNDS.values())), legend=legend)
    dash = alt.StrokeDash(
        "what:N", title=None, scale=alt.Scale(domain=names, range=list(_DASHES.values())), legend=legend
    )
    rules: alt.Chart = alt.Chart(bounds).mark_rule(strokeWidth=2.5).encode(x=x, color=colour, strokeDash=dash)
    return rules


def _rule_end(bounds: pl.DataFrame, measure: _Measure, x: alt.X, bound: str) -> alt.Chart:
    # The bound's number above its rule; floor and ceiling lean away from each other.
    chart, colour = alt.Chart(bounds.filter(pl.col("bound") == bound)), _BOUNDS[bound]
    if bound == "floor":
        mark = chart.mark_text(align="right", dx=-3, color=colour)
    else:
        mark = chart.mark_text(align="left", dx=3, color=colour)
    end: alt.Chart = mark.encode(x=x, y=alt.value(-9), text=alt.Text("value:Q", format=measure.text))
    return end


def _alt_text(table: pl.DataFrame) -> str:
    told = [
        f"{row['title']} {100 * row['miss_share']:.2f} % and {row['access_ns']:,.0f} ns"
        for row in table.sort("miss_share", maintain_order=True).iter_rows(named=True)
    ]
    return (
        "Two panels of points, one a policy, between two rules for floor and ceiling: the share of accesses that "
        f"missed {_missed(table)}, and the mean time of an access. {'; '.join(told)}."
    )
