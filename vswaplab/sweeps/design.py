"""Which machines a sweep runs: a full grid, random points, or a Latin hypercube."""

from __future__ import annotations

import difflib
import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vswaplab.base.checks import whole
from vswaplab.base.draws import DESIGN, checked_seed, draws
from vswaplab.base.errors import InputError, shown
from vswaplab.machine.config import Costs, Cram, Dram, Machine, Swapfile, Zram, Zswap
from vswaplab.machine.kernel import Kernel
from vswaplab.machine.presets import TIERS_ARE_IN_A_FILE, setting_value

Point = tuple[object, ...]

_PARTS: dict[str, type] = {"dram": Dram, "cram": Cram, "zswap": Zswap, "zram": Zram, "kernel": Kernel, "costs": Costs}
_NO_WORDS = {
    "int": "whole numbers, or sizes such as '64MiB'",
    "int | None": "whole numbers, sizes such as '64MiB', or none",
    "float": "numbers",
    "bool": "true or false",
}
"""Kinds of settings that no word is a value of, and what is."""
_RANGE = ("from", "to", "log")
_DIMENSION = 1 << 32  # draws of one setting; those of the next lie beyond
_MOST_POINTS = 10_000_000


@dataclass(frozen=True)
class Design:
    """The points of a sweep; ``vl.grid``, ``vl.random_design`` and ``vl.latin_hypercube`` make it.

    Parameters
    ----------
    names : (n_settings,)
        Dotted settings of a machine.
    points : (n_points,)
        One value a setting, read as ``--set`` reads it: sizes are numbers.
    """

    names: tuple[str, ...]
    points: tuple[Point, ...]

    def __len__(self) -> int:
        return len(self.points)

    def __repr__(self) -> str:
        return f"Design({len(self):,} points of {', '.join(self.names)})"

    def settings(self, index: int) -> list[str]:
        """Spell a point as ``--set`` does."""
        pairs = zip(self.names, self.points[index], strict=True)
        return [f"{name}={spelled(value)}" for name, value in pairs]

    def frame(self) -> pl.DataFrame:
        """Lay out the points as a table: ``point`` (0...), and one column a setting.

        A column is of whole numbers, decimals or truth values if all its values are, with null for none; else of text.
        """
        columns: dict[str, pl.Series] = {"point": pl.Series(range(len(self)), dtype=pl.Int64)}
        for at, name in enumerate(self.names):
            columns[name] = _series([point[at] for point in self.points])
        return pl.DataFrame(columns)


def grid(settings: Mapping[str, object]) -> Design:
    """Make every combination of the values given; the last setting varies fastest.

    Parameters
    ----------
    settings
        Dotted setting to its values, each as ``--set`` spells it.

    Raises
    ------
    InputError
        An unknown setting, no values, a value that cannot be read: no word, or
        a word where a number or a truth value goes. One out of range is found
        out when its machine is made, by ``vl.sweep``.

    Examples
    --------
    >>> grid({"dram.capacity_pages": [100, "1MiB"], "layer": ["none", "vswap"]}).points
    ((100, 'none'), (100, 'vswap'), (256, 'none'), (256, 'vswap'))
    """
    names = _names(settings)
    axes = [_choices(name, settings[name]) for name in names]
    n_points = math.prod(map(len, axes))
    if n_points > _MOST_POINTS:
        raise InputError(f"the grid has {n_points:,} points: give fewer values, or take a random design")
    return Design(names, tuple(itertools.product(*axes)))


def random_design(settings: Mapping[str, object], n: int, *, seed: int = 0) -> Design:
    """Draw points at random, each setting on its own.

    Parameters
    ----------
    settings
        Dotted setting to its values, or to a range ``{"from": ..., "to": ...}``
        (both ends may come; whole numbers if both are whole; ``"log": True``
        spreads by ratio).
    n : points
    seed
        The points depend on nothing else, and the first of them not on ``n``.

    Raises
    ------
    InputError
        As for ``vl.grid``; a range out of order or without end; ``n`` below 1.

    Examples
    --------
    >>> random_design({"dram.capacity_pages": {"from": 100, "to": 199}, "layer": ["none", "vswap"]}, 2, seed=1).points
    ((149, 'vswap'), (133, 'none'))
    """
    names, n, seed = _names(settings), whole("n", n, 1, _MOST_POINTS), checked_seed(seed)
    columns = [_spread(name, settings[name], _uniform(seed, at, n)) for at, name in enumerate(names)]
    return Design(names, tuple(zip(*columns, strict=True)))


