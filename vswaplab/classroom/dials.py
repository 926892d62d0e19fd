"""The sliders of the page: what each sets on the machine, which values it takes, where it starts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product

from vswaplab.base.units import PAGE_SIZE
from vswaplab.machine.config import Machine
from vswaplab.machine.presets import with_settings

MIB = 1 << 20


@dataclass(frozen=True)
class Dial:
    """One slider.

    Parameters
    ----------
    name
        Column of the table of results, and signal of the charts.
    label
        With its unit, as people read it.
    values
        In the order of the slider.
    start
        One of them.
    settings
        Value and number of pages to what ``with_settings`` takes.
    words
        Value and number of pages to what stands beside the slider.
    """

    name: str
    label: str
    values: tuple[int, ...]
    start: int
    settings: Callable[[int, int], list[str]]
    words: Callable[[int, int], str]


def _dram(percent: int, n_pages: int) -> list[str]:
    return [f"dram.capacity_pages={n_pages * percent // 100}"]


def _media(percent: int, n_pages: int) -> list[str]:
    return [f"cram.media_bytes={n_pages * percent // 100 * PAGE_SIZE}"] if percent else ["cram=none"]


def _pool(percent: int, _: int) -> list[str]:
    return [f"zswap.max_pool_percent={percent}"] if percent else ["zswap=none"]


def _marks(percent: int, _: int) -> list[str]:
    # The gate's marks stand to the writeback's as in the default machine: 5 points above.
    marks = {"writeback_low": percent - 5, "writeback_high": percent, "open_at": percent, "close_at": percent + 5}
    return [f"cram.{name}={share / 100}" for name, share in marks.items()]


def _size(percent: int, n_pages: int) -> str:
    return f"{percent} %: {n_pages * percent // 100 * PAGE_SIZE / MIB:.1f} MiB"


SIZES = (
    Dial("dram", "DRAM (% of the program)", (20, 30, 40, 50, 60), 40, _dram, _size),
    Dial(
        "media",
        "CRAM media (% of the program)",
        (0, 10, 15, 20, 30),
        15,
        _media,
        lambda percent, n_pages: f"{_size(percent, n_pages)}" if percent else "no CRAM device",
    ),
    Dial(
        "pool",
        "zswap pool, at most (% of DRAM)",
        (0, 10, 20, 35),
        20,
        _pool,
        lambda percent, _: f"{percent} %" if percent else "zswap is off",
    ),
)
"""Of the first experiment: a program's four places."""

RISKS = (
    Dial(
        "mark",
        "Writeback starts at (% of media)",
        (60, 75, 90),
        90,
        _marks,
        lambda percent, _: f"{percent} %, gate closes at {percent + 5} %",
    ),
    Dial(
        "budget",
        "Writable in place (pages)",
        (0, 120, 240, 480),
        0,
        lambda pages, _: [f"cram.writable_budget_pages={pages}"],
        lambda pages, _: f"{pages} pages" if pages else "none",
    ),
    Dial(
        "lag",
        "Time between reports (accesses)",
        (250, 1000, 2000),
        1000,
        lambda accesses, _: [f"cram.report_lag={accesses}"],
        lambda accesses, _: f"{accesses:,} accesses",
    ),
)
"""Of the second experiment: a device that is promised more than it holds."""


def combinations(dials: tuple[Dial, ...]) -> list[dict[str, int]]:
    """List every setting of some sliders together, name to value."""
    return [dict(zip((d.name for d in dials), found, strict=True)) for found in product(*(d.values for d in dials))]


def starts(dials: tuple[Dial, ...]) -> dict[str, int]:
    """Give the setting that the sliders start at."""
    return {dial.name: dial.start for dial in dials}


def machine_at(machine: Machine, dials: tuple[Dial, ...], at: Mapping[str, int], n_pages: int) -> Machine:
    """Set a machine as the sliders say."""
    settings = [setting for dial in dials for setting in dial.settings(at[dial.name], n_pages)]
    return with_settings(machine, settings)
