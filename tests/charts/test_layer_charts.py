"""The figure of what a swap layer saves: it says what the table says, and draws any table."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import vswaplab as vl
from vswaplab.charts import backend_chart, save_chart
from vswaplab.machine.transitions import backend_work

TABLE = backend_work()


def rows_of(spec: dict[str, Any]) -> list[dict[str, Any]]:
    return [row for rows in spec["datasets"].values() for row in rows]


def layers_of(spec: dict[str, Any]) -> list[dict[str, Any]]:
    return [layer for part in spec["layer"] for layer in part.get("layer", [part])]


def marks_of(spec: dict[str, Any]) -> list[dict[str, Any]]:
    return [layer["encoding"] | {"mark": layer["mark"]["type"]} for layer in layers_of(spec)]


SPEC = backend_chart(TABLE).to_dict()  # validates against the Vega-Lite schema


def test_backend_chart__title_states_the_finding_of_the_last_number_of_tiers() -> None:
    assert SPEC["title"]["text"] == (
        "Pieces of code that 6 tiers need: 28 to 64 without a virtual layer, 15 to 23 with a virtual layer"
    )
    assert "Adding CRAM alone takes 10 pieces of code without the layer, 4 with it." in SPEC["title"]["subtitle"]


def test_backend_chart__description_tells_every_point() -> None:
    told = re.findall(r"(\d) tiers (\d+) \((\d+)\)", SPEC["description"])

    assert told[:5] == [("2", "10", "10"), ("3", "18", "18"), ("4", "28", "28"), ("5", "46", "28"), ("6", "64", "28")]
    assert told[5:] == [("2", "7", "7"), ("3", "11", "11"), ("4", "15", "15"), ("5", "19", "15"), ("6", "23", "15")]
    assert SPEC["description"].endswith(".")


def test_backend_chart__both_layers_are_one_line_of_five_points() -> None:
    points = [row for row in rows_of(SPEC) if "added" in row and row["line"] == "with a virtual layer"]

    assert {(row["n_tiers"], row["n_paths"]) for row in points} == {(2, 7), (3, 11), (4, 15), (5, 19), (6, 23)}


def test_backend_chart__lines_differ_by_dash_points_by_shape_and_all_by_colour() -> None:
    marks = {mark["mark"]: mark for mark in marks_of(SPEC)}

    assert marks["line"]["strokeDash"]["scale"]["range"] == [[1, 0], [7, 4]]
    assert marks["point"]["shape"]["scale"]["range"] == ["circle", "square"]
    assert all(mark["color"]["scale"]["range"] == ["#D55E00", "#0072B2"] for mark in marks_of(SPEC))


def test_backend_chart__axes_say_what_is_counted() -> None:
    titles = {mark[axis].get("title") for mark in marks_of(SPEC) for axis in ("x", "y")}

    assert titles == {"Tiers below DRAM (number, and the one that is added)", "Code to write (pieces)"}


def test_backend_chart__every_point_and_every_line_is_labelled() -> None:
    texts = [mark["text"]["field"] for mark in marks_of(SPEC) if mark["mark"] == "text"]
    labels = {row["label"] for row in rows_of(SPEC) if "label" in row}

    assert texts == ["n_paths", "n_paths", "label"]
    assert labels == {"without a virtual layer", "with a virtual layer", "28 if shared", "15 if shared"}


def test_backend_chart__with_one_device_there_is_no_lower_edge() -> None:
    spec = backend_chart(backend_work(["ZERO", "SWAPFILE", "ZSWAP"])).to_dict()

    assert not [row for row in rows_of(spec) if "shared" in str(row.get("label"))]
    assert spec["title"]["text"].endswith("3 tiers need: 18 without a virtual layer, 11 with a virtual layer")


def test_backend_chart__a_title_of_ones_own_is_kept() -> None:
    assert backend_chart(TABLE, title="X or Y").to_dict()["title"]["text"] == "X or Y"


@pytest.mark.parametrize("table", [TABLE.clear(), TABLE.filter(layer="none"), TABLE.filter(layer="vswap")])
def test_backend_chart__a_table_with_less_still_draws(table: pl.DataFrame) -> None:
    assert backend_chart(table).to_dict()["title"]["text"]


def test_backend_chart__missing_column_is_named() -> None:
    with pytest.raises(vl.InputError, match="no column 'n_paths_shared': it needs n_tiers, added"):
        backend_chart(TABLE.drop("n_paths_shared"))


def test_backend_chart__layers_that_disagree_are_refused() -> None:
    other = pl.when(pl.col("layer") == "vswap").then(99).otherwise("n_paths").alias("n_paths")

    with pytest.raises(vl.InputError, match="several numbers with a virtual layer at 2 tiers: filter it"):
        backend_chart(TABLE.with_columns(other))


def test_backend_chart__is_saved_as_a_still_figure(tmp_path: Path) -> None:
    path = save_chart(backend_chart(TABLE), tmp_path / "figure.svg")

    assert "<desc>Lines of the pieces of code" in path.read_text(encoding="utf-8")
