"""TOML and JSON files that somebody else may have written: read whole, within bounds."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from vswaplab.base.errors import InputError

MAX_BYTES = 64 << 20
"""A document is a few KB; what is larger than this is something else."""


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """Read a TOML file.

    Parameters
    ----------
    path
    what
        What the file is to the user: ``machine``, ``sweep``.

    Raises
    ------
    InputError
        It cannot be read, is not TOML, not UTF-8, nested too deeply, or too large.
    """
    try:
        found: dict[str, Any] = _read(path, tomllib.loads)
    except OSError as error:
        raise InputError(f"cannot read the {what} {path}: {error.strerror or error}; give a .toml file") from None
    except ValueError as error:
        raise InputError(f"the {what} {path} is not TOML ({' '.join(str(error).split())}): mend the file") from None
    return found


def read_toml_tables(path: Path, what: str, name: str) -> list[Mapping[str, object]]:
    """Read a TOML file of ``[[name]]`` tables and nothing else.

    Raises
    ------
    InputError
        What ``read_toml`` raises, or there is something else in it, or nothing.
    """
    document = read_toml(path, what)
    tables = document.get(name)
    if set(document) != {name} or not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        found = ", ".join(document) or "nothing"
        raise InputError(f"the {what} {path}: found {found} at the top; expected [[{name}]] tables and nothing else")
    return tables


def read_json(path: Path) -> Any:  # noqa: ANN401 - whatever the file holds
    """Read a JSON file.

    Raises
    ------
    OSError
        It cannot be read.
    ValueError
        It is not JSON, not UTF-8, nested too deeply, or too large.
    """
    return _read(path, json.loads)


def parse_json(text: str) -> Any:  # noqa: ANN401 - whatever the text holds
    """Read JSON; ValueError as in ``read_json``."""
    return _parse(text, json.loads)


def _read(path: Path, loads: Callable[[str], Any]) -> Any:  # noqa: ANN401 - whatever the file holds
    with path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ValueError(f"larger than {MAX_BYTES >> 20} MiB")
    return _parse(data.decode("utf-8"), loads)


def _parse(text: str, loads: Callable[[str], Any]) -> Any:  # noqa: ANN401 - whatever the text holds
    try:
        return loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
