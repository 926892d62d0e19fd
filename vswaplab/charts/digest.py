"""A short fingerprint of the data that a figure shows, the same with any version of the drawing libraries."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping

DIGITS = 9
"""Significant digits that count: far fewer than two machines share, far more than a figure shows."""


def data_digest(spec: Mapping[str, object]) -> str:
    """Give the fingerprint of a chart's data.

    Parameters
    ----------
    spec
        The chart's specification (``chart.to_dict()``), its data inside it.

    Returns
    -------
    digest : str
        16 hexadecimal digits of a SHA-256. Neither the order of rows nor that
        of columns counts, nor anything after the ninth digit of a number.
    """
    tables = sorted(sorted(_text(row) for row in table) for table in _tables(spec))
    return short_digest(json.dumps(tables))


def short_digest(text: str) -> str:
    """Give 16 hexadecimal digits of a text's SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def canonical(value: object) -> object:
    """Round a number to ``DIGITS`` digits, and so all numbers in lists and dicts; text and null stay as they are."""
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") + 0.0 if math.isfinite(value) else None  # + 0.0: no negative zero
    if isinstance(value, Mapping):
        return {str(key): canonical(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [canonical(item) for item in value]
    return value


def _text(row: object) -> str:
    return json.dumps(canonical(row), sort_keys=True)


def _tables(part: object) -> list[list[object]]:
    # Altair gathers what its charts share under "datasets"; data that a caller wrote inline stands as "values".
    if isinstance(part, list):
        return [table for item in part for table in _tables(item)]
    if not isinstance(part, Mapping):
        return []
    named, data = part.get("datasets", {}), part.get("data", {})
    found = [list(rows) for rows in named.values()]
    if isinstance(data, Mapping) and isinstance(data.get("values"), list):
        found.append(data["values"])
    rest = [value for key, value in part.items() if key not in ("datasets", "data")]
    return found + _tables(rest)
