"""A still figure holds its words: their face is the one they are measured with, long titles are broken."""

from __future__ import annotations

import re

import altair as alt
import polars as pl
import pytest

from vswaplab.charts.layout import broken, fitted
from vswaplab.charts.theme import chart_svg, titled

SHORT, LONG = (
    "Twice the media",
    "Twice the media halves the bill, and 43 MiB of DRAM instead of 34 save 29 percent of it",
)


def chart(*title: str) -> alt.Chart:
    points = pl.DataFrame({"x": [1, 2]})
    return alt.Chart(points, width=300, height=60, title=titled(*title)).mark_point().encode(x="x:Q")


def width(svg: str) -> float:
    found = re.search(r'width="([\d.]+)"', svg)
    assert found is not None
    return float(found[1])


def test_chart_svg__text_names_a_face_of_the_width_it_is_measured_with() -> None:
    svg = chart_svg(chart(SHORT, "subtitle"))

    faces = set(re.findall(r'font-family="([^"]*)"', svg))
    assert faces == {"Liberation Sans, Arial, Helvetica, sans-serif"}
    assert ">subtitle<" in svg


@pytest.mark.parametrize("title", [(LONG,), (SHORT, LONG)])
def test_chart_svg__a_long_line_does_not_widen_the_figure(title: tuple[str, ...]) -> None:
    svg, plain = chart_svg(chart(*title)), chart_svg(chart(SHORT))

    assert width(svg) <= width(plain)
    assert svg.count("<tspan") >= 2
    assert f"<title>{title[0]}</title>" in svg  # its name stays one line


def test_fitted__keeps_what_fits_and_what_it_was_given() -> None:
    short, long = chart(SHORT).to_dict(), chart(LONG).to_dict()

    assert fitted(short) == short
    assert fitted(long)["title"]["text"] != long["title"]["text"] == LONG


def test_fitted__breaks_the_titles_of_joined_charts_to_their_own_part() -> None:
    spec = fitted((chart(LONG) | chart(SHORT)).to_dict())

    left, right = (part["title"]["text"] for part in spec["hconcat"])
    assert " ".join(left) == LONG
    assert len(left) > 1
    assert right == SHORT


def test_fitted__a_layers_own_title_does_not_count() -> None:
    part = alt.layer(chart(LONG), title=titled(LONG)).properties(width=300)

    assert width(chart_svg(alt.layer(part, title=titled(LONG)))) <= width(chart_svg(chart(SHORT)))


def test_broken__lines_are_few_and_of_like_length() -> None:
    lines = broken(LONG, 60)

    assert " ".join(lines) == LONG
    assert len(lines) == 2
    assert abs(len(lines[0]) - len(lines[1])) < 12
