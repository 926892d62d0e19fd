"""Plug-ins by hand: looked at when they are registered, so that none is in the way of what has no use for it."""

from __future__ import annotations

from collections.abc import Callable

from vswaplab.base.codecs import FACT_COLUMNS, MORE_COLUMNS, RAW, SIZE_COLUMNS
from vswaplab.base.errors import InputError
from vswaplab.base.plugins import Kind, check_name, remember
from vswaplab.machine.policies import POLICIES, policy_class
from vswaplab.machine.profiles import check_plugged
from vswaplab.machine.stores import class_of_store


def register(kind: Kind, name: str, plugin: object) -> None:
    """Make a plug-in known in this process, as an entry point of an installed package would be in every one.

    Parameters
    ----------
    kind : {"profiles", "codec", "policy", "store"}
    name
        What machines, profiles and tables call it; registered again, the later one counts.
    plugin
        Of profiles the path of a TOML file, or a function that gives one; a
        codec is a function from pages to sizes, a policy a class like
        ``vswaplab.engine.reference.policies.Lru``, a store a subclass of
        ``vl.Store`` with that name. The guide "extend" has one of each.

    Raises
    ------
    InputError
        Another kind, a name that is not a lower-case word or is one of ours, a
        file of profiles that cannot be used, an object that is not what the
        kind needs.
    """
    check_name(kind, name)
    _CHECKS[kind](name, plugin)
    remember(kind, name, plugin)


def _check_codec(name: str, plugin: object) -> None:
    _check_own("column of a corpus", name, (RAW, *SIZE_COLUMNS, *MORE_COLUMNS, *FACT_COLUMNS))
    if not callable(plugin):
        raise InputError(f"the codec {name!r} is {plugin!r}: it must be a function from pages to sizes")


def _check_policy(name: str, plugin: object) -> None:
    _check_own("policy", name, POLICIES)
    policy_class(name, plugin)


def _check_own(what: str, name: str, ours: tuple[str, ...]) -> None:
    if name in ours:
        raise InputError(f"{name!r} is a {what} that is built in: register yours under another name")


_CHECKS: dict[Kind, Callable[[str, object], object]] = {
    "profiles": check_plugged,
    "codec": _check_codec,
    "policy": _check_policy,
    "store": class_of_store,
}
