"""Taking a swap device away in the middle of a run: the event, and what each way of doing it visits.

A device is emptied by finding every page behind it. Three ways (rule
7): look at every page-table entry of every process; look at every slot of the
virtual layer; or follow the reverse map, 8 bytes a used slot, from the
device's own slots to the virtual ones. All three read the same pages. The
first maps them; the other two re-point the virtual slot and leave the page in
the swap cache, so that each costs one more minor fault when it is touched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from vswaplab.base.backing import MAX_MAPPERS
from vswaplab.base.checks import array_of, one_of, whole
from vswaplab.base.errors import InputError, shown
from vswaplab.machine.config import Costs, Machine

Method = Literal["page-table", "virtual", "reverse-map"]
METHODS: tuple[Method, ...] = get_args(Method)

_SIZES = ("slots_in_use", "virtual_slots", "address_space_pages", "mappers")
_MOST = (1 << 62) - 1  # two such add up to what 64 bits hold

RMAP_BYTES = 8
"""Reverse map of one used physical slot (8 bytes a used slot: Virtual Swap Space v6) [P]."""


@dataclass(frozen=True)
class Swapoff:
    """A device is taken away before an access; ``vl.swapoff`` makes one."""

    at: int
    device: int | Literal["zram", "cram"]
    method: Method | None


def swapoff(*, at: int, device: int | str = 0, method: str | None = None) -> Swapoff:
    """Plan to take a device away while a trace runs: ``vl.simulate(..., events=[vl.swapoff(at=...)])``.

    Its pages are brought to DRAM in the order of their numbers, as if touched
    just before access ``at``; reclaim runs where a frame is missing. Pages of
    a CRAM device go on through rule 2 instead, coldest first, and only those
    that find no room come to DRAM. With a layer, what is in zswap or all zero stays where
    it is; without one everything that holds a slot of the device is loaded.

    Parameters
    ----------
    at : access index
        From 0 to the length of the trace.
    device
        Index of a swapfile, ``"zram"`` or ``"cram"``.
    method : {"page-table", "virtual", "reverse-map"}
        How its pages are found. Default: by page tables if the machine has no
        layer or CRAM is a memory tier, else by the reverse map.

    Raises
    ------
    InputError
        A negative access, an unknown device or method.

    Examples
    --------
    >>> swapoff(at=1000, device="cram")
    Swapoff(at=1000, device='cram', method=None)
    """
    index = whole("swapoff at", at, expected="the index of an access, at least 0")
    if not isinstance(device, str) or device not in ("zram", "cram"):
        device = whole("swapoff device", device, expected="the index of a swapfile, 'zram' or 'cram'")
    if method is not None:
        one_of("swapoff method", method, METHODS)
    return Swapoff(index, device, method)  # type: ignore[arg-type]


def parse_swapoff(text: str) -> Swapoff:
    """Read an event as the command line writes it: ``AT:DEVICE`` or ``AT:DEVICE:METHOD``.

    Raises
    ------
    InputError
        Not of that form, or not an event.

    Examples
    --------
    >>> parse_swapoff("1000:0:virtual")
    Swapoff(at=1000, device=0, method='virtual')
    """
    at, *rest = text.split(":")
    if not at.isdecimal() or not 1 <= len(rest) <= 2:
        raise InputError(f"swapoff {text!r} is not ACCESS:DEVICE[:METHOD]: write, say, 100000:0 or 100000:cram:virtual")
    device = int(rest[0]) if rest[0].isdecimal() else rest[0]
    return swapoff(at=int(at), device=device, method=rest[1] if len(rest) == 2 else None)


def resolve(event: Swapoff, machine: Machine) -> tuple[int | None, Method]:
    """Find an event's device among a machine's swap devices, and the way its pages are found.

    Returns
    -------
    device : index among ``machine.swap_devices``, None: CRAM
    method

    Raises
    ------
    InputError
        The machine lacks the device, or has no layer to look through.
    """
    by_tables = machine.layer == "none"
    if event.device == "cram":
        if machine.cram is None:
            raise InputError("swapoff device 'cram': this machine has no CRAM; give it one, or name another device")
        by_tables |= machine.cram.mode == "tier"
        device = None
    else:
        device = len(machine.swapfiles) if event.device == "zram" else event.device
        missing = machine.zram is None if event.device == "zram" else device >= len(machine.swapfiles)
        if missing:
            raise InputError(
                f"swapoff device {event.device!r}: this machine has {len(machine.swapfiles)} swapfiles and "
                f"{'no' if machine.zram is None else 'a'} zram; name one of them"
            )
    if by_tables and event.method not in (None, "page-table"):
        raise InputError(
            f"swapoff method {event.method!r} needs a virtual layer: without one only page tables name what is swapped"
        )
    return device, event.method or ("page-table" if by_tables else "reverse-map")


def swapoff_work(
    *,
    slots_in_use: ArrayLike,
    virtual_slots: ArrayLike,
    address_space_pages: ArrayLike,
    mappers: ArrayLike = 1,
    costs: Costs | None = None,
) -> pl.DataFrame:
    """Say what each way of finding a device's pages visits, and what it costs.

    What all ways share, reading and decompressing the pages, is left out.

    Parameters
    ----------
    slots_in_use : slots
        In use on the device that is taken away.
    virtual_slots : slots
        Of the virtual layer's live clusters, whatever stands behind them: at
        least ``slots_in_use``.
    address_space_pages : pages
        Page-table entries of one process.
    mappers
        Processes with page tables of that size, 1 to 8; each maps every page.
    costs
        Prices of a visit and of a fault; default: ``Costs()``.

    Returns
    -------
    work : polars.DataFrame
        Three rows for each element of the arguments' common shape: the
        arguments; ``method``; ``visits``; ``scan_ns``; ``later_faults`` (minor
        faults left behind, at most: copies of resident pages leave none, and
        not every page is touched again) and ``later_ns``; ``total_ns``;
        ``rmap_bytes`` that the way needs for as long as the slots are in use.

    Raises
    ------
    InputError
        Arguments that are out of range, or differ in shape, or make more than
        64 bits hold; costs that are none.

    Examples
    --------
    >>> swapoff_work(slots_in_use=1, virtual_slots=512, address_space_pages=1000).select("method", "visits").rows()
    [('page-table', 1000), ('virtual', 512), ('reverse-map', 1)]
    """
    costs = Costs() if costs is None else costs
    if not isinstance(costs, Costs):
        raise InputError(f"costs must be a vl.Costs, got {shown(costs)}")
    given = (slots_in_use, virtual_slots, address_space_pages, mappers)
    used, virtual, space, n = _checked(given, costs)
    lacking = np.flatnonzero(used > virtual)
    if lacking.size:
        at = lacking[0]
        raise InputError(
            f"slots_in_use {used[at]} is above virtual_slots {virtual[at]}: a slot in use has a virtual one; "
            "give virtual_slots as the slots of all live clusters"
        )
    return work_of(used, virtual, space, n, costs=costs)


def work_of(
    used: NDArray[np.int64],
    virtual: NDArray[np.int64],
    space: NDArray[np.int64],
    mappers: NDArray[np.int64],
    *,
    costs: Costs,
) -> pl.DataFrame:
    """Do what ``swapoff_work`` says, unchecked; without a layer there are no virtual slots."""
    none = np.zeros_like(used)
    ways = (
        ("page-table", space * mappers, costs.pte_visit_ns, none, none),
        ("virtual", virtual, costs.slot_visit_ns, used, none),
        ("reverse-map", used, costs.rmap_visit_ns, used, used * RMAP_BYTES),
    )
    return pl.concat(
        pl.DataFrame(dict(zip(_SIZES, (used, virtual, space, mappers), strict=True))).with_columns(
            method=pl.lit(method),
            visits=pl.Series(visits),
            scan_ns=pl.Series(visits * each_ns),
            later_faults=pl.Series(later),
            later_ns=pl.Series(later * costs.fault_ns),
            total_ns=pl.Series(visits * each_ns + later * costs.fault_ns),
            rmap_bytes=pl.Series(kept),
        )
        for method, visits, each_ns, later, kept in ways
    )


def _checked(given: Sequence[ArrayLike], costs: Costs) -> list[NDArray[np.int64]]:
    try:
        arrays = [array.ravel() for array in np.broadcast_arrays(*map(array_of, _SIZES, given))]
    except ValueError:
        raise InputError(f"{', '.join(_SIZES)} differ in shape: give arrays of one length, or numbers") from None
    for name, values, each in zip(_SIZES, arrays, _most_each(costs), strict=True):
        is_whole = values.dtype.kind in "iu" or all(type(value) is int for value in values)  # int: beyond 64 bits
        if not is_whole:
            raise InputError(f"{name} must be a whole number or an array of them, got dtype {values.dtype}")
        least = 1 if name == "mappers" else 0
        if values.size and values.min() < least:
            raise InputError(f"{name} must be at least {least}, got {values.min()}")
        if name == "mappers" and values.size and values.max() > MAX_MAPPERS:
            raise InputError(f"mappers must be at most {MAX_MAPPERS}, got {values.max()}")
        if values.size and int(values.max()) * each > _MOST:
            raise InputError(
                f"{name} {values.max()} makes a time or a number of bytes that 64 bits cannot hold: "
                "lower them, or the costs"
            )
    return [array.astype(np.int64) for array in arrays]


def _most_each(costs: Costs) -> tuple[int, int, int, int]:
    # What one of each size adds to a column, at most.
    of_used = max(costs.rmap_visit_ns, RMAP_BYTES) + costs.fault_ns
    return of_used, max(costs.slot_visit_ns, 1), MAX_MAPPERS * max(costs.pte_visit_ns, 1), 1
