"""Checks of single numbers, given or as text, and of arrays: one line that names the value and what was expected.

A whole number or a number may be numpy's too; true, false and NaN are neither.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Iterable, Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vswaplab.base.errors import InputError, shown

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def whole(
    name: str, value: object, at_least: int = 0, at_most: int | None = None, *, expected: str | None = None
) -> int:
    """Check a whole number; give it as an int.

    Parameters
    ----------
    name
        What the message calls it.
    value
    at_least, at_most
        Both ends may come; None: no end.
    expected
        What the message asks for. Default: a whole number within the ends.

    Examples
    --------
    >>> whole("n", np.uint8(3))
    3
    >>> whole("n", 0, 1, 7)
    Traceback (most recent call last):
    vswaplab.base.errors.InputError: n must be a whole number from 1 to 7, got 0
    """
    try:
        found = None if isinstance(value, bool | np.bool_ | np.ndarray) else operator.index(value)  # type: ignore[arg-type]
    except Exception:  # whatever another library's __index__ raises
        found = None
    return _checked(name, found, value, at_least, at_most, expected)


def number(
    name: str,
    value: object,
    at_least: float = -math.inf,
    at_most: float = math.inf,
    *,
    above: float | None = None,
    expected: str = "a number",
) -> float:
    """Check a number; give it as a float.

    Parameters
    ----------
    name, value
        As in ``whole``.
    at_least, at_most
        Both ends may come.
    above
        This end may not.
    expected
        What the message asks for.

    Examples
    --------
    >>> number("part", np.float32(0.5), above=0, at_most=1)
    0.5
    >>> number("part", 0, above=0, at_most=1, expected="a number above 0 and up to 1")
    Traceback (most recent call last):
    vswaplab.base.errors.InputError: part must be a number above 0 and up to 1, got 0
    """
    try:
        found = float(value) if isinstance(value, Real) and not isinstance(value, bool) else math.nan
    except OverflowError:  # a whole number beyond any float
        found = math.nan
    if not at_least <= found <= at_most or (above is not None and found <= above):
        raise InputError(f"{name} must be {expected}, got {shown(value)}")
    return found


def text_of(name: str, value: object) -> str:
    """Check a text.

    Examples
    --------
    >>> text_of("title", b"redis")
    Traceback (most recent call last):
    vswaplab.base.errors.InputError: title must be a text, got b'redis'
    """
    if not isinstance(value, str):
        raise InputError(f"{name} must be a text, got {shown(value)}")
    return value


def flag(name: str, value: object) -> bool:
    """Check a truth value.

    Examples
    --------
    >>> flag("children", 1)
    Traceback (most recent call last):
    vswaplab.base.errors.InputError: children must be true or false, got 1
    """
    if not isinstance(value, bool):
        raise InputError(f"{name} must be true or false, got {shown(value)}")
    return value


def one_of(name: str, value: object, allowed: Sequence[str]) -> None:
    """Check that a value is one of the words allowed.

    Examples
    --------
    >>> one_of("layer", 5, ("none", "vswap"))
    Traceback (most recent call last):
    vswaplab.base.errors.InputError: layer must be one of none, vswap, got 5
    """
    if not isinstance(value, str) or value not in allowed:
        is_number = isinstance(value, int | float) and str(value) in allowed
        hint = f", a number: write it in quotes, {str(value)!r}" if is_number else ""
        raise InputError(f"{name} must be one of {', '.join(allowed)}, got {shown(value)}{hint}")


def names_of(name: str, value: object) -> list[Any]:
    """Check that a value is a list of names, or of what else is looked up; what they are is not looked at.

    Examples
    --------
    >>> names_of("policies", ("lru", "sieve"))
    ['lru', 'sieve']
    >>> names_of("policies", "lru")
    Traceback (most recent call last):
    vswaplab.base.errors.InputError: policies must be a list of names, got 'lru'
    """
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise InputError(f"{name} must be a list of names, got {shown(value)}")
    return list(value)


def mapping_of(name: str, value: object, example: str) -> Mapping[str, Any]:
    """Check a mapping.

    Examples
    --------
    >>> mapping_of("below", 2, "{'stall_percent': 2}")
    Traceback (most recent call last):
    vswaplab.base.errors.InputError: below must be a mapping such as {'stall_percent': 2}, got 2
    """
    if not isinstance(value, Mapping):
        raise InputError(f"{name} must be a mapping such as {example}, got {shown(value)}")
    return value


def numbers_of(name: str, value: object) -> list[float]:
    """Check a list of numbers.

    Examples
    --------
    >>> numbers_of("at", 5)
    Traceback (most recent call last):
    vswaplab.base.errors.InputError: at must be a list of numbers, got 5
    """
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise InputError(f"{name} must be a list of numbers, got {shown(value)}")
    return [number(name, each) for each in value]


def array_of(name: str, values: object) -> NDArray[Any]:
    """Make an array of values, none of which is masked: numpy would take what lies under a mask for data.

    Examples
    --------
    >>> array_of("page", np.ma.array([0, 1], mask=[0, 1]))
    Traceback (most recent call last):
    vswaplab.base.errors.InputError: page has masked values, which stand for missing ones: drop or fill them first
    """
    if np.ma.is_masked(values):
        raise InputError(f"{name} has masked values, which stand for missing ones: drop or fill them first")
    try:
        return np.asarray(values)
    except ValueError:
        raise InputError(f"{name} has rows of different length: make them alike") from None


def need_columns(table: object, columns: Iterable[str], name: str = "the table") -> None:
    """Check that a table has columns.

    Examples
    --------
    >>> need_columns(pl.DataFrame({"page": [0]}), ["page", "op"])
    Traceback (most recent call last):
    vswaplab.base.errors.InputError: the table has no column 'op': it needs page, op; it has page
    """
    needed = list(columns)
    if not isinstance(table, pl.DataFrame):
        raise InputError(f"{name} must be a polars.DataFrame with the columns {', '.join(needed)}, got {shown(table)}")
    missing = [column for column in needed if column not in table.columns]
    if missing:
        has = ", ".join(table.columns[:20]) or "none"
        raise InputError(f"{name} has no column {missing[0]!r}: it needs {', '.join(needed)}; it has {has}")


def whole_of(
    name: str, text: str, at_least: int = 0, at_most: int | None = None, *, expected: str | None = None
) -> int:
    """Read a whole number that was given as text, such as an option's; parameters as in ``whole``."""
    try:
        found: int | None = int(text)
    except ValueError:
        found = None
    return _checked(name, found, text, at_least, at_most, expected)


def count_of(name: str, text: str) -> int:
    """Read a whole number of at least 1 that may end in K, M, G or T, powers of 1024.

    Examples
    --------
    >>> count_of("--max-pages", "1000"), count_of("--max-pages", "4K")
    (1000, 4096)
    """
    found = re.fullmatch(r"(\d{1,15})\s*([KMGT]?)(?:iB|B)?", text.strip())
    if found is None or not int(found[1]):
        raise InputError(f"{name} must be a whole number of at least 1, such as 1000000 or 4G, got {shown(text)}")
    return int(found[1]) * _UNITS[found[2]]


def _checked(
    name: str, found: int | None, given: object, at_least: int, at_most: int | None, expected: str | None
) -> int:
    if found is None or found < at_least or (at_most is not None and found > at_most):
        ends = f"of at least {at_least}" if at_most is None else f"from {at_least} to {at_most}"
        raise InputError(f"{name} must be {expected or f'a whole number {ends}'}, got {shown(given)}")
    return found
