"""Notebooks run from start to end, and are committed in the form that reads on the web."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from statistics import median
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MAX_BYTES = 400_000
MAX_LINES = 15

# what a shortened run puts into the parameters cell; a notebook without an entry is small as it is
SMALL = {"02": "N_ACCESSES = 100_000"}


def _load_refresh() -> ModuleType:
    # beside this file, which importlib mode does not put on the path
    spec = importlib.util.spec_from_file_location("refresh", Path(__file__).with_name("refresh.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


refresh = _load_refresh()

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
# what the README's test command runs; .ci/run runs them all
USUAL = ("01", "02")
each_notebook_runs = pytest.mark.parametrize(
    "path",
    [pytest.param(path, marks=() if path.stem[:2] in USUAL else pytest.mark.slow) for path in NOTEBOOKS],
    ids=lambda path: path.stem,
)


def _run(path: Path, assignments: str) -> list[dict[str, object]]:
    notebook = refresh.read(path)
    if assignments:
        refresh.inject(notebook, assignments)
    refresh.execute(notebook)
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


def _complaints(outputs: list[dict[str, object]]) -> list[str]:
    # Anything on standard error counts: a warning there is a sentence the reader has to explain away.
    return [str(o) for o in outputs if o["output_type"] == "error" or o.get("name") == "stderr"]


def _code(path: Path) -> list[str]:
    return [cell.source for cell in refresh.read(path).cells if cell.cell_type == "code"]


@pytest.mark.notebook
@each_notebook_runs
def test_notebook__runs_from_start_to_end(path: Path) -> None:
    outputs = _run(path, SMALL.get(path.stem[:2], ""))

    assert outputs
    assert not _complaints(outputs)


@pytest.mark.notebook
@pytest.mark.slow
@pytest.mark.parametrize("path", [path for path in NOTEBOOKS if path.stem[:2] in SMALL], ids=lambda path: path.stem)
def test_notebook__at_full_size_every_number_of_the_text_holds(path: Path) -> None:
    assert not _complaints(_run(path, ""))


def test_notebooks__are_there() -> None:
    assert [path.stem[:2] for path in NOTEBOOKS][:2] == ["01", "02"]
    assert set(SMALL) <= {path.stem[:2] for path in NOTEBOOKS}


@each_notebook
def test_notebook__is_committed_stripped(path: Path) -> None:
    notebook = refresh.read(path)

    assert notebook == refresh.strip(refresh.read(path)), "run: python tests/notebooks/refresh.py"
    assert "widgets" not in notebook.metadata
    assert refresh.WIDGET not in path.read_text(encoding="utf-8")


@each_notebook
def test_notebook__is_committed_executed_without_a_complaint(path: Path) -> None:
    cells = [cell for cell in refresh.read(path).cells if cell.cell_type == "code"]
    outputs = [output for cell in cells for output in cell.outputs]

    assert not _complaints(outputs)
    shows = [cell for cell in cells if re.search(r"chart\(|\.properties\(", cell.source.splitlines()[-1])]
    assert shows
    assert all(cell.outputs for cell in shows)


@each_notebook
def test_notebook__has_still_figures_with_words(path: Path) -> None:
    outputs = [output for cell in refresh.read(path).cells for output in cell.get("outputs", [])]
    figures = [output["data"]["image/svg+xml"] for output in outputs if "image/svg+xml" in output.get("data", {})]

    assert len(figures) >= 3
    assert all("<title>" in "".join(figure) for figure in figures)


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

    assert imported <= {"altair", "numpy", "polars", "vswaplab"}


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
