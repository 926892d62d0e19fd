"""Run the notebooks from start to end and write them back in the form they are committed in.

    python tests/notebooks/refresh.py [NAME...]     all of them, or those whose names start so

Committed form: every cell executed, figures still; no widget state, execution
counts, timings, cell metadata but tags; cell ids numbered from 0.
"""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
LIMIT_S = 300
WIDGET = "application/vnd.jupyter.widget-view+json"


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


def execute(notebook: NotebookNode) -> NotebookNode:
    """Execute every cell in the notebooks' folder; the first error raises ``CellExecutionError``."""
    client = NotebookClient(
        notebook, timeout=LIMIT_S, kernel_name="python3", resources={"metadata": {"path": str(NOTEBOOKS)}}
    )
    return client.execute()


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
        output.data.pop(WIDGET, None)
        output.metadata = {}


def main(names: list[str]) -> None:
    """Refresh the notebooks whose names start with one of ``names``; all without any."""
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        if names and not path.name.startswith(tuple(names)):
            continue
        started = time.monotonic()
        nbformat.write(strip(execute(read(path))), path)
        print(f"{path.name}: {time.monotonic() - started:.0f} s, {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main(sys.argv[1:])
