"""Run a trace on a machine: windows, batches, and the tables that come out."""

from __future__ import annotations

import importlib.metadata
import warnings
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import polars as pl

from vswaplab.base.backing import BACKING_OF_STATE, MAPPING_OF_STATE, Backing, State
from vswaplab.base.errors import InputError
from vswaplab.base.units import PAGE_SIZE
from vswaplab.engine.outcome import Occupancy, PageTable
from vswaplab.engine.plan import Plan, make_plan
from vswaplab.engine.reference import Reference
from vswaplab.engine.vectorised import Vectorised
from vswaplab.engine.zsmalloc import SHARE_BITS
from vswaplab.machine.config import Machine
from vswaplab.results.counters import COUNTER_NAMES, TIMES
from vswaplab.results.prices import add_times
from vswaplab.results.result import Result
from vswaplab.trace.trace import Trace

Progress = Callable[[int, int], None]
"""Called with the accesses done and their total, after every window."""

DEFAULT_EPOCHS = 200


class _Engine(Protocol):
    count: dict[str, int]
    device_in: list[int]
    device_out: list[int]

    def __init__(self, plan: Plan, trace: Trace) -> None: ...

    def run(self, start: int, stop: int) -> int: ...

    def occupancy(self) -> Occupancy: ...

    def page_table(self) -> PageTable: ...


ENGINES: dict[str, type[_Engine]] = {"vectorised": Vectorised, "reference": Reference}


