"""A machine and a trace, boiled down to the whole numbers that both engines read.

Everything configurable is turned into integers here, once, so that the
reference and the vectorised engine cannot round differently. Free memory is
counted in charge units: bytes when the pool is charged by compressed length,
2**-20 bytes when it is charged by zsmalloc footprint.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vswaplab.base.backing import Op
from vswaplab.base.draws import checked_seed
from vswaplab.base.errors import InputError
from vswaplab.base.units import PAGE_SIZE
from vswaplab.engine.zsmalloc import SHARE_BITS, footprint_table
from vswaplab.machine.config import Cram, Machine, Zram, Zswap, check_machine
from vswaplab.machine.kernel import Kernel
from vswaplab.machine.stores import Store, store_counters
from vswaplab.results.counters import COUNTER_NAMES
from vswaplab.trace.sharing import UNMAP
from vswaplab.trace.trace import Trace, Workload, check_trace

FOOTPRINT_PAGE = PAGE_SIZE << SHARE_BITS
"""One page in footprint units."""

NO_LIMIT = 1 << 62

SWAP_RA_ORDER_CEILING = 5
"""Readahead reads at most this power of two of pages (mm/swap_state.c)."""


@dataclass(frozen=True)
class CramPlan:
    """A CRAM node in whole numbers."""

    is_tier: bool
    device_pages: int
    media_bytes: int
    close_bytes: int
    open_bytes: int
    high_bytes: int
    low_bytes: int
    node_low: int
    node_high: int
    budget: int
    is_device_budget: bool
    """The device grants writes in place, as many as its free media can take at worst."""
    worst_bytes: int
    """Bytes of a page that does not compress."""
    is_proportional: bool
    """Pressure raises the node's watermarks in proportion."""
    balloon_ratio: int
    """Advertised ratio, per mille, that the balloon holds the device to; 0: no balloon."""
    balloon_bytes: int
    """Media less what the balloon keeps free."""
    trim_batch: int
    to_zswap: bool
    policy: str
    """Which page of the device leaves first."""
    report_lag: int
    flush_period: int
    reaper_period: int
    charge: int
    """Charge units a CRAM page still costs its group (tier mode under memory.max)."""
    bytes_of_row: NDArray[np.int32]
    """(n_rows,) bytes a content takes on the media."""

    def pressure(self, stored: int) -> int:
        """Say how hard the device presses, 0 to 1000, with ``stored`` bytes on its media."""
        if stored >= self.close_bytes:
            return 1000
        return max(0, stored - self.open_bytes) * 1000 // max(1, self.close_bytes - self.open_bytes)

    def balloon_pages(self, stored: int, pages: int) -> int:
        """Say how many device pages to hold back if the device reports ``stored`` bytes for ``pages``.

        mm/cram.c: pages shown x (advertised ratio - reported one) / advertised, per mille, whole numbers.
        """
        usable = pages * PAGE_SIZE * 1000 * self.balloon_bytes
        reported = usable // (stored * self.media_bytes) if stored else self.balloon_ratio
        missing = max(0, self.balloon_ratio - reported)
        return self.device_pages * missing // self.balloon_ratio if missing else 0


@dataclass(frozen=True)
class ZswapPlan:
    """A zswap pool in whole numbers."""

    max_pages: int
    accept_pages: int
    group_pages: int | None
    """memory.zswap.max; None: no limit."""
    writeback: bool
    shrinker_enabled: bool
    stores_raw: bool
    length_of_row: NDArray[np.int32]
    """(n_rows,) compressed bytes, 4096: does not compress."""
    footprint_of_length: NDArray[np.int64]
    """(4097,) units of 2**-20 bytes."""
    charge_of_length: NDArray[np.int64]
    """(4097,) charge units."""


@dataclass(frozen=True)
class ZramPlan:
    """A zram device in whole numbers."""

    device: int
    """Its number among the swap devices."""
    limit_footprint: int
    """The most its pool may take, units of 2**-20 bytes."""
    length_of_row: NDArray[np.int32]
    """(n_rows,) bytes stored, 4096: raw; 0: same-filled, no object."""
    second_length_of_row: NDArray[np.int32] | None
    """(n_rows,) the same after recompression; None: there is none."""
    footprint_of_length: NDArray[np.int64]
    """(4097,) units of 2**-20 bytes."""
    charge_of_length: NDArray[np.int64]
    """(4097,) charge units."""
    idle_period: int
    backing_slots: int
    writes_idle: bool
    """A page must be idle to be written back."""
    writes_huge: bool
    """A page must be incompressible to be written back."""
    writeback_limit: int

    def footprint(self, length: NDArray[np.integer]) -> int:
        """Add up what objects of these lengths take, units of 2**-20 bytes."""
        return int(self.footprint_of_length.take(length).sum())

    def charge(self, length: NDArray[np.integer]) -> int:
        """Add up what objects of these lengths cost DRAM, charge units."""
        return int(self.charge_of_length.take(length).sum())


