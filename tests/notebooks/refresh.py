"""Run the notebooks from start to end and write them back in the form they are committed in.

    python tests/notebooks/refresh.py [NAME...]     all of them, or those whose names start so

Committed form: every cell executed, figures still; no widget state, execution
counts, timings, cell metadata but tags; cell ids numbered from 0. Beside it, in
``results/``, one file a notebook: its results by name, the digest of each
figure's data, and the versions of the libraries that drew the figures. The last
figure of each notebook is ``notebooks/figures/NN.svg`` too. What
``vswaplab reproduce --check`` compares with, ``data/reproduce.json``, is
written from the same execution.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from vswaplab.charts.display import FIGURE, TABLE
from vswaplab.reproduce.manifest import draws_alike, manifest_of, manifest_text, read_manifest
from vswaplab.reproduce.notebooks import execute as run_cells
from vswaplab.reproduce.notebooks import part_of
from vswaplab.reproduce.readme import readme_part

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
RESULTS = Path(__file__).with_name("results")
README_FIGURE = NOTEBOOKS / "figures" / "redis-residency.svg"
MANIFEST = NOTEBOOKS.parent / "data" / "reproduce.json"
WIDGET = "application/vnd.jupyter.widget-view+json"
SVG = "image/svg+xml"
DRAWN_BY = ("altair", "vl-convert-python", "polars", "numpy")
"""With the same versions of these, every output is the same to the byte."""

_COLLECT = """\
import json as _json, runpy as _runpy
print(_json.dumps(_runpy.run_path({path!r})["named_results"](globals())))"""


def read(path: Path) -> NotebookNode:
    """Read a notebook in format 4."""
    return nbformat.read(path, as_version=4)


def inject(notebook: NotebookNode, assignments: str) -> None:
    """Add lines to the end of the cell tagged ``parameters``; each name must be set there already."""
    cells = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    if len(cells) != 1:
        raise ValueError(f"expected one cell tagged 'parameters', found {len(cells)}")
    for name in re.findall(r"^(\w+) *=", assignments, re.MULTILINE):
        if not re.search(rf"^{name} *=", cells[0].source, re.MULTILINE):
            raise ValueError(f"the parameters cell does not set {name}")
    cells[0].source += "\n" + assignments


def execute(notebook: NotebookNode) -> dict[str, Any]:
    """Execute every cell in the notebooks' folder and return what it found; the first error raises."""
    collect = nbformat.v4.new_code_cell(_COLLECT.format(path=str(Path(__file__).with_name("results.py"))))
    notebook.cells.append(collect)
    try:
        run_cells(notebook, NOTEBOOKS)
    finally:
        notebook.cells.pop()
    named = json.loads(collect.outputs[0].text)
    return {"drawn by": versions(), "figures": figures(notebook), "results": named}


def versions() -> dict[str, str]:
    """Name the versions that decide what a figure looks like."""
    return {name: version(name) for name in DRAWN_BY}


def drawings(notebook: NotebookNode) -> Iterator[str]:
    """Give the notebook's still figures, SVG text."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if SVG in output.get("data", {}):
                yield "".join(output["data"][SVG])


def figures(notebook: NotebookNode) -> dict[str, str]:
    """Give each figure's title and the digest of its data, which the figures carry."""
    found = [re.search(r'data-digest="(\w+)".*?<title>(.*?)</title>', svg, re.DOTALL) for svg in drawings(notebook)]
    return {match[2]: match[1] for match in found if match is not None}


def closing_figure(path: Path) -> Path:
    """Say where a notebook's last figure is kept."""
    return NOTEBOOKS / "figures" / f"{path.stem[:2]}.svg"


def expected(path: Path) -> dict[str, Any]:
    """Read what is committed beside a notebook."""
    found: dict[str, Any] = json.loads((RESULTS / f"{path.stem[:2]}.json").read_text(encoding="utf-8"))
    return found


def differences(committed: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """Say, one line each, which figures' data and which named results are not what is committed."""
    lines = []
    for kind in ("figures", "results"):
        old, new = committed[kind], found[kind]
        for name in sorted({*old, *new}):
            was, now = (_text(named[name]) if name in named else "nothing" for named in (old, new))
            if was != now:
                lines.append(f"{kind}, {name}: committed {was}, found {now}")
    return lines


def strip(notebook: NotebookNode) -> NotebookNode:
    """Take out what changes from run to run, and what a reader on the web cannot use."""
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for number, cell in enumerate(notebook.cells):
        cell.id = str(number)
        cell.metadata = {"tags": cell.metadata["tags"]} if "tags" in cell.metadata else {}
        if cell.cell_type == "code":
            cell.execution_count = None
            for output in cell.outputs:
                _strip_output(output)
    return notebook


def _strip_output(output: NotebookNode) -> None:
    if "execution_count" in output:
        output.execution_count = None
    if "data" in output:
        for kind in (WIDGET, FIGURE, TABLE):
            output.data.pop(kind, None)
        output.metadata = {}


def _one_a_line(found: dict[str, dict[str, Any]]) -> str:
    parts = []
    for kind, named in found.items():
        lines = [f"  {_text(name)}: {_text(value)}" for name, value in named.items()]
        parts.append(f" {_text(kind)}: {{\n" + ",\n".join(lines) + "\n }")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def keep(entries: dict[str, Any]) -> None:
    """Write the manifest anew: these parts, the README's, and the others as they are kept."""
    kept = read_manifest(MANIFEST) if MANIFEST.is_file() else manifest_of({}, "")
    others = {path.stem[:2] for path in NOTEBOOKS.glob("*.ipynb")} - entries.keys()
    if others and not draws_alike(kept, manifest_of({}, "")):
        raise SystemExit("other libraries or fonts than the manifest's: refresh all notebooks, not some")
    parts = {name: kept["parts"][name] for name in others & kept["parts"].keys()} | entries
    readme = readme_part()
    README_FIGURE.write_text(readme.figures[0].svg, encoding="utf-8")
    manifest = manifest_of(parts | {readme.name: readme.entry}, "vswaplab reproduce")
    MANIFEST.write_text(manifest_text(manifest), encoding="utf-8")


def main(names: list[str]) -> None:
    """Refresh the notebooks whose names start with one of ``names``; all without any."""
    entries = {}
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        if names and not path.name.startswith(tuple(names)):
            continue
        started, notebook = time.monotonic(), read(path)
        found = execute(notebook)
        entries[path.stem[:2]] = part_of(notebook, path).entry
        nbformat.write(strip(notebook), path)
        (RESULTS / f"{path.stem[:2]}.json").write_text(_one_a_line(found), encoding="utf-8")
        closing_figure(path).write_text([*drawings(notebook)][-1] + "\n", encoding="utf-8")
        print(f"{path.name}: {time.monotonic() - started:.0f} s, {path.stat().st_size / 1000:.0f} kB")
    keep(entries)


if __name__ == "__main__":
    main(sys.argv[1:])