def simulate(
    trace: Trace,
    machine: Machine,
    *,
    seed: int = 0,
    engine: str = "vectorised",
    batch_size: int | None = None,
    epoch_accesses: int | None = None,
    events: Sequence[object] = (),
    progress: Progress | None = None,
) -> Result:
    """Run a trace on a machine.

    Parameters
    ----------
    trace : Trace
    machine : Machine
    seed : int
        Of the draws that writes make; results depend on nothing else random.
    engine : {"vectorised", "reference"}
        Both give the same result, bit for bit.
    batch_size : accesses
        How many are handed to the engine at once. A speed setting: it changes
        no number. Default: a whole window.
    epoch_accesses : accesses
        Length of a reporting window; default: 200 windows.
    events : sequence
        What happens to the machine in the middle of a run: nothing in this
        version, so it must be empty.
    progress : callable
        Called as ``progress(done, total)`` after every window.

    Returns
    -------
    result : Result
        If memory ran out, ``totals["oom"]`` is 1 and the result ends before
        the access that found no frame. After Ctrl-C the finished windows are
        kept and ``provenance["partial"]`` is true.

    Raises
    ------
    InputError
        An unknown engine, a batch or window below 1, a trace whose corpus
        lacks the column a profile needs.
    """
    if not isinstance(trace, Trace):
        raise InputError(f"trace must be a vl.Trace, got {trace!r}: read one with vl.load_trace")
    if not isinstance(machine, Machine):
        raise InputError(f"machine must be a vl.Machine, got {machine!r}: make one, or take vl.preset(name, n_pages)")
    if engine not in ENGINES:
        raise InputError(f"engine must be one of {', '.join(ENGINES)}, got {engine!r}")
    if events:
        raise InputError(f"events has {len(events)} entries: this version models none, leave it out")
    total = len(trace)
    window = _positive("epoch_accesses", epoch_accesses, -(-total // DEFAULT_EPOCHS))
    batch = _positive("batch_size", batch_size, window)
    plan = make_plan(trace, machine, _seed(seed))
    notes = _notes(trace, machine)
    runner = ENGINES[engine](plan, trace)
    recorder = _Recorder(runner)
    partial = False
    try:
        for start in range(0, total, window):
            stop = min(start + window, total)
            done = _run_window(runner, start, stop, batch)
            recorder.record(start, done)
            if progress is not None:
                progress(done, total)
            if done < stop:
                break
    except KeyboardInterrupt:
        partial = True
        warnings.warn("interrupted: the result ends with the last finished window", stacklevel=2)
    provenance: dict[str, object] = {
        "vswaplab": importlib.metadata.version("vswaplab"),
        "numpy": np.__version__,
        "polars": pl.__version__,
        "trace": trace.name,
        "trace_title": trace.title,
        "trace_digest": trace.digest,
        "n_accesses": total,
        "n_pages": trace.n_pages,
        "machine": machine.to_dict(),
        "seed": seed,
        "engine": engine,
        "partial": partial,
        "notes": notes,
    }
    return recorder.result(machine, provenance)


def _run_window(runner: _Engine, start: int, stop: int, batch: int) -> int:
    for at in range(start, stop, batch):
        end = min(at + batch, stop)
        done = runner.run(at, end)
        if done < end:
            return done
    return stop


def _positive(name: str, value: int | None, default: int) -> int:
    if value is None:
        return default
    number = value.__index__() if hasattr(value, "__index__") and not isinstance(value, bool) else 0
    if number < 1:
        raise InputError(f"{name} must be a whole number of at least 1, got {value!r}")
    return number


def _seed(seed: int) -> int:
    if isinstance(seed, bool) or not hasattr(seed, "__index__") or seed < 0:
        raise InputError(f"seed must be a whole number of at least 0, got {seed!r}")
    return seed.__index__()


def _notes(trace: Trace, machine: Machine) -> list[str]:
    kept = machine.dram.capacity_pages - machine.dram.high_pages
    if trace.recorder_k and kept <= trace.recorder_k:
        note = (
            f"trace {trace.name!r} was reduced in blocks of {trace.recorder_k} pages: its misses are exact only while "
            f"dram.capacity_pages - dram.high exceeds that, here {kept}; give the machine more DRAM"
        )
        warnings.warn(note, stacklevel=3)
        return [note]
    return []


class _Recorder:
    # Collects one row of counters per window, and the tiers' occupancy at its end.

    def __init__(self, runner: _Engine) -> None:
        self.runner = runner
        self.names = [*COUNTER_NAMES]
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

    def result(self, machine: Machine, provenance: dict[str, object]) -> Result:
        rows = np.array(self.rows, np.int64).reshape(-1, len(self.names))
        spans = np.array(self.spans, np.int64).reshape(-1, 2)
        columns = {"epoch": np.arange(len(rows)), "start": spans[:, 0], "stop": spans[:, 1]}
        counters = np.diff(rows, axis=0, prepend=0)
        columns |= {name: counters[:, i] for i, name in enumerate(self.names)}
        epochs = add_times(pl.DataFrame(columns), machine)
        totals = {name: int(epochs[name].sum()) for name in (*COUNTER_NAMES, *TIMES)}
        pages = _page_frame(self.runner.page_table())
        return Result(totals, epochs, _tier_frame(spans[:, 1], self.occupancies, machine), pages, provenance)


def _tier_frame(stops: np.ndarray, occupancies: list[Occupancy], machine: Machine) -> pl.DataFrame:
    rows = [
        (epoch, int(stop), *row)
        for epoch, (stop, seen) in enumerate(zip(stops, occupancies, strict=True))
        for row in _tier_rows(seen, machine)
    ]
    schema = {"epoch": pl.Int64, "access": pl.Int64, "tier": pl.String}
    schema |= dict.fromkeys(("pages", "stored_bytes", "media_bytes", "multi_state_pages"), pl.Int64)
    return pl.DataFrame(rows, schema=schema, orient="row")


def _tier_rows(seen: Occupancy, machine: Machine) -> list[tuple[str, int, int, int, int]]:
    resident = seen.resident * PAGE_SIZE
    rows = [("DRAM", seen.resident, resident, resident, 0), ("ZERO", seen.zero, 0, 0, 0)]
    if machine.cram is not None:
        rows.append(("CRAM", seen.cram, seen.cram_bytes, seen.cram_media_bytes, seen.multi_state))
    if machine.zswap is not None:
        footprint = -(-seen.zswap_footprint >> SHARE_BITS)
        rows.append(("zswap", seen.zswap, seen.zswap_bytes, footprint, 0))
    if machine.swapfiles:
        rows.append(("swapfile", seen.swapped, seen.swapped * PAGE_SIZE, sum(seen.slots) * PAGE_SIZE, 0))
    return rows


def _page_frame(table: PageTable) -> pl.DataFrame:
    is_resident = table.state == State.RESIDENT
    backing = np.array([BACKING_OF_STATE.get(s, Backing.NONE) for s in State], np.uint8)[table.state]
    backing[is_resident & table.clean] = Backing.SWAPFILE
    mappings = [MAPPING_OF_STATE.get(s) for s in State]
    return pl.DataFrame(
        {
            "page": np.arange(table.state.size),
            "is_resident": is_resident,
            "backing": pl.Series(backing).replace_strict({b.value: b.name for b in Backing}, return_dtype=pl.String),
            "mapping": pl.Series(table.state).replace_strict(
                {s.value: mappings[s] for s in State}, return_dtype=pl.String
            ),
            "stored_bytes": table.stored_bytes,
            "swap_device": _null_below_zero(table.slot),
            "copy": pl.Series(np.where(table.slot < 0, 0, np.where(table.clean, 2, 1))).replace_strict(
                {0: None, 1: "stale", 2: "valid"}, return_dtype=pl.String
            ),
            "content": table.content,
            "mappers": table.mappers,
            "mapped": table.mapped,
            "has_second_chance": table.referenced,
            "reclaim_rank": _null_below_zero(table.rank),
        }
    )


def _null_below_zero(values: np.ndarray) -> pl.Series:
    series = pl.Series(values)
    return series.set(series < 0, None)
