"""The same machine for a part of the pages: every size and every period in proportion."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TypeVar

from vswaplab.base.checks import number
from vswaplab.base.errors import InputError
from vswaplab.base.units import PAGE_SIZE
from vswaplab.machine.config import Cram, Dram, Machine, Zram, check_machine

_SIZES = (
    "media_bytes", "writable_budget_pages", "capacity_slots", "mem_limit_bytes", "backing_slots", "writeback_limit",
    "trim_batch_pages", "capacity_bytes",
)  # fmt: skip
_PERIODS = ("report_lag", "flush_period", "reaper_period")  # 0: at once

_SHORTEST = 64  # accesses: a report every few of them would take longer than the run that it previews

_Part = TypeVar("_Part")


def scaled(machine: Machine, share: float, *, least_step: float = 0.0) -> Machine:
    """Make the machine that a sample of a workload's pages deserves.

    Sizes (pages, bytes, slots) and periods (accesses) are multiplied; prices,
    percentages, profiles and the layer stay; a share of 1 is the machine
    itself. No size that is there becomes 0, but a node's marks do where its
    device becomes one page, which has no room for two. Where a period becomes shorter
    than 64 accesses, CRAM's is "at once"; zram's, whose 0 is "never", is 64,
    or what it was if that is less.

    Parameters
    ----------
    machine
        Without ``kernel``: batches of 32 pages do not scale.
    share : above 0, up to 1
        Of the pages that the sample holds (``sample.n_pages / trace.n_pages``).
    least_step : share of DRAM
        A reclaim takes at least so much, and DRAM is larger by what that
        leaves free on average: quicker, and less exact (with 0.04 up to a
        quarter fewer zswap stores, ``tests/benchmarks/sampling.py``).

    Raises
    ------
    InputError
        A share or a step out of range; a machine with ``kernel``.

    Examples
    --------
    >>> from vswaplab.machine.presets import preset
    >>> small = scaled(preset("four-tiers", 10_000), 0.1)
    >>> small.dram.capacity_pages, small.dram.high, small.cram.device_pages, small.swapfiles[0].capacity_slots
    (400, 3, 300, 2000)
    """
    share = number("share", share, above=0, at_most=1, expected="a number above 0 and up to 1")
    least_step = number("least_step", least_step, 0, 1, expected="a share of DRAM from 0 to 1")
    check_machine(machine)
    if machine.kernel is not None:
        raise InputError("a machine with kernel cannot be scaled: its batches of 32 pages are what they are")
    if share == 1 and not least_step:
        return machine
    limit = machine.swap_max_slots
    return replace(
        machine,
        dram=_dram(machine.dram, share, least_step),
        cram=None if machine.cram is None else _cram(machine.cram, share),
        zram=None if machine.zram is None else _zram(machine.zram, share),
        swapfiles=[_part(device, share) for device in machine.swapfiles],
        swap_max_slots=None if limit is None else _times(limit, share),
        stores=[_part(store, share) for store in machine.stores],
    )


def _times(size: int, share: float) -> int:
    return max(1, round(size * share)) if size else 0


def _period(accesses: int, share: float) -> int:
    shorter = round(accesses * share)
    return shorter if shorter >= min(_SHORTEST, accesses) else 0


def _pages(n_bytes: int, share: float) -> int:
    return max(PAGE_SIZE, round(n_bytes * share / PAGE_SIZE) * PAGE_SIZE)


def _part(part: _Part, share: float) -> _Part:
    sizes = {f.name: getattr(part, f.name) for f in fields(part) if f.name in _SIZES}  # type: ignore[arg-type]
    return replace(part, **{n: _times(size, share) for n, size in sizes.items() if size is not None})  # type: ignore[type-var]


def _dram(dram: Dram, share: float, least_step: float) -> Dram:
    low, wanted = round(dram.low * share), dram.high_pages * share
    pages = dram.capacity_pages * share
    high = max(low + 1, round(max(wanted, least_step * pages)))
    capacity = max(high, 2, round(pages + (high - wanted) / 2))
    return replace(dram, capacity_pages=capacity, total_pages=_times(dram.host_pages, share), low=low, high=high)


def _zram(zram: Zram, share: float) -> Zram:
    idle = max(min(_SHORTEST, zram.idle_period), round(zram.idle_period * share))
    return replace(_part(zram, share), disksize_bytes=_pages(zram.disksize_bytes, share), idle_period=idle)


def _cram(cram: Cram, share: float) -> Cram:
    media = max(PAGE_SIZE, round(cram.media_bytes * share))
    advertised = max(_pages(cram.advertised_bytes or 0, share), media)
    small = replace(
        _part(replace(cram, node_low=0, node_high=0), share), media_bytes=media, advertised_bytes=advertised
    )
    small = replace(small, **{name: _period(getattr(cram, name), share) for name in _PERIODS})  # type: ignore[arg-type]
    if not cram.node_low or small.device_pages < 2:
        return small
    low = min(_times(cram.node_low, share), small.device_pages - 1)
    return replace(small, node_low=low, node_high=max(low + 1, min(_times(cram.node_high, share), small.device_pages)))
