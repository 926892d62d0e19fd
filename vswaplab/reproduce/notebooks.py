"""Run a notebook, and take what its cells show."""

from __future__ import annotations

import ast
import asyncio
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from vswaplab.base.errors import InputError
from vswaplab.charts.digest import short_digest
from vswaplab.charts.display import COLLECT, FIGURE, TABLE
from vswaplab.reproduce.parts import Figure, Part, Table

CELL_LIMIT_S = 600
_SVG = "image/svg+xml"
_LONGEST = 200  # characters of a kernel's complaint


def run_part(path: Path) -> Part:
    """Run a notebook from start to end and take its figures and tables.

    Raises
    ------
    InputError
        It cannot be read, or a cell of it fails; names the notebook and the complaint.
    """
    import nbformat
    from nbclient.exceptions import CellControlSignal, CellExecutionError, DeadKernelError

    try:
        notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read the notebook {path.name}: {_short(error)}; reinstall vswaplab") from None
    try:
        execute(notebook, path.parent)
    except CellExecutionError as error:
        raise InputError(f"{path.name} stops with {error.ename}: {_short(error.evalue)}") from None
    except (CellControlSignal, DeadKernelError) as error:
        raise InputError(f"{path.name} did not get to its end: {_short(error)}") from None
    return part_of(notebook, path)


def execute(notebook: Any, folder: Path) -> None:  # noqa: ANN401 - nbformat has no types
    """Execute every cell of a notebook in a folder, outputs with what ``charts.display`` hands over for print.

    Ctrl-C ends the kernel and comes out as ``KeyboardInterrupt``; the first
    cell that fails as nbclient's ``CellExecutionError``.
    """
    from nbclient import NotebookClient

    where = {"metadata": {"path": str(folder)}}
    client = NotebookClient(notebook, timeout=CELL_LIMIT_S, kernel_name="python3", resources=where)
    settings: Any = {"env": os.environ | {COLLECT: "1"}, "stderr": subprocess.DEVNULL}
    # In a thread of its own: in the main one nbclient takes Ctrl-C for itself.
    loop = asyncio.new_event_loop()
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(loop.run_until_complete, client.async_execute(**settings))
        try:
            run.result()
        except KeyboardInterrupt:
            loop.call_soon_threadsafe(_cancel_all, loop)
            raise
        finally:
            pool.shutdown()
            loop.close()


def part_of(notebook: Any, path: Path) -> Part:  # noqa: ANN401 - nbformat has no types
    """Take the figures and tables of an executed notebook, numbered in the order of its cells."""
    number = path.stem[:2]
    figures: list[Figure] = []
    tables: list[Table] = []
    for data in _shown(notebook):
        if FIGURE in data:
            svg = "".join(data[_SVG])
            figures.append(Figure(f"{number}_figure_{len(figures) + 1}", data[FIGURE], svg))
        if TABLE in data:
            tables.append(Table(f"{number}_table_{len(tables) + 1}", **data[TABLE]))
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    return Part(number, path.name, short_digest("\n".join(code)), settings_of(notebook), figures, tables)


def settings_of(notebook: Any) -> dict[str, object]:  # noqa: ANN401 - nbformat has no types
    """Read the literal values of the cell tagged ``parameters``, by name."""
    sources = [cell.source for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    found: dict[str, object] = {}
    for node in ast.parse("\n".join(sources)).body:
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            found |= _literals(node.targets[0], node.value)
    return found


def _literals(target: ast.expr, value: ast.expr) -> dict[str, object]:
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        pairs = zip(target.elts, value.elts, strict=True)
        return {name: item for one, part in pairs for name, item in _literals(one, part).items()}
    try:
        return {target.id: ast.literal_eval(value)} if isinstance(target, ast.Name) else {}
    except ValueError:  # computed from others
        return {}


def _shown(notebook: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - nbformat has no types
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return [output["data"] for output in outputs if "data" in output]


def _cancel_all(loop: asyncio.AbstractEventLoop) -> None:
    for task in asyncio.all_tasks(loop):
        task.cancel()


def _short(error: object) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
