"""One look for every figure: a colour per tier (stacked fastest first), type, saving.

Importing this module turns the theme on for the session; a chart carries no
configuration of its own, so charts can be joined with ``|`` and ``&``. Colours
are Okabe and Ito's set, made to be told apart with any colour vision.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import altair as alt

from vswaplab.base.checks import number, one_of, text_of
from vswaplab.base.errors import InputError
from vswaplab.base.paths import path_of
from vswaplab.base.whole import refused_in_one_line, whole_file
from vswaplab.charts.describe import alt_text
from vswaplab.charts.digest import data_digest
from vswaplab.charts.layout import PADDING, Spec, fitted
from vswaplab.charts.narrow import narrowed
from vswaplab.results.summary import TIERS

Chart = alt.Chart | alt.LayerChart | alt.VConcatChart | alt.HConcatChart
"""What a chart function returns."""

TIER_COLOURS = {
    "DRAM": "#0072B2",
    "ZERO": "#B3B3B3",
    "CRAM": "#009E73",
    "zswap": "#E69F00",
    "zram": "#CC79A7",
    "swapfile": "#D55E00",
}
"""The one colour of each tier."""

SPARE_COLOURS = ("#56B4E9", "#F0E442", "#000000", "#999933")
"""Of plug-ins' tiers, in order of their names."""

PALE_CRAM = "#7FCEB9"
"""CRAM's colour in a lighter tint: what CRAM serves without moving the page."""

PALE_DRAM = "#8FC3E3"
"""DRAM's colour in a lighter tint: copies of pages that lie there."""

TIME_TITLE = "Time (accesses since the start)"

WIDTH, HEIGHT = 680, 260
"""Plot area in px."""

FONT = "Liberation Sans, Arial, Helvetica, sans-serif"
"""Faces of one width: vl-convert measures text with the first, which it carries, and calls it sans-serif too."""

FONT_PX = 14
_SCREEN_PX = 12.5
_SMALL_PX = 13  # never below 12: a projector at the back of a room
_PAPER_SCALE = 72 / 96  # px of a drawing to points of paper
_MOST_PPI = 2400  # of a page's width a picture takes a gigabyte then
_SAVE_FORMATS = ("svg", "png", "pdf")
_THEME = "vswaplab"


@alt.theme.register(_THEME, enable=True)
def _theme() -> alt.theme.ThemeConfig:
    axis = {
        "labelFontSize": _SMALL_PX,
        "titleFontSize": FONT_PX,
        "titleFontWeight": "normal",
        "gridOpacity": 0.5,
    }
    config = {
        "font": FONT,
        "padding": PADDING,
        "view": {"continuousWidth": WIDTH, "continuousHeight": HEIGHT, "stroke": None},
        "title": {
            "fontSize": 17,
            "subtitleFontSize": FONT_PX,
            "anchor": "start",
            "offset": 12,
            "subtitlePadding": 5,
        },
        "axis": axis,
        "legend": {"labelFontSize": FONT_PX, "titleFontSize": FONT_PX, "symbolSize": 160, "labelLimit": 320},
        "header": {"labelFontSize": FONT_PX, "titleFontSize": FONT_PX},
        "text": {"fontSize": FONT_PX},
        "background": "white",
    }
    return cast("alt.theme.ThemeConfig", {"config": config})


def screen_config(*, dark: bool) -> dict[str, Any]:
    """Give the look of drawings on a screen: smaller type than in print, on no background of their own."""
    ink, soft, grid = ("#F0F0F0", "#C8C8C8", "#555555") if dark else ("#1A1A1A", "#4D4D4D", "#CCCCCC")
    small = {"labelFontSize": _SCREEN_PX, "titleFontSize": _SCREEN_PX, "labelColor": ink, "titleColor": ink}
    return {
        "aria": False,  # the element around it has the alternative text
        "background": None,
        "view": {"stroke": None},
        "axis": small | {"titleFontWeight": "normal", "gridColor": grid, "domainColor": soft, "tickColor": soft},
        "legend": small | {"symbolSize": 120, "labelLimit": 220, "columnPadding": 8, "rowPadding": 1},
        "rule": {"color": soft},
        "text": {"color": ink, "fontSize": _SCREEN_PX},
    }


def tier_rank(tier: str) -> int:
    """Say where a tier stands, 0 is the fastest; unknown names come last."""
    return TIERS.index(tier) if tier in TIERS else len(TIERS)


def tier_colour(tier: str, among: Iterable[str]) -> str:
    """Give a tier's colour; one of a plug-in has a spare one, by its place in order of names."""
    if tier in TIER_COLOURS:
        return TIER_COLOURS[tier]
    plugged = sorted({*among} - {*TIER_COLOURS})
    return SPARE_COLOURS[plugged.index(tier) % len(SPARE_COLOURS)]


def tier_scale(tiers: Iterable[str]) -> alt.Scale:
    """Give the colour scale of some tiers, in the order in which a stack shows them from the top."""
    among = sorted(set(tiers))
    shown = sorted(among, key=tier_rank, reverse=True)
    return alt.Scale(domain=shown, range=[tier_colour(tier, among) for tier in shown])


def line_legend(**properties: Any) -> alt.Legend:  # noqa: ANN401 - altair's
    """Give a legend of lines: pieces long enough to show how each is dashed."""
    return alt.Legend(symbolType="stroke", symbolSize=900, symbolStrokeWidth=2.5, rowPadding=-9, **properties)


def titled(title: str, *subtitles: str | None) -> alt.TitleParams:
    """Put a title together with the lines under it that are not empty."""
    text_of("title", title)
    lines = [line for line in subtitles if line is not None and text_of("what stands under the title", line)]
    return alt.TitleParams(text=title, subtitle=lines) if lines else alt.TitleParams(text=title)


