"""Paths that a user gives; and where the shipped data and notebooks are: a checkout's folders, or the wheel's copies.

``pyproject.toml`` maps ``data/`` to ``vswaplab/_data`` and ``notebooks/`` to
``vswaplab/_notebooks`` when a wheel is built; an editable install has no such
copies and uses the checkout itself.
"""

from __future__ import annotations

import os
from pathlib import Path

from vswaplab.base.errors import InputError, shown

_PACKAGE = Path(__file__).resolve().parents[1]


def path_of(name: str, value: object) -> Path:
    """Check that a value is a path.

    Parameters
    ----------
    name
        What the message calls it.
    value

    Raises
    ------
    InputError
        It is no text and no path.

    Examples
    --------
    >>> path_of("folder", "results").name
    'results'
    >>> path_of("folder", b"results")
    Traceback (most recent call last):
    vswaplab.base.errors.InputError: folder must be a path, a text or a pathlib.Path, got b'results'
    """
    text = value
    if isinstance(value, os.PathLike):
        text = os.fspath(value)
    if not isinstance(text, str) or "\0" in text:
        raise InputError(f"{name} must be a path, a text or a pathlib.Path, got {shown(value)}")
    return Path(text)


def data_dir() -> Path:
    """Find the folder of the shipped profiles, traces and corpora.

    Returns
    -------
    folder
        ``data/`` of an editable checkout, else ``_data/`` of the installed wheel.

    Raises
    ------
    FileNotFoundError
        If neither is there.
    """
    return _shipped("data", package=_PACKAGE)


def notebooks_dir() -> Path:
    """Find the folder of the shipped notebooks.

    Returns
    -------
    folder
        ``notebooks/`` of an editable checkout, else ``_notebooks/`` of the
        installed wheel.

    Raises
    ------
    FileNotFoundError
        If neither is there.
    """
    return _shipped("notebooks", package=_PACKAGE)


def app_dir() -> Path:
    """Find the folder of the explorer as a page: its notebook, and the template that Voila shows it with."""
    return _PACKAGE / "widgets" / "app"


def is_file(path: Path) -> bool:
    """Say whether there is such a file; not if no file can have that name."""
    try:
        return path.is_file()
    except OSError:  # too long, say
        return False


# A folder called data/ next to the package proves nothing in site-packages: a
# checkout is told by its pyproject.toml.
def _shipped(name: str, *, package: Path) -> Path:
    checkout = package.parent
    if (checkout / "pyproject.toml").is_file() and (checkout / name).is_dir():
        return checkout / name
    installed = package / f"_{name}"
    if installed.is_dir():
        return installed
    raise FileNotFoundError(
        f"vswaplab's {name} folder is missing: expected {name}/ in the checkout or {installed}; reinstall vswaplab"
    )
