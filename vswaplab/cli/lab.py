"""``vswaplab lab``: JupyterLab on the notebooks."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path

from vswaplab.base.errors import InputError
from vswaplab.base.paths import notebooks_dir

NOTEBOOKS = Path("vswaplab-notebooks")
"""Where a wheel's notebooks are copied to."""


def open_lab(arguments: argparse.Namespace) -> int:
    """Become JupyterLab."""
    try:
        shipped = notebooks_dir()
    except FileNotFoundError as error:
        raise InputError(str(error)) from None
    folder = own_notebooks(shipped, NOTEBOOKS) if shipped.name.startswith("_") else shipped
    print(f"Notebooks: {folder}", flush=True)
    command = [sys.executable, "-m", "jupyterlab", *arguments.rest, str(folder)]
    os.execv(command[0], command)  # JupyterLab takes our place: signals, terminal and exit status are its own


def own_notebooks(shipped: Path, folder: Path) -> Path:
    """Copy shipped notebooks to a folder of the user's; files that are there already stay as they are.

    Raises
    ------
    InputError
        The folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for source in sorted(shipped.glob("*.ipynb")):
            if not (folder / source.name).exists():
                shutil.copyfile(source, folder / source.name)
    except OSError as error:
        raise InputError(f"cannot write {folder}: {error.strerror or error}; change to another folder") from None
    return folder
