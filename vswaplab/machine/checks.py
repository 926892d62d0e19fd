"""Checks that every setting of a machine goes through: one line that names the value and what was expected."""

from __future__ import annotations

import numpy as np

from vswaplab.base.errors import InputError

MOST_BYTES = 1 << 60
MOST_PAGES = 1 << 30  # 4 TiB: sums of 2**-20 bytes stay within 64 bits
MOST_NS = 1_000_000_000  # a second an event: sums over a trace stay within 64 bits


def whole(owner: str, name: str, value: object, at_least: int, at_most: int = MOST_BYTES) -> int:
    """Check a whole number; give it as an int."""
    number = value.__index__() if hasattr(value, "__index__") and not isinstance(value, bool) else None
    if number is None or number < at_least:
        raise InputError(f"{owner}.{name} must be a whole number of at least {at_least}, got {value!r}")
    if number > at_most:
        raise InputError(f"{owner}.{name} must be at most {at_most}, got {value!r}")
    return int(number)


def share(owner: str, name: str, value: object) -> float:
    """Check a share between 0 and 1; give it as a float."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.floating) or not 0 <= value <= 1:
        raise InputError(f"{owner}.{name} must be a share between 0 and 1, got {value!r}")
    return float(value)


def choice(owner: str, name: str, value: object, allowed: tuple[str, ...]) -> None:
    """Check that a value is one of those allowed."""
    if value not in allowed:
        raise InputError(f"{owner}.{name} must be one of {', '.join(allowed)}, got {value!r}")


def flag(owner: str, name: str, value: object) -> None:
    """Check a truth value."""
    if not isinstance(value, bool):
        raise InputError(f"{owner}.{name} must be true or false, got {value!r}")


def set_fields(config: object, **values: object) -> None:
    """Set fields of a frozen object while it is made."""
    for name, value in values.items():
        object.__setattr__(config, name, value)
