"""Ready-made machines, machines from a file, and single settings changed by name.

A preset's sizes follow the number of pages a workload touches, so that the
same name means the same pressure on every trace.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from vswaplab.base.checks import whole
from vswaplab.base.documents import read_toml
from vswaplab.base.errors import InputError
from vswaplab.base.paths import path_of
from vswaplab.base.units import PAGE_SIZE
from vswaplab.machine.config import Costs, Cram, Dram, Machine, Swapfile, Zram, Zswap, machine_from_dict
from vswaplab.machine.profiles import find_profile, load_profiles

DEFAULT_PRESET = "four-tiers"

_DRAM_PERCENT = 40  # of the workload's pages
_ALONE_PERCENT = 70  # the same where the pool is in it and there is nothing behind it
_ADVERTISED_PERCENT = 30  # of the workload's pages
_BUDGET_PERCENT = 5  # of the device's pages
_LARGEST = 1 << 50
_SIZES = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(KiB|MiB|GiB)")
_WORDS: dict[str, object] = {"true": True, "false": False, "none": None}
_IN_PAGES = ("dram.low", "dram.high", "cram.node_low", "cram.node_high")  # whose names do not say it
_ALWAYS = {"dram": "dram.capacity_pages=64MiB", "costs": "costs.fault_ns=1500"}

TIERS_ARE_IN_A_FILE = "a machine's .toml file sets tiers, as in [tiers] and fast = [1, 9]"
"""Why no single setting makes a swap tier: a tier is two numbers."""


def _part(n_pages: int, percent: int) -> int:
    return max(1, n_pages * percent // 100)


def _dram(n_pages: int, **settings: Any) -> Dram:  # noqa: ANN401 - passed on to Dram
    return Dram(capacity_pages=_part(n_pages, _DRAM_PERCENT), **settings)


def _cram(n_pages: int, media_share: int = 2, **settings: Any) -> Cram:  # noqa: ANN401 - passed on to Cram
    advertised = _part(n_pages, _ADVERTISED_PERCENT) * PAGE_SIZE
    return Cram(media_bytes=advertised // media_share, advertised_bytes=advertised, **settings)


def _swapfiles(n_pages: int) -> tuple[Swapfile, ...]:
    return (Swapfile(capacity_slots=2 * n_pages),)


def _four_tiers(n_pages: int) -> Machine:
    return Machine(_dram(n_pages), _cram(n_pages), Zswap(), _swapfiles(n_pages))


def _cram_tier(n_pages: int) -> Machine:
    # charge "host": under memory.max alone a tier's pages stay charged, and CRAM frees nothing
    return Machine(_dram(n_pages, charge="host"), _cram(n_pages, mode="tier"), Zswap(), _swapfiles(n_pages))


def _zswap_only(n_pages: int) -> Machine:
    return Machine(_dram(n_pages), None, Zswap(compressor="zstd"), _swapfiles(n_pages))


def _swap_only(n_pages: int) -> Machine:
    return Machine(_dram(n_pages, low=0, high=1), swapfiles=_swapfiles(n_pages))


def _zram_only(n_pages: int) -> Machine:
    # charge "host": the memory controller does not see zram's pool. More DRAM than elsewhere, or nothing would fit.
    dram = Dram(capacity_pages=_part(n_pages, _ALONE_PERCENT), charge="host")
    return Machine(dram, zram=Zram(2 * n_pages * PAGE_SIZE))


def _zram_first(n_pages: int) -> Machine:
    shown = _part(n_pages, _ADVERTISED_PERCENT) * PAGE_SIZE
    pass_period = 50_000  # [guess]: a script by the clock has no counterpart in accesses
    zram = Zram(shown, idle_period=pass_period, recompressor="zstd")
    return Machine(_dram(n_pages, charge="host"), swapfiles=_swapfiles(n_pages), zram=zram)


def _balloon(n_pages: int) -> Machine:
    periods = {"report_lag": 1_000, "flush_period": 5_000}  # [guess]
    cram = _cram(n_pages, balloon=True, balloon_reserve=0.05, **periods)
    return Machine(_dram(n_pages), cram, Zswap(), _swapfiles(n_pages))


def _cram_writable(n_pages: int) -> Machine:
    budget = _part(_part(n_pages, _ADVERTISED_PERCENT), _BUDGET_PERCENT)
    periods = {"report_lag": 1_000, "flush_period": 5_000, "reaper_period": 20_000}  # [guess]
    cram = _cram(n_pages, writable_budget_pages=budget, **periods)
    return Machine(_dram(n_pages), cram, Zswap(), _swapfiles(n_pages))


def _small_media(n_pages: int) -> Machine:
    # The gate closes below the writeback mark, and reports lag: both must work.
    marks = {
        "close_at": 0.90,
        "open_at": 0.85,
        "writeback_high": 0.92,
        "writeback_low": 0.80,
        "report_lag": 500,
    }
    return Machine(_dram(n_pages), _cram(n_pages, 4, **marks), Zswap(), _swapfiles(n_pages))


_PRESETS: dict[str, tuple[str, Callable[[int], Machine]]] = {
    "four-tiers": (
        "DRAM for 40 % of the pages, CRAM shown as 30 % over half the media, zswap lz4, one swapfile",
        _four_tiers,
    ),
    "cram-tier": (
        "the same with CRAM as a read-only memory tier, the pool charged to the host",
        _cram_tier,
    ),
    "zswap-only": ("DRAM for 40 % of the pages, zswap zstd, one swapfile", _zswap_only),
    "swap-only": ("DRAM for 40 % of the pages and one swapfile: textbook LRU", _swap_only),
    "cram-writable": (
        "four-tiers with 5 % of the device's pages writable in place; reports, flushes and reaper lag",
        _cram_writable,
    ),
    "zram-only": ("DRAM for 70 % of the pages, and zram in it as the only swap device", _zram_only),
    "zram-first": (
        "zram shown as 30 % of the pages before a swapfile; idle pages are recompressed with zstd",
        _zram_first,
    ),
    "balloon": (
        "four-tiers with a balloon that holds pages back while the ratio is below the advertised one",
        _balloon,
    ),
    "small-media": (
        "four-tiers with CRAM over a quarter of what it shows: its gate and its writeback work",
        _small_media,
    ),
}


def preset_names() -> dict[str, str]:
    """List the presets, name to one line that says what each is."""
    return {name: line for name, (line, _) in _PRESETS.items()}


def preset(name: str, n_pages: int) -> Machine:
    """Make a ready-made machine of a size that puts a workload under pressure.

    Parameters
    ----------
    name
        One of ``vswaplab.machine.presets.preset_names()``.
    n_pages : pages
        What the workload touches (``trace.n_pages``); every size follows it.

    Returns
    -------
    machine

    Raises
    ------
    InputError
        No such preset; a number of pages below 1.

    Examples
    --------
    >>> machine = preset("four-tiers", 1000)
    >>> machine.dram.capacity_pages, machine.cram.device_pages, machine.swapfiles[0].capacity_slots
    (400, 300, 2000)
    """
    if not isinstance(name, str) or name not in _PRESETS:
        raise InputError(f"no preset {name!r}; nearest: {_nearest(name, _PRESETS)}; or give a machine's .toml file")
    return _PRESETS[name][1](whole("n_pages", n_pages, 1))


def load_machine(path: str | Path, profiles_file: str | Path | None = None) -> Machine:
    """Read a machine from a TOML file: ``[dram]``, ``[cram]``, ``[zswap]``, ``[[swapfiles]]``, ``layer``...

    Sizes may be written as text with a unit: ``media_bytes = "64MiB"``.

    Parameters
    ----------
    path
    profiles_file
        A TOML file of further profiles that the machine may name.

    Raises
    ------
    InputError
        The file cannot be read, is not TOML, or does not describe a machine;
        one line that names the file and the setting.
    """
    source = path_of("path", path)
    tables = read_toml(source, "machine")
    try:
        return machine_from_dict(_resolved(_with_sizes(tables), profiles_file))
    except InputError as error:
        raise InputError(f"{source}: {error}") from None


def load_costs(path: str | Path) -> Costs:
    """Read a cost table from a TOML file: ``fault_ns = 1500`` and the like, at the top or under ``[costs]``.

    What the file does not name keeps its default.

    Raises
    ------
    InputError
        The file cannot be read, is not TOML, or names something that is no cost.
    """
    source = path_of("path", path)
    tables = read_toml(source, "cost table")
    try:
        return machine_from_dict({"dram": {"capacity_pages": 1}, "costs": tables.get("costs", tables)}).costs
    except InputError as error:
        raise InputError(f"{source}: {error}") from None


def with_settings(machine: Machine, settings: Iterable[str], profiles_file: str | Path | None = None) -> Machine:
    """Change single settings of a machine, each written as ``part.name=value``.

    A value is a whole number, a decimal, true, false, none or a word; settings
    in bytes, pages or slots take a size with KiB, MiB or GiB as well. What was
    derived follows: a new ``dram.capacity_pages`` takes ``total_pages`` and
    ``high`` along if they had their defaults, and a new ``cram.media_bytes``
    alone keeps the ratio of advertised to media bytes. A new ``cram.profile``
    changes ratios and latency, and what the node shows if that followed from
    the old device's ratio; media stay. A tier that the machine lacks is
    added; ``cram=none`` takes it away; ``swapfiles.1.capacity_slots=...`` adds
    a second device. ``stores.NAME.capacity_bytes`` is of a plug-in's tier that the machine has.

    Parameters
    ----------
    machine
    settings
        Applied together; of two for one name the later wins.
    profiles_file
        A TOML file of further profiles that a setting may name.

    Raises
    ------
    InputError
        A setting without ``=``, an unknown name, a value out of range.

    Examples
    --------
    >>> changed = with_settings(preset("four-tiers", 1000), ["dram.capacity_pages=8MiB", "cram=none"])
    >>> changed.dram.capacity_pages, changed.dram.total_pages, changed.cram
    (2048, 2048, None)
    """
    tables: dict[str, Any] = machine.to_dict()
    tables["swapfiles"] = [dict(table) for table in tables["swapfiles"]]
    changes = dict(_split(setting) for setting in settings)
    _let_follow(machine, tables, changes)
    for key, value in changes.items():
        _put(tables, key, value)
    return machine_from_dict(_resolved(tables, profiles_file))


def swap_profile(machine: Machine, name: str, profiles_file: str | Path | None = None) -> Machine:
    """Give a machine another CRAM device, or another compressor if the name is one.

    Media stay: the ratio, the latencies, what fits and what the node shows
    change, the workload does not.

    Raises
    ------
    InputError
        No such profile, or the machine has no tier that could use it.
    """
    tier = profile_tier(name, profiles_file)
    check_tier(machine, tier, name)
    setting = "profile" if tier == "cram" else "compressor"
    return with_settings(machine, [f"{tier}.{setting}={name}"], profiles_file)


def profile_tier(name: str, profiles_file: str | Path | None = None) -> str:
    """Say which tier of a machine ``swap_profile`` gives a profile to: ``cram``, or ``zswap`` if it is a compressor.

    Raises
    ------
    InputError
        No such profile.
    """
    if _known_profiles(profiles_file).get(name, "cram") != "cram":
        return "zswap"
    find_profile(name, "cram", profiles_file)  # a wrong name is refused with the nearest ones
    return "cram"


def check_tier(machine: Machine, tier: str, name: str) -> None:
    """Refuse a profile for a tier that a machine lacks.

    Raises
    ------
    InputError
        It lacks it.
    """
    if getattr(machine, tier) is None:
        raise InputError(f"profile {name!r} is for {tier}, which this machine lacks: choose another machine or profile")


def _known_profiles(profiles_file: str | Path | None) -> dict[str, str]:
    known = load_profiles() | ({} if profiles_file is None else load_profiles(profiles_file))
    return {name: profile.kind for name, profile in known.items()}


# Profiles of the user's own file, looked up by name where a table names one.
def _resolved(tables: Mapping[str, Any], profiles_file: str | Path | None) -> dict[str, Any]:
    found = dict(tables)
    if profiles_file is None:
        return found
    for tier, setting, kind in (
        ("cram", "profile", "cram"),
        ("zswap", "compressor", "compressor"),
        ("zram", "compressor", "compressor"),
        ("zram", "recompressor", "compressor"),
    ):
        table = found.get(tier)
        if isinstance(table, Mapping) and isinstance(table.get(setting), str):
            found[tier] = dict(table) | {setting: find_profile(table[setting], kind, profiles_file)}  # type: ignore[arg-type]
    return found


def _with_sizes(tables: Mapping[str, Any]) -> dict[str, Any]:
    def read(name: str, value: Any) -> Any:  # noqa: ANN401 - whatever TOML holds
        if isinstance(value, Mapping):
            return {key: read(f"{name}.{key}", inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [read(name, inner) for inner in value]
        return _size(name, value) if isinstance(value, str) and _SIZE.fullmatch(value.strip()) else value

    return {name: read(name, value) for name, value in tables.items()}


def _split(setting: str) -> tuple[str, object]:
    key, equals, text = setting.partition("=")
    key, text = key.strip(), text.strip()
    if not equals or not key or not text:
        raise InputError(f"setting {setting!r} is not name=value: write, say, dram.capacity_pages=20000")
    return key, setting_value(key, text)


def setting_value(key: str, text: str) -> object:
    """Read a setting's value as ``--set`` spells it: a number, a size, true, false, none or a word.

    Raises
    ------
    InputError
        A size for a setting that takes none, or one that is not whole; a number beyond counting.

    Examples
    --------
    >>> setting_value("dram.capacity_pages", "64MiB"), setting_value("cram", "none"), setting_value("layer", "none")
    (16384, None, 'none')
    """
    if key == "layer" or key.endswith((".profile", ".compressor", ".version")):
        return text  # one layer and one profile are called "none", and 7.10 is not 7.1
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if _SIZE.fullmatch(text):
        return _size(key, text)
    for number in (int, float):
        try:
            found = number(text)
        except ValueError:
            continue
        if isinstance(found, int) and abs(found) > _LARGEST:
            raise InputError(f"{key}={text} is larger than this program can count: lower it")
        return found
    return text


def _size(key: str, text: str) -> int:
    found = _SIZE.fullmatch(text.strip())
    assert found is not None
    n_bytes = float(found[1]) * _SIZES[found[2]]
    unit = 1 if key.endswith("_bytes") else PAGE_SIZE
    if key not in _IN_PAGES and not key.endswith(("_bytes", "_pages", "_slots")):
        raise InputError(f"{key}={text}: only settings in bytes, pages or slots take a size; give a plain number")
    if n_bytes % unit:
        raise InputError(f"{key}={text} is not a whole number of {'pages' if unit > 1 else 'bytes'}: round it")
    return int(n_bytes) // unit


# What the machine derived from a size must not stay behind when the size changes.
def _let_follow(machine: Machine, tables: dict[str, Any], changes: Mapping[str, object]) -> None:
    if "dram.capacity_pages" in changes:
        dram = tables["dram"]
        derived = Dram(capacity_pages=dram["capacity_pages"])
        for name in ("total_pages", "high"):
            if dram[name] == getattr(derived, name):
                del dram[name]
    if machine.cram is not None and "cram.advertised_bytes" not in changes:
        _let_advertised_follow(machine.cram, tables["cram"], changes)


def _let_advertised_follow(before: Cram, cram: dict[str, Any], changes: Mapping[str, object]) -> None:
    media = changes.get("cram.media_bytes")
    if "cram.profile" in changes and replace(before, advertised_bytes=None) == before:
        del cram["advertised_bytes"]  # it followed from the old device's ratio: now from the new one's
    elif isinstance(media, int):
        cram["advertised_bytes"] = max(media, cram["advertised_bytes"] * media // max(1, cram["media_bytes"]))


def _put(tables: dict[str, Any], key: str, value: object) -> None:
    part, dot, name = key.partition(".")
    if part in _ALWAYS and not dot and value is None:
        raise InputError(f"{key}=none: every machine has {part}; set one of its values, as in {_ALWAYS[part]}")
    if part == "tiers":
        raise InputError(f"{key}: {TIERS_ARE_IN_A_FILE}")
    if part == "swapfiles":
        _put_swapfile(tables["swapfiles"], key, name, value)
    elif part == "stores" and dot:
        _put_store(tables.get("stores", ()), key, name, value)
    elif not dot:
        tables[part] = value
    else:
        table = tables.get(part)
        if table is not None and not isinstance(table, dict):
            raise InputError(f"{key}: {part} has no settings of its own; write {part}=value")
        tables[part] = (table or {}) | {name: value}


def _put_swapfile(devices: list[dict[str, Any]], key: str, name: str, value: object) -> None:
    if not name and value is None:
        devices.clear()
        return
    index, dot, setting = name.partition(".")
    if not dot or not index.isdecimal() or int(index) > len(devices):
        raise InputError(
            f"{key}: name a swapfile by its number, 0 to {len(devices)}, as in swapfiles.0.capacity_slots; "
            f"or write swapfiles=none"
        )
    if int(index) == len(devices):
        devices.append({})
    devices[int(index)][setting] = value


def _put_store(stores: Iterable[dict[str, Any]], key: str, name: str, value: object) -> None:
    kind, _, setting = name.partition(".")
    found = {store["kind"]: store for store in stores}
    if kind not in found or setting in ("", "kind"):
        known = ", ".join(found) or "the machine has none"
        raise InputError(f"{key}: name a store ({known}) and one of its settings, as in stores.NAME.capacity_bytes")
    found[kind][setting] = value


def _nearest(name: str, names: Iterable[str]) -> str:
    known = list(names)
    return ", ".join(difflib.get_close_matches(str(name).lower(), known, n=3, cutoff=0.4) or known)
