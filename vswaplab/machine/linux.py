"""A machine as Linux would have it: one memory cgroup, zswap and a swap device.

Settings have the kernel's names and units. What a version does is in
``VERSIONS``; a mechanism of the kernel that no machine of this package has yet
is no parameter here, so nothing is accepted and then left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import isqrt

from vswaplab.base.checks import flag, whole
from vswaplab.base.errors import InputError, shown
from vswaplab.base.units import PAGE_SIZE
from vswaplab.machine.config import Costs, Cram, Dram, Machine, Swapfile, Zswap
from vswaplab.machine.kernel import Kernel, Version

_ENTRIES = PAGE_SIZE // 8
_SMALL_PAGES = 4
_ZSWAP_SETTINGS = ("compressor", "max_pool_percent", "accept_threshold_percent", "shrinker_enabled")


@dataclass(frozen=True)
class LinuxVersion:
    """What differs between kernel versions, as far as a machine can show it."""

    store_incompressible: bool
    """zswap keeps pages that do not compress, at 4096 bytes, while writeback is allowed."""


VERSIONS: dict[Version, LinuxVersion] = {
    # mm/zswap.c, zswap_store: -ENOSPC of the compressor is a refusal; kernel-truth runs of Debian 6.12.107 [M]
    "6.12": LinuxVersion(store_incompressible=False),
    # mm/zswap.c, zswap_compress: a page that does not shrink is stored as it is; runs of 7.2.11 and 7.3.4 [M]
    "7.1": LinuxVersion(store_incompressible=True),
    "7.2": LinuxVersion(store_incompressible=True),
    "7.3": LinuxVersion(store_incompressible=True),
}
"""The versions that ``linux`` knows."""


def linux(
    version: Version = "7.3",
    *,
    memory_max: int | None,
    total_ram_pages: int,
    workload_pages: int,
    zswap: Mapping[str, object] | None = None,
    zswap_writeback: bool = True,
    zswap_max: int | None = None,
    swap_bytes: int = 0,
    swap_max: int | None = None,
    page_cluster: int = 0,
    cram: Cram | None = None,
    vswap: bool = False,
    swappiness: int = 60,
    lru_gen: bool = False,
    stat_read_accesses: int = 0,
    stat_read_from: int = 0,
    costs: Costs | None = None,
    free_pages: int | None = None,
) -> Machine:
    """Build the machine of a Linux system whose workload is one process in one memory cgroup.

    Parameters
    ----------
    version : {"6.12", "7.1", "7.2", "7.3"}
    memory_max : bytes
        memory.max of the cgroup, kernel memory of the workload included
        (``vswaplab.machine.linux.kernel_memory_bytes``). None: no limit, the whole machine is the
        workload's, and kswapd reclaims. More than all RAM: taken for all of it.
    total_ram_pages : pages
        MemTotal without the CRAM node; ``max_pool_percent`` is a percentage of
        both.
    workload_pages : pages
        What the workload maps (``trace.n_pages``).
    zswap : mapping
        ``compressor`` (default lzo, as in the kernel's configuration),
        ``max_pool_percent``, ``accept_threshold_percent``,
        ``shrinker_enabled``; {}: on, with the kernel's defaults; None: off.
    zswap_writeback : bool
        memory.zswap.writeback.
    zswap_max : bytes
        memory.zswap.max; None: no limit.
    swap_bytes : bytes
        Size of the swap device, its header page included; 0: none.
    swap_max : bytes
        memory.swap.max; None: no limit.
    page_cluster : 0..31
        vm.page-cluster; 0: no readahead. The kernel's default is 3. The swap
        device does not rotate.
    cram : Cram
        A CRAM node, in tier mode; watermarks that it lacks are the kernel's
        (``vswaplab.machine.linux.watermarks``), of which a node of fewer than
        a thousand pages may have no two that differ: then set them.
    vswap : bool
        The kernel has the virtual swap layer.
    swappiness : 0..200
        vm.swappiness, or memory.swappiness.
    lru_gen : bool
        /sys/kernel/mm/lru_gen/enabled: MGLRU, of 6.12 and 7.3 and without ``cram``.
    stat_read_accesses, stat_read_from : accesses
        How often somebody reads memory.stat, and before which access first.
    costs : Costs
        How long things take; what runs beside the program depends on it.
    free_pages : pages
        Needed without ``memory_max``, and only there: what is free before the
        workload starts, and on the per-CPU lists, which MemFree does not count
        (``vswaplab.machine.linux.percpu_pages``).

    Returns
    -------
    machine : Machine

    Raises
    ------
    InputError
        An unknown version, a zswap setting that is not one or is given
        without zswap, a size out of range or smaller than the kernel memory of
        the workload.

    Examples
    --------
    >>> machine = linux(
    ...     "6.12", memory_max=112 << 20, total_ram_pages=118_297, workload_pages=65_536,
    ...     zswap={"max_pool_percent": 20}, swap_bytes=2 << 30,
    ... )
    >>> machine.dram.capacity_pages, machine.zswap.store_incompressible, machine.swapfiles[0].capacity_slots
    (28672, False, 524287)
    """
    if not isinstance(version, str) or version not in VERSIONS:
        raise InputError(f"no Linux version {version!r}: choose from {', '.join(VERSIONS)}")
    total_ram_pages = whole("linux: total_ram_pages", total_ram_pages)
    workload_pages, swap_bytes = whole("linux: workload_pages", workload_pages), whole("linux: swap_bytes", swap_bytes)
    limits = {"memory_max": memory_max, "swap_max": swap_max, "free_pages": free_pages}
    memory_max, swap_max, free_pages = (
        None if limit is None else whole(f"linux: {name}", limit) for name, limit in limits.items()
    )
    _check_use(zswap, zswap_writeback, zswap_max, memory_max, free_pages)
    page_cluster = whole("linux: page_cluster", page_cluster, 0, 31)
    if cram is not None and not isinstance(cram, Cram):
        raise InputError(f"linux: cram must be a vl.Cram or None, got {shown(cram)}")
    all_pages = total_ram_pages + (0 if cram is None else cram.device_pages)
    if memory_max is None:
        dram = _whole_machine(total_ram_pages, all_pages, free_pages)
    else:
        dram = _under_limit(memory_max, all_pages, workload_pages)
    base = kernel_memory_bytes(workload_pages) // PAGE_SIZE - -(-workload_pages // _ENTRIES)
    return Machine(
        dram=dram,
        cram=None if cram is None else _node(cram, total_ram_pages),
        kernel=Kernel(version, swappiness, base, stat_read_accesses, stat_read_from, lru_gen=lru_gen),
        costs=Costs() if costs is None else costs,
        zswap=None if zswap is None else _zswap(zswap, VERSIONS[version], zswap_writeback, zswap_max),
        swapfiles=_swapfiles(swap_bytes, page_cluster),
        swap_max_slots=None if swap_max is None else swap_max // PAGE_SIZE,
        layer="swap-table" if flag("linux: vswap", vswap) else "none",
    )


def _check_use(
    zswap: object, zswap_writeback: object, zswap_max: object, memory_max: int | None, free_pages: int | None
) -> None:
    # Nothing is accepted that would be without effect.
    flag("linux: zswap_writeback", zswap_writeback)
    if zswap is None and (zswap_writeback is not True or zswap_max is not None):
        raise InputError("linux: zswap_writeback and zswap_max are settings of zswap: leave them out, or give zswap={}")
    if memory_max is not None and free_pages is not None:
        raise InputError("linux: free_pages is of a machine without memory_max: give one of them")


def kernel_memory_bytes(workload_pages: int) -> int:
    """Say how much kernel memory a process that maps so many pages is charged for.

    8 bytes of page table a page, in whole pages, and 8 bytes for each page of
    those; and four pages of slab and per-CPU counters, of which a small
    cgroup has 8 to 13 KB and 7 KB (``cg_slab``, and ``cg_kernel`` less that and
    the page tables, in data/truth/kernel [M]).

    Examples
    --------
    Measured there with 65,536 pages: 0.52 MiB.

    >>> round(kernel_memory_bytes(65_536) / (1 << 20), 2)
    0.52
    """
    tables = -(-workload_pages // _ENTRIES)
    upper = -(-tables // _ENTRIES)
    return (tables + upper + _SMALL_PAGES) * PAGE_SIZE


def watermarks(zone_pages: int, total_pages: int, *, is_movable: bool = False) -> tuple[int, int]:
    """Give the low and high watermark of a zone, in pages.

    Linux 7.3, mm/page_alloc.c, __setup_per_zone_wmarks: min_free_kbytes is the
    root of 16 times the memory in KiB, shared out by size; low and high lie a
    quarter of it above each other, or a thousandth of the zone if that is more.

    Parameters
    ----------
    zone_pages : pages
    total_pages : pages
        Of all zones that are not movable.
    is_movable : bool
        The zone is ZONE_MOVABLE, as that of a CRAM node: its lowest watermark is
        a 1024th of it, at least 32 pages and at most 128.

    Examples
    --------
    >>> watermarks(32_768, 32_768), watermarks(32_768, 47_974, is_movable=True)
    ((452, 542), (106, 180))
    """
    least = isqrt(total_pages * 4 * 16) // 4 * zone_pages // total_pages
    step = max(least // 4, zone_pages // 1000)
    if is_movable:
        least = min(max(zone_pages // 1024, 32), 128)
    return least + step, least + 2 * step


def _under_limit(memory_max: int, total_ram_pages: int, workload_pages: int) -> Dram:
    kernel, total = kernel_memory_bytes(workload_pages), max(1, total_ram_pages)
    limit = min(memory_max, total * PAGE_SIZE)
    if (limit - kernel) // PAGE_SIZE < 1:
        name = "memory_max" if limit == memory_max else "total_ram_pages, which is less than memory_max,"
        raise InputError(f"linux: {name} leaves {limit} bytes, no page beside {kernel} of kernel memory: raise it")
    return Dram(limit // PAGE_SIZE, total_pages=total, charge="memcg")


def percpu_pages(total_pages: int, cpus: int) -> int:
    """Say how many free pages the per-CPU lists can hold, which MemFree does not count.

    Linux 7.3, mm/page_alloc.c, zone_highsize: the low watermark, shared out to the CPUs.

    Examples
    --------
    >>> percpu_pages(47_974, 1)
    547
    """
    return watermarks(total_pages, total_pages)[0] // cpus


def _node(cram: Cram, dram_pages: int) -> Cram:
    if cram.node_low:
        return cram
    low, high = watermarks(cram.device_pages, dram_pages, is_movable=True)
    if not low < high <= cram.device_pages:
        raise InputError(
            f"linux: a cram node of {cram.device_pages} pages is too small for the watermarks that the kernel gives, "
            f"low {low} and high {high}: set cram.node_low and cram.node_high, or give it more pages"
        )
    return replace(cram, node_low=low, node_high=high)


def _whole_machine(total_ram_pages: int, all_pages: int, free_pages: int | None) -> Dram:
    if free_pages is None or not 1 <= free_pages <= total_ram_pages:
        raise InputError(
            f"linux: without memory_max, free_pages must be between 1 and total_ram_pages ({total_ram_pages}), got "
            f"{free_pages!r}: give MemFree before the workload starts"
        )
    low, high = watermarks(total_ram_pages, total_ram_pages)
    high = min(high, free_pages)
    return Dram(free_pages, total_pages=all_pages, low=min(low, high - 1), high=high, charge="host")


def _zswap(settings: Mapping[str, object], version: LinuxVersion, writeback: bool, max_bytes: int | None) -> Zswap:
    if not isinstance(settings, Mapping):
        raise InputError(f"linux: zswap must be a table of settings or None, got {shown(settings)}")
    for name in settings:
        if name not in _ZSWAP_SETTINGS:
            raise InputError(f"linux: zswap.{name} is not a setting: choose from {', '.join(_ZSWAP_SETTINGS)}")
    # mm/Kconfig, "Default compressor" of zswap: LZO
    values = {"compressor": "lzo"} | dict(settings)
    values |= {"writeback": writeback, "store_incompressible": version.store_incompressible, "max_bytes": max_bytes}
    return Zswap(**values)  # type: ignore[arg-type]


def _swapfiles(swap_bytes: int, page_cluster: int) -> list[Swapfile]:
    # the first page of a device is its header: mm/swapfile.c, read_swap_header
    slots = swap_bytes // PAGE_SIZE - 1
    if swap_bytes and slots < 1:
        raise InputError(f"linux: swap_bytes {swap_bytes} holds no page beside the header: give at least 8192, or 0")
    return [Swapfile(capacity_slots=slots, page_cluster=page_cluster)] if swap_bytes else []
