"""The settings that a person moves: what each is called, how it is read from a machine, what it may be.

A number is shown in its unit (MiB, %) and kept in the machine's (bytes, shares).
A control whose tier the machine lacks says so; what a value must satisfy
beside the others is the machine's own affair: it refuses with the reason.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any, cast, get_args

from vswaplab.base.checks import text_of
from vswaplab.base.errors import InputError, shown
from vswaplab.base.plugins import plugin_names
from vswaplab.base.units import PAGE_SIZE
from vswaplab.machine.config import CramMode, Layer, Machine
from vswaplab.machine.policies import POLICIES
from vswaplab.machine.profiles import load_profiles

MIB = 1 << 20
_BYTE = 1 / MIB
_LONG = 1e15  # a number that is written with an exponent

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
    least, top : float
        What may be set at all, in the unit shown.
    step : float
        In the unit shown; 0: one 64th of ``most``, a power of two.
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
    top: float = 1 << 30

    @property
    def part(self) -> str:
        """The part of the machine that it belongs to."""
        return self.key.partition(".")[0]

    @property
    def is_pages(self) -> bool:
        """Whether it is a size in pages or in slots of a page."""
        return self.unit in ("pages", "slots")

    def native(self, shown: object) -> object:
        """Turn a number as shown into the machine's unit; what is no number stays for ``checked`` to refuse."""
        if self.scale == 1 or not is_number(shown):
            return shown
        value = cast(float, shown) * self.scale
        if not math.isfinite(value):
            return value
        return round(value, 6) if self.scale < 1 else round(value)

    def checked(self, value: object) -> float:
        """Check a number in the machine's unit; refuse it in the unit and words of the screen."""
        if not is_number(value):
            got = "" if value is None else f", got {shown(value)}"
            raise InputError(f"{self.noun} needs a number{got}: type digits")
        found, on_screen = cast(float, value), cast(float, value) / self.scale
        if not self.least <= on_screen <= self.top:
            raise InputError(f"{self.noun} must be {self._range()}, got {_digits(on_screen)}")
        if self.scale < 1:
            return float(found)
        if found != int(found):
            raise InputError(f"{self.noun} must be a whole number ({self._whole_unit()}), got {_digits(found)}")
        return int(found)

    def _range(self) -> str:
        if self.top <= 100:
            return f"from {self.least:g} to {self.top:g} {self.unit}"
        least = f"at least {self.least:.2g}" if self.least != _BYTE else "above 0"
        return f"{least} and at most {self.top:,} {self.unit}"

    def _whole_unit(self) -> str:
        return "bytes" if self.unit == "MiB" else self.unit

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
        above = min(above, math.floor(max(0.0, self.top - at) / step))
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

    def checked(self, value: object) -> str:
        """Check that a value is a text; which one it may be is the machine's affair."""
        return text_of(self.noun, value)

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


def is_number(value: object) -> bool:
    """Whether a value is a finite number; true and false are none."""
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def _digits(number: float) -> str:
    return f"{round(number, 6):,}".removesuffix(".0") if abs(number) < _LONG else f"{number:g}"


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
           lambda n: 2 * _all_mib(n), MIB, _BYTE),
    Number("cram.media_bytes", "CRAM", "CRAM media (MiB)", "CRAM media", "MiB", _all_mib, MIB, _BYTE),
    Number("cram.close_at", "CRAM", "Gate closes at (% of media)", "Gate closing mark", _SHARE, _hundred, 0.01,
           top=100),
    Number("cram.open_at", "CRAM", "Gate opens at (% of media)", "Gate opening mark", _SHARE, _hundred, 0.01, top=100),
    Number("cram.writeback_high", "CRAM", "Writeback mark (%)", "Writeback mark", _SHARE, _hundred, 0.01, top=100),
    Number("cram.writeback_low", "CRAM", "Writeback down to (%)", "Writeback target", _SHARE, _hundred, 0.01, top=100),
    Choice("cram.writeback_policy", "CRAM", "Which page is written back", "CRAM writeback policy",
           _policies),
    Number("cram.writable_budget_pages", "CRAM", "Writable budget (pages of 4 KiB)", "Writable budget", "pages",
           lambda n: max(1, n // 4), step=0),
    Number("cram.report_lag", "CRAM", "Report lag (accesses)", "Report lag", "accesses", lambda _: 20_000, step=100),
    Choice("zswap.compressor", "zswap", "Compressor", "zswap compressor", _profiles("compressor")),
    Number("zswap.max_pool_percent", "zswap", "Pool limit (% of RAM)", "zswap pool limit", _RAM, _hundred, top=100),
    Number("zswap.accept_threshold_percent", "zswap", "Accepts again at (% of limit)", "zswap accept threshold",
           "% of the limit", _hundred, top=100),
    Number("swapfiles.0.capacity_slots", "Swap devices", "Swapfile (slots of 4 KiB)", "Swapfile", "slots",
           lambda n: 2 * n, least=1, step=0),
    Number("zram.disksize_bytes", "Swap devices", "zram (MiB)", "zram", "MiB", lambda n: 2 * _all_mib(n), MIB,
           PAGE_SIZE / MIB),
    Choice("zram.compressor", "Swap devices", "zram compressor", "zram compressor", _profiles("compressor")),
    Choice("layer", "Names", "Layer", "Layer",
           _words(Layer, none="none: every swapped page has a slot", vswap="virtual slots", swap_table="swap table")),
)  # fmt: skip
"""Everything of a machine that has a control, in the order of the screen."""

BY_KEY = {control.key: control for control in CONTROLS}


def asked_words(control: Control | None, value: object) -> str:
    """Say what was asked for; empty for what is not even of the right kind."""
    if isinstance(control, Number):
        return control.plain(cast(float, value)) if is_number(value) and abs(cast(float, value)) < _LONG else ""
    return str(value) if isinstance(value, str | int | float) else ""


def in_words(reason: str) -> str:
    """Say a machine's reason in the words and units of the screen.

    Examples
    --------
    >>> in_words("cram.writeback_low 0.85 is above cram.writeback_high 0.5: put them in order")
    'Writeback target 85 % of media is above Writeback mark 50 % of media: put them in order'
    """
    for control in CONTROLS:
        short = control.key.rpartition(".")[2]
        for name in (control.key, *([short] if "_" in short else [])):
            reason = _worded(reason, control, name)
    return reason


def _worded(reason: str, control: Control, name: str) -> str:
    def said(found: re.Match[str]) -> str:
        if found[1] is None or not isinstance(control, Number):
            return control.noun + (found[0].removeprefix(name))
        return f"{control.noun} {control.plain(float(found[1]))}"

    return re.sub(rf"(?<![\w.]){re.escape(name)}(?!\w)(?: (\d+(?:\.\d+)?))?(?!\w)", said, reason)


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
