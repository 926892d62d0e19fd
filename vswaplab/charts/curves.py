"""Figures of one number: against another as curves, or by name as bars; a colour for each program, machine or rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import polars as pl

from vswaplab.base.checks import mapping_of, need_columns, numbers_of
from vswaplab.base.errors import InputError, shown
from vswaplab.charts.theme import HEIGHT, layered, line_legend, titled

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's colours, for curves that are not tiers."""

_SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right")
_DASHES: tuple[list[int], ...] = ([1, 0], [8, 4], [2, 3], [12, 3, 2, 3], [5, 2], [1, 2], [14, 5])
_WIDTH = 520
_BAR_PX = 16
_END_PX = 12  # of a number at the end of a bar


def curves_chart(
    table: pl.DataFrame,
    x: tuple[str, str],
    y: tuple[str, str],
    line: tuple[str, str] | None = None,
    *,
    title: str,
    note: str | None = None,
    colours: Mapping[str, str] | None = None,
    at: Sequence[float] | None = None,
    log_x: bool = False,
    reference: tuple[float, str] | None = None,
    from_zero: bool = True,
) -> alt.LayerChart:
    """Show how one number moves with another, a curve with points for each value of a third.

    Parameters
    ----------
    table : polars.DataFrame
        One row per point.
    x, y : (column, axis title)
        The title carries the unit.
    line : (column, legend title), optional
        What has a curve of its own, in the order of the table: told apart by
        colour, dash and shape. None: one curve.
    title
        Says what the figure shows to be so.
    note
        Under the title.
    colours : value to colour
        Where the lines are tiers, ``TIER_COLOURS``.
    at
        Ticks of the x axis.
    log_x
    reference : (value of y, name), optional
        A level to compare with.
    from_zero
        Whether the y axis begins at 0.

    Returns
    -------
    chart

    Raises
    ------
    InputError
        A column is missing, or there are more curves than colours.
    """
    shown = _columns(table, x, y, *([] if line is None else [line]))
    scale = alt.Scale(type="log", nice=False) if log_x else alt.Scale(zero=False, nice=False, padding=12)
    axis = alt.Axis(grid=False) if at is None else alt.Axis(grid=False, values=numbers_of("at", at))
    level: dict[str, Any] = {} if from_zero else {"scale": alt.Scale(zero=False)}
    base = alt.Chart(shown).encode(
        alt.X(f"{x[0]}:Q", title=x[1], axis=axis, scale=scale), alt.Y(f"{y[0]}:Q", title=y[1], **level)
    )
    curves = base.mark_line(strokeWidth=2.5).encode(*_looks(shown, line, colours))
    points = base.mark_point(size=90, filled=True, opacity=1).encode(*_looks(shown, line, colours, is_point=True))
    parts = [*([] if reference is None else _level(*reference, y[0], **level)), curves, points]
    alt_text = _alt_text(shown, x, y, line)
    chart = layered(*parts, title=titled(title, note), description=alt_text, width=_WIDTH, height=HEIGHT)
    # so that the points' shapes stay out of the legend of the lines
    apart: alt.LayerChart = chart.resolve_legend(color="independent", strokeDash="independent", shape="independent")
    return apart


def bars_chart(
    table: pl.DataFrame,
    x: tuple[str, str],
    group: tuple[str, str],
    bar: tuple[str, str],
    *,
    title: str,
    note: str | None = None,
    colours: Mapping[str, str] | None = None,
    values: str | None = None,
) -> alt.Chart | alt.LayerChart:
    """Show one number as groups of bars, in the order of the table.

    Parameters
    ----------
    table : polars.DataFrame
        One row per bar.
    x, group, bar : (column, title)
        The number and its unit; what has a group of its own; what the bars of
        a group are.
    title, note, colours
        As in ``curves_chart``.
    values
        How the number is written at the end of its bar, such as ``,.0f``; None: it is not.

    Returns
    -------
    chart

    Raises
    ------
    InputError
        A column is missing, or a group has more bars than there are colours.
    """
    shown = _columns(table, x, group, bar)
    groups, bars = (shown[part[0]].unique(maintain_order=True).to_list() for part in (group, bar))
    scale = alt.Scale(domain=bars, range=_colours(bars, colours))
    properties = {
        "title": titled(title, note),
        "description": _bars_text(shown, x, group, bar),
        "width": _WIDTH,
        "height": len(groups) * (_BAR_PX * len(bars) + 10),
    }
    base = alt.Chart(shown).encode(
        x=alt.X(f"{x[0]}:Q", title=x[1]),
        y=alt.Y(f"{group[0]}:N", title=group[1], sort=groups, scale=alt.Scale(paddingInner=0.25)),
        yOffset=alt.YOffset(f"{bar[0]}:N", sort=bars),
    )
    drawn: alt.Chart = base.mark_bar().encode(
        color=alt.Color(f"{bar[0]}:N", title=bar[1], scale=scale),
        tooltip=[f"{group[0]}:N", f"{bar[0]}:N", alt.Tooltip(f"{x[0]}:Q", format=",.4~g")],
    )
    if values is None:
        return drawn.properties(**properties)
    ends = base.mark_text(align="left", dx=4, fontSize=_END_PX).encode(text=alt.Text(f"{x[0]}:Q", format=values))
    return layered(drawn, ends, **properties)


