"""Figures of what a swap layer saves: the code that a machine's tiers need, by the number of tiers."""

from __future__ import annotations

import json
from collections.abc import Mapping

import altair as alt
import polars as pl

from vswaplab.base.checks import need_columns
from vswaplab.base.errors import InputError
from vswaplab.charts.theme import HEIGHT, WIDTH, layered, titled

_COLUMNS = ("n_tiers", "added", "layer", "n_paths", "n_paths_shared")
_WITHOUT, _WITH = "without a virtual layer", "with a virtual layer"
_COLOURS = {_WITHOUT: "#D55E00", _WITH: "#0072B2"}  # Okabe and Ito's
_DASHES = {_WITHOUT: [1, 0], _WITH: [7, 4]}
_SHAPES = {_WITHOUT: "circle", _WITH: "square"}
_ABOVE, _BELOW = -14, 17  # px


def backend_chart(table: pl.DataFrame, *, title: str | None = None) -> alt.LayerChart:
    """Show how many pieces of code a machine needs as it gains tiers, with a virtual layer and without one.

    Parameters
    ----------
    table : polars.DataFrame
        One row per number of tiers and layer (``vl.backend_work()``):
        ``n_tiers``, ``added``, ``layer``, ``n_paths`` and ``n_paths_shared``
        (pieces of code). Layers other than ``none`` must agree, and are one line.
    title
        Default: what the table says of its last number of tiers.

    Returns
    -------
    chart
        Lines of ``n_paths``; a band reaches down to ``n_paths_shared`` where
        that is less.

    Raises
    ------
    InputError
        A column is missing, or layers other than ``none`` disagree.
    """
    shown = _lines(table)
    heading = titled(title or _finding(shown), *_notes(shown))
    parts = (_band(shown), _curves(shown), _numbers(shown), _names(shown))
    return layered(*parts, title=heading, description=_alt_text(shown), width=WIDTH, height=HEIGHT + 60)


def _lines(table: pl.DataFrame) -> pl.DataFrame:
    need_columns(table, _COLUMNS)
    line = pl.when(pl.col("layer") == "none").then(pl.lit(_WITHOUT)).otherwise(pl.lit(_WITH)).alias("line")
    shown = table.select(*(column for column in _COLUMNS if column != "layer"), line).unique(maintain_order=True)
    twice = shown.filter(pl.struct("n_tiers", "line").is_duplicated())
    if twice.height:
        raise InputError(
            f"the table has several numbers {_WITH} at {twice['n_tiers'][0]} tiers: filter it to one of them"
        )
    return shown.sort("n_tiers", "line", descending=[False, True])


def _axis(shown: pl.DataFrame) -> alt.X:
    names = {
        str(n): [str(n), added if i == 0 else f"+ {added}"]
        for i, (n, added) in enumerate(shown.select("n_tiers", "added").unique(maintain_order=True).rows())
    }
    axis = alt.Axis(labelExpr=f"{json.dumps(names)}[datum.label]", labelAngle=0, grid=False)
    return alt.X("n_tiers:O", title="Tiers below DRAM (number, and the one that is added)", axis=axis)


def _scale(values: Mapping[str, str]) -> alt.Scale:
    return alt.Scale(domain=list(values), range=list(values.values()))


def _colour() -> alt.Color:
    return alt.Color("line:N", scale=_scale(_COLOURS), legend=None)  # each line has its name at its end


def _band(shown: pl.DataFrame) -> alt.Chart:
    band: alt.Chart = (
        alt.Chart(shown)
        .mark_area(opacity=0.18)
        .encode(x=_axis(shown), y=_height(), y2="n_paths_shared:Q", color=_colour())
    )
    return band


def _curves(shown: pl.DataFrame) -> alt.LayerChart:
    dash = alt.StrokeDash("line:N", scale=alt.Scale(domain=list(_DASHES), range=list(_DASHES.values())), legend=None)
    base = alt.Chart(shown).encode(x=_axis(shown), y=_height(), color=_colour())
    points = base.mark_point(size=90, filled=True, opacity=1).encode(
        shape=alt.Shape("line:N", scale=_scale(_SHAPES), legend=None),
        tooltip=["line:N", "n_tiers:O", "added:N", "n_paths:Q", "n_paths_shared:Q"],
    )
    return layered(base.mark_line(strokeWidth=2.5).encode(strokeDash=dash), points)


def _height() -> alt.Y:
    return alt.Y("n_paths:Q", title="Code to write (pieces)")


def _numbers(shown: pl.DataFrame) -> alt.LayerChart:
    def numbers(line: str, dy: int) -> alt.Chart:
        chart: alt.Chart = alt.Chart(_of(shown, line)).mark_text(dy=dy, fontWeight="bold")
        return chart.encode(x=_axis(shown), y=_height(), text="n_paths:Q", color=_colour())

    return layered(numbers(_WITHOUT, _ABOVE), numbers(_WITH, _BELOW))


def _names(shown: pl.DataFrame) -> alt.Chart:
    # The name of each line at its end, and the lower edge of a band where there is one.
    last = shown.filter(pl.col("n_tiers") == pl.col("n_tiers").max())
    edges = last.filter(pl.col("n_paths") > pl.col("n_paths_shared"))
    rows = pl.concat(
        [
            last.select("n_tiers", "line", "n_paths", label="line"),
            edges.select(
                "n_tiers", "line", n_paths="n_paths_shared", label=pl.format("{} if shared", "n_paths_shared")
            ),
        ]
    )
    names: alt.Chart = (
        alt.Chart(rows)
        .mark_text(align="left", dx=14)
        .encode(x=_axis(shown), y=_height(), text="label:N", color=_colour())
    )
    return names


def _of(shown: pl.DataFrame, line: str) -> pl.DataFrame:
    return shown.filter(pl.col("line") == line)


def _finding(shown: pl.DataFrame) -> str:
    # Of the last number of tiers, from all devices sharing their code to each having its own.
    if shown.is_empty():
        return "Code that tiers need"
    last = shown.filter(pl.col("n_tiers") == pl.col("n_tiers").max()).rows(named=True)
    pieces = (sorted({row["n_paths_shared"], row["n_paths"]}) for row in last)
    found = [f"{' to '.join(map(str, n))} {row['line']}" for n, row in zip(pieces, last, strict=True)]
    return f"Pieces of code that {last[0]['n_tiers']} tiers need: {', '.join(found)}"


def _notes(shown: pl.DataFrame) -> list[str]:
    steps = {line: _of(shown, line).with_columns(step=pl.col("n_paths").diff()) for line in _COLOURS}
    cram = [int(n) for t in steps.values() for n in t.filter(pl.col("added") == "CRAM")["step"].drop_nulls()]
    notes = ["Bands reach down to the count if all swap devices share their code, as they mostly do in Linux."]
    if len(cram) == len(_COLOURS):
        notes.insert(0, f"Adding CRAM alone takes {cram[0]} pieces of code without the layer, {cram[1]} with it.")
    return notes


def _alt_text(shown: pl.DataFrame) -> str:
    def told(line: str) -> str:
        rows = _of(shown, line).select("n_tiers", "n_paths", "n_paths_shared").rows()
        return f"{line} " + ", ".join(f"{n} tiers {top} ({low})" for n, top, low in rows)

    lines = "; ".join(told(line) for line in _COLOURS if _of(shown, line).height)
    return (
        f"Lines of the pieces of code that a machine needs, by its number of tiers, and in brackets if swap devices "
        f"share theirs: {lines or 'nothing'}."
    )