def cram_note(cram_mode: str | None) -> str | None:
    """Say which of CRAM's two meanings a figure shows; None if not told."""
    words = {
        "swap": "CRAM behind swap entries (mode swap)",
        "tier": "CRAM as a read-only memory tier (mode tier)",
    }
    if cram_mode is None:
        return None
    one_of("cram_mode", cram_mode, tuple(words))
    return words[cram_mode]


def time_axis(n_accesses: int) -> alt.X:
    """Give the axis of time: accesses since the start, up to the end of the run."""
    axis = alt.Axis(
        title=TIME_TITLE, labelExpr="datum.value ? format(datum.value, '~s') : '0'", grid=False, tickCount=8
    )
    return alt.X("access:Q", axis=axis, scale=alt.Scale(domain=[0, max(1, n_accesses)], nice=False))


def layered(*charts: alt.Chart | alt.LayerChart, **properties: object) -> alt.LayerChart:
    """Lay charts over each other; altair's own function does not say what it returns."""
    chart = alt.layer(*charts).properties(**properties)
    assert isinstance(chart, alt.LayerChart)
    return chart


def save_chart(chart: Chart, path: str | Path, *, ppi: int = 200, width_mm: float | None = None) -> Path:
    """Write a chart as a still figure.

    Parameters
    ----------
    chart
    path
        Ends in .svg, .png or .pdf. An SVG carries the chart's title and
        description as ``<title>`` and ``<desc>``.
    ppi : pixels per inch
        Of a PNG, 1 to 2400; 72 is one pixel per px.
    width_mm : mm
        The figure is laid out anew, at most so wide on paper and with no type below 7 pt: for a column of
        a paper, 84. None: as on a screen.

    Returns
    -------
    path : Path

    Raises
    ------
    InputError
        Another ending, a number out of range, a place that cannot be written, or too little width.
    """
    target = path_of("path", path)
    kind = target.suffix.lower().lstrip(".")
    if kind not in _SAVE_FORMATS:
        raise InputError(f"cannot save a chart as {target.name!r}: end the name in .{', .'.join(_SAVE_FORMATS)}")
    number("ppi", ppi, 1, _MOST_PPI, expected=f"a number from 1 to {_MOST_PPI}")
    spec = chart_spec(chart)
    shown, scale = (fitted(spec), 1.0) if width_mm is None else (narrowed(spec, width_mm), _PAPER_SCALE)
    with refused_in_one_line(target, "choose another place"), whole_file(target) as file:
        file.write(_drawn(spec, shown, kind, ppi, scale))
    return target


def _drawn(spec: Spec, shown: Spec, kind: str, ppi: int, scale: float) -> bytes:
    import vl_convert  # 84 MB: only when something is drawn

    if kind == "png":
        return bytes(vl_convert.vegalite_to_png(shown, ppi=ppi, scale=scale))
    svg = vl_convert.vegalite_to_svg(shown)
    if kind == "svg":
        return _described(svg, spec).encode()
    return bytes(vl_convert.svg_to_pdf(_scaled(svg, scale)))


def _scaled(svg: str, scale: float) -> str:
    # The drawing's size as it is shown; a PDF takes a px for a point.
    sizes = r'(<svg\b[^>]*? width=")([\d.]+)(" height=")([\d.]+)'
    return re.sub(sizes, lambda s: f"{s[1]}{float(s[2]) * scale:g}{s[3]}{float(s[4]) * scale:g}", svg, count=1)


def chart_spec(chart: Chart) -> dict[str, Any]:
    """Give a chart's specification as it can be drawn and written."""
    return writable_spec(chart.to_dict())


def writable_spec(spec: dict[str, Any]) -> dict[str, Any]:
    r"""Write out what no file can hold: half a character, as in a name that is not UTF-8.

    Examples
    --------
    >>> writable_spec({"title": "of \udcff.bin", "width": 680})
    {'title': 'of \\udcff.bin', 'width': 680}
    """
    return cast("dict[str, Any]", _writable(spec))


def _writable(part: object) -> object:
    if isinstance(part, str):
        return part.encode(errors="backslashreplace").decode()
    if isinstance(part, dict):
        return {_writable(key): _writable(value) for key, value in part.items()}
    return [_writable(item) for item in part] if isinstance(part, list) else part


def chart_svg(chart: Chart) -> str:
    """Draw a chart as SVG text with its title and description inside."""
    return spec_svg(chart.to_dict())


def spec_svg(spec: dict[str, Any]) -> str:
    """Draw a chart's specification as ``chart_svg`` does."""
    import vl_convert  # 84 MB: only when something is drawn

    shown = writable_spec(spec)
    return _described(vl_convert.vegalite_to_svg(fitted(shown)), shown)


def title_text(spec: dict[str, Any]) -> str:
    """Find the title of a chart's specification; a joined chart without one has its first part's."""
    title = spec.get("title", "")
    text = title.get("text", "") if isinstance(title, dict) else title
    if not text:
        parts = spec.get("vconcat") or spec.get("hconcat") or []
        text = title_text(parts[0]) if parts else ""
    return " ".join(text) if isinstance(text, list) else str(text)


def _described(svg: str, spec: Spec) -> str:
    # vl-convert writes none of them
    words = f"<title>{html.escape(title_text(spec))}</title><desc>{html.escape(alt_text(spec))}</desc>"
    head = f'role="img" data-digest="{data_digest(spec)}"'
    return re.sub(r"(<svg\b)([^>]*>)", lambda found: f"{found[1]} {head}{found[2]}{words}", svg, count=1)
