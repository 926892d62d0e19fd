"""``vswaplab lab``: JupyterLab on the notebooks, or the explorer alone as a page."""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from pathlib import Path

from vswaplab.base.documents import parse_json
from vswaplab.base.errors import InputError
from vswaplab.base.paths import app_dir, notebooks_dir
from vswaplab.base.whole import refused_in_one_line, write_whole
from vswaplab.trace.files import find_trace, load_trace

NOTEBOOKS = Path("vswaplab-notebooks")
"""Where a wheel's notebooks are copied to."""

_LOOPBACK = "127.0.0.1"
_TRACE = "VSWAPLAB_TRACE"  # what widgets/app/explorer.ipynb reads


def open_lab(arguments: argparse.Namespace) -> int:
    """Become JupyterLab, or Voila if the app is asked for; both on loopback, with a token that they make and print."""
    if arguments.trace is not None and not arguments.app:
        raise InputError("--trace is for the explorer: lab --app --trace FILE")
    if arguments.app:
        return _open_app(arguments.rest, arguments.trace)
    try:
        shipped = notebooks_dir()
    except FileNotFoundError as error:
        raise InputError(str(error)) from None
    folder = own_notebooks(shipped, NOTEBOOKS) if shipped.name.startswith("_") else shipped
    print(f"Notebooks: {folder}", flush=True)
    if kept := kept_files(shipped, folder):
        words = "delete them, or start in another folder, to have those of this version"
        print(f"Kept as they are, not as they came with this version: {', '.join(kept)}; {words}", flush=True)
    return _become("jupyterlab", *_unless("ip", arguments.rest, f"--ip={_LOOPBACK}"), *arguments.rest, str(folder))


def _open_app(rest: list[str], trace: str | None) -> int:
    if importlib.util.find_spec("voila") is None:
        raise InputError("the app needs Voila, which is not installed: pip install 'vswaplab[demo]'")
    if trace is not None:
        load_trace(trace)  # what is wrong with it is said here, not in the page
        os.environ[_TRACE] = str(find_trace(trace).resolve())
    folder = app_dir()
    os.environ["JUPYTER_PATH"] = os.pathsep.join([str(folder), *filter(None, [os.environ.get("JUPYTER_PATH")])])
    options = ["--Voila.auto_token=True", "--template=vswaplab", *_unless("ip", rest, f"--Voila.ip={_LOOPBACK}")]
    return _become("voila", str(folder / "explorer.ipynb"), *options, *rest)


def _unless(option: str, rest: list[str], default: str) -> list[str]:
    # A person who names another address means it.
    return [] if any(word.partition("=")[0].lstrip("-").rpartition(".")[2] == option for word in rest) else [default]


def _become(module: str, *options: str) -> int:
    command = [sys.executable, "-m", module, *options]
    os.execv(command[0], command)  # it takes our place: signals, terminal and exit status are its own


def own_notebooks(shipped: Path, folder: Path) -> Path:
    """Copy shipped notebooks and the guide to a folder of the user's; files that are there already stay as they are.

    Raises
    ------
    InputError
        The folder cannot be written.
    """
    with refused_in_one_line(folder, "change to another folder"):
        for name in _shipped_files(shipped):
            if not (folder / name).exists():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                write_whole((shipped / name).read_bytes(), folder / name)
    return folder


def kept_files(shipped: Path, folder: Path) -> list[str]:
    """List the files of a user's folder that say something else than the shipped ones, edited or of another version.

    What a run of a notebook left in it does not count.
    """
    return [str(name) for name in _shipped_files(shipped) if _said(shipped / name) != _said(folder / name)]


def _shipped_files(shipped: Path) -> list[Path]:
    found = [*sorted(shipped.glob("*.ipynb")), *sorted((shipped / "guide").rglob("*"))]
    return [path.relative_to(shipped) for path in found if path.is_file()]


def _said(path: Path) -> object:
    # Of a notebook its cells, without what a run changes.
    try:
        content = path.read_bytes()
    except OSError:
        return None
    if path.suffix != ".ipynb":
        return content
    try:
        return [(cell["cell_type"], "".join(cell["source"])) for cell in parse_json(content.decode())["cells"]]
    except (ValueError, LookupError, TypeError):  # no notebook
        return content
