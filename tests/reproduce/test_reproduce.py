"""Figures and tables for print: what is written, and that no changed number gets past a check."""

from __future__ import annotations

import copy
import json
import re
import unicodedata
from dataclasses import replace
from pathlib import Path

import altair as alt
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import vswaplab as vl
from vswaplab.charts.display import TABLE, table_bundle
from vswaplab.reproduce.files import write_part
from vswaplab.reproduce.latex import escape, latex_table
from vswaplab.reproduce.manifest import (
    differences,
    manifest_of,
    read_manifest,
    shipped_manifest,
)
from vswaplab.reproduce.parts import Figure, Part, Table

FRAME = pl.DataFrame({"tier": ["DRAM", "CRAM"], "stall_ns": [1_234_567, None], "share": [0.1, 1 / 3]})


def figure(frame: pl.DataFrame = FRAME) -> Figure:
    chart = alt.Chart(frame, title="Shares").mark_bar().encode(x="share:Q", y="tier:N")
    return Figure.drawn("99_figure_1", chart.to_dict())


def table(frame: pl.DataFrame = FRAME) -> Table:
    return Table("99_table_1", **table_bundle(frame)[TABLE])


PART = Part("99", "99_made_up.ipynb", "c0de", {"SEED": 0}, [figure()], [table()])


# LaTeX ----------------------------------------------------------------------------------------


def test_latex_table__has_units_in_the_heads_and_a_cell_for_each_column() -> None:
    lines = latex_table(table()).splitlines()

    assert r"tier & stall (ns) & share of 1 \\" in lines
    assert r"DRAM & 1,234,567 & 0.1 \\" in lines
    assert r"CRAM & -- & 0.3333 \\" in lines
    assert lines[1] == r"\begin{tabular}{lrr}"
    assert lines[-1] == r"\end{tabular}"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (-12_345, "$-$12,345"),
        (1842.4, "1,842"),
        (2.451e-6, r"2.451$\times10^{-6}$"),
        (0.25, "0.25"),
        (1e7, "10,000,000"),
    ],
)
def test_latex_table__writes_numbers_as_print_does(value: float, shown: str) -> None:
    made = latex_table(table(pl.DataFrame({"n": [value]})))

    assert f"\n{shown} \\\\\n" in made


@given(st.text())
def test_escape__leaves_nothing_that_latex_would_take_for_a_command(text: str) -> None:
    made = escape(text)

    words = r"\\text(?:backslash|asciitilde|asciicircum|less|greater|bar)\{\}"
    known = words + r"|\\[&%$#_{}]|\$(?:\\mu|\\times|-|\\ge|\\le|\\to|\^2)\$"
    assert not re.search(r"[\\&%$#_{}~^<>|\"]", re.sub(known, "", made))
    assert all(" " <= unicodedata.normalize("NFD", letter)[0] <= "~" for letter in made)


# Entries and differences ----------------------------------------------------------------------


def kept(part: Part = PART) -> dict[str, object]:
    return json.loads(json.dumps(manifest_of({part.name: part.entry}, "vswaplab reproduce")))  # type: ignore[no-any-return]


def test_differences__none_with_itself() -> None:
    assert differences(kept(), kept()) == []


def test_differences__name_the_figure_and_the_table_whose_number_changed() -> None:
    frame = FRAME.with_columns(share=pl.Series([0.1, 0.33334]))
    changed = replace(PART, figures=[figure(frame)], tables=[table(frame)])

    found = differences(kept(), kept(changed))

    assert [line.split(":")[0] for line in found] == ["99_figure_1, data", "99_table_1, data"]


def test_differences__names_one_number_altered_in_the_manifest() -> None:
    for kind, name, key in (("figures", "99_figure_1", "data"), ("tables", "99_table_1", "csv")):
        altered = copy.deepcopy(kept())
        entry = altered["parts"]["99"][kind][name]  # type: ignore[index]
        entry[key] = entry[key][:-1] + ("0" if entry[key][-1] != "0" else "1")

        found = differences(altered, kept())

        assert len(found) == 1
        assert found[0].startswith(name)


def test_differences__sees_a_title_a_setting_an_input_and_what_is_gone() -> None:
    altered = kept()
    altered["parts"]["99"]["settings"]["SEED"] = 1  # type: ignore[index]
    altered["parts"]["99"]["figures"]["99_figure_1"]["title"] = "Other"  # type: ignore[index]
    altered["parts"]["99"]["tables"] = {}  # type: ignore[index]
    altered["inputs"]["profiles.toml"] = "0"  # type: ignore[index]

    found = differences(altered, kept())

    assert found[0].startswith("input data/profiles.toml: kept 0, found ")
    assert found[1] == "99_made_up.ipynb, setting SEED: kept 1, found 0"
    assert found[2] == "99_figure_1, title: kept 'Other', found 'Shares'"
    assert found[3] == "99_table_1: made, not kept"
    assert len(found) == 4


def test_differences__bytes_count_only_with_the_same_libraries_and_fonts() -> None:
    last_digit = FRAME.with_columns(share=pl.Series([0.1, 1 / 3 + 1e-12]))
    changed = kept(replace(PART, tables=[table(last_digit)]))
    other = kept()
    other["versions"]["altair"] = "5.0"  # type: ignore[index]

    assert differences(kept(), changed) == ["99_table_1.csv: other bytes for the same data"]
    assert differences(other, changed) == []


def test_manifest__the_readmes_figure_is_the_one_shown() -> None:
    shown = (Path(__file__).parents[2] / "notebooks" / "figures" / "redis-residency.svg").read_text(encoding="utf-8")

    digest = read_manifest(shipped_manifest())["parts"]["readme"]["figures"]["readme_figure_1"]["data"]

    assert f'data-digest="{digest}"' in shown


def test_manifest__no_table_tells_where_it_was_made() -> None:
    parts = read_manifest(shipped_manifest())["parts"].values()
    columns = {column for part in parts for told in part["tables"].values() for column in told["columns"].split(", ")}

    assert "tier" in {column.lower() for column in columns}
    assert not columns & {"path", "folder", "file"}


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"parts": {}}', '{"parts": {"01": 3}}'])
def test_read_manifest__refuses_what_is_none(text: str, tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    path.write_text(text, encoding="utf-8")

    with pytest.raises(vl.InputError, match="is no manifest"):
        read_manifest(path)


# Files ----------------------------------------------------------------------------------------


def test_write_part__writes_every_form_and_takes_stale_files_away(tmp_path: Path) -> None:
    write_part(replace(PART, tables=[table(), replace(table(), name="99_table_2")]), tmp_path)
    write_part(PART, tmp_path)

    files = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*"))
    assert files == [
        *(f"figures/99_figure_1.{kind}" for kind in ("pdf", "png", "svg")),
        *(f"tables/99_table_1.{kind}" for kind in ("csv", "tex")),
    ]
    assert (tmp_path / "tables/99_table_1.csv").read_text() == FRAME.write_csv()
    assert (tmp_path / "figures/99_figure_1.pdf").read_bytes().startswith(b"%PDF")
    picture = (tmp_path / "figures/99_figure_1.png").read_bytes()
    at = picture.index(b"pHYs") + 4
    assert round(int.from_bytes(picture[at : at + 4]) * 0.0254) == 300  # pixels per inch
