"""The runs of real kernels, and the same runs in the model, from their configuration.

Two numbers are readings and not settings: the 0.52 MiB of memory.max that go to page tables and slab, and the DRAM
that a CRAM guest had free before the fill (``dram_free_pages_at_start``); ``whole_node`` does without the second.

A trace is made of whole numbers only, so the same arguments give the same bits everywhere; ``runs.json`` and
``cram_runs.json`` hold the SHA-256 of what the kernel replayed. Before the trace, a kernel run writes every page once,
in page order: the fill.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

import vswaplab as vl

DATA = Path(__file__).resolve().parents[2] / "data" / "truth" / "vswap"
PAGE = 4096
WINDOW = 16_384
"""Accesses of a reporting window: the fill of every run is a whole number of them."""

Words = NDArray[np.uint64]
Run = Mapping[str, Any]


def runs(name: str) -> dict[str, Run]:
    """Read the runs of one file by their names."""
    table = json.loads((DATA / name).read_text(encoding="utf-8"))["runs"]
    return {run["run"]: run for run in table}


def table(name: str) -> pl.DataFrame:
    """Read one table of measurements."""
    return pl.read_csv(DATA / name, infer_schema_length=None)


# Traces ---------------------------------------------------------------------------------------


def _word(value: int) -> np.uint64:
    return np.uint64(value & (1 << 64) - 1)


def _mix(words: Words) -> Words:
    # splitmix64: a step, then two rounds of shift and multiply; all of it modulo 2**64
    mixed = words + _word(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ mixed >> _word(shift)) * _word(factor)
    return mixed ^ mixed >> _word(31)


def _draws(seed: int, n: int, stream: int) -> Words:
    # n whole numbers below 2**32; each stream of a seed is one purpose
    origin = _mix(np.array([seed * 16 + stream], np.uint64))
    return _mix(origin + np.arange(n, dtype=np.uint64)) >> _word(32)


def _scaled(draws: Words, n: int) -> NDArray[np.int64]:
    # 32-bit draws to 0..n-1
    return (draws * _word(n) >> _word(32)).astype(np.int64)


class _Maker(NamedTuple):
    n_pages: int
    n_acc: int
    seed: int

    def draws(self, stream: int, n: int) -> NDArray[np.int64]:
        return _scaled(_draws(self.seed, self.n_acc, stream), n)

    @property
    def order(self) -> NDArray[np.int64]:
        return np.argsort(_draws(self.seed, self.n_pages, 1), kind="stable")

    def uniform(self) -> NDArray[np.int64]:
        return self.draws(2, self.n_pages)

    def loop(self) -> NDArray[np.int64]:
        return np.arange(self.n_acc) % self.n_pages

    def zipf(self) -> NDArray[np.int64]:
        # the r-th page of a shuffled order weighs 2**24 // r
        upto = np.cumsum((1 << 24) // np.arange(1, self.n_pages + 1))
        return self.order[np.searchsorted(upto, self.draws(2, int(upto[-1])), side="right")]

    def phases(self) -> NDArray[np.int64]:
        # 95 of 100 go to a window of three tenths, which moves by half of itself eight times; the others anywhere
        width = self.n_pages * 3 // 10
        start = np.arange(self.n_acc) // (self.n_acc // 8) * (width // 2)
        near = self.order[(start + self.draws(2, width)) % self.n_pages]
        return np.where(self.draws(3, 100) < 5, self.draws(4, self.n_pages), near)


@cache
def accesses(kind: str, n_pages: int, n_acc: int, seed: int, write_pct: int) -> NDArray[np.uint32]:
    """Make the accesses that a kernel replayed: page number, with bit 31 set for a write."""
    maker = _Maker(n_pages, n_acc, seed)
    makers: dict[str, Callable[[], NDArray[np.int64]]] = {
        "uniform": maker.uniform,
        "loop": maker.loop,
        "zipf": maker.zipf,
        "phases": maker.phases,
    }
    is_write = maker.draws(5, 100) < write_pct
    return makers[kind]().astype(np.uint32) | is_write.astype(np.uint32) << np.uint32(31)


def sha256(packed: NDArray[np.uint32]) -> str:
    return hashlib.sha256(packed.astype("<u4").tobytes()).hexdigest()


def accesses_of(run: Run) -> NDArray[np.uint32]:
    """Make the accesses of a run."""
    return accesses(**{name: value for name, value in run["trace"].items() if name != "sha256"})


def content_classes(n_pages: int, percent: tuple[int, ...], seed_class: int) -> NDArray[np.int64]:
    """Give each page its content class, drawn by these shares."""
    hundredth = _mix(_word(seed_class) + np.arange(n_pages, dtype=np.uint64)) % _word(100)
    return np.searchsorted(np.cumsum(percent), hundredth.astype(np.int64), side="right")


@cache
def corpus() -> vl.Corpus:
    """Make a corpus with a row for each content class, as large as the kernel's lzo made it."""
    stored = table("calibration.csv")["stored_bytes_per_page"]
    is_zero = stored.is_null()  # never reaches the compressor
    return vl.Corpus(pl.DataFrame({"is_zero": is_zero, "lzo_4k": stored.fill_null(64).cast(pl.UInt16)}))


def trace_of(run: Run) -> vl.Trace:
    """Make the trace of a run: the fill, then the accesses."""
    return _trace(json.dumps(run["trace"]), tuple(run["class_percent"]), run["seed_class"])