def intervals_chart(
    table: pl.DataFrame,
    x: tuple[str, str],
    name: str,
    *,
    title: str,
    note: str | None = None,
) -> alt.LayerChart:
    """Show one number by name, each with its interval, in the order of the table.

    Parameters
    ----------
    table : polars.DataFrame
        One row a name, with the columns ``low`` and ``high`` beside the number.
    x : (column, title)
        The number and its unit.
    name : column
        What it is of.
    title, note
        As in ``curves_chart``.

    Returns
    -------
    chart
        A point and a bar each, and the number with half its interval.

    Raises
    ------
    InputError
        A column is missing.
    """
    shown = _columns(table, x, (name, ""), ("low", ""), ("high", "")).rename({x[0]: "value"})
    half = (50 * (pl.col("high") - pl.col("low")) / pl.col("value")).round(1)
    number = pl.col("value").map_elements(lambda value: f"{value:,.3g}", pl.String)
    shown = shown.with_columns(said=pl.format("{} \u00b1 {} %", number, half))
    room = alt.Scale(domain=[0, 1.3 * float(str(shown["high"].max()))], nice=False)  # for the words
    low, high, value = (alt.X(f"{end}:Q", title=x[1], scale=room) for end in ("low", "high", "value"))
    axis = alt.Axis(grid=True, labelLimit=320)  # no title: names stand for themselves
    base = alt.Chart(shown).encode(alt.Y(f"{name}:N", title=None, sort=shown[name].to_list(), axis=axis))
    bars = base.mark_rule(strokeWidth=3, color=PALETTE[1]).encode(low, alt.X2("high:Q"))
    ends = [base.mark_tick(thickness=2, size=14, color=PALETTE[1]).encode(end) for end in (low, high)]
    points = base.mark_point(filled=True, size=60, color=PALETTE[0], opacity=1).encode(value)
    words = base.mark_text(align="left", dx=14).encode(high, text="said:N")
    told = "; ".join(f"{row[name]} {row['said']}" for row in shown.to_dicts())
    properties = {"title": titled(title, note), "description": f"{x[1]}, with 95 % intervals: {told}."}
    return layered(bars, *ends, points, words, width=_WIDTH, height=36 * shown.height, **properties)


def _columns(table: pl.DataFrame, *parts: tuple[str, str]) -> pl.DataFrame:
    for part in parts:
        if not isinstance(part, tuple) or len(part) != 2 or not all(isinstance(word, str) for word in part):
            raise InputError(
                f"a column of the table is given with its title, such as ('page', 'Page'), got {shown(part)}"
            )
    needed = list(dict.fromkeys(name for name, _ in parts))
    need_columns(table, needed)
    return table.select(needed)


def _colours(names: Sequence[str], chosen: Mapping[str, str] | None) -> list[str]:
    if len(names) > len(PALETTE):
        raise InputError(f"{len(names)} curves or bars are too many to tell apart: show at most {len(PALETTE)}")
    own = {} if chosen is None else mapping_of("colours", chosen, "{'CRAM': '#E69F00'}")
    return [own.get(name, PALETTE[i]) for i, name in enumerate(names)]


def _bars_text(shown: pl.DataFrame, x: tuple[str, str], group: tuple[str, str], bar: tuple[str, str]) -> str:
    told = []
    for key, rows in shown.group_by(group[0], maintain_order=True):
        told.append(f"{key[0]}, " + ", ".join(f"{row[bar[0]]} {row[x[0]]:.4g}" for row in rows.to_dicts()))
    return f"Bars of {x[1]}: {'; '.join(told)}."


def _looks(
    shown: pl.DataFrame, line: tuple[str, str] | None, colours: Mapping[str, str] | None, *, is_point: bool = False
) -> list[Any]:
    # The legend is of the lines: as long as each needs to show its dashes.
    if line is None:
        return [alt.ColorValue(PALETTE[0])]
    names = shown[line[0]].unique(maintain_order=True).to_list()
    legend = None if is_point else line_legend()

    def look(channel: type[Any], values: Sequence[Any]) -> Any:  # noqa: ANN401 - altair's
        scale = alt.Scale(domain=names, range=list(values[: len(names)]))
        return channel(f"{line[0]}:N", title=line[1], scale=scale, legend=legend)

    second = look(alt.Shape, _SHAPES) if is_point else look(alt.StrokeDash, _DASHES)
    return [look(alt.Color, _colours(names, colours)), second]


def _level(value: float, name: str, y: str, **level: Any) -> list[alt.Chart]:  # noqa: ANN401 - altair's
    base = alt.Chart(pl.DataFrame({y: [value], "name": [name]})).encode(alt.Y(f"{y}:Q", **level))
    rule = base.mark_rule(strokeDash=[4, 4], color="#777777", strokeWidth=1.5)
    said = base.mark_text(align="right", baseline="bottom", dy=-4, color="#444444").encode(
        x=alt.value(_WIDTH), text="name:N"
    )
    return [rule, said]


def _alt_text(shown: pl.DataFrame, x: tuple[str, str], y: tuple[str, str], line: tuple[str, str] | None) -> str:
    groups = [((), shown)] if line is None else shown.group_by(line[0], maintain_order=True)
    told = []
    for key, rows in groups:
        ends = rows.sort(x[0])
        first, last = ends.row(0, named=True), ends.row(-1, named=True)
        words = f"{first[y[0]]:.4g} at {first[x[0]]:g} to {last[y[0]]:.4g} at {last[x[0]]:g}"
        told.append(f"{key[0]}, {words}" if key else words)
    return f"Curves of {y[1]} against {x[1]}: {'; '.join(told)}."