def latin_hypercube(settings: Mapping[str, object], n: int, *, seed: int = 0) -> Design:
    """Draw points so that every setting's range is covered evenly, one point in each of ``n`` equal parts.

    Parameters and errors as for ``vl.random_design`` (McKay, Beckman and Conover, Technometrics 1979).

    Examples
    --------
    >>> sorted(latin_hypercube({"dram.capacity_pages": {"from": 0, "to": 3}}, 4).points)
    [(0,), (1,), (2,), (3,)]
    """
    names, n, seed = _names(settings), whole("n", n, 1, _MOST_POINTS), checked_seed(seed)
    columns = []
    for at, name in enumerate(names):
        part = np.argsort(_uniform(seed, 2 * at, n), kind="stable")
        columns.append(_spread(name, settings[name], (part + _uniform(seed, 2 * at + 1, n)) / n))
    return Design(names, tuple(zip(*columns, strict=True)))


@dataclass(frozen=True)
class Axis:
    """Values of one setting: so many choices, or a range with both its ends."""

    choices: tuple[object, ...] | None
    ends: tuple[int | float, int | float] = (0, 0)
    log: bool = False

    def value(self, cell: object) -> object:
        """Give the value that a cell of ``Design.frame`` stands for: there a whole number beside decimals is one too.

        Examples
        --------
        >>> Axis((20, 0.5)).value(20.0)
        20
        """
        return next((choice for choice in self.choices or () if choice == cell), cell)


def axes(settings: Mapping[str, object]) -> dict[str, Axis]:
    """Read settings and their values or ranges, for whoever picks points by itself; errors as for ``random_design``."""
    found = {}
    for name in _names(settings):
        values = settings[name]
        if isinstance(values, Mapping):
            low, high, log = _range(name, values)
            found[name] = Axis(None, (low, high), log)
        else:
            found[name] = Axis(tuple(_choices(name, values)))
    return found


def six_digits(value: float, low: float, high: float) -> float:
    """Round a value of a range, which then is a key that can be typed again, and stay within the ends.

    Examples
    --------
    >>> six_digits(0.123456789, 0, 1), six_digits(0.50000049, 0.50000049, 1)
    (0.123457, 0.50000049)
    """
    return min(max(float(f"{value:.6g}"), float(low)), float(high))


def spelled(value: object) -> str:
    """Write a value as ``--set`` spells it.

    Examples
    --------
    >>> spelled(None), spelled(True), spelled(0.5), spelled("64MiB")
    ('none', 'true', '0.5', '64MiB')
    """
    if value is None:
        return "none"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _read(name: str, value: object) -> object:
    plain = value.item() if isinstance(value, np.generic) else value
    if plain is not None and not isinstance(plain, bool | int | float | str):
        raise InputError(f"{name}: {value!r} is not a value of a setting: give numbers, true, false, none or words")
    text = spelled(plain).strip()
    if not text:
        raise InputError(f"{name}: a value is empty: give numbers, true, false, none or words")
    return setting_value(name, text)


def _read_choice(name: str, value: object) -> object:
    found, kind = _read(name, value), _settings().get(_plain(name))
    if isinstance(found, str) and kind in _NO_WORDS:
        raise InputError(f"{name}: {shown(found)} cannot be read: give {_NO_WORDS[kind]}")
    return found


def _series(values: Sequence[object]) -> pl.Series:
    kinds = {type(value) for value in values if value is not None}
    for kind, dtype in ((bool, pl.Boolean), (int, pl.Int64)):
        if kinds == {kind}:
            return pl.Series(values, dtype=dtype)
    if kinds and kinds <= {int, float}:
        return pl.Series([None if v is None else float(v) for v in values], dtype=pl.Float64)  # type: ignore[arg-type]
    return pl.Series(list(map(spelled, values)), dtype=pl.String)


