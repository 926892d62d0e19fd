"""A figure for a column of a paper: as wide as asked for, and its type can be read."""

from __future__ import annotations

import math
import re
import struct
from pathlib import Path
from xml.etree import ElementTree

import altair as alt
import polars as pl
import pytest

import vswaplab as vl
from tests.charts import test_charts, test_contents_chart, test_curves, test_frontier_chart
from tests.cli import test_validate
from vswaplab.charts import (
    backend_chart,
    bars_chart,
    contents_chart,
    curves_chart,
    frontier_chart,
    intervals_chart,
    save_chart,
    validation_chart,
)
from vswaplab.charts.theme import Chart

COLUMN_MM = 84
TABLE, X, Y, LINE = test_curves.TABLE, test_curves.X, test_curves.Y, test_curves.LINE
INTERVALS = pl.DataFrame({"machine": ["DRAM 768 GiB: $33,628"], "hours": [2.0], "low": [1.5], "high": [2.5]})
CONTENTS = (test_contents_chart.SIZES, test_contents_chart.HELD, test_contents_chart.RUNS)
ONE_RUN = pl.DataFrame([test_validate.ONE_RUN], schema=test_validate.RUN_SCHEMA, orient="row")
CHARTS: dict[str, Chart | alt.FacetChart] = {
    **test_charts.CHARTS,
    "curves": curves_chart(TABLE, X, Y, LINE, title="A pool helps b", reference=(5.0, "half")),
    "bars": bars_chart(TABLE, Y, LINE, X, title="A pool helps b", values=",.0f"),
    "intervals": intervals_chart(INTERVALS, ("hours", "Wait of 1.6 billion accesses (hours)"), "machine", title="Wait"),
    "frontier": frontier_chart(test_frontier_chart.TABLE, test_frontier_chart.STEPS, all_dram=32.0, cram_mode="swap"),
    "contents": contents_chart(*CONTENTS, title="What the pages hold"),
    "layers": backend_chart(vl.backend_work()),
    "facets": alt.Chart(TABLE, width=300).mark_bar().encode(x="pool:Q", y="ms:Q").facet("program:N"),
    "loads": validation_chart(
        test_validate.rows((1, 1, 1, 2), (1, 1, 1, 1)).with_columns(load=pl.Series(["calm", "full"])), ONE_RUN
    ),
    "validation": validation_chart(test_validate.rows((100, 100, 100, 150), (100, 80, 120, 119)), ONE_RUN),
}


@pytest.mark.parametrize("name", list(CHARTS))
def test_save_chart__fits_a_column_with_type_of_seven_points(name: str, tmp_path: Path) -> None:
    text = save_chart(CHARTS[name], tmp_path / "f.svg", width_mm=COLUMN_MM).read_text(encoding="utf-8")

    width_px = float(ElementTree.fromstring(text).get("width", ""))
    assert COLUMN_MM - 3 < width_px * 25.4 / 96 <= COLUMN_MM
    sizes = [float(px) for px in re.findall(r'font-size="([\d.]+)px"', text)]
    assert min(sizes) * 72 / 96 >= 7
    assert text.count("data-digest") == 1


def test_save_chart__every_kind_of_file_is_as_wide(tmp_path: Path) -> None:
    png, pdf = (
        save_chart(CHARTS["bars"], tmp_path / f"f.{kind}", ppi=254, width_mm=COLUMN_MM).read_bytes()
        for kind in ("png", "pdf")
    )

    width_px = struct.unpack(">I", png[16:20])[0]
    assert COLUMN_MM - 3 < width_px / 10 <= COLUMN_MM + 0.1  # 10 px a mm
    box = re.search(rb"/MediaBox ?\[0 0 ([\d.]+)", pdf)
    assert box is not None
    assert COLUMN_MM - 3 < float(box[1]) * 25.4 / 72 <= COLUMN_MM


def test_save_chart__views_side_by_side_stand_under_each_other_with_their_names(tmp_path: Path) -> None:
    text = save_chart(CHARTS["policies"], tmp_path / "f.svg", width_mm=COLUMN_MM).read_text(encoding="utf-8")

    assert text.count(">SIEVE<") == 2


def test_save_chart__a_mark_at_the_plots_right_edge_stays_there(tmp_path: Path) -> None:
    text = save_chart(CHARTS["curves"], tmp_path / "f.svg", width_mm=COLUMN_MM).read_text(encoding="utf-8")

    found = re.search(r'translate\(([\d.]+),[^"]*"[^>]*>half<', text)
    assert found is not None
    assert 150 < float(found[1]) < COLUMN_MM * 96 / 25.4


@pytest.mark.parametrize("ppi", [0, -1, 1e5, "200", float("nan")])
def test_save_chart__a_ppi_out_of_range_is_refused_and_nothing_written(ppi: float, tmp_path: Path) -> None:
    with pytest.raises(vl.InputError, match=r"^ppi must be a number from 1 to 2400, got"):
        save_chart(CHARTS["curves"], tmp_path / "f.png", ppi=ppi)  # type: ignore[arg-type]

    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize(
    ("width_mm", "says"),
    [
        (15, "the figure cannot be laid out in 15 mm: give it more width, or shorter names"),
        ("84", "width_mm must be a number from 1 to 10000, got"),
        (-1, "from 1 to 10000, got -1"),
        (math.inf, "got inf"),
    ],
)
def test_save_chart__too_little_width_is_refused_and_nothing_written(
    width_mm: float, says: str, tmp_path: Path
) -> None:
    with pytest.raises(vl.InputError, match=says):
        save_chart(CHARTS["curves"], tmp_path / "f.svg", width_mm=width_mm)

    assert [*tmp_path.iterdir()] == []


def test_save_chart__the_chart_stays_as_it_was(tmp_path: Path) -> None:
    chart = alt.Chart(TABLE, width=400).mark_point().encode(x="pool:Q")
    before = chart.to_dict()

    save_chart(chart, tmp_path / "f.svg", width_mm=60)

    assert chart.to_dict() == before
