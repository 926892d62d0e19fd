"""TOML and JSON files that somebody else may have written: read whole, within bounds."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

MAX_BYTES = 64 << 20
"""A document is a few KB; what is larger than this is something else."""


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises
    ------
    OSError
        It cannot be read.
    ValueError
        It is not TOML, not UTF-8, nested too deeply, or too large.
    """
    found: dict[str, Any] = _read(path, tomllib.loads)
    return found


def read_json(path: Path) -> Any:  # noqa: ANN401 - whatever the file holds
    """Read a JSON file; it raises what ``read_toml`` does."""
    return _read(path, json.loads)


def parse_json(text: str) -> Any:  # noqa: ANN401 - whatever the text holds
    """Read JSON; ValueError as in ``read_toml``."""
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
