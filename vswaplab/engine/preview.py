"""What a run will say, from a sample of its pages: soon, and with how far off it may be.

Four groups of pages, with no page in common, run on a machine that is
smaller in proportion. Their sum, scaled up, is the estimate; how they differ
from each other gives its standard error (Student's t, 95 %). What a sample
cannot show: a single page that has much of the time to itself, and effects
that need all pages at once, such as a device that holds a handful of pages.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vswaplab.engine.run import simulate
from vswaplab.machine.config import Machine
from vswaplab.machine.scale import scaled
from vswaplab.results.changes import below_dram_ns
from vswaplab.results.counters import COUNTER_NAMES, TIMES
from vswaplab.results.prices import add_times
from vswaplab.results.result import Result
from vswaplab.trace.sample import sample_pages
from vswaplab.trace.trace import Trace, Workload

GROUPS = 4
LEAST_PAGES = 64
"""Pages of a group below which a sample says nothing."""

_T_95 = {2: 12.706, 3: 4.303, 4: 3.182}  # Student's t for 95 %, by the number of groups
_WINDOWS = 25
_TOUCHES = ("reads", "writes", "frees", "accesses")


@dataclass(frozen=True)
class Estimate:
    """A result that was scaled up from a sample.

    Parameters
    ----------
    result : Result
        Counters and sizes of the whole trace, estimated; ``state()`` is empty.
    stall_error : float
        Half the width of the 95 % interval of the stall below DRAM, as a share
        of it; infinite if one group only had accesses.
    share : float
        Of the pages, in the sample.
    """

    result: Result
    stall_error: float
    share: float


class Preview:
    """Samples of a trace, made once; each machine asked for then takes a moment.

    Parameters
    ----------
    trace : Trace or TraceFile
        Read once here.
    n_accesses : int
        How many the samples should have together.
    """

    def __init__(self, trace: Workload, n_accesses: int) -> None:
        self.trace = trace
        one_in = max(GROUPS, round(GROUPS * len(trace) / n_accesses))
        self.one_in = min(one_in, trace.n_pages // LEAST_PAGES)
        self.samples: list[Trace] = []
        if self.one_in >= GROUPS:
            self.samples = sample_pages(trace, self.one_in, GROUPS)
            self._counts = _count_touches(trace)

    def can(self, machine: Machine) -> bool:
        """Say whether a sample says something about a machine: not where a kernel reclaims in batches of pages."""
        return len(self.samples) > 1 and machine.kernel is None

    def run(self, machine: Machine, *, seed: int = 0) -> Estimate:
        """Estimate what a run would say; ``can`` must hold."""
        pages = [sample.n_pages / self.trace.n_pages for sample in self.samples]
        runs = [self._one(sample, machine, share, seed) for sample, share in zip(self.samples, pages, strict=True)]
        stalls = [below_dram_ns(run) / share for run, share in zip(runs, pages, strict=True)]
        whole = self._scaled_up(runs, sum(pages), machine)
        return Estimate(whole, _error(stalls), sum(pages))

    def _one(self, sample: Trace, machine: Machine, share: float, seed: int) -> Result:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return simulate(sample, scaled(machine, share), seed=seed, epoch_accesses=-(-len(sample) // _WINDOWS))

    def _scaled_up(self, runs: list[Result], share: float, machine: Machine) -> Result:
        n_windows = max(run.epochs.height for run in runs)
        stops = np.linspace(0, len(self.trace), n_windows + 1).round().astype(np.int64)
        epochs = add_times(self._epochs(runs, share, stops), machine)
        tiers = _tiers(runs, share, stops)
        totals = {name: int(epochs[name].sum()) for name in (*COUNTER_NAMES, *TIMES)}
        totals["oom"] = max(run.totals["oom"] for run in runs)
        first = runs[0]
        provenance = first.provenance | {
            "trace_digest": None,
            "n_accesses": len(self.trace),
            "n_pages": self.trace.n_pages,
            "machine": machine.to_dict(),
            "sampled_share": share,
            "notes": [],
        }
        return Result(totals, epochs, tiers, first.state().clear(), first.events, provenance)

    def _epochs(self, runs: list[Result], share: float, stops: NDArray[np.int64]) -> pl.DataFrame:
        counters = [name for name in runs[0].epochs.columns if name not in ("epoch", "start", "stop")]
        counters = [name for name in counters if not name.startswith("stall_") and name not in TIMES]
        total = np.sum([_padded(run.epochs.select(counters), stops.size - 1) for run in runs], axis=0)
        columns: dict[str, NDArray[np.int64]] = {
            name: np.round(total[:, i] / share).astype(np.int64) for i, name in enumerate(counters)
        }
        self._correct(columns, stops)
        times = {"epoch": np.arange(stops.size - 1), "start": stops[:-1], "stop": stops[1:]}
        return pl.DataFrame(times | columns)

    def _correct(self, columns: dict[str, NDArray[np.int64]], stops: NDArray[np.int64]) -> None:
        # The trace's own touches are known. A few hot pages have most of them and may be missing from the sample; they
        # lie in DRAM, so what they lack or have too much is added to its hits (SHARDS-adj).
        known = {name: np.diff(count[stops]) for name, count in self._counts.items()}
        repeats = known.pop("repeats")
        known["accesses"] = np.diff(stops)
        served = known["accesses"] - known["frees"] - (columns["accesses"] - columns["frees"])
        columns["dram_hit"] = np.maximum(columns["dram_hit"] + served, 0)
        columns |= {name: known[name] for name in _TOUCHES}
        others = sum(columns[f"repeat_{name}"] for name in ("cram_read", "cram_write", "unserved"))
        columns["repeat_dram"] = np.maximum(repeats - others, 0)


def _count_touches(trace: Workload) -> dict[str, NDArray[np.int64]]:
    # Running sums over the accesses at 10,001 points at most: at every access they would take 32 bytes each.
    n = len(trace)
    points = np.linspace(0, n, min(n, 10_000) + 1).astype(np.int64)
    sums = {name: np.zeros(points.size - 1, np.int64) for name in ("reads", "writes", "frees", "repeats")}
    for piece in trace.pieces():
        bin_of = np.searchsorted(points, np.arange(piece.start, piece.start + len(piece)), "right") - 1
        for op, name in enumerate(("reads", "writes", "frees")):
            sums[name] += np.bincount(bin_of[piece.op == op], minlength=points.size - 1)
        for repeats in (piece.repeat_reads, piece.repeat_writes):
            if repeats is not None:
                sums["repeats"] += np.bincount(bin_of, repeats, points.size - 1).astype(np.int64)
    return {name: _Running(points, np.r_[0, np.cumsum(values)]) for name, values in sums.items()}  # type: ignore[misc]


class _Running:
    # A running sum at some points, read anywhere by linear interpolation.

    def __init__(self, points: NDArray[np.int64], sums: NDArray[np.int64]) -> None:
        self.points, self.sums = points, sums

    def __getitem__(self, at: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.round(np.interp(at, self.points, self.sums)).astype(np.int64)


def _padded(table: pl.DataFrame, n_rows: int) -> NDArray[np.int64]:
    rows = table.to_numpy()
    return np.pad(rows, ((0, n_rows - rows.shape[0]), (0, 0)))


def _tiers(runs: list[Result], share: float, stops: NDArray[np.int64]) -> pl.DataFrame:
    sizes = [name for name in runs[0].tiers.columns if name not in ("epoch", "access", "tier")]
    scaled_up = (pl.col(sizes).sum() / share).round().cast(pl.Int64)
    tiers = pl.concat([run.tiers for run in runs]).group_by("epoch", "tier", maintain_order=True).agg(scaled_up)
    access = pl.Series("access", stops[1:])[tiers["epoch"]]
    return tiers.select("epoch", access, "tier", *sizes)


def _error(estimates: list[float]) -> float:
    mean = sum(estimates) / len(estimates)
    if mean == 0:
        return 0.0
    deviation = math.sqrt(sum((e - mean) ** 2 for e in estimates) / (len(estimates) - 1))
    return _T_95[len(estimates)] * deviation / math.sqrt(len(estimates)) / mean
