"""Notebooks run from start to end, and are committed in the form that reads on the web."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from pathlib import Path
from statistics import median
from types import ModuleType
from typing import Any

import polars as pl
import pytest

import vswaplab as vl
from vswaplab.reproduce.manifest import draws_alike, manifest_of, part_differences, read_manifest, shipped_manifest
from vswaplab.reproduce.notebooks import part_of
from vswaplab.reproduce.parts import Part

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MAX_BYTES = 400_000
MAX_LINES = 15


def _load(name: str) -> ModuleType:
    # beside this file, which importlib mode does not put on the path
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


refresh, results = _load("refresh"), _load("results")

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
# what the README's test command runs; .ci/run runs them all
USUAL = ("01", "02")
each_notebook_runs = pytest.mark.parametrize(
    "path",
    [pytest.param(path, marks=() if path.stem[:2] in USUAL else pytest.mark.slow) for path in NOTEBOOKS],
    ids=lambda path: path.stem,
)


def _outputs(notebook: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - nbformat has no types
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


def _complaints(outputs: list[dict[str, Any]]) -> list[str]:
    # Anything on standard error counts: a warning there is a sentence the reader has to explain away.
    return [str(o) for o in outputs if o["output_type"] == "error" or o.get("name") == "stderr"]


def _code(path: Path) -> list[str]:
    return [cell.source for cell in refresh.read(path).cells if cell.cell_type == "code"]


def _not_as_kept(part: Part) -> list[str]:
    kept = read_manifest(shipped_manifest())
    return part_differences(kept["parts"][part.name], part.entry, by_byte=draws_alike(kept, manifest_of({}, "")))


@pytest.mark.notebook
@each_notebook_runs
def test_notebook__runs_and_finds_what_is_committed(path: Path) -> None:
    committed, expected = refresh.read(path), refresh.expected(path)
    notebook = refresh.read(path)

    found = refresh.execute(notebook)

    assert not _complaints(_outputs(notebook))
    differences = refresh.differences(expected, found)
    differences += _not_as_kept(part_of(notebook, path))  # what `vswaplab reproduce --check` says
    assert not differences, "\n".join(["not as committed:", *differences])
    if found["drawn by"] == expected["drawn by"]:  # other versions draw the same data in other ways
        pairs = zip(refresh.strip(notebook).cells, committed.cells, strict=True)
        differ = [number for number, (now, before) in enumerate(pairs) if now != before]
        assert not differ, f"cells {differ} put out something else: python tests/notebooks/refresh.py {path.stem[:2]}"


@each_notebook
def test_notebook__is_committed_with_its_results(path: Path) -> None:
    expected, notebook = refresh.expected(path), refresh.read(path)

    assert refresh.figures(notebook) == expected["figures"]
    assert expected["results"]
    assert refresh.closing_figure(path).read_text(encoding="utf-8") == [*refresh.drawings(notebook)][-1] + "\n"


def test_notebooks__manifest_is_of_the_committed_cells() -> None:
    kept = read_manifest(shipped_manifest())["parts"]
    parts = [part_of(refresh.read(path), path) for path in NOTEBOOKS]

    assert {part.name: part.code for part in parts} == {name: kept[name]["code"] for name in kept if name != "readme"}
    assert {*kept} == {part.name for part in parts} | {"readme"}


def test_notebooks__are_a_series_and_nothing_else_has_results() -> None:
    numbers = [path.stem[:2] for path in NOTEBOOKS]

    assert numbers == sorted(set(numbers))
    assert [path.stem for path in sorted(refresh.RESULTS.glob("*.json"))] == numbers


@each_notebook
def test_notebook__is_committed_stripped(path: Path) -> None:
    notebook = refresh.read(path)

    assert notebook == refresh.strip(refresh.read(path)), "run: python tests/notebooks/refresh.py"
    assert "widgets" not in notebook.metadata
    assert refresh.WIDGET not in path.read_text(encoding="utf-8")


@each_notebook
def test_notebook__is_committed_executed_without_a_complaint(path: Path) -> None:
    notebook = refresh.read(path)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]

    assert not _complaints(_outputs(notebook))
    shows = [cell for cell in cells if re.search(r"chart\(|\.properties\(", cell.source.splitlines()[-1])]
    assert shows
    assert all(cell.outputs for cell in shows)


@each_notebook
def test_notebook__has_still_figures_with_words(path: Path) -> None:
    figures = list(refresh.drawings(refresh.read(path)))
    sizes = [float(size) for figure in figures for size in re.findall(r'font-size="([0-9.]+)px"', figure)]

    assert len(figures) >= 3
    assert len(refresh.figures(refresh.read(path))) == len(figures), "two figures with one title"
    assert all(re.search(r"<title>.{20,}</title><desc>.{20,}</desc>", figure, re.DOTALL) for figure in figures)
    assert min(sizes) >= 12


@each_notebook
def test_notebook__is_small(path: Path) -> None:
    assert path.stat().st_size < MAX_BYTES


@each_notebook
def test_notebook__names_no_place_on_this_machine(path: Path) -> None:
    text = path.read_text(encoding="utf-8")

    found = re.findall(r"(?:/(?:home|root|tmp|work|Users|usr|opt)/\S{0,40}|[A-Z]:\\\\\S{0,40})", text)
    assert not found
    assert str(ROOT) not in text


@each_notebook
def test_notebook__has_the_form_of_the_series(path: Path) -> None:
    notebook = refresh.read(path)
    code = _code(path)
    lines = [len(source.splitlines()) for source in code]
    working = [len(re.findall(r"^(?!assert |claim\(|$)", source, re.MULTILINE)) for source in code]
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")

    assert max(lines) <= MAX_LINES
    assert median(working) <= 5  # lines that do something; checks come on top
    assert 20 <= len(notebook.cells) <= 40
    assert 800 <= len(re.findall(r"[A-Za-z]+", prose)) <= 1900
    assert sum(source.count("\ndef ") + source.startswith("def ") for source in code) <= 2
    assert notebook.cells[0].source.startswith("# ")
    for part in ("Question:", "guess", "## The model", "## What we learned", "## Exercises", "<details>", "## Sources"):
        assert part in prose, part


@each_notebook
def test_notebook__imports_only_what_a_reader_may_expect(path: Path) -> None:
    imported = {
        match[1] for source in _code(path) for match in re.finditer(r"^(?:import|from) (\w+)", source, re.MULTILINE)
    }

    assert imported <= {"altair", "numpy", "polars", "vswaplab", *sys.stdlib_module_names}


@each_notebook
def test_notebook__has_one_parameters_cell(path: Path) -> None:
    refresh.inject(refresh.read(path), "SEED = 1")


def test_inject__fails_if_the_cell_or_the_name_is_missing() -> None:
    notebook = refresh.read(NOTEBOOKS[0])

    with pytest.raises(ValueError, match="does not set NO_SUCH_NAME"):
        refresh.inject(notebook, "NO_SUCH_NAME = 1")
    for cell in notebook.cells:
        cell.metadata = {}
    with pytest.raises(ValueError, match="found 0"):
        refresh.inject(notebook, "SEED = 1")


def test_strip__takes_out_counts_and_widget_views_but_not_figures() -> None:
    data = {refresh.WIDGET: {"model_id": "x"}, "image/svg+xml": "<svg/>", "text/plain": "figure"}
    output = {"output_type": "execute_result", "execution_count": 7, "data": data, "metadata": {"a": 1}}
    cell = {"cell_type": "code", "id": "abc", "execution_count": 7, "metadata": {"tags": ["t"], "e": 1}}
    raw = {"cells": [cell | {"source": "", "outputs": [output]}], "metadata": {"widgets": {"state": {}}}}
    notebook = refresh.nbformat.reads(json.dumps(raw | {"nbformat": 4, "nbformat_minor": 5}), as_version=4)

    stripped = refresh.strip(notebook)

    assert "widgets" not in stripped.metadata
    assert stripped.cells[0].execution_count is None
    assert stripped.cells[0].metadata == {"tags": ["t"]}
    assert set(stripped.cells[0].outputs[0].data) == {"image/svg+xml", "text/plain"}


def test_differences__names_each_result_and_figure_that_is_not_as_committed() -> None:
    old = {"figures": {"A": "1", "B": "2"}, "results": {"n": 5, "share": 0.25}}
    new = {"figures": {"A": "1", "B": "3"}, "results": {"n": 5, "share": 0.5, "more": 1}}

    assert refresh.differences(old, old) == []
    assert refresh.differences(old, new) == [
        'figures, B: committed "2", found "3"',
        "results, more: committed nothing, found 1",
        "results, share: committed 0.25, found 0.5",
    ]


def test_named_results__see_one_number_changed_anywhere_and_no_noise() -> None:
    table = pl.DataFrame({"page": range(100), "ns": [n / 7 for n in range(100)]})
    run = vl.simulate(vl.loop(n_pages=9, n_accesses=40), vl.preset("swap-only", 9))
    names = {"table": table, "run": run, "parts": {f"part {n}": {"ns": n} for n in range(20)}, "title": "no result"}
    found = results.named_results(names)

    other_row = table.with_columns(ns=pl.when(page=57).then(8.2).otherwise("ns"))
    noise = table.with_columns(pl.col("ns") * (1 + 1e-13)).sample(fraction=1, shuffle=True, seed=1)
    fewer = vl.simulate(vl.loop(n_pages=9, n_accesses=39), vl.preset("swap-only", 9))

    assert set(found) == {"table", "run", *(f"parts[part {n}]" for n in range(20))}
    assert results.named_results(names | {"table": noise}) == found
    assert results.named_results(names | {"table": other_row})["table"] != found["table"]
    assert results.named_results(names | {"run": fewer})["run"] != found["run"]
