"""The settings that a person moves: what each is called, how it is read from a machine, what it may be.

A number is shown in its unit (MiB, %) and kept in the machine's (bytes, shares).
A control whose tier the machine lacks says so; what a value must satisfy
beside the others is the machine's own affair: it refuses with the reason.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from vswaplab.base.errors import InputError
from vswaplab.base.plugins import plugin_names
from vswaplab.base.units import PAGE_SIZE
from vswaplab.machine.config import CramMode, Layer, Machine
from vswaplab.machine.policies import POLICIES
from vswaplab.machine.profiles import load_profiles

MIB = 1 << 20

TIER_NAMES = {"cram": "CRAM", "zswap": "zswap", "zram": "zram", "swapfiles": "a swapfile"}
"""Parts that a machine may lack, as sentences name them."""


@dataclass(frozen=True)
class Number:
    """A number of a machine, moved by a slider or typed.

    Parameters
    ----------
    key : str
        The setting, as ``with_settings`` names it.
    group, label, noun, unit : str
        ``label`` carries the unit and is the accessible name; ``noun`` and
        ``unit`` are for sentences: "CRAM media", "MiB".
    scale : float
        Of the machine's unit, in one unit that is shown.
    most : callable
        From the pages of the workload, in the unit shown.
    least, step : float
        In the unit shown; step 0: one 64th of ``most``, a power of two.
    """

    key: str
    group: str
    label: str
    noun: str
    unit: str
    most: Callable[[int], float]
    scale: float = 1
    least: float = 0
    step: float = 1

    @property
    def part(self) -> str:
        """The part of the machine that it belongs to."""
        return self.key.partition(".")[0]

    @property
    def is_pages(self) -> bool:
        """Whether it is a size in pages or in slots of a page."""
        return self.unit in ("pages", "slots")

    def native(self, shown: object) -> float:
        """Turn a number as shown into the machine's unit; refuse what is no number."""
        if isinstance(shown, bool) or not isinstance(shown, int | float) or not math.isfinite(shown):
            raise InputError(f"{self.noun} needs a number, got {shown!r}: type digits")
        value = shown * self.scale
        return round(value, 6) if self.unit.startswith("% of media") else round(value)

    def shown(self, value: float) -> float:
        """Turn the machine's number into the unit shown."""
        number = round(value / self.scale, 2)
        return int(number) if number == int(number) else number

    def setting(self, value: float) -> str:
        """Write the setting for ``with_settings``."""
        return f"{self.key}={value}"

    def plain(self, value: float) -> str:
        """Say a number of the machine's with its unit."""
        return f"{self.shown(value):,} {self.unit}"

    def say(self, value: float) -> str:
        """Say a number of the machine's with its unit; of pages and slots, also how many MiB they are."""
        return self.plain(value) + (f" ({self.mib(value)} MiB)" if self.is_pages else "")

    def moved(self, old: float, new: float) -> str:
        """Say a move, with each unit once."""
        mib = f" ({self.mib(old)} to {self.mib(new)} MiB)" if self.is_pages else ""
        return f"{self.shown(old):,} to {self.plain(new)}{mib}"

    def mib(self, value: float) -> str:
        """Say pages or slots in MiB: in what other sizes are said in."""
        mib = value * PAGE_SIZE / MIB
        return f"{mib:,.1f}" if mib >= 1 else f"{mib:.2g}"

    def bounds(self, value: float, n_pages: int) -> tuple[float, float, float]:
        """Give the least, the most and the step of the slider, on a grid that the value lies on."""
        at, most = self.shown(value), self.most(n_pages)
        step = self.step or float(1 << max(0, (int(most) // 64).bit_length() - 1))
        below, above = math.floor(max(0.0, at - self.least) / step), math.ceil(max(0.0, most - at) / step)
        return round(at - below * step, 2), round(at + above * step, 2), step


@dataclass(frozen=True)
class Choice:
    """One of several words."""

    key: str
    group: str
    label: str
    noun: str
    options: Callable[[], Mapping[str, str]]
    """Value to what a person reads."""

    @property
    def part(self) -> str:
        """The part of the machine that it belongs to."""
        return self.key.partition(".")[0]

    def setting(self, value: object) -> str:
        """Write the setting for ``with_settings``."""
        return f"{self.key}={value}"

    def say(self, value: object) -> str:
        """Say a value."""
        return str(value)

    def moved(self, old: object, new: object) -> str:
        """Say a move."""
        return f"{old} to {new}"


Control = Number | Choice


def _all_mib(n_pages: int) -> float:
    return max(1.0, math.ceil(n_pages * PAGE_SIZE / MIB))


def _hundred(_: int) -> float:
    return 100


def _profiles(kind: str) -> Callable[[], dict[str, str]]:
    def options() -> dict[str, str]:
        found = load_profiles().values()
        return {p.name: p.name + (" (partly guessed)" if p.guesses else "") for p in found if p.kind == kind}

    return options


def _words(allowed: object, **meaning: str) -> Callable[[], dict[str, str]]:
    return lambda: {word: meaning.get(word.replace("-", "_"), word) for word in get_args(allowed)}


_POLICIES = {"lru": "lru: touched longest ago", "fifo": "fifo: arrived longest ago", "clock": "clock: second chance",
             "clairvoyant": "clairvoyant: needed last (a yardstick)"}  # fmt: skip


def _policies() -> dict[str, str]:
    return {name: _POLICIES.get(name, name) for name in (*POLICIES, *plugin_names("policy"))}


_SHARE, _RAM = "% of media", "% of RAM"

CONTROLS: tuple[Control, ...] = (
    Number("dram.capacity_pages", "DRAM", "DRAM (pages of 4 KiB)", "DRAM", "pages", lambda n: n, least=1, step=0),
    Choice("dram.policy", "DRAM", "Which page leaves DRAM", "Reclaim policy",
           _policies),
    Choice("cram.profile", "CRAM", "CRAM device", "CRAM device", _profiles("cram")),
    Choice("cram.mode", "CRAM", "CRAM mode", "CRAM mode",
           _words(CramMode, swap="behind swap entries", tier="read-only memory tier")),
    Number("cram.advertised_bytes", "CRAM", "CRAM advertised (MiB)", "CRAM advertised", "MiB",
           lambda n: 2 * _all_mib(n), MIB, 1),
    Number("cram.media_bytes", "CRAM", "CRAM media (MiB)", "CRAM media", "MiB", _all_mib, MIB, 1),
    Number("cram.close_at", "CRAM", "Gate closes at (% of media)", "Gate closing mark", _SHARE, _hundred, 0.01),
    Number("cram.open_at", "CRAM", "Gate opens at (% of media)", "Gate opening mark", _SHARE, _hundred, 0.01),
    Number("cram.writeback_high", "CRAM", "Writeback mark (%)", "Writeback mark", _SHARE, _hundred, 0.01),
    Number("cram.writeback_low", "CRAM", "Writeback down to (%)", "Writeback target", _SHARE, _hundred, 0.01),
    Choice("cram.writeback_policy", "CRAM", "Which page is written back", "CRAM writeback policy",
           _policies),
    Number("cram.writable_budget_pages", "CRAM", "Writable budget (pages of 4 KiB)", "Writable budget", "pages",
           lambda n: max(1, n // 4), step=0),
    Number("cram.report_lag", "CRAM", "Report lag (accesses)", "Report lag", "accesses", lambda _: 20_000, step=100),
    Choice("zswap.compressor", "zswap", "Compressor", "zswap compressor", _profiles("compressor")),
    Number("zswap.max_pool_percent", "zswap", "Pool limit (% of RAM)", "zswap pool limit", _RAM, _hundred),
    Number("zswap.accept_threshold_percent", "zswap", "Accepts again at (% of limit)", "zswap accept threshold",
           "% of the limit", _hundred),
    Number("swapfiles.0.capacity_slots", "Swap devices", "Swapfile (slots of 4 KiB)", "Swapfile", "slots",
           lambda n: 2 * n, least=1, step=0),
    Number("zram.disksize_bytes", "Swap devices", "zram (MiB)", "zram", "MiB", lambda n: 2 * _all_mib(n), MIB, 1),
    Choice("zram.compressor", "Swap devices", "zram compressor", "zram compressor", _profiles("compressor")),
    Choice("layer", "Names", "Layer", "Layer",
           _words(Layer, none="none: every swapped page has a slot", vswap="virtual slots", swap_table="swap table")),
)  # fmt: skip
"""Everything of a machine that has a control, in the order of the screen."""

BY_KEY = {control.key: control for control in CONTROLS}


def read(machine: Machine, key: str) -> Any:  # noqa: ANN401 - whatever the setting holds
    """Read a setting of a machine; None if the machine lacks the part."""
    value: Any = machine
    for name in key.split("."):
        if value is None or (name.isdecimal() and int(name) >= len(value)):
            return None
        value = value[int(name)] if name.isdecimal() else getattr(value, name)
    return getattr(value, "name", value)  # a profile goes by its name


def why_absent(machine: Machine, control: Control) -> str:
    """Say why a control cannot be moved; empty if it can."""
    if read(machine, control.key) is not None:
        return ""
    return f"the machine has no {TIER_NAMES[control.part].removeprefix('a ')}: switch it on"
