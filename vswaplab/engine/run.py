"""Run a trace on a machine: windows, batches, and the tables that come out."""

from __future__ import annotations

import importlib.metadata
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import cache

import numpy as np
import polars as pl

from vswaplab.base.checks import one_of, whole
from vswaplab.base.interrupts import Interrupts
from vswaplab.base.progress import check_report
from vswaplab.base.units import PAGE_SIZE
from vswaplab.engine.kernel import kernel_reference, kernel_vectorised
from vswaplab.engine.outcome import Engine, Occupancy
from vswaplab.engine.pages import FinalPages
from vswaplab.engine.plan import Plan, check_run, make_plan
from vswaplab.engine.reference import Reference
from vswaplab.engine.timeline import Timeline
from vswaplab.engine.vectorised import Vectorised
from vswaplab.engine.zsmalloc import SHARE_BITS
from vswaplab.machine.config import Machine
from vswaplab.machine.swapoff import Swapoff
from vswaplab.results.counters import TIMES
from vswaplab.results.prices import add_times
from vswaplab.results.result import Result
from vswaplab.trace.files import TraceFile
from vswaplab.trace.trace import Trace, Workload

Progress = Callable[[int, int], None]
"""Called with the accesses done and their total, after every window."""

DEFAULT_EPOCHS = 200

_SHORT = 0.1  # seconds that one call of an engine should not exceed, so that Ctrl-C is heard soon


ENGINES: dict[str, Callable[[Plan, Workload], Engine]] = {"vectorised": Vectorised, "reference": Reference}
KERNEL_ENGINES: dict[str, Callable[[Plan, Workload], Engine]] = {
    "vectorised": kernel_vectorised,
    "reference": kernel_reference,
}
"""The same for a machine that reclaims as a kernel does."""


