"""Figures of the model beside real kernels: errors of counters, and agreement access by access."""

from __future__ import annotations

from statistics import median

import altair as alt
import polars as pl

from vswaplab.base.checks import need_columns
from vswaplab.charts.theme import WIDTH, layered, titled

NEAR_PERCENT = 2.0
"""An error up to this counts as near."""

_NEAR, _IN_RANGE, _OUTSIDE = "within 2 %", "further off, but inside the kernel's own range", "outside both"
_EDGES = {_NEAR: "#0072B2", _IN_RANGE: "#0072B2", _OUTSIDE: "#D55E00"}  # Okabe and Ito's
_INKS = _EDGES | {_IN_RANGE: "#FFFFFF"}
_SHAPES = {_NEAR: "circle", _IN_RANGE: "circle", _OUTSIDE: "cross"}
_LOADS = {"calm": "circle", "shrinker": "triangle-up", "full": "square", "cram": "diamond"}  # of truth.targets
_MARKS = {
    "agreement": ("the model, all four outcomes", "#0072B2", "circle"),
    "model_hits": ("the model, hit or miss only", "#56B4E9", "square"),
    "lru_agreement": ("exact LRU of the measured size, hit or miss only", "#8A8A8A", "diamond"),
    "ceiling": ("lowest between repetitions of the kernel", "#000000", "triangle-up"),
}
_ROW_PX = 19


def is_near() -> pl.Expr:
    """Say of a row of counters whether the model is within 2 % or inside the kernel's own range."""
    inside = pl.col("model").is_between(pl.col("low"), pl.col("high"))
    return (inside | (pl.col("error_percent").abs() <= NEAR_PERCENT)).fill_null(False)


def validation_chart(counters: pl.DataFrame, runs: pl.DataFrame, *, title: str | None = None) -> alt.VConcatChart:
    """Show how far the model is from real kernels.

    Parameters
    ----------
    counters, runs : polars.DataFrame
        The tables of ``truth.validate``. Two columns are drawn if they are there: ``load`` of
        ``counters`` (calm, shrinker, full, cram) by shape, ``model_hits`` of ``runs``, the share
        of accesses on whose hit or miss model and kernel agree, beside ``lru_agreement``.
    title
        Default: how many counters are near.

    Returns
    -------
    chart
        Above: one point per run and counter, its error in %. Below, if outcomes
        were recorded: agreement access by access, first repetition of each.

    Raises
    ------
    InputError
        A column is missing.
    """
    need_columns(counters, ("run", "counter", "kernel", "low", "high", "model", "error_percent"))
    need_columns(runs, ("run", "agreement", "lru_agreement", "ceiling"))
    is_inside = pl.col("model").is_between(pl.col("low"), pl.col("high"))
    where = pl.when(pl.col("error_percent").abs() <= NEAR_PERCENT).then(pl.lit(_NEAR))
    shown = counters.with_columns(where=where.when(is_inside).then(pl.lit(_IN_RANGE)).otherwise(pl.lit(_OUTSIDE)))
    agreed = _first_repetitions(runs)
    parts: list[alt.Chart | alt.LayerChart] = [_errors(shown), *([_agreements(agreed)] if agreed.height else [])]
    undrawn = shown["error_percent"].null_count()
    note = f"{undrawn} counters that the kernel has at 0 and the model not are left out." if undrawn else None
    heading = titled(title or finding(counters, runs), note)
    chart = alt.VConcatChart(vconcat=parts, title=heading, description=_alt_text(shown, agreed), spacing=28)
    resolved: alt.VConcatChart = chart.resolve_scale(
        color="independent", fill="independent", stroke="independent", shape="independent"
    )
    return resolved


def finding(counters: pl.DataFrame, runs: pl.DataFrame) -> str:
    """Say in one line how many counters are near, and how often single accesses agree."""
    near = int(counters.select(is_near()).to_series().sum())
    text = f"{near:,} of {counters.height:,} counters within 2 % or the kernel's own range"
    shares = sorted(runs["agreement"].drop_nulls().to_list())
    return f"{text}; {100 * median(shares):.1f} % of single accesses alike (median)" if shares else text