@cache
def _trace(trace: str, percent: tuple[int, ...], seed_class: int) -> vl.Trace:
    settings = json.loads(trace)
    packed, n_pages = accesses_of({"trace": settings}), settings["n_pages"]
    page = np.r_[np.arange(n_pages), packed & 0x7FFFFFFF]
    op = np.r_[np.ones(n_pages, np.uint8), (packed >> 31).astype(np.uint8)]
    content = content_classes(n_pages, percent, seed_class)
    return vl.Trace(page, op, n_pages=n_pages, content=content, corpus=corpus(), name=settings["kind"])


# Machines -------------------------------------------------------------------------------------

KERNEL_BYTES = 545_259
"""0.52 MiB of memory.max go to page tables and slab, in every run."""


def swapfiles(run: Run) -> list[vl.Swapfile]:
    # slot 0 of a device is its header
    mebibytes = run["swap_device_mib"]
    return [vl.Swapfile(capacity_slots=mebibytes * 256 - 1)] if mebibytes else []


def zswap(run: Run) -> vl.Zswap | None:
    """Set the pool up as a run did; the dynamic shrinker is not modelled, so it stays off."""
    if run["zswap"] is None:
        return None
    settings = run["zswap"] | {"shrinker_enabled": False}
    return vl.Zswap(**settings, writeback=run["zswap_writeback"])


def total_pages(run: Run) -> int:
    """MemTotal in pages; of a run that was killed, that of the same guest in a run that was not."""
    guest = ("guest_ram_mib", "vcpus", "vswap")
    same = (other["totalram_pages"] for other in RUNS.values() if all(other[k] == run[k] for k in guest))
    return run["totalram_pages"] or next(filter(None, same))


def machine(run: Run, **changes: object) -> vl.Machine:
    """Build the machine of a vswap run: a group under memory.max."""
    swap_max = run["swap_max"]
    settings = {
        "dram": vl.Dram((run["memory_max"] - KERNEL_BYTES) // PAGE, total_pages=total_pages(run), charge="memcg"),
        "zswap": zswap(run),
        "swapfiles": swapfiles(run),
        "swap_max_slots": None if swap_max is None else swap_max // PAGE,
        "layer": "swap-table" if run["vswap"] else "none",
    }
    return vl.Machine(**settings | changes)


def cram(run: Run) -> vl.Cram | None:
    """Set up a node of plain RAM: 4096 bytes a page, capacity in pages, pressure only from its driver."""
    size = run["cram_mib"] << 20
    if not size:
        return None
    gate = 1 - run["cram_pressure"] / 1000
    node_low, node_high = node_marks(run)
    return vl.Cram(
        media_bytes=size, profile="none", mode="tier", close_at=gate, open_at=gate, node_low=node_low,
        node_high=node_high, writeback_high=1.0, writeback_low=1.0,
    )  # fmt: skip


def node_marks(run: Run) -> tuple[int, int]:
    """Give the low and high watermark of the node's kswapd, in pages.

    mm/page_alloc.c, __setup_per_zone_wmarks: min_free_kbytes is the root of 16 x the memory in KiB, shared out
    by size; low and high lie a quarter above each other.
    """
    node = run["cram_mib"] << 8
    memory = (run["dram_mib"] + run["cram_mib"]) * 1024
    least = int((memory * 16) ** 0.5 / 4 * node * 4 / memory)
    return least * 5 // 4, least * 6 // 4


def whole_node(run: Run) -> vl.Dram:
    """Take the whole DRAM node for the workload, as if the guest's kernel needed none of it: a setting, no reading."""
    return vl.Dram(int(run["dram_mib"] * 256), charge="host")


def cram_machine(run: Run, **changes: object) -> vl.Machine:
    """Build the machine of a CRAM run: a host, of whose DRAM node the workload gets what was free before it."""
    if run["memory_max"] is None:
        dram = vl.Dram(run["dram_free_pages_at_start"], charge="host")
    else:
        dram = vl.Dram((run["memory_max"] - KERNEL_BYTES) // PAGE, charge="memcg")
    return vl.Machine(**{"dram": dram, "cram": cram(run), "swapfiles": swapfiles(run)} | changes)


# Runs of the model ----------------------------------------------------------------------------


class Modelled(NamedTuple):
    """What a run of the model left."""

    result: vl.Result
    n_pages: int

    @property
    def totals(self) -> dict[str, int]:
        return self.result.totals

    @property
    def is_oom(self) -> bool:
        return bool(self.totals["oom"])

    def after_fill(self, *names: str) -> int:
        """Sum counters from the end of the fill on."""
        rows = self.result.epochs.filter(pl.col("start") >= self.n_pages)
        return int(sum(rows[name].sum() for name in names))

    def tier(self, name: str) -> int:
        """Give the pages of a tier at the end; 0 if the machine has no such tier."""
        rows = self.result.tiers.filter(tier=name)
        return int(rows["pages"][-1]) if rows.height else 0


def model(run: Run, build: vl.Machine | None = None, *, swapoff: bool = False) -> Modelled:
    """Simulate a run on its machine, or on another, and take its device away at the end if asked.

    Runs with the same trace and machine share one simulation. memory.max stays as it is.
    """
    trace = trace_of(run)
    made = build or (cram_machine(run) if "cram_mib" in run else machine(run))
    key = trace.digest, json.dumps(made.to_dict()), swapoff
    if key not in _DONE:
        events = [vl.swapoff(at=len(trace))] if swapoff else []
        _DONE[key] = vl.simulate(trace, made, epoch_accesses=WINDOW, events=events)
    return Modelled(_DONE[key], trace.n_pages)


_DONE: dict[tuple[str, str, bool], vl.Result] = {}


RUNS = runs("runs.json")
CRAM_RUNS = runs("cram_runs.json")