def _names(settings: object) -> tuple[str, ...]:
    if not isinstance(settings, Mapping) or not settings:
        raise InputError(
            f"a design needs settings and their values, such as {{'dram.capacity_pages': [...]}}, got {shown(settings)}"
        )
    for name in settings:
        _check_name(name)
    return tuple(settings)


def _check_name(name: object) -> None:
    if isinstance(name, str) and name.partition(".")[0] in ("tiers", "tiers_max"):
        raise InputError(f"{name!r} is no setting of a sweep: {TIERS_ARE_IN_A_FILE}")
    known = list(_settings())
    plain = _plain(name) if isinstance(name, str) else ""
    if plain not in known and not re.fullmatch(
        r"stores\.\w+\.\w+", plain
    ):  # what a plug-in's tier has, a machine tells
        nearest = difflib.get_close_matches(plain, known, n=3, cutoff=0.5)
        hint = f"did you mean {', '.join(nearest)}?" if nearest else "write part.name, such as dram.capacity_pages"
        raise InputError(f"{name!r} is not a setting of a machine: {hint}")


def _plain(name: str) -> str:
    return re.sub(r"^swapfiles\.\d+\.", "swapfiles.0.", name)


@cache
def _settings() -> dict[str, str]:
    # Every setting and what its part says of its kind.
    parts = _PARTS | {"swapfiles.0": Swapfile}
    known = {f"{part}.{field.name}": str(field.type) for part, kind in parts.items() for field in fields(kind)}
    whole_parts = ("dram", "costs", "tiers", "tiers_max")
    return known | {field.name: str(field.type) for field in fields(Machine) if field.name not in whole_parts}


def _choices(name: str, values: object) -> list[object]:
    if isinstance(values, Mapping):
        raise InputError(f"{name}: a grid takes a list of values; ranges are for random and Latin-hypercube designs")
    if isinstance(values, str) or not isinstance(values, Sequence | np.ndarray):
        raise InputError(f"{name}: give a list of values, got {shown(values)}")
    if not len(values):
        raise InputError(f"{name}: the list of values is empty: give at least one")
    return [_read_choice(name, value) for value in values]


def _spread(name: str, values: object, share: NDArray[np.float64]) -> list[object]:
    # A share 0..1 of the way through the values or the range.
    if not isinstance(values, Mapping):
        choices = _choices(name, values)
        return [choices[i] for i in np.minimum((share * len(choices)).astype(int), len(choices) - 1)]
    low, high, log = _range(name, values)
    if isinstance(low, int) and isinstance(high, int):
        ends = (math.log(low), math.log(high + 1)) if log else (low, high + 1)
        wholes = _between(ends, share, log)
        return [min(max(int(x), low), high) for x in wholes]
    ends = (math.log(low), math.log(high)) if log else (low, high)
    return [six_digits(x, low, high) for x in _between(ends, share, log)]


def _between(ends: tuple[float, float], share: NDArray[np.float64], log: bool) -> list[float]:
    found = ends[0] + share * (ends[1] - ends[0])
    return [math.exp(x) if log else float(x) for x in found]


def _range(name: str, values: Mapping[str, object]) -> tuple[int | float, int | float, bool]:
    for key in values:
        if key not in _RANGE:
            raise InputError(f"{name}: a range is {{from, to}} and perhaps log = true; {key!r} is none of them")
    ends = [_read(name, values.get(key)) for key in ("from", "to")]
    low, high = ends
    is_number = not any(isinstance(end, bool) or not isinstance(end, int | float) for end in ends)
    if not is_number or not 0 <= high - low < math.inf:  # type: ignore[operator]
        raise InputError(
            f"{name}: a range runs from a number to one at least as large, both finite, got {dict(values)!r}"
        )
    log = values.get("log", False)
    if not isinstance(log, bool) or (log and low <= 0):  # type: ignore[operator]
        raise InputError(
            f"{name}: log must be true or false, and a range that starts at {low} cannot be spread by ratio"
        )
    return low, high, log  # type: ignore[return-value]


def _uniform(seed: int, dimension: int, n: int) -> NDArray[np.float64]:
    bits = draws(seed, dimension * _DIMENSION + np.arange(n, dtype=np.int64), DESIGN)
    return (bits >> np.uint64(11)).astype(np.float64) / float(1 << 53)