@dataclass(frozen=True)
class StorePlan:
    """A plug-in's tier in whole numbers."""

    name: str
    is_before_zswap: bool
    capacity_bytes: int
    bytes_of_row: NDArray[np.int64]
    """(n_rows,) bytes a content takes, 0: it is not taken."""
    charge: int
    """Charge units of DRAM that each of its bytes costs."""


class Watermarks(NamedTuple):
    """Free pages of a memory node: below ``low`` kswapd is woken, at ``least`` the program reclaims itself."""

    least: int
    low: int
    high: int


@dataclass(frozen=True)
class KernelPlan:
    """A Linux version's reclaim in whole numbers; times in ns."""

    max_pages: int
    """memory.max of the group."""
    node_pages: tuple[int, int]
    """Pages of DRAM, and of the CRAM node."""
    watermarks: tuple[Watermarks, Watermarks]
    base_pages: int
    swappiness: int
    lru_gen: str | None
    """Whose generations are in place of the active and the inactive list: "6.12" or "7.3"; None: nobody's."""
    nr_to_walk: int
    """Entries of the pool that its worker looks at in one try."""
    preempts_in_reclaim: bool
    """The worker can get the CPU in the middle of a reclaim (cond_resched)."""
    frees_on_write: bool
    """A page's slot is freed when a fault writes to it."""
    stat_read_from: int
    stat_read_accesses: int
    stat_flush_ns: int
    hit_ns: int
    fault_ns: int
    swapout_ns: int
    compress_ns: int
    decompress_ns: int
    read_ns: int
    readahead_pages: int
    """Pages that a fault reads at most; 1: no readahead."""
    write_ns: int
    try_ns: int
    rotate_ns: int
    writeback_ns: int
    switch_ns: int
    """What a worker pays that loses the CPU after every entry."""
    shrinker_flushes: bool
    """The dynamic shrinker brings the statistics up to date before it counts."""

    def next_stat_read(self, index: int) -> int:
        """Give the first access from ``index`` on before which memory.stat is read."""
        if not self.stat_read_accesses:
            return NO_LIMIT
        past = max(0, index - self.stat_read_from)
        return self.stat_read_from + -(-past // self.stat_read_accesses) * self.stat_read_accesses


@dataclass(frozen=True)
class Plan:
    """A machine and a trace in whole numbers."""

    n_pages: int
    page_charge: int
    """Charge units of one resident page."""
    capacity_charge: int
    low: int
    high: int
    zero_of_row: NDArray[np.bool_]
    cram: CramPlan | None
    zswap: ZswapPlan | None
    zram: ZramPlan | None
    slots_of_device: tuple[int, ...]
    device_order: tuple[int, ...]
    """Devices, highest priority first."""
    max_slots: int
    holds_slots: bool
    """No virtual layer: every swapped page holds a slot, wherever its data is."""
    seed: int
    kernel: KernelPlan | None = None
    policy: str = "lru"
    next_use: NDArray[np.int64] | None = None
    """(n_accesses,) as ``next_uses`` gives it; only a clairvoyant knows."""
    stores: tuple[StorePlan, ...] = ()

    @property
    def counter_names(self) -> tuple[str, ...]:
        """The counters of a run: everybody's, then those of the plug-ins' tiers."""
        return (*COUNTER_NAMES, *(name for store in self.stores for name in store_counters(store.name)))

    @property
    def is_host_charge(self) -> bool:
        """Whether pools are charged by their footprint, not by compressed lengths."""
        return self.page_charge == FOOTPRINT_PAGE

    @property
    def zram_device(self) -> int:
        """Number of the zram device, -1: none."""
        return -1 if self.zram is None else self.zram.device


def check_run(trace: object, machine: object) -> None:
    """Check that it is a trace, and a machine, that shall run."""
    check_trace(trace)
    check_machine(machine)


def make_plan(trace: Workload, machine: Machine, seed: int) -> Plan:
    """Turn a machine and a trace into a plan.

    Raises
    ------
    InputError
        No seed (``checked_seed``). The trace's corpus lacks the size column that a profile stores by; or it has
        several processes, and the machine a kernel; or it is not in memory, and the
        machine is clairvoyant.
    """
    unit_bits = SHARE_BITS if machine.dram.charge == "host" else 0
    page_charge = PAGE_SIZE << unit_bits
    devices = machine.swap_devices
    return Plan(
        n_pages=trace.n_pages,
        page_charge=page_charge,
        capacity_charge=machine.dram.capacity_pages * page_charge,
        low=machine.dram.low,
        high=machine.dram.high_pages,
        zero_of_row=trace.corpus.is_zero,
        cram=None if machine.cram is None else _cram_plan(machine.cram, trace, machine.dram.charge, page_charge),
        zswap=None if machine.zswap is None else _zswap_plan(machine.zswap, trace, machine),
        zram=None if machine.zram is None else _zram_plan(machine.zram, trace, machine),
        slots_of_device=tuple(d.capacity_slots if machine.may_use(d) else 0 for d in devices),
        device_order=tuple(sorted(range(len(devices)), key=lambda d: -devices[d].priority)),
        max_slots=NO_LIMIT if machine.swap_max_slots is None else machine.swap_max_slots,
        holds_slots=machine.layer == "none",
        seed=checked_seed(seed),
        kernel=None if machine.kernel is None else _kernel_plan(machine.kernel, machine, trace),
        policy=machine.dram.policy,
        next_use=_next_use(trace, machine),
        stores=tuple(_store_plan(store, trace, unit_bits) for store in machine.stores),
    )


def _store_plan(store: Store, trace: Workload, unit_bits: int) -> StorePlan:
    return StorePlan(
        name=store.name,
        is_before_zswap=store.before == "zswap",
        capacity_bytes=store.capacity_bytes,
        bytes_of_row=store.checked_bytes(trace.corpus),
        charge=1 << unit_bits if store.in_dram else 0,
    )


def _next_use(trace: Workload, machine: Machine) -> NDArray[np.int64] | None:
    # What a clairvoyant knows, in DRAM or on the device.
    known = [name for name, policy in machine.policies.items() if policy == "clairvoyant"]
    if not known:
        return None
    if not isinstance(trace, Trace):
        raise InputError(
            f"{known[0]} 'clairvoyant' must know all of trace {trace.name!r}: read it with vl.load_trace, or choose "
            "another policy"
        )
    return next_uses(trace)


def next_uses(trace: Trace) -> NDArray[np.int64]:
    """Say when the page of each access is touched next, before it is freed.

    Returns
    -------
    next_use : (n_accesses,) access index
        n_accesses: never.

    Examples
    --------
    >>> next_uses(Trace([0, 1, 0, 1, 0], [0, 0, 0, 2, 0])).tolist()
    [2, 5, 4, 5, 5]
    """
    page, op = (trace.page, trace.op) if trace.sharing is None else (trace.sharing.page, trace.sharing.op)
    acts = np.flatnonzero(op != UNMAP)
    by_page = acts[np.argsort(page[acts], kind="stable")]
    before, after = by_page[:-1], by_page[1:]
    is_used = (page[before] == page[after]) & (op[after] != Op.FREE)
    next_use = np.full(len(trace), len(trace), np.int64)
    next_use[before[is_used]] = after[is_used]
    return next_use


def _kernel_plan(kernel: Kernel, machine: Machine, trace: Workload) -> KernelPlan:
    if trace.sharing is not None:
        raise InputError(
            f"machine.kernel models one process, and trace {trace.name!r} has several: leave kernel out, or take "
            "another trace"
        )
    costs, zswap = machine.costs, machine.zswap
    device = machine.swapfiles[0] if machine.swapfiles else None
    is_host, cram = machine.dram.charge == "host", machine.cram
    return KernelPlan(
        max_pages=NO_LIMIT if is_host else machine.dram.capacity_pages,
        node_pages=(machine.dram.capacity_pages if is_host else NO_LIMIT, 0 if cram is None else cram.device_pages),
        watermarks=(
            _watermarks(machine.dram.low, machine.dram.high_pages),
            _watermarks(0, 0) if cram is None else _watermarks(cram.node_low, cram.node_high),
        ),
        base_pages=kernel.base_pages,
        swappiness=kernel.swappiness,
        lru_gen=kernel.version if kernel.lru_gen else None,
        nr_to_walk=kernel.zswap_walk or (32 if kernel.version == "7.3" else 1),
        preempts_in_reclaim=kernel.version == "6.12",
        frees_on_write=kernel.version not in ("7.1", "7.2"),
        stat_read_from=kernel.stat_read_from,
        stat_read_accesses=kernel.stat_read_accesses,
        stat_flush_ns=kernel.stat_flush_ns,
        hit_ns=costs.dram_ns,
        fault_ns=costs.fault_ns,
        swapout_ns=costs.victim_ns,
        compress_ns=0 if zswap is None else zswap.profile.store_ns,
        decompress_ns=0 if zswap is None else zswap.profile.load_ns,
        read_ns=0 if device is None else device.read_ns + device.transfer_ns,
        readahead_pages=1 if device is None else 1 << min(device.page_cluster, SWAP_RA_ORDER_CEILING),
        write_ns=costs.swap_write_ns,
        try_ns=costs.zswap_try_ns,
        rotate_ns=costs.zswap_rotate_ns,
        writeback_ns=costs.zswap_writeback_ns,
        switch_ns=costs.context_switch_ns,
        shrinker_flushes=kernel.version != "7.3",
    )


def _watermarks(low: int, high: int) -> Watermarks:
    # __setup_per_zone_wmarks: the three are equally far apart
    return Watermarks(max(0, 2 * low - high), low, high)


def _cram_plan(cram: Cram, trace: Workload, charge: str, page_charge: int) -> CramPlan:
    is_tier = cram.mode == "tier"
    return CramPlan(
        is_tier=is_tier,
        device_pages=cram.device_pages,
        media_bytes=cram.media_bytes,
        close_bytes=cram.bytes_of(cram.close_at),
        open_bytes=cram.bytes_of(cram.open_at),
        high_bytes=cram.bytes_of(cram.writeback_high),
        low_bytes=cram.bytes_of(cram.writeback_low),
        node_low=cram.node_low,
        node_high=cram.node_high,
        budget=cram.writable_budget_pages,
        is_device_budget=cram.budget_owner == "device",
        worst_bytes=int(cram.device.stored_bytes(np.array([PAGE_SIZE]))[0]),
        is_proportional=cram.pressure_law == "proportional",
        balloon_ratio=(cram.advertised_bytes or 0) * 1000 // cram.media_bytes if cram.balloon else 0,
        balloon_bytes=cram.bytes_of(1 - Fraction(str(cram.balloon_reserve))),
        trim_batch=cram.trim_batch_pages,
        to_zswap=cram.writeback_to == "zswap",
        policy=cram.writeback_policy,
        report_lag=cram.report_lag,
        flush_period=cram.flush_period,
        reaper_period=cram.reaper_period,
        charge=page_charge if is_tier and charge == "memcg" else 0,
        bytes_of_row=cram.device.stored_bytes(trace.corpus.sizes(cram.device.size_column)),
    )


def _zswap_plan(zswap: Zswap, trace: Workload, machine: Machine) -> ZswapPlan:
    max_pages = machine.dram.host_pages * zswap.max_pool_percent // 100
    footprint = footprint_table()
    by_length = np.arange(PAGE_SIZE + 1, dtype=np.int64)
    return ZswapPlan(
        max_pages=max_pages,
        accept_pages=max_pages * zswap.accept_threshold_percent // 100,
        group_pages=None if zswap.max_bytes is None else zswap.max_bytes // PAGE_SIZE,
        writeback=zswap.writeback,
        shrinker_enabled=zswap.shrinker_enabled,
        stores_raw=zswap.store_incompressible and zswap.writeback,
        length_of_row=trace.corpus.sizes(zswap.profile.size_column),
        footprint_of_length=footprint,
        charge_of_length=footprint if machine.dram.charge == "host" else by_length,
    )


def _zram_plan(zram: Zram, trace: Workload, machine: Machine) -> ZramPlan:
    footprint = footprint_table().copy()
    footprint[0] = 0  # no object

    def stored(column: str) -> NDArray[np.int32]:
        # As zram_write_page: a same-filled page is no object, and what would fill a page of the pool is stored raw.
        length = trace.corpus.sizes(column)
        length = np.where(footprint.take(length) >= FOOTPRINT_PAGE, PAGE_SIZE, length).astype(np.int32)
        length[trace.corpus.same_filled] = 0
        return length

    second = zram.second_profile
    limit_pages = -(-zram.mem_limit_bytes // PAGE_SIZE)
    return ZramPlan(
        device=len(machine.swapfiles),
        limit_footprint=limit_pages * FOOTPRINT_PAGE if limit_pages else NO_LIMIT,
        length_of_row=stored(zram.profile.size_column),
        second_length_of_row=None if second is None else stored(second.size_column),
        footprint_of_length=footprint,
        charge_of_length=footprint if machine.dram.charge == "host" else np.zeros_like(footprint),
        idle_period=zram.idle_period,
        backing_slots=zram.backing_slots,
        writes_idle=zram.writeback != "huge",
        writes_huge=zram.writeback != "idle",
        writeback_limit=NO_LIMIT if zram.writeback_limit is None else zram.writeback_limit,
    )
