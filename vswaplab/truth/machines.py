"""The trace and the machine of a run, from what it was set to."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vswaplab.base.errors import InputError
from vswaplab.machine.config import Costs, Cram, Machine
from vswaplab.machine.kernel import LRU_GEN_VERSIONS, Version
from vswaplab.machine.linux import VERSIONS, linux, percpu_pages
from vswaplab.machine.profiles import find_profile
from vswaplab.trace import Corpus, Trace
from vswaplab.truth.runs import ContentClass, CramGuest, TruthRun
from vswaplab.truth.traces import PAGE_MASK, WRITE_BIT, TraceSettings, accesses, content_classes

_MODELLED = ("compressor", "max_pool_percent", "accept_threshold_percent", "shrinker_enabled")

EMULATED = Costs(
    dram_ns=1_000,
    fault_ns=25_000,
    victim_ns=25_000,
    swap_write_ns=700_000,
    zswap_try_ns=3_000,
    zswap_rotate_ns=200,
    zswap_writeback_ns=35_000,
    context_switch_ns=40_000,
)
"""How long things take in a guest whose processor is emulated (QEMU TCG). They decide when statistics are flushed, and
how far what runs beside the program gets. Medians over runs, rounded: a hit 0.7 us, a minor fault 26, a
page filled and swapped out 57, a load from memory 80 to 110, a read from disk 280 to 325 [M]. Nothing says what a
write to disk, an entry written back or a switch between tasks takes: 700, 35 and 40 us gave the runs with the
shrinker, and those with a full pool, their best fit [guess]."""
_STORE_NS, _LOAD_NS, _READ_NS = 35_000, 25_000, 230_000
_OTHER_BYTES = 64, 4095
"""Least and most that a page of another process is stored in, spread evenly [guess]. Files and programs compress to
every length, so each size class has a zspage that is partly empty: 717 to 729 pages took 4,623 to 4,650 bytes each of
the pool, more than a page, in three boots of global_zipf_mp20 [M]; 728 that are spread so take 4,631."""


def trace_of(run: TruthRun) -> Trace:
    """Make the trace of a run: the fill, which writes every page once in page order, then its accesses.

    Without a limit the pages of others come first (``other_pages``): they have
    the last numbers, are written once, and nobody wants them back.

    Raises
    ------
    InputError
        zswap was on, and nobody measured what its compressor makes of the pages.
    """
    column = None
    if run.zswap is not None and "compressor" in run.zswap:
        compressor = str(run.zswap["compressor"])
        column = find_profile(compressor, "compressor").size_column
        if run.lengths is None:
            raise InputError(
                f"run {run.name!r}: nobody measured what {compressor} makes of its pages: add rows with "
                f"k_random_bytes and stored_bytes_per_page of that compressor to calibration.csv"
            )
    return _trace(run.trace, run.classes, run.seed_class, run.lengths, column, other_pages(run))


@lru_cache(maxsize=8)
def _trace(
    settings: TraceSettings,
    classes: tuple[ContentClass, ...],
    seed_class: int,
    lengths: tuple[int, ...] | None,
    column: str | None,
    n_others: int,
) -> Trace:
    packed, n_pages = accesses(settings), settings.n_pages
    others = np.arange(n_others)
    table = pl.DataFrame({"is_zero": [found.random_bytes == 0 for found in classes]})
    table = pl.concat([table, pl.DataFrame({"is_zero": np.zeros(n_others, np.bool_)})])
    if column is not None:
        table = table.with_columns(pl.Series(column, [*(lengths or ()), *_other_lengths(others)], pl.UInt16))
    page = np.r_[n_pages + others, np.arange(n_pages), packed & PAGE_MASK]
    op = np.r_[np.ones(n_others + n_pages, np.uint8), (packed >> WRITE_BIT).astype(np.uint8)]
    content = np.r_[content_classes(n_pages, [found.percent for found in classes], seed_class), len(classes) + others]
    return Trace(page, op, n_pages=n_pages + n_others, content=content, corpus=Corpus(table), name=settings.kind)


def _other_lengths(others: NDArray[np.int64]) -> list[int]:
    # Evenly spread, in no order (the golden ratio's multiples).
    least, most = _OTHER_BYTES
    lengths: list[int] = (least + (others * 0.6180339887) % 1 * (most + 1 - least)).astype(int).tolist()
    return lengths


def version_of(run: TruthRun) -> Version:
    """Name the version of ``linux`` that a run's kernel is closest to: the newest that is not newer."""
    known: dict[Version, tuple[int, ...]] = {name: tuple(int(part) for part in name.split(".")) for name in VERSIONS}
    older = [name for name, version in known.items() if version <= run.version]
    return max(older or [min(known, key=known.__getitem__)], key=known.__getitem__)


def machine_of(run: TruthRun) -> Machine:
    """Build the machine of a run.

    What the model has no setting for stays away (``not_modelled``). Of a
    machine without a limit, how much memory was free or idle before the fill is
    read off the guest: nothing else that a run measured is used.

    Raises
    ------
    InputError
        A setting that no machine can have.
    """
    try:
        return _linux(run)
    except InputError as error:
        raise InputError(f"run {run.name!r}: {error}") from None


