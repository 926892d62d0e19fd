"""What each mechanism of the kernel engine is worth: the error before and after it, against real kernels.

``.venv/bin/python tests/truth/ablation.py [MECHANISM ...]`` switches one mechanism off at a time, replays runs of
``data/truth`` where it can matter, and prints a table: the error against the kernel without it and with it. All of them
take three minutes; ``--csv FILE`` keeps every counter, ``--jobs N`` says how many processes share the work (1).

With a full pool the model's counters move from boot to boot (``vswaplab.truth.boots``), and any change of timing moves
them as well. So beside an error stands what eight boots make of it (``targets.csv``), and a mechanism whose absence
stays within that is said to move nothing.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from unittest.mock import patch

import polars as pl

import vswaplab.engine.kernel as engines
from vswaplab.base.units import PAGE_SIZE
from vswaplab.base.workers import new_pool
from vswaplab.engine.kernel import folios, memcg, vmscan
from vswaplab.engine.kernel.faults import Faults
from vswaplab.engine.kernel.folios import DISK, Folios
from vswaplab.engine.kernel.mglru import LruGenVectorised
from vswaplab.engine.kernel.page_alloc import PageAlloc
from vswaplab.engine.kernel.vmscan import Reclaim
from vswaplab.engine.kernel.zswap import ZswapPool
from vswaplab.engine.plan import NO_LIMIT
from vswaplab.engine.zsmalloc import SHARE_BITS, footprint_table
from vswaplab.machine.config import Machine
from vswaplab.machine.presets import with_settings
from vswaplab.truth.counters import agreement, kernel_counters
from vswaplab.truth.folder import read_truth
from vswaplab.truth.machines import machine_of
from vswaplab.truth.replay import replay
from vswaplab.truth.runs import TruthRun

DATA = Path(__file__).resolve().parents[2] / "data" / "truth"
FOLDERS = ("kernel", "own", "vswap")
COUNTERS = (
    "hits", "swap_cache", "disk", "zswpout", "zswpwb", "pswpout", "stored_mean", "slots_used", "demoted", "promoted",
)  # fmt: skip
FEW = 5000
"""Events of the kernel below which a counter says little in percent: it is left out."""
SHOWN = 2
"""Counters of a run in the table, those whose error changes most; beside the agreement."""
WORDS = "mechanism", "title", "source", "run", "counter"
NUMBERS = "kernel", "without", "with", "boots_low", "boots_high"
SCHEMA = dict.fromkeys(WORDS, pl.String) | dict.fromkeys(NUMBERS, pl.Float64)


# Without it --------------------------------------------------------------------------------------------
#
# Each function stands in for the one of the engine that it is named in `SWITCHES` with, and leaves one thing out.


def no_activation(self: Faults, page: int) -> None:
    """What comes back joins the inactive list, however soon."""
    self.shadow.pop(page, None)


def exact_statistics(self: Reclaim, *args: object) -> None:
    """Reclaim knows the lists as they are."""
    self.flush_stats()
    _prepare_scan_control(self, *args)


def write_at_once(self: ZswapPool, page: int) -> bool:
    """A page is on disk as soon as its write starts."""
    device = self.disk_slot(page)
    if device < 0:
        return False
    self.count["pswpout"] += 1
    self.device_out[device] += 1
    self.backing[page] = DISK
    return True


def stays_in_place(self: Folios, page: int) -> None:
    """What was written out waits for its turn on the list."""
    self.writeback[page] = self.rotates[page] = 0


def keeps_bit(self: Faults, page: int) -> None:
    """A fault on a folio on its way out leaves its PG_reclaim set."""
    self.ra_page = page


def frees_always(self: Faults, page: int, *, is_write: bool) -> bool:
    """No page keeps its copy on disk once it is back."""
    return True


def frees_on_write(self: Faults, page: int, *, is_write: bool) -> bool:
    """A fault that writes to a page frees its slot, in every version."""
    return is_write or _should_try_to_free_swap(self, page, is_write=is_write)


def never_full(_: Faults) -> bool:
    """However full swap is, a page keeps its copy there."""
    return False


class AverageShare:
    """A pool in which every object takes its share of a full zspage: no holes."""

    def __init__(self) -> None:
        self.shares, self.footprint, self.length_of = footprint_table().tolist(), 0, []

    @property
    def pages(self) -> int:
        return -(-self.footprint // (PAGE_SIZE << SHARE_BITS))

    def malloc(self, length: int) -> int:
        self.footprint += self.shares[length]
        self.length_of.append(length)
        return len(self.length_of) - 1

    def free(self, handle: int) -> None:
        self.footprint -= self.shares[self.length_of[handle]]

    def to_free(self) -> int:
        return 0


def shrink_now(self: ZswapPool) -> None:
    """The worker has the CPU at once, and until it is done."""
    _queue_work(self)
    self.run_worker(asleep_ns=NO_LIMIT)


def no_second_chance(self: ZswapPool) -> bool:
    """The oldest entry is written back, marked or not."""
    page = next(iter(self.zswap_lru))
    self.zswap_lru.move_to_end(page)
    return self.zswap_writeback_entry(page)


def unprotected(self: ZswapPool) -> int:
    """Reads from disk protect no entry."""
    self.n_disk_swapins = 0
    return _zswap_shrinker_count(self)


def nothing(self: object, *args: object) -> None:
    """Nobody does it."""


_prepare_scan_control = Reclaim.prepare_scan_control
_should_try_to_free_swap = Faults.should_try_to_free_swap
_queue_work = ZswapPool.queue_work
_zswap_shrinker_count = ZswapPool.zswap_shrinker_count


def exact_lru(run: TruthRun, machine: Machine) -> Machine:
    """Build the machine without `kernel=`: exact LRU, in the memory that page tables and slab leave."""
    assert machine.kernel is not None
    pages = machine.dram.capacity_pages - machine.kernel.base_pages - run.trace.n_pages // folios.PAGES_OF_TABLE
    total = f"dram.total_pages={machine.dram.total_pages}"
    return with_settings(machine, ["kernel=none", f"dram.capacity_pages={pages}", total])


def setting(text: str) -> Callable[[TruthRun, Machine], Machine]:
    """Switch by a setting of the machine."""
    return lambda _, machine: with_settings(machine, [text])


@dataclass(frozen=True)
class Switch:
    """How one mechanism is switched off.

    Parameters
    ----------
    title, source : str
        In the kernel's words, and where the kernel has it.
    runs : tuple of str
        Of `data/truth`, where it can matter.
    patches : (owner, name, what stands there instead)
        Of the engine.
    build : callable
        Given a run and its machine, makes the machine without it.
    """

    title: str
    source: str
    runs: tuple[str, ...]
    patches: tuple[tuple[object, str, object], ...] = ()
    build: Callable[[TruthRun, Machine], Machine] = lambda _, machine: machine

    @contextmanager
    def off(self) -> Iterator[None]:
        """Run the engine without it; AttributeError if what it replaces is gone."""
        with ExitStack() as stack:
            for owner, name, instead in self.patches:
                stack.enter_context(patch.object(owner, name, instead))
            yield


FULL = ("zipf_mp10", "phases_mp10")
"""Runs whose pool is full."""

SWITCHES = {
    "lists": Switch(
        "active and inactive list, referenced bits (off: exact LRU)", "mm/vmscan.c shrink_lruvec",
        ("zipf_off", "uniform_off", "zipf_mp20", "zipf_mp10"), build=exact_lru,
    ),
    "refault": Switch(
        "refault distance activates", "mm/workingset.c workingset_refault", ("zipf_mp20", "uniform_off"),
        ((Faults, "workingset_refault", no_activation),),
    ),
    "statistics": Switch(
        "memcg statistics flushed every 2 s (off: exact)", "mm/memcontrol.c mem_cgroup_flush_stats",
        ("zipf_off", "zipf_mp20"), ((Reclaim, "prepare_scan_control", exact_statistics),),
    ),
    "reclaim_batch": Switch(
        "SWAP_CLUSTER_MAX 32 (off: 1)", "mm/vmscan.c try_to_free_mem_cgroup_pages", ("zipf_off", "zipf_mp20"),
        ((vmscan, "CLUSTER_MAX", 1),),
    ),
    "charge_batch": Switch(
        "MEMCG_CHARGE_BATCH 64 (off: 1)", "mm/memcontrol.c try_charge_memcg", ("zipf_mp20", "zipf_mp10"),
        ((memcg, "CHARGE_BATCH", 1),),
    ),
    "lru_add_batch": Switch(
        "lru_add batches of 31 (off: 1)", "mm/swap.c folio_add_lru", ("zipf_mp20", "zipf_mp10_shr"),
        ((folios, "FOLIO_BATCH", 1),),
    ),
    "writeback": Switch(
        "a write to disk takes time (off: freed at once)", "mm/page_io.c swap_writepage", ("zipf_off", "zipf_mp10_shr"),
        ((ZswapPool, "swap_writepage_bdev", write_at_once),),
    ),
    "rotation": Switch(
        "written out, to the tail of the list", "mm/swap.c folio_rotate_reclaimable", ("zipf_off", "zipf_mp10_shr"),
        ((Folios, "end_writeback", stays_in_place),),
    ),
    "readahead_bit": Switch(
        "PG_readahead is PG_reclaim: a fault clears it", "mm/swap_state.c swap_update_readahead",
        ("uniform_off", "zipf_mp20"), ((Faults, "swap_update_readahead", keeps_bit),),
    ),
    "clean_copies": Switch(
        "swapped in, a clean page keeps its slot", "mm/memory.c should_try_to_free_swap", ("zipf_off", "zipf_mp20"),
        ((Faults, "should_try_to_free_swap", frees_always),),
    ),
    "write_keeps": Switch(
        "7.1 and 7.2: a page written to keeps its slot", "mm/memory.c do_swap_page", ("no_zipf_off",),
        ((Faults, "should_try_to_free_swap", frees_on_write),),
    ),
    "half_full": Switch(
        "swap over half full: slots are freed", "mm/swapfile.c vm_swap_full", ("zipf_off",),
        ((Faults, "mem_cgroup_swap_full", never_full),),
    ),
    "zspages": Switch(
        "zspages with holes (off: each object its share)", "mm/zsmalloc.c zs_malloc", FULL,
        ((folios, "ZsPool", AverageShare),),
    ),
    "worker": Switch(
        "the pool's worker runs beside the program (off: at once)", "mm/zswap.c shrink_worker", FULL,
        ((ZswapPool, "queue_work", shrink_now),),
    ),
    "walk_32": Switch(
        "7.3's worker tries 32 entries (off: 1, as 6.12)", "mm/zswap.c shrink_memcg", ("k73_zipf_mp10",),
        build=setting("kernel.zswap_walk=1"),
    ),
    "second_chance": Switch(
        "an entry's second chance", "mm/zswap.c shrink_memcg_cb", ("zipf_mp10_shr",),
        ((ZswapPool, "shrink_memcg_cb", no_second_chance),),
    ),
    "protection": Switch(
        "reads from disk protect entries", "mm/zswap.c zswap_shrinker_count", ("zipf_mp10_shr", "zipf_mp10_shr_mglru"),
        ((ZswapPool, "zswap_shrinker_count", unprotected),),
    ),
    "incompressible": Switch(
        "7.3 stores what does not compress", "mm/zswap.c zswap_compress", ("k73_zipf_mp10", "k73_zipf_mp40_m160_mglru"),
        build=setting("zswap.store_incompressible=false"),
    ),
    "mglru": Switch(
        "MGLRU (off: active and inactive list)", "mm/vmscan.c lru_gen_shrink_lruvec",
        ("zipf_off_mglru", "zipf_mp10_mglru"), build=setting("kernel.lru_gen=false"),
    ),
    "mglru_73": Switch(
        "7.3's MGLRU: promoted at the second access (off: 6.12's)", "mm/vmscan.c lru_gen_set_refs",
        ("k73_zipf_off_mglru", "k73_zipf_mp40_m160_mglru"), ((engines, "LruGen73Vectorised", LruGenVectorised),),
    ),
    "kswapd": Switch(
        "kswapd (off: direct reclaim only)", "mm/page_alloc.c wakeup_kswapd", ("global_zipf_mp20",),
        ((PageAlloc, "wakeup_kswapd", nothing),),
    ),
    "compaction": Switch(
        "reclaim of a node compacts the pool", "mm/zsmalloc.c zs_shrinker_scan", ("global_zipf_mp20",),
        ((ZswapPool, "shrink_zs_pool", nothing),),
    ),
    "cram_lists": Switch(
        "the CRAM node under the kernel's lists (off: exact LRU)", "mm/vmscan.c demote_folio_list",
        ("cram_zipf_noswap", "cram_loop_noswap", "cram128_zipf384_swap"), build=exact_lru,
    ),
}  # fmt: skip
"""Name on the command line to mechanism."""


# Errors ------------------------------------------------------------------------------------------------


@cache
def truth() -> dict[str, TruthRun]:
    """Give the runs of `data/truth` by name."""
    return {run.name: run for folder in FOLDERS for run in read_truth(DATA / folder)}


@cache
def of_boots() -> dict[tuple[str, str], tuple[float, float]]:
    """Give the least and the most of eight boots by run and counter, as far as there is a target for it."""
    files = [DATA / folder / "targets.csv" for folder in FOLDERS]
    known = pl.concat([pl.read_csv(file) for file in files if file.exists()])
    return {(run, name): ends for run, name, *ends in known["run", "counter", "model_low", "model_high"].iter_rows()}


def errors(name: str | None, run_name: str) -> dict[str, float]:
    """Replay a run without a mechanism or (None) with all.

    Returns
    -------
    errors : dict
        Counter to its error, %; ``agreement`` to the accesses with the same outcome, %.
    """
    run = truth()[run_name]
    machine = machine_of(run)
    if name is None:
        return _errors(run, machine)
    with SWITCHES[name].off():
        return _errors(run, SWITCHES[name].build(run, machine))


def _errors(run: TruthRun, machine: Machine) -> dict[str, float]:
    kernel, model = kernel_counters(run), replay(run, machine)
    found = {name: 100 * (model.counters[name] / kernel[name] - 1) for name in COUNTERS if kernel.get(name, 0) >= FEW}
    if run.code is not None and model.code is not None:
        found["agreement"] = 100 * agreement(run.code, model.code)
    return found


def table(names: Iterable[str], jobs: int = 1) -> pl.DataFrame:
    """Give one row per mechanism, run and counter: ``SCHEMA``, and the ``effect``.

    The kernel's count is null for ``agreement``, whose other numbers are % of the accesses, not errors.
    """
    pairs = [(name, run) for name in names for run in SWITCHES[name].runs]
    tasks = [*dict.fromkeys((None, run) for _, run in pairs), *pairs]
    with new_pool(jobs) as pool:
        going = {task: pool.submit(errors, *task) for task in tasks}
        found = {}
        for task, future in going.items():
            found[task] = future.result()
            print(f"{len(found)} of {len(tasks)}: {task[1]} without {task[0] or 'nothing'}", file=sys.stderr)
    rows = [row for name, run in pairs for row in _rows(name, run, found[name, run], found[None, run])]
    return pl.DataFrame(rows, SCHEMA, orient="row").with_columns(effect=EFFECT)


def _rows(name: str, run: str, without: dict[str, float], with_it: dict[str, float]) -> Iterator[tuple[object, ...]]:
    kernel, words = kernel_counters(truth()[run]), (name, SWITCHES[name].title, SWITCHES[name].source)
    for counter, error in with_it.items():
        n, ends = kernel.get(counter), of_boots().get((run, counter), (None, None))
        boots = [None if end is None else 100 * (end if n is None else end / n - 1) for end in ends]
        numbers = [None if x is None else round(x, 2) for x in (without[counter], error, *boots)]
        yield *words, run, counter, n, *numbers


# What it prints ------------------------------------------------------------------------------------------

LEAST = 0.1
"""Percent below which a change is none."""
MOVED = (pl.col("without") - pl.col("with")).abs()
GAIN = (pl.col("without").abs() - pl.col("with").abs()).abs()
IS_SAME = (MOVED < LEAST) | pl.col("without").is_between("boots_low", "boots_high").fill_null(False)
IS_NEARER = (
    pl.when(pl.col("counter") == "agreement")
    .then(pl.col("with") > pl.col("without"))
    .otherwise(pl.col("with").abs() < pl.col("without").abs())
)
EFFECT = pl.when(IS_SAME).then(pl.lit("same")).when(IS_NEARER).then(pl.lit("nearer")).otherwise(pl.lit("further"))
"""What the mechanism does to a counter: the model is nearer to the kernel with it, further from it, or within boots."""


def picked(found: pl.DataFrame) -> pl.DataFrame:
    """Keep the counters of each mechanism and run whose error changes most, and the agreement."""
    is_counter = pl.col("counter") != "agreement"
    ranked = found.with_row_index("at").sort(is_counter, IS_SAME, GAIN, descending=[False, False, True])
    return ranked.group_by("mechanism", "run").head(SHOWN + 1).sort("at").drop("at")


def markdown(found: pl.DataFrame) -> str:
    """Lay the table out, and say which mechanisms move nothing."""
    head = "| mechanism | source | run | counter | kernel | without | with | eight boots | with it |"
    lines = [head, "|---|---|---|---|--:|--:|--:|--:|---|"]
    for row in picked(found).iter_rows(named=True):
        kernel = "" if row["kernel"] is None else f"{row['kernel']:,.0f}"
        cells = [row["title"], row["source"], row["run"], row["counter"], kernel]
        boots = "" if row["boots_low"] is None else f"{_percent(row, 'boots_low')} to {_percent(row, 'boots_high')}"
        cells += [_percent(row, "without"), _percent(row, "with"), boots, row["effect"]]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", *_quiet(found)])


def _percent(row: dict[str, float], name: str) -> str:
    return format(row[name], ".2f" if row["counter"] == "agreement" else "+.2f")


def _quiet(found: pl.DataFrame) -> list[str]:
    lines = [
        "Errors in % of the kernel's count, agreement in % of the accesses; eight boots: with the mechanism, if known.",
        "same: without it the error is within that, or 0.1 away; else the model is nearer with it, or further off.",
    ]
    for (title,), rows in found.group_by("title", maintain_order=True):
        if not rows.select((MOVED > 0).any()).item():
            lines.append(f"Changes nothing in these runs: {title}.")
        elif rows.select(IS_SAME.all()).item():
            lines.append(f"Moves nothing in these runs that boots do not move as far: {title}.")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description="The error without each mechanism of the kernel engine, and with it.")
    parser.add_argument("mechanism", nargs="*", help=f"default: all of {', '.join(SWITCHES)}")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--csv", type=Path)
    given = parser.parse_args()
    if unknown := set(given.mechanism) - set(SWITCHES):
        parser.error(f"no mechanism {', '.join(sorted(unknown))}: choose from {', '.join(SWITCHES)}")
    found = table(given.mechanism or SWITCHES, given.jobs)
    if given.csv is not None:
        found.write_csv(given.csv)
    print(markdown(found))


if __name__ == "__main__":
    main()