def simulate(
    trace: Trace | TraceFile,
    machine: Machine,
    *,
    seed: int = 0,
    engine: str = "vectorised",
    batch_size: int | None = None,
    epoch_accesses: int | None = None,
    events: Sequence[Swapoff] = (),
    progress: Progress | None = None,
) -> Result:
    """Run a trace on a machine.

    Parameters
    ----------
    trace : Trace or TraceFile
        A trace larger than memory comes from ``vl.open_trace``: one piece of
        it is in memory at a time, and the result is the same.
    machine : Machine
    seed : int
        Of the draws that writes make, from 0 to 2**63 - 1; results depend on
        nothing else random.
    engine : {"vectorised", "reference"}
        Both give the same result, bit for bit.
    batch_size : accesses
        How many are handed to the engine at once, at most. A speed setting: it
        changes no number. Default: what the engine does in a moment.
    epoch_accesses : accesses
        Length of a reporting window; default: 200 windows.
    events : sequence of ``vl.swapoff(...)``
        Devices taken away in the middle of the run; ``result.events`` says
        what that took.
    progress : callable
        Called as ``progress(done, total)`` after every window.

    Returns
    -------
    result : Result
        If memory ran out, ``totals["oom"]`` is 1 and the result ends before
        the access (or the event) that found no frame. After Ctrl-C, which is
        heard between two steps of the engine, it ends where that step did,
        its last window is shorter, and ``provenance["partial"]`` is true; a
        second Ctrl-C goes through.

    Raises
    ------
    InputError
        An unknown engine, a batch or window below 1, a trace whose corpus
        lacks the column a profile needs, an event that the machine cannot have.
    """
    check_run(trace, machine)
    check_report(progress)
    one_of("engine", engine, tuple(ENGINES))
    total = len(trace)
    timeline = Timeline(events, machine, trace)
    window = -(-total // DEFAULT_EPOCHS) if epoch_accesses is None else whole("epoch_accesses", epoch_accesses, 1)
    batch = window if batch_size is None else whole("batch_size", batch_size, 1)
    plan = make_plan(trace, machine, seed)
    notes = _notes(trace, machine)
    runner = make_engine(plan, trace, engine)
    recorder = _Recorder(runner)
    with Interrupts() as interrupts:
        for start, _, done in windows(runner, trace, machine, window, batch, timeline, interrupts):
            recorder.record(start, done)
            if progress is not None:
                _report(progress, done, total, interrupts)
        final = FinalPages(runner, machine)
    if interrupts.noted:
        warnings.warn(f"interrupted: the result ends before access {recorder.stop:,} of {total:,}", stacklevel=2)
    provenance: dict[str, object] = {
        "vswaplab": _version(),
        "numpy": np.__version__,
        "polars": pl.__version__,
        "trace": trace.name,
        "trace_title": trace.title,
        "trace_digest": trace.digest,
        "contents_made_up": trace.corpus.is_made_up,
        "n_accesses": total,
        "n_pages": trace.n_pages,
        "machine": machine.to_dict(),
        "seed": plan.seed,
        "events": [asdict(event) for event in events],
        "engine": engine,
        "partial": interrupts.noted,
        "notes": notes,
    }
    return recorder.result(machine, final, timeline.table(), provenance)


def make_engine(plan: Plan, trace: Workload, name: str) -> Engine:
    """Make the engine of that name in ``ENGINES``: the kernel's if the machine reclaims as a kernel does."""
    return (KERNEL_ENGINES if plan.kernel else ENGINES)[name](plan, trace)


@cache
def _version() -> str:
    return importlib.metadata.version("vswaplab")


def _report(progress: Progress, done: int, total: int, interrupts: Interrupts) -> None:
    try:
        progress(done, total)
    except KeyboardInterrupt:  # between two windows nothing is half done
        interrupts.noted = True


def windows(
    runner: Engine,
    trace: Workload,
    machine: Machine,
    window: int,
    batch: int | None = None,
    timeline: Timeline | None = None,
    interrupts: Interrupts | None = None,
) -> Iterator[tuple[int, int, int]]:
    """Run a trace window by window.

    Yields
    ------
    start, stop, done : access index
        ``done`` is the first access not processed; below ``stop`` the run is
        over: memory ran out, or Ctrl-C was noted.
    """
    interrupts = interrupts or Interrupts()
    timeline = timeline or Timeline((), machine, trace)
    driver = _Driver(runner, trace, timeline, batch or window, interrupts)
    for start in range(0, len(trace), window):
        stop = min(start + window, len(trace))
        done = driver.run_window(start, stop)
        if done > start or not interrupts.noted:
            yield start, stop, done
        if done < stop:
            return


class _Driver:
    # Calls an engine: up to the next event, the end of a piece, or as far as lasts a moment, so that Ctrl-C is heard.

    def __init__(self, runner: Engine, trace: Workload, timeline: Timeline, batch: int, interrupts: Interrupts) -> None:
        self.runner, self.timeline, self.batch, self.interrupts = runner, timeline, batch, interrupts
        is_in_memory = isinstance(trace, Trace)  # then the engine has it already
        self.pieces = iter(()) if is_in_memory else trace.pieces()
        self.fed = len(trace) if is_in_memory else 0  # the first access that the engine lacks
        self.step = min(1 << 10, runner.most_accesses)

    def run_window(self, start: int, stop: int) -> int:
        """Process accesses start..stop-1; return the index of the first one not processed."""
        at = start
        while not self.interrupts.noted and (at == stop or self._feed(at)):
            self.timeline.apply(self.runner, at, stop)
            if at == stop or self.runner.count["oom"]:
                return at
            end = min(at + self.batch, at + self.step, stop, self.timeline.next_at, self.fed)
            done = self._call(at, end)
            if done < end:
                return done
            at = end
        return at

    def _feed(self, at: int) -> bool:
        # Whether access ``at`` could be brought into memory: not if polars, which hears Ctrl-C itself, broke off.
        try:
            while self.fed <= at:
                piece = next(self.pieces)
                self.runner.feed(piece)
                self.fed = piece.start + len(piece)
        except KeyboardInterrupt:
            self.interrupts.noted = True
            return False
        return True

    def _call(self, at: int, end: int) -> int:
        began = time.perf_counter()
        done = self.runner.run(at, end)
        took = time.perf_counter() - began
        if took > _SHORT:
            self.step = max(1, (end - at) // 2)
        elif took < _SHORT / 2:
            self.step = min(2 * self.step, self.runner.most_accesses)
        return done


def _notes(trace: Workload, machine: Machine) -> list[str]:
    kept = machine.dram.capacity_pages - machine.dram.high_pages
    if trace.recorder_k and kept <= trace.recorder_k:
        note = (
            f"trace {trace.name!r} was reduced in blocks of {trace.recorder_k} pages: its misses are exact only while "
            f"dram.capacity_pages - dram.high exceeds that, here {kept}; give the machine more DRAM"
        )
        warnings.warn(note, stacklevel=3)
        return [note]
    others = [f"{name} {policy!r}" for name, policy in machine.policies.items() if policy != "lru"]
    if trace.recorder_k and others:
        return [
            f"trace {trace.name!r} was reduced in blocks of {trace.recorder_k} pages, which only LRU does not notice: "
            f"under {' and '.join(others)} a repeated touch counts up to a block too early"
        ]
    return []


class _Recorder:
    # Collects one row of counters per window, and the tiers' occupancy at its end.

    def __init__(self, runner: Engine) -> None:
        self.runner = runner
        self.names = [*runner.count]
        self.names += [f"{way}_{d}" for d in range(len(runner.device_in)) for way in ("pswpin", "pswpout")]
        self.spans: list[tuple[int, int]] = []
        self.rows: list[list[int]] = []
        self.occupancies: list[Occupancy] = []

    def record(self, start: int, stop: int) -> None:
        runner = self.runner
        devices = [n for pair in zip(runner.device_in, runner.device_out, strict=True) for n in pair]
        self.spans.append((start, stop))
        self.rows.append([*runner.count.values(), *devices])
        self.occupancies.append(runner.occupancy())

    @property
    def stop(self) -> int:
        """The first access not recorded."""
        return self.spans[-1][1] if self.spans else 0

    def result(
        self, machine: Machine, final: FinalPages, events: pl.DataFrame, provenance: dict[str, object]
    ) -> Result:
        rows = np.array(self.rows, np.int64).reshape(-1, len(self.names))
        spans = np.array(self.spans, np.int64).reshape(-1, 2)
        columns = {"epoch": np.arange(len(rows)), "start": spans[:, 0], "stop": spans[:, 1]}
        counters = np.diff(rows, axis=0, prepend=0)
        columns |= {name: counters[:, i] for i, name in enumerate(self.names)}
        epochs = add_times(_by_kind_of_device(pl.DataFrame(columns), len(machine.swapfiles)), machine)
        totals = {name: int(epochs[name].sum()) for name in (*self.runner.count, *TIMES)}
        return Result(totals, epochs, _tier_frame(spans[:, 1], self.occupancies, machine), final, events, provenance)


def _by_kind_of_device(epochs: pl.DataFrame, n_files: int) -> pl.DataFrame:
    # pswpin and pswpout count all swap devices, as the kernel does; zram is the one behind the swapfiles.
    sums = []
    for way in ("pswpin", "pswpout"):
        of_files = [f"{way}_{d}" for d in range(n_files)]
        total = pl.sum_horizontal(pl.lit(0, pl.Int64), *of_files)
        sums += [total.alias(f"{way}_swapfile"), (pl.col(way) - total).alias(f"{way}_zram")]
    return epochs.with_columns(sums)


def _tier_frame(stops: np.ndarray, occupancies: list[Occupancy], machine: Machine) -> pl.DataFrame:
    rows = [
        (epoch, int(stop), *row)
        for epoch, (stop, seen) in enumerate(zip(stops, occupancies, strict=True))
        for row in _tier_rows(seen, machine)
    ]
    schema = {"epoch": pl.Int64, "access": pl.Int64, "tier": pl.String}
    schema |= dict.fromkeys(_TIER_COLUMNS, pl.Int64)
    return pl.DataFrame(rows, schema=schema, orient="row")


_TIER_COLUMNS = (
    "pages", "stored_bytes", "media_bytes", "multi_state_pages", "writable_pages", "zombie_pages", "balloon_pages",
)  # fmt: skip


def _tier_rows(seen: Occupancy, machine: Machine) -> list[tuple[str | int, ...]]:
    resident, on_disk = seen.resident * PAGE_SIZE, seen.swapped * PAGE_SIZE
    rows: list[tuple[str | int, ...]] = [("DRAM", seen.resident, resident, resident), ("ZERO", seen.zero, 0, 0)]
    if machine.cram is not None:
        states = (seen.multi_state, seen.writable, seen.zombies, seen.balloon)
        rows.append(("CRAM", seen.cram, seen.cram_bytes, seen.cram_media_bytes, *states))
    if machine.zswap is not None:
        rows.append(("zswap", seen.zswap, seen.zswap_bytes, _whole_bytes(seen.zswap_footprint)))
    if machine.zram is not None:
        rows.append(("zram", seen.zram, seen.zram_bytes, _whole_bytes(seen.zram_footprint)))
    for store, (pages, n_bytes) in zip(machine.stores, seen.stores, strict=True):
        rows.append((store.name, pages, n_bytes, n_bytes))
    if machine.swapfiles:
        rows.append(("swapfile", seen.swapped, on_disk, sum(seen.slots[: len(machine.swapfiles)]) * PAGE_SIZE))
    return [(*row, *[0] * (1 + len(_TIER_COLUMNS) - len(row))) for row in rows]


def _whole_bytes(footprint: int) -> int:
    return -(-footprint >> SHARE_BITS)