def not_modelled(run: TruthRun) -> list[str]:
    """List the settings of a run that the model lacks, in the kernel's words.

    Of page-cluster also what it did, where the run counted it. The guests' disk
    counts as one that rotates, so what lies beside a page on the disk would be
    read (swap_cluster_readahead), which the model does not know. The window
    closes when what was read ahead is not wanted (swapin_nr_pages), so accesses
    at random are served one page at a time.
    """
    # A second CPU: a worker that had one to itself would write 11 to 14 thousand entries back in *_zipf_mp20_smp2, and
    # kernels wrote 615 and 1,088; likewise in *_zipf_mp10_smp2, and three of four kernels wrote at most 37. When it
    # is moved to the second CPU no setting says.
    found = []
    if run.lru_gen and not has_lru_gen(run):
        found.append("lru_gen")
    if run.page_cluster:
        found.append(f"page-cluster {run.page_cluster}{_read_ahead(run)}")
    if run.vcpus > 1:
        found.append(f"{run.vcpus} vcpus")
    return found


def _read_ahead(run: TruthRun) -> str:
    return "" if run.read_ahead is None else " ({:,} of {:,} reads were ahead)".format(*run.read_ahead)


def has_lru_gen(run: TruthRun) -> bool:
    """Whether the machine of a run reclaims by generations, as the kernel did."""
    return bool(run.lru_gen) and version_of(run) in LRU_GEN_VERSIONS and run.cram is None


def other_pages(run: TruthRun) -> int:
    """Give the pages of other processes that lie on the lists before the fill, and are reclaimed before the program's.

    0 with a limit, where only the group is reclaimed from; of a CRAM guest they
    count as free memory.
    """
    names = ["vm_nr_inactive_anon", "vm_nr_active_anon"]
    is_counted = {*names, "vm_nr_free_pages"} <= set(run.epochs.columns)
    if run.memory_max is not None or run.cram is not None or not is_counted:
        return 0
    return int(run.epochs.filter(row="start").select(pl.sum_horizontal(names).fill_null(0).sum()).item())


def served_before(run: TruthRun) -> int:
    """Give the accesses of ``trace_of`` that come before the run's own: the pages of others, and the fill."""
    return other_pages(run) + run.trace.n_pages


DMA_PAGES, LOWMEM_RESERVE_RATIO = 3840, 256
"""ZONE_DMA, and what it keeps from user pages: a share of the memory above (vm.lowmem_reserve_ratio)."""


def free_pages(run: TruthRun) -> int:
    """Give the DRAM that the workload can have, pages: free before the fill, or idle; of a run without snapshots, all.

    The per-CPU lists count as full. What other processes have on the lists is
    in it: they come first (``other_pages``), or count as idle in a CRAM guest.
    """
    cram, total = run.cram is not None, _dram_pages(run)
    start = run.epochs.filter(row="start") if run.epochs.height else run.epochs
    if not cram and start.height and "vm_nr_free_pages" in start.columns:
        n = int(start.select(pl.sum_horizontal("vm_nr_free_pages", "vm_nr_inactive_anon", "vm_nr_active_anon")).item())
        return min(total, n - (total - DMA_PAGES) // LOWMEM_RESERVE_RATIO)
    free, pages_of = ("n0_nr_free_pages", 1) if cram else ("mi_MemFree_kb", 4)
    if not start.height or free not in start.columns or start[free][0] is None:
        return total
    idle = "n0_nr_inactive_anon" if cram else "vm_nr_inactive_anon"
    n_idle = int(start[idle][0] or 0) if idle in start.columns else 0
    return min(total, int(start[free][0]) // pages_of + n_idle + percpu_pages(total, run.vcpus))


def _dram_pages(run: TruthRun) -> int:
    return run.total_ram_pages if run.cram is None else int(run.cram.dram_mib * 256)


def _linux(run: TruthRun) -> Machine:
    settings: dict[str, object] | None = None
    if run.zswap is not None:
        settings = {name: run.zswap[name] for name in _MODELLED if name in run.zswap}
        if "compressor" in run.zswap:
            compressor = find_profile(str(run.zswap["compressor"]), "compressor")
            settings["compressor"] = replace(compressor, store_ns=_STORE_NS, load_ns=_LOAD_NS)
    machine = linux(
        version_of(run),
        swappiness=run.swappiness,
        lru_gen=has_lru_gen(run),
        stat_read_accesses=0 if run.cram is not None else run.epoch_accesses,
        stat_read_from=served_before(run),
        costs=EMULATED,
        memory_max=run.memory_max,
        total_ram_pages=_dram_pages(run),
        workload_pages=run.trace.n_pages,
        zswap=settings,
        zswap_writeback=run.zswap_writeback,
        zswap_max=run.zswap_max,
        swap_bytes=run.swap_device_mib << 20,
        swap_max=run.swap_max,
        cram=None if run.cram is None else cram_node(run.cram),
        vswap=run.has_vswap,
        free_pages=free_pages(run) if run.memory_max is None else None,
    )
    files = [replace(file, read_ns=_READ_NS) for file in machine.swapfiles]
    patched = re.search(r"worker walks (\d+) entries a try", run.kernel)
    if patched is None or machine.kernel is None:
        return replace(machine, swapfiles=files)
    return replace(machine, swapfiles=files, kernel=replace(machine.kernel, zswap_walk=int(patched[1])))


def cram_node(guest: CramGuest) -> Cram | None:
    """Set up the CRAM node of a guest: plain RAM, 4096 bytes a page, pressure only from its driver."""
    size = guest.cram_mib << 20
    if not size:
        return None
    gate = 1 - guest.pressure / 1000
    return Cram(
        media_bytes=size, profile="none", mode="tier", close_at=gate, open_at=gate, writeback_high=1.0,
        writeback_low=1.0,
    )  # fmt: skip
