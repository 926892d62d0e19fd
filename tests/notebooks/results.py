"""What a notebook found, under the names it gave it: run inside the notebook's own kernel, after its last cell."""

from __future__ import annotations

import json
from collections.abc import Mapping
from numbers import Real

import numpy as np
import polars as pl

import vswaplab as vl
from vswaplab.charts.digest import canonical, short_digest

LONGEST = 160
"""Characters of a value that is written out; of a longer one the digest is."""

MOST_NAMES = 24
"""Names in a dict that are written out one by one. More are counters, where 0 is left out: a new one is no news."""

MOST_ROWS = 5000
"""Longer tables are inputs, such as a trace; only their length and sums are kept."""

_NOTHING = object()
_OF_TIERS = ("epoch", "tier", "pages", "stored_bytes", "media_bytes")


def named_results(namespace: Mapping[str, object]) -> dict[str, object]:
    """Give name and value of all that a notebook computed: numbers, tables, runs, and lists and dicts of them."""
    shell = {"In", "Out"}
    found: dict[str, object] = {}
    for name in sorted(namespace):
        if not (name.startswith("_") or name.isupper() or name in shell or _is_words(namespace[name])):
            found |= _written(name, _value(namespace[name]))
    return found


def _is_words(item: object) -> bool:
    return isinstance(item, str) or (isinstance(item, list | tuple) and all(isinstance(part, str) for part in item))


def _value(item: object) -> object:
    match item:
        case vl.Result():
            whole = [_value(item.totals), item.tiers.select(_OF_TIERS).to_dict(as_series=False)]
            return {"stall_ns": item.totals["stall_ns"], "run": short_digest(_text(whole))}
        case pl.DataFrame():
            return _table(item)
        case pl.Series():
            return _value(item.to_numpy())
        case np.ndarray() if item.size > MOST_ROWS:
            return {"values": item.size, "sum": float(item.sum())} if item.dtype.kind in "biuf" else _NOTHING
        case np.ndarray() | np.generic():
            return _value(item.tolist())
        case None | str() | bool() | int() | float():
            return item
        case Real():
            return float(item)
        case Mapping():
            kept = {str(key): _value(value) for key, value in item.items()}
            unwanted = (_NOTHING, 0) if len(kept) > MOST_NAMES else (_NOTHING,)
            return {key: value for key, value in kept.items() if value not in unwanted} or _NOTHING
        case list() | tuple():
            return [value for value in map(_value, item) if value is not _NOTHING] or _NOTHING
    return _NOTHING  # code, machines, traces, charts: what a notebook is made of, not what it found


def _table(table: pl.DataFrame) -> dict[str, object]:
    if table.height > MOST_ROWS:
        columns = [name for name, kind in table.schema.items() if kind.is_numeric()]
        return {"rows": table.height} | {name: float(table[name].sum()) for name in columns}
    rows = sorted(_text(_value(row)) for row in table.to_dicts())  # the order of groups is not fixed
    return {"rows": table.height, "table": short_digest(json.dumps(rows))}


def _text(value: object) -> str:
    return json.dumps(canonical(value), sort_keys=True)


def _written(name: str, value: object) -> dict[str, object]:
    if value is _NOTHING:
        return {}
    text = _text(value)
    if len(text) <= LONGEST:
        return {name: canonical(value)}
    if isinstance(value, dict) and len(value) <= MOST_NAMES:
        parts = [_written(f"{name}[{key}]", part) for key, part in value.items()]
        return {key: part for written in parts for key, part in written.items()}
    return {name: {"characters": len(text), "value": short_digest(text)}}
