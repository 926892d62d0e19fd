"""The three charts of the page; a slider moves a signal, which picks the rows that are drawn."""

from __future__ import annotations

from typing import Any

import altair as alt
import polars as pl

from vswaplab.charts.theme import TIER_COLOURS, layered, tier_rank, time_axis
from vswaplab.classroom.dials import Dial, starts

THIS, START = "This machine", "At the start"
WIDTH = 860
_INK = "currentColor"  # the page's, which is light on dark at night
_TEXT_PX, _TITLE_PX = 17, 20
_BAR_PX = 46


def size_charts(by_tier: pl.DataFrame, dials: tuple[Dial, ...]) -> alt.VConcatChart:
    """Draw where the pages are and how long the program waits, this machine above the one at the start."""
    rank = pl.col("tier").map_elements(tier_rank, return_dtype=pl.Int64)
    table = by_tier.with_columns(rank=rank)
    where = _bars(table, dials, "mib", "Pages at the end of the run (MiB)", "Where the program's pages are")
    wait = _bars(table, dials, "stall_ms", "Time waited outside DRAM in the whole run (ms)", "What that costs")
    both = alt.vconcat(where, wait, spacing=26).resolve_scale(color="shared")
    words = "Bars for this machine and the machine at the start, stacked by tier; the table below has the numbers."
    joined: alt.VConcatChart = both.add_params(*_signals(dials)).properties(description=words)
    return joined


def device_chart(by_window: pl.DataFrame, dials: tuple[Dial, ...]) -> alt.LayerChart:
    """Draw how full the device is over the run, against its media and the writeback mark."""
    media, end = max(by_window["media_mib"].to_list()), max(by_window["access"].to_list())
    chosen = alt.Chart(by_window, width=WIDTH, height=300).transform_filter(_chosen(dials))
    y = alt.Y("stored_mib:Q", title="On the media (MiB)", scale=alt.Scale(domain=[0, 1.12 * media], nice=False))
    fill = chosen.mark_area(color=TIER_COLOURS["CRAM"], opacity=0.9).encode(x=time_axis(end), y=y)
    lines = pl.DataFrame({"mib": [media], "what": [f"the media: {media:.2f} MiB"]})
    full = alt.Chart(lines).mark_rule(color=_INK, strokeWidth=2.5).encode(y="mib:Q")
    name = alt.Chart(lines).mark_text(align="left", dx=8, dy=-11, color=_INK)
    mark = (
        alt.Chart(pl.DataFrame({"what": ["writeback starts"]}))
        .transform_calculate(mib=f"mark / 100 * {media}")
        .encode(y="mib:Q")
    )
    worse = alt.Chart(pl.DataFrame({"access": [end // 2], "what": ["data compress worse from here"]}))
    marks = (
        full,
        name.encode(y="mib:Q", x=alt.value(0), text="what:N"),
        mark.mark_rule(color=_INK, strokeDash=[7, 5], strokeWidth=2),
        mark.mark_text(align="left", dx=8, dy=13, color=_INK).encode(x=alt.value(0), text="what:N"),
        worse.mark_rule(color=_INK, strokeDash=[2, 4], strokeWidth=2).encode(x="access:Q"),
        worse.mark_text(align="left", dx=8, color=_INK).encode(x="access:Q", y=alt.value(288), text="what:N"),
    )
    words = "Bytes stored on the compressed-RAM device over the run; the sentence below says what was lost."
    chart = alt.layer(fill, *marks).add_params(*_signals(dials))
    assert isinstance(chart, alt.LayerChart)
    return chart.properties(title="How full the device is", description=words)


def on_page(spec: dict[str, Any]) -> dict[str, Any]:
    """Give a chart's specification the page's own ink and sizes: no background, text to be read from the back row."""
    text = {"labelColor": _INK, "titleColor": _INK, "labelFontSize": _TEXT_PX, "titleFontSize": _TEXT_PX}
    lines = {"tickColor": _INK, "domainColor": _INK, "gridColor": _INK, "gridOpacity": 0.15}
    config = spec["config"]
    title = config["title"] | {"color": _INK, "subtitleColor": _INK, "fontSize": _TITLE_PX}
    changed = {
        "background": "transparent",
        "font": "system-ui, sans-serif",
        "axis": config["axis"] | text | lines,
        "legend": config["legend"] | text | {"orient": "top", "symbolOpacity": 1},
        "title": title,
        "text": {"fontSize": _TEXT_PX, "fill": _INK},
    }
    return spec | {"config": config | changed}


def _signals(dials: tuple[Dial, ...]) -> list[alt.Parameter]:
    return [alt.param(name=dial.name, value=dial.start) for dial in dials]


def _fastest_first(table: pl.DataFrame) -> alt.Scale:
    tiers = sorted(table["tier"].unique(), key=tier_rank)
    return alt.Scale(domain=tiers, range=[TIER_COLOURS[tier] for tier in tiers])


def _chosen(dials: tuple[Dial, ...]) -> str:
    return " && ".join(f"datum.{dial.name} == {dial.name}" for dial in dials)


def _bars(table: pl.DataFrame, dials: tuple[Dial, ...], field: str, axis: str, title: str) -> alt.LayerChart:
    at_start = " && ".join(f"datum.{name} == {value}" for name, value in starts(dials).items())
    sides = {THIS: _chosen(dials), START: at_start}
    shown = table if field == "mib" else table.filter(pl.col("tier") != "DRAM")  # serving from DRAM hides the rest
    totals = shown.group_by(list(starts(dials))).agg(pl.col(field).sum())
    longest = 1.14 * max(totals[field].to_list())
    x = alt.X(
        f"{field}:Q",
        title=axis,
        stack="zero",
        scale=alt.Scale(domain=[0, longest], nice=False),
        axis=alt.Axis(tickCount=8),
    )
    y = alt.Y("side:N", title=None, sort=[THIS, START], axis=alt.Axis(labelLimit=200))
    colour = alt.Color("tier:N", title=None, scale=_fastest_first(table))
    layers = []
    for side, rows in sides.items():
        chosen = rows if field == "mib" else f"datum.tier != 'DRAM' && {rows}"
        base = alt.Chart(table).transform_filter(chosen).transform_calculate(side=f"'{side}'")
        bar = base.mark_bar(stroke=None, opacity=1.0 if side == THIS else 0.6)
        layers.append(bar.encode(x=x, y=y, color=colour, order="rank:Q", tooltip=["tier:N", f"{field}:Q"]))
        whole = base.transform_aggregate(whole=f"sum({field})", groupby=["side"])
        label = whole.mark_text(align="left", dx=8, color=_INK)
        layers.append(label.encode(x="whole:Q", y=y, text=alt.Text("whole:Q", format=",.1f")))
    return layered(*layers, title=title, width=WIDTH, height=2 * _BAR_PX)
