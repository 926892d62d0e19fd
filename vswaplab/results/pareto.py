"""Which rows of a table nothing beats: the Pareto front."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vswaplab.base.checks import mapping_of, number
from vswaplab.base.errors import InputError, shown

COST_AND_STALL = ("cost_usd", "stall_percent")
"""The columns of ``vl.frontier`` that pull against each other."""


def pareto(
    table: pl.DataFrame,
    minimise: Sequence[str] = COST_AND_STALL,
    *,
    below: Mapping[str, float] | None = None,
) -> pl.DataFrame:
    """Keep the rows that no other row dominates.

    A row dominates another if it is at least as good in every column and
    better in one. Equal rows stay together. Rows with a null or NaN in one of
    the columns are left out.

    Parameters
    ----------
    table : polars.DataFrame
        Such as ``vl.frontier`` gives.
    minimise : columns
        Smaller is better; change the sign of what should be large.
    below : column to limit
        Only rows within every limit, ends included, take part:
        ``{"stall_percent": 2, "poison_high": 1e-6}``.

    Returns
    -------
    front : polars.DataFrame
        Some of the rows, ordered by the columns of ``minimise``.

    Raises
    ------
    InputError
        No column to minimise, an unknown column, one that is not of numbers.

    Examples
    --------
    >>> table = pl.DataFrame({"cost_usd": [1, 2, 2, 3], "stall_percent": [9.0, 5.0, 7.0, 5.0]})
    >>> pareto(table).rows()
    [(1, 9.0), (2, 5.0)]
    """
    if isinstance(minimise, str) or not isinstance(minimise, Sequence) or not minimise:
        raise InputError(f"minimise must be a list of columns, such as {list(COST_AND_STALL)}, got {shown(minimise)}")
    rows = within(table, below).filter(*(_is_number(table, name) for name in minimise)).sort(minimise)
    return rows.filter(pl.Series(_undominated(rows.select(minimise).to_numpy().astype(np.float64))))


def within(table: pl.DataFrame, below: Mapping[str, float] | None) -> pl.DataFrame:
    """Keep the rows within every limit, ends included; a null is not.

    Raises
    ------
    InputError
        An unknown column, one that is not of numbers, a limit that is no number.
    """
    if not isinstance(table, pl.DataFrame):
        raise InputError(f"table must be a polars table, such as vl.frontier gives, got {shown(table)}")
    limits = limits_of(below)
    return table.filter(*(_is_number(table, name) & (pl.col(name) <= limit) for name, limit in limits.items()))


def limits_of(below: object) -> dict[str, float]:
    """Check limits, a mapping of column to number; None: there are none.

    Raises
    ------
    InputError
        It is no mapping, or a limit is no number.
    """
    if below is None:
        return {}
    limits = mapping_of("below", below, "{'stall_percent': 2}")
    return {name: number(f"below: the limit of {name}", limit) for name, limit in limits.items()}


def _is_number(table: pl.DataFrame, name: str) -> pl.Expr:
    if name not in table.columns:
        raise InputError(f"the table has no column {name!r}: it has {', '.join(table.columns)}")
    if not table.schema[name].is_numeric():
        raise InputError(f"column {name!r} is not of numbers: choose one that is")
    there = pl.col(name).is_not_null()
    return there & pl.col(name).is_not_nan() if table.schema[name].is_float() else there


def _undominated(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    # In lexical order whatever dominates a row stands before it, or is equal to it.
    kept = np.zeros(len(values), np.bool_)
    front = np.empty((0, values.shape[1]))
    for i, row in enumerate(values):
        is_beaten = (front <= row).all(axis=1) & (front < row).any(axis=1)
        if not is_beaten.any():
            kept[i] = True
            front = np.vstack((front, row))
    return kept
