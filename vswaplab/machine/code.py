"""A machine as the Python call that makes it, with nothing in it that is a default."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any

from vswaplab.base.errors import InputError, shown
from vswaplab.machine.config import Machine
from vswaplab.machine.profiles import Profile, load_profiles
from vswaplab.machine.stores import Store

_WIDTH = 100
_INDENT = "    "


def machine_code(machine: Machine) -> str:
    """Write the ``vl.Machine(...)`` that makes a machine.

    A setting appears where leaving it out would make another machine; a
    profile of the catalogue goes by its name, one of your own is written in full.

    Parameters
    ----------
    machine

    Returns
    -------
    code : str
        Python, for a program that says ``import vswaplab as vl``, and imports
        the classes of plug-ins' tiers, which go by their own names.

    Raises
    ------
    InputError
        Not a machine.

    Examples
    --------
    >>> from vswaplab.machine.config import Cram, Dram, Swapfile
    >>> print(machine_code(Machine(Dram(512), Cram(1 << 20, report_lag=500), swapfiles=[Swapfile(1024)], layer="none")))
    vl.Machine(
        dram=vl.Dram(capacity_pages=512),
        cram=vl.Cram(media_bytes=1048576, report_lag=500),
        swapfiles=[vl.Swapfile(capacity_slots=1024)],
        layer="none",
    )
    """
    if not isinstance(machine, Machine):
        raise InputError(
            f"machine_code writes a vl.Machine, got {shown(machine)}: make one, or take vl.preset(name, n_pages)"
        )
    return _code(machine, "")


def _code(value: object, margin: str) -> str:
    # One line if it fits, else one argument or element a line.
    if isinstance(value, Profile) and load_profiles().get(value.name) == value:
        return _text(value.name)
    if is_dataclass(value):
        kind = type(value).__name__ if isinstance(value, Store) else f"vl.{type(value).__name__}"  # theirs is elsewhere
        kept = _needed(value)
        return _laid_out(f"{kind}(", [(f"{name}=", item) for name, item in kept.items()], ")", margin)
    if isinstance(value, Mapping):
        return _laid_out("{", [(f"{_text(str(key))}: ", item) for key, item in value.items()], "}", margin)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return _laid_out("[", [("", item) for item in value], "]", margin)
    return _text(value) if isinstance(value, str) else repr(value)


def _laid_out(start: str, items: list[tuple[str, object]], end: str, margin: str) -> str:
    inner = margin + _INDENT
    texts = [f"{name}{_code(item, inner)}" for name, item in items]
    line = f"{start}{', '.join(texts)}{end}"
    if "\n" not in line and len(margin) + len(line) <= _WIDTH:
        return line
    return f"{start}\n{''.join(f'{inner}{text},{chr(10)}' for text in texts)}{margin}{end}"


def _text(value: str) -> str:
    quoted = repr(value)
    return f'"{value}"' if quoted == f"'{value}'" and '"' not in value else quoted


def _needed(config: Any) -> dict[str, object]:  # noqa: ANN401 - any configuration object
    # Left out one by one: what the object derives for itself (dram.high, cram.advertised_bytes) is not needed either.
    values = {f.name: _named(getattr(config, f.name)) for f in fields(config)}
    for field in fields(config):
        if _has_default(field):
            rest = {name: value for name, value in values.items() if name != field.name}
            if _makes(config, rest):
                values = rest
    return values


def _has_default(field: Field[Any]) -> bool:
    return field.default is not MISSING or field.default_factory is not MISSING


def _named(value: object) -> object:
    # machine_from_dict puts the profile itself where a person writes its name
    return value.name if isinstance(value, Profile) and load_profiles().get(value.name) == value else value


def _makes(config: Any, values: Mapping[str, object]) -> bool:  # noqa: ANN401 - any configuration object
    try:
        made = type(config)(**values)
    except (InputError, TypeError):
        return False
    return all(_named(getattr(made, f.name)) == _named(getattr(config, f.name)) for f in fields(config))
