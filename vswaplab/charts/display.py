"""Show charts in a notebook; when a notebook is run for print, hand over what is shown as data too.

With the environment variable ``COLLECT`` set, each chart and each table that a
cell shows carries one more representation in its output: ``FIGURE``, the
chart's specification, or ``TABLE``, every row of the table at full precision.
So one execution of a notebook gives its pictures, and what to hold them to.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping
from numbers import Real
from typing import Any

import altair as alt
import polars as pl

from vswaplab.charts.describe import alt_text
from vswaplab.charts.theme import spec_svg, writable_spec

COLLECT = "VSWAPLAB_COLLECT"
"""Environment variable: not empty, notebooks hand over what they show."""

FIGURE = "application/vnd.vswaplab.figure+json"
"""Type of a cell's output that is a chart's specification (``data_digest`` takes it)."""

TABLE = "application/vnd.vswaplab.table+json"
"""Type of a cell's output that is a table: ``columns``, ``numeric`` (names of columns of numbers), ``csv``."""

_NAMED = ("name", "value")
_RENDERER = "vswaplab-svg"


def setup_display() -> None:
    """Show charts in a notebook as still SVG figures that need no network and carry their alt text."""
    alt.renderers.register(_RENDERER, svg_bundle)
    alt.renderers.enable(_RENDERER)
    if os.environ.get(COLLECT):
        _hand_over_tables()


def svg_bundle(spec: dict[str, Any], **_: object) -> dict[str, Any]:
    """Give a chart's representations, as altair's renderers do: type to content."""
    spec = writable_spec(spec)
    shown = {"image/svg+xml": spec_svg(spec), "text/plain": alt_text(spec)}
    return shown | {FIGURE: spec} if os.environ.get(COLLECT) else shown


def table_bundle(table: pl.DataFrame, **_: object) -> dict[str, Any]:
    """Give a table whole: type to content."""
    lists = pl.selectors.by_dtype(pl.List, pl.Array)
    flat = table.with_columns(lists.cast(pl.List(pl.String)).list.join(" "))
    numeric = table.select(pl.selectors.numeric()).columns
    return {TABLE: {"columns": table.columns, "numeric": numeric, "csv": flat.write_csv()}}


def dict_bundle(values: Mapping[object, object], **_: object) -> dict[str, Any]:
    """Give named numbers or texts as a table of two columns; nothing for a dict of anything else."""
    if not values or not all(isinstance(value, str | Real) for value in values.values()):
        return {}
    is_numeric = not any(isinstance(value, str | bool) for value in values.values())
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([_NAMED, *values.items()])
    return {TABLE: {"columns": [*_NAMED], "numeric": ["value"] if is_numeric else [], "csv": out.getvalue()}}


def _hand_over_tables() -> None:
    from IPython.core.getipython import get_ipython

    shell = get_ipython()
    if shell is not None and shell.display_formatter is not None:
        shell.display_formatter.mimebundle_formatter.for_type(pl.DataFrame, table_bundle)
        shell.display_formatter.mimebundle_formatter.for_type(dict, dict_bundle)
