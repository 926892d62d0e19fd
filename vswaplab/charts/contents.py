"""What pages hold: how small they become, what devices would hold of them, and how alike neighbours are."""

from __future__ import annotations

import altair as alt
import polars as pl

from vswaplab.base.checks import need_columns, one_of
from vswaplab.charts.curves import PALETTE
from vswaplab.charts.theme import TIER_COLOURS, WIDTH, Chart, layered, line_legend, titled

_ROW_PX = 24
_HELD = "Bytes of pages in one byte of media or pool (total ratio, zero pages left out)"
_DASHES = ([1, 0], [8, 4], [2, 3], [12, 3, 2, 3], [5, 2])
_KINDS = {"cram": "device read in place (CRAM)", "compressor": "compressor behind zswap or zram"}
_COLOURS = {"cram": TIER_COLOURS["CRAM"], "compressor": TIER_COLOURS["zswap"]}


def contents_chart(
    sizes: pl.DataFrame, held: pl.DataFrame, runs: pl.DataFrame, *, title: str, note: str | None = None
) -> Chart:
    """Show what pages hold, in three panels.

    Parameters
    ----------
    sizes : polars.DataFrame
        ``codec``, ``size`` (bytes), ``share`` of pages of at most that size.
    held : polars.DataFrame
        ``profile``, ``kind``, ``held_ratio``, ``advertised_ratio``; a null ``held_ratio`` is left out.
    runs : polars.DataFrame
        ``class``, ``mean_run``, ``shuffled_run``, in pages; empty: the panel is left out.
    title, note
        Of the whole figure.

    Returns
    -------
    chart

    Raises
    ------
    InputError
        A table without one of its columns, or a ``kind`` that is not cram or compressor.
    """
    need_columns(sizes, ("codec", "size", "share"), "the table of sizes")
    need_columns(held, ("profile", "kind", "held_ratio", "advertised_ratio"), "the table of profiles")
    for kind in held["kind"].unique():
        one_of("the kind of a profile", kind, tuple(_KINDS))
    if not (isinstance(runs, pl.DataFrame) and runs.is_empty()):
        need_columns(runs, ("class", "mean_run", "shuffled_run"), "the table of runs")
    parts = [_sizes(sizes), _held(held.filter(pl.col("held_ratio").is_not_null()))]
    if runs.height:
        parts.append(_runs(runs))
    chart: alt.VConcatChart = alt.vconcat(*parts, title=titled(title, note), spacing=36).resolve_scale(
        color="independent", strokeDash="independent"
    )
    return chart


def _sizes(table: pl.DataFrame) -> alt.LayerChart:
    names = table["codec"].unique(maintain_order=True).to_list()
    legend, colours, dashes = line_legend(), list(PALETTE[: len(names)]), list(_DASHES[: len(names)])
    base = alt.Chart(table).encode(
        alt.X(
            "size:Q",
            title="Compressed size of a page, bytes",
            scale=alt.Scale(domain=[0, 4096], nice=False),
            axis=alt.Axis(values=[0, 512, 1024, 1536, 2048, 2560, 3072, 3584, 4096], grid=False),
        ),
        alt.Y("share:Q", title="Share of pages of at most that size", axis=alt.Axis(format="%")),
        alt.Color("codec:N", title="Codec", scale=alt.Scale(domain=names, range=colours), legend=legend),
        alt.StrokeDash("codec:N", title="Codec", scale=alt.Scale(domain=names, range=dashes), legend=legend),
    )
    return layered(
        base.mark_line(interpolate="step-after", strokeWidth=2.5), title="How small single pages become", width=WIDTH
    )


def _held(table: pl.DataFrame) -> alt.LayerChart:
    kinds = [kind for kind in _KINDS if kind in table["kind"].unique().to_list()]
    shown = table.with_columns(kind=pl.col("kind").replace_strict(_KINDS))
    base = alt.Chart(shown).encode(alt.Y("profile:N", title=None, sort=shown["profile"].to_list()))
    look = alt.Scale(domain=[_KINDS[kind] for kind in kinds], range=[_COLOURS[kind] for kind in kinds])
    bars = base.mark_bar().encode(
        alt.X("held_ratio:Q", title=_HELD, axis=alt.Axis(tickCount=8)),
        alt.Color("kind:N", title="Profile", scale=look),
    )
    promised = base.transform_filter("isValid(datum.advertised_ratio)").mark_tick(
        color="black", thickness=3, size=_ROW_PX - 6
    )
    return layered(
        bars,
        promised.encode(alt.X("advertised_ratio:Q")),
        title=titled("What each profile would hold", "Black mark: the ratio that the device advertises"),
        width=WIDTH,
        height=alt.Step(_ROW_PX),
    )


def _runs(table: pl.DataFrame) -> alt.LayerChart:
    y = alt.Y("class:N", title=None, sort=table["class"].to_list(), axis=alt.Axis(grid=True))
    base = alt.Chart(table).encode(y)
    most = max(10.0, *table["mean_run"].to_list(), *table["shuffled_run"].to_list())
    title = "Mean length of a run of like pages, pages (logarithmic)"
    scale = alt.Scale(type="log", domain=[1, most], nice=False)
    mean = alt.X("mean_run:Q", title=title, scale=scale, axis=alt.Axis(tickCount=8, grid=False))
    colour = TIER_COLOURS["DRAM"]
    return layered(
        base.mark_rule(color=colour, strokeWidth=2.5).encode(mean, x2="shuffled_run:Q"),
        base.mark_point(color=colour, filled=True, size=110, opacity=1).encode(mean),
        base.mark_tick(color="black", thickness=3, size=_ROW_PX - 6).encode(alt.X("shuffled_run:Q", scale=scale)),
        title=titled(
            "How far like pages lie together", "By size under LZ4. Black mark: the same pages in random order"
        ),
        width=WIDTH,
        height=alt.Step(_ROW_PX),
    )
