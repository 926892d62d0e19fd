"""Plug-ins: what others add without touching this package, found by entry point or registered by hand.

An installed package names its plug-ins in entry points of the groups below; a
notebook registers them (``vswaplab.machine.plugins``). Nothing else is ever loaded, and
nothing before it is asked for.
"""

from __future__ import annotations

import inspect
import sys
import warnings
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Literal, get_args

from vswaplab.base.checks import one_of
from vswaplab.base.errors import InputError, shown

Kind = Literal["profiles", "codec", "policy", "store"]

GROUPS: dict[Kind, str] = {
    "profiles": "vswaplab.profiles",  # a path to a TOML file of profiles, or a function that gives one
    "codec": "vswaplab.codecs",  # a size column: function from pages (n, 4096) to bytes (n,)
    "policy": "vswaplab.policies",  # an order of reclaim: a class like vswaplab.engine.reference.policies.Lru
    "store": "vswaplab.stores",  # a tier: a subclass of vswaplab.machine.stores.Store
}
"""Kind of plug-in to its group of entry points."""

_by_hand: dict[str, dict[str, object]] = {kind: {} for kind in GROUPS}


def remember(kind: Kind, name: str, plugin: object) -> None:
    """Make a plug-in known in this process; ``vswaplab.machine.plugins.register`` looks at it before.

    Raises
    ------
    InputError
        Another kind, or a name that is not a lower-case word.
    """
    check_name(kind, name)
    _by_hand[kind][name] = plugin


def check_name(kind: Kind, name: str) -> None:
    """Check what a plug-in is called.

    Raises
    ------
    InputError
        Another kind, or a name that is not a lower-case word.
    """
    one_of("kind", kind, get_args(Kind))
    if not isinstance(name, str) or not name.replace("_", "").replace("-", "").isalnum() or name != name.lower():
        raise InputError(f"a plug-in's name must be lower-case letters, digits, _ and -, got {shown(name)}")


def unregister(kind: Kind, name: str) -> None:
    """Forget a plug-in that was registered by hand."""
    _by_hand[kind].pop(name, None)


def plugin_names(kind: Kind) -> list[str]:
    """List plug-ins of a kind by name, without loading them."""
    return sorted({*_installed(kind), *_by_hand[kind]})


def is_by_hand(kind: Kind) -> bool:
    """Say whether a plug-in of a kind was registered by hand: other processes do not know it."""
    return bool(_by_hand[kind])


def find_plugin(kind: Kind, name: str) -> object | None:
    """Load a plug-in; None: there is none of that name.

    Raises
    ------
    InputError
        It is installed and cannot be loaded.
    """
    if name in _by_hand[kind]:
        return _by_hand[kind][name]
    point = _installed(kind).get(name)
    return None if point is None else _loaded(point)


def all_plugins(kind: Kind) -> dict[str, object]:
    """Load every plug-in of a kind; one that cannot be loaded is left out with a warning."""
    found = {}
    for name in plugin_names(kind):
        try:
            found[name] = find_plugin(kind, name)
        except InputError as error:
            warnings.warn(str(error), stacklevel=2)
    return found


def source_of(plugin: object) -> str:
    """Give the source of a plug-in, its module's or its own: what numbers depend on besides ours."""
    module = sys.modules.get(getattr(plugin, "__module__", ""))
    for code in (module, plugin):
        try:
            return inspect.getsource(code)  # type: ignore[arg-type]
        except (OSError, TypeError):
            continue
    return repr(plugin)


@cache
def _installed(kind: Kind) -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUPS[kind])}


def _loaded(point: EntryPoint) -> object:
    try:
        plugin: object = point.load()
    except Exception as error:
        package = point.dist.name if point.dist is not None else "?"
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError(
            f"the plug-in {point.name!r} of the package {package} cannot be loaded ({reason}); mend or uninstall it"
        ) from None
    return plugin