def _errors(shown: pl.DataFrame) -> alt.LayerChart:
    names = shown["counter"].unique(maintain_order=True).to_list()
    drawn = shown.drop_nulls("error_percent")
    marks = [-100, -10, -2, 0, 2, 10, 100, 1000]
    axis = alt.Axis(values=marks, labelExpr="datum.value ? format(datum.value, '+d') : '0'", grid=True)
    scale = alt.Scale(type="symlog", constant=2)
    x = alt.X("error_percent:Q", title="Error of the model (%; log scale beyond 2 %)", axis=axis, scale=scale)
    legend = alt.Legend(orient="top", columns=1)
    points = (
        alt.Chart(drawn)
        .mark_point(size=60, strokeWidth=1.5, opacity=0.8)
        .encode(
            x=x,
            y=alt.Y("counter:N", title="Counter", sort=names),
            stroke=alt.Stroke("where:N", title=None, scale=_scale(_EDGES), legend=legend),
            fill=alt.Fill("where:N", title=None, scale=_scale(_INKS), legend=legend),
            shape=_shape(drawn, legend),
            tooltip=["run:N", "counter:N", "kernel:Q", "low:Q", "high:Q", "model:Q", "error_percent:Q"],
        )
    )
    zero = alt.Chart(pl.DataFrame({"error_percent": [0.0]})).mark_rule(strokeWidth=1.5).encode(x="error_percent:Q")
    return layered(zero, points, width=WIDTH, height=_ROW_PX * max(1, len(names)))


def _shape(drawn: pl.DataFrame, legend: alt.Legend) -> alt.Shape:
    if "load" not in drawn.columns:
        return alt.Shape("where:N", title=None, scale=_scale(_SHAPES), legend=legend)
    loads = {load: shape for load, shape in _LOADS.items() if load in drawn["load"].to_list()}
    return alt.Shape("load:N", title="Run", scale=_scale(loads), legend=alt.Legend(orient="top"))


def _first_repetitions(runs: pl.DataFrame) -> pl.DataFrame:
    return runs.filter(pl.col("agreement").is_not_null(), ~pl.col("run").str.contains(r"\.r\d+$"))


def _agreements(agreed: pl.DataFrame) -> alt.Chart:
    marks = {name: mark for name, mark in _MARKS.items() if name in agreed.columns and agreed[name].count()}
    long = pl.concat(
        agreed.select("run", what=pl.lit(words), share=pl.col(column).cast(pl.Float64) * 100)
        for column, (words, _, _) in marks.items()
    ).drop_nulls()
    colours = {words: colour for words, colour, _ in marks.values()}
    shapes = {words: shape for words, _, shape in marks.values()}
    legend = alt.Legend(orient="top", columns=1)
    chart: alt.Chart = (
        alt.Chart(long)
        .mark_point(size=70, filled=True, opacity=0.9, strokeWidth=2)
        .encode(
            x=alt.X(
                "share:Q", title="Accesses with the same outcome as in the kernel (%)", scale=alt.Scale(zero=False)
            ),
            y=alt.Y("run:N", title="Run", sort=agreed["run"].to_list(), axis=alt.Axis(labelLimit=260, grid=True)),
            color=alt.Color("what:N", title=None, scale=_scale(colours), legend=legend),
            shape=alt.Shape("what:N", title=None, scale=_scale(shapes), legend=legend),
            tooltip=["run:N", "what:N", alt.Tooltip("share:Q", format=".2f")],
        )
        .properties(width=WIDTH, height=_ROW_PX * agreed.height)
    )
    return chart


def _scale(values: dict[str, str]) -> alt.Scale:
    return alt.Scale(domain=list(values), range=list(values.values()))


def _alt_text(shown: pl.DataFrame, agreed: pl.DataFrame) -> str:
    by_name = shown.group_by("counter", maintain_order=True).agg(pl.col("error_percent").abs().median())
    told = ", ".join(f"{name} {error:.1f} %" for name, error in by_name.drop_nulls().rows())
    text = f"Points of the model's error by counter, in %; medians of the absolute error: {told or 'nothing'}."
    if not agreed.height:
        return text
    percents = [100 * share for share in agreed["agreement"]]
    return f"{text} Below, points of the share of accesses alike by run: {min(percents):.1f} to {max(percents):.1f} %."
