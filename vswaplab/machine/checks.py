"""Checks that every setting of a machine goes through: one line that names the value and what was expected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vswaplab.base import checks
from vswaplab.base.errors import InputError, shown

MOST_BYTES = 1 << 60
MOST_PAGES = 1 << 30  # 4 TiB: sums of 2**-20 bytes stay within 64 bits
MOST_NS = 1_000_000_000  # a second an event


def whole(owner: str, name: str, value: object, at_least: int, at_most: int = MOST_BYTES) -> int:
    """Check a whole number; give it as an int."""
    found = checks.whole(f"{owner}.{name}", value, at_least)
    if found > at_most:
        raise InputError(f"{owner}.{name} must be at most {at_most}, got {shown(value)}")
    return found


def share(owner: str, name: str, value: object) -> float:
    """Check a share between 0 and 1; give it as a float."""
    return checks.number(f"{owner}.{name}", value, 0, 1, expected="a share between 0 and 1")


def choice(owner: str, name: str, value: object, allowed: tuple[str, ...]) -> None:
    """Check that a value is one of those allowed."""
    checks.one_of(f"{owner}.{name}", value, allowed)


def flag(owner: str, name: str, value: object) -> None:
    """Check a truth value."""
    checks.flag(f"{owner}.{name}", value)


def set_fields(config: object, **values: object) -> None:
    """Set fields of a frozen object while it is made."""
    for name, value in values.items():
        object.__setattr__(config, name, value)


def swap_tiers(tiers: object) -> dict[str, tuple[int, int]]:
    """Check swap tiers: name to lowest and highest priority, none overlapping another."""
    if not isinstance(tiers, Mapping):
        raise InputError(f"machine.tiers must be a table of name = [lowest, highest] priority, got {shown(tiers)}")
    checked: dict[str, tuple[int, int]] = {}
    for name, span in tiers.items():
        is_pair = isinstance(span, Sequence) and not isinstance(span, str) and len(span) == 2
        bounds = [whole("tiers", name, bound, -(1 << 31)) for bound in span] if is_pair else []
        if len(bounds) != 2 or bounds[0] > bounds[1]:
            raise InputError(
                f"tiers.{name} must be the lowest and the highest priority of its devices, got {shown(span)}"
            )
        for other, (low, high) in checked.items():
            if bounds[0] <= high and low <= bounds[1]:
                raise InputError(f"tiers.{name} {span!r} overlaps tiers.{other}: a device is in one tier at most")
        checked[str(name)] = (bounds[0], bounds[1])
    return checked


def swap_tiers_max(limits: object, tiers: Mapping[str, object]) -> dict[str, int | str]:
    """Check what a group may use of its swap tiers: tier to 0 or "max"."""
    if not isinstance(limits, Mapping):
        raise InputError(f"machine.tiers_max must be a table of tier = 0 or 'max', got {shown(limits)}")
    for name, limit in limits.items():
        if name not in tiers:
            raise InputError(f"tiers_max.{name} is no tier: choose from {', '.join(tiers) or 'those you add to tiers'}")
        if not isinstance(limit, int | str) or isinstance(limit, bool) or limit not in (0, "max"):
            raise InputError(f"tiers_max.{name} must be 0 or 'max', got {shown(limit)}")
    return dict(limits)
