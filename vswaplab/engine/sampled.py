"""What a run will say, from a sample of its pages: soon, and with how far off it may be.

Groups of pages, with no page in common, run on a machine that is smaller in
proportion. Their sum, scaled up, is the estimate; how they differ from each
other gives its standard error (Student's t, 95 %). What a sample cannot show:
a single page that has much of the time to itself, and effects that need all
pages at once, such as a device that holds a handful of pages.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vswaplab.base.checks import whole
from vswaplab.base.errors import InputError
from vswaplab.engine.run import simulate
from vswaplab.machine.config import Machine
from vswaplab.machine.scale import scaled
from vswaplab.results.changes import below_dram_ns
from vswaplab.results.counters import TIMES
from vswaplab.results.prices import add_times, repeat_wait_ns
from vswaplab.results.result import Result
from vswaplab.trace.sample import checked_rate, group_sizes, sample_groups
from vswaplab.trace.trace import Piece, Trace, Workload, check_trace

LEAST_PAGES = 64
"""Pages of a group below which a sample says nothing."""

_GROUPS = 4
# Student's t for 95 % by the number of groups, from 2
_T_95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131)
_WINDOWS = 25
_COARSE_STEP = 0.04  # of DRAM, a reclaim's: with steps of a page or two a preview takes twice as long
_TOUCHES = ("reads", "writes", "frees", "accesses")
_KNOWN = (*_TOUCHES, "dram_hit", "repeat_dram", "oom")  # of the whole trace, or what is left over


@dataclass(frozen=True)
class Estimate:
    """A result that was scaled up from a sample.

    Parameters
    ----------
    result : Result
        Counters and sizes of the whole trace, estimated; ``state()`` is empty.
        If memory ran out in a sample, ``totals["oom"]`` is 1, and the numbers end
        where the first of them did.
    table : polars.DataFrame
        One row a quantity that is not 0: ``quantity``, ``estimate``, ``low``
        and ``high`` (95 %), ``error`` (half the width over the estimate). The
        quantities are ``misses`` (accesses that did not find their page in
        DRAM, copies on write among them), ``record_wait_ns`` and ``below_dram_ns`` (time that accesses waited
        below DRAM, without and with the repeats that a record stands for) and
        every counter that a sample must guess.
    share : float
        Of the pages, in the sample.
    """

    result: Result
    table: pl.DataFrame
    share: float

    @property
    def stall_error(self) -> float:
        """Half the width of the interval of the time below DRAM, as a share of it; 0 if there is none."""
        found = self.table.filter(pl.col("quantity") == "below_dram_ns")["error"]
        return float(found[0]) if found.len() else 0.0


class Sampled:
    """Samples of a trace, made once; each machine asked for then takes a moment.

    Parameters
    ----------
    trace : Trace or TraceFile
        Read once here; afterwards only the samples are kept.
    rate : above 0, up to 1
        Share of the pages that the samples have together.
    groups : 2 to 16
        Into which they are split, to say how far off they are.

    Raises
    ------
    InputError
        A rate or a number of groups out of range; fewer than 64 pages a group.

    Examples
    --------
    >>> import vswaplab as vl
    >>> trace = vl.zipf(n_pages=20_000, n_accesses=100_000, alpha=0.7, seed=1)
    >>> machine = vl.preset("four-tiers", trace.n_pages)
    >>> found = Sampled(trace, 0.25).run(machine).table.filter(pl.col("quantity") == "misses")
    >>> low, high = found["low"].item(), found["high"].item()
    >>> totals = vl.simulate(trace, machine).totals
    >>> low < totals["accesses"] - totals["frees"] - totals["dram_hit"] < high
    True
    """

    def __init__(self, trace: Workload, rate: float, groups: int = _GROUPS) -> None:
        check_trace(trace)
        groups = whole("groups", groups, 2, len(_T_95) + 1)
        if trace.n_pages * checked_rate(rate) < LEAST_PAGES * groups:
            raise InputError(
                f"rate {rate} of {trace.n_pages:,} pages in {groups} groups leaves fewer than {LEAST_PAGES} pages "
                f"a group, which say nothing: raise the rate, or take fewer groups"
            )
        touches = _Touches(len(trace))
        self.samples: list[Trace] = sample_groups(trace, rate / groups, groups, touches.add)
        if len(self.samples) < 2:
            raise InputError(f"all accesses fall into {len(self.samples)} of {groups} groups of pages: raise the rate")
        self.n_accesses, self.n_pages = len(trace), trace.n_pages
        self._idle: list[float] = []  # shares of groups that nobody accesses
        if len(self.samples) < groups:
            sizes = group_sizes(trace.n_pages, rate / groups, groups)
            for each in self.samples:
                sizes.remove(each.n_pages)
            self._idle = [size / trace.n_pages for size in sizes]
        self._least_step = 0.0
        self._counts = touches.running()

    @classmethod
    def of_accesses(cls, trace: Workload, n_accesses: int) -> Sampled | None:
        """Take small samples for quick, coarse runs, so many accesses together; None if too small to say anything."""
        check_trace(trace)
        one_in = max(_GROUPS, round(_GROUPS * len(trace) / whole("n_accesses", n_accesses, 1)))
        one_in = min(one_in, trace.n_pages // LEAST_PAGES)
        try:
            found = cls(trace, _GROUPS / one_in) if one_in >= _GROUPS else None
        except InputError:  # one page has all accesses
            return None
        if found is not None:
            found._least_step = _COARSE_STEP
        return found

    @property
    def shares(self) -> list[float]:
        """Of all pages, by group."""
        return [each.n_pages / self.n_pages for each in self.samples]

    def run(self, machine: Machine, *, seed: int = 0) -> Estimate:
        """Estimate what a run would say.

        Returns
        -------
        estimate : Estimate

        Raises
        ------
        InputError
            A machine with ``kernel``: its batches of 32 pages do not scale.
        """
        shares = self.shares
        machines = [scaled(machine, share, least_step=self._least_step) for share in shares]
        runs = self._runs(self.samples, machines, seed)
        part = min(_progress(run, each) for run, each in zip(runs, self.samples, strict=True))
        ends = any(run.totals["oom"] for run in runs)
        if ends:  # all as far as the first that ended
            heads = [each.head(max(1, round(part * len(each)))) for each in self.samples]
            runs = self._runs(heads, machines, seed)
        weights = [_weights(machine, small, share) for small, share in zip(machines, shares, strict=True)]
        result = self._scaled_up(runs, weights, machine, round(part * self.n_accesses), ends=ends)
        return Estimate(result, _table(runs, weights, [*shares, *self._idle], machine), self._share)

    @property
    def _share(self) -> float:
        return sum(self.shares) + sum(self._idle)

    def _runs(self, samples: list[Trace], machines: list[Machine], seed: int) -> list[Result]:
        n_windows = _common_windows([len(each) for each in samples])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return [
                simulate(each, small, seed=seed, epoch_accesses=-(-len(each) // n_windows))
                for each, small in zip(samples, machines, strict=True)
            ]

    def _scaled_up(
        self, runs: list[Result], weights: list[_Weights], machine: Machine, n_accesses: int, *, ends: bool
    ) -> Result:
        share = self._share
        stops = np.linspace(0, n_accesses, runs[0].epochs.height + 1).round().astype(np.int64)
        epochs = add_times(self._epochs(runs, weights, share, stops, ends=ends), machine)
        tiers = _tiers(runs, share, stops)
        totals = {name: int(epochs[name].sum()) for name in runs[0].totals}
        first = runs[0]
        provenance = first.provenance | {
            "trace_digest": None,
            "n_accesses": self.n_accesses,
            "n_pages": self.n_pages,
            "machine": machine.to_dict(),
            "sampled_share": share,
            "notes": [],
        }
        return Result(totals, epochs, tiers, first.state().clear(), first.events, provenance)

    def _epochs(
        self, runs: list[Result], weights: list[_Weights], share: float, stops: NDArray[np.int64], *, ends: bool
    ) -> pl.DataFrame:
        counters = [name for name in runs[0].epochs.columns if name not in ("epoch", "start", "stop")]
        counters = [name for name in counters if not name.startswith("stall_") and name not in TIMES]
        total = sum(
            run.epochs.select(counters).to_numpy() * np.array([weight.get(name, 1.0) for name in counters])
            for run, weight in zip(runs, weights, strict=True)
        )
        # Rounded where a window ends, not by itself: the windows' sum is what the table says.
        upto = np.round(np.cumsum(total, axis=0) / share).astype(np.int64)
        columns: dict[str, NDArray[np.int64]] = dict(zip(counters, np.diff(upto, axis=0, prepend=0).T, strict=True))
        self._correct(columns, stops)
        columns["oom"] = np.zeros(stops.size - 1, np.int64)
        columns["oom"][-1] = ends
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


class _Touches:
    # Running sums over the accesses at 10,001 points at most: at every access they would take 32 bytes each.

    def __init__(self, n_accesses: int) -> None:
        self.points = np.linspace(0, n_accesses, min(n_accesses, 10_000) + 1).astype(np.int64)
        self.sums = {name: np.zeros(self.points.size - 1, np.int64) for name in ("reads", "writes", "frees", "repeats")}

    def add(self, piece: Piece) -> None:
        bin_of = np.searchsorted(self.points, np.arange(piece.start, piece.start + len(piece)), "right") - 1
        n_bins = self.points.size - 1
        for op, name in enumerate(("reads", "writes", "frees")):
            self.sums[name] += np.bincount(bin_of[piece.op == op], minlength=n_bins)
        for repeats in (piece.repeat_reads, piece.repeat_writes):
            if repeats is not None:
                self.sums["repeats"] += np.bincount(bin_of, repeats, n_bins).astype(np.int64)

    def running(self) -> dict[str, _Running]:
        return {name: _Running(self.points, np.r_[0, np.cumsum(values)]) for name, values in self.sums.items()}


class _Running:
    # A running sum at some points, read anywhere by linear interpolation.

    def __init__(self, points: NDArray[np.int64], sums: NDArray[np.int64]) -> None:
        self.points, self.sums = points, sums

    def __getitem__(self, at: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.round(np.interp(at, self.points, self.sums)).astype(np.int64)


_Weights = dict[str, float]
"""Counter to what one of a sample's stands for in a sum that is divided by the share; 1 if it is not named."""


def _weights(machine: Machine, small: Machine, share: float) -> _Weights:
    # What a machine does by itself (a reclaim of so many pages, a flush every so often) a smaller one does as often.
    weights = {"reclaim_runs": _step(small) / _step(machine)}
    cram, node = machine.cram, small.cram
    if cram is not None and node is not None:
        weights["gate_closed_intervals"] = share
        if cram.flush_period:
            weights["flushes"] = node.flush_period / cram.flush_period
            weights["trims"] = node.trim_batch_pages / cram.trim_batch_pages
    return weights


def _step(machine: Machine) -> int:
    return machine.dram.high_pages - machine.dram.low


def _progress(run: Result, sample: Trace) -> float:
    return run.totals["accesses"] / len(sample) if run.totals["oom"] else 1.0


def _common_windows(lengths: list[int]) -> int:
    # So many windows that all samples have as many: of short ones equal parts may make fewer.
    def heights(n_windows: int) -> set[int]:
        return {-(-length // -(-length // n_windows)) for length in lengths}

    return next(n for n in range(_WINDOWS, 0, -1) if len(heights(n)) == 1)


def _tiers(runs: list[Result], share: float, stops: NDArray[np.int64]) -> pl.DataFrame:
    sizes = [name for name in runs[0].tiers.columns if name not in ("epoch", "access", "tier")]
    scaled_up = (pl.col(sizes).sum() / share).round().cast(pl.Int64)
    tiers = pl.concat([run.tiers for run in runs]).group_by("epoch", "tier", maintain_order=True).agg(scaled_up)
    access = pl.Series("access", stops[1:])[tiers["epoch"]]
    return tiers.select("epoch", access, "tier", *sizes)


def _table(runs: list[Result], weights: list[_Weights], shares: list[float], machine: Machine) -> pl.DataFrame:
    names = [name for name in runs[0].totals if name not in _KNOWN and name not in TIMES]
    measures: dict[str, Callable[[Result], int]] = {
        "misses": _misses,
        "record_wait_ns": lambda run: below_dram_ns(run) - repeat_wait_ns(machine, run.totals),
        "below_dram_ns": below_dram_ns,
    }
    by_group = {name: [float(measure(run)) for run in runs] for name, measure in measures.items()}
    for name in names:
        by_group[name] = [run.totals[name] * weight.get(name, 1.0) for run, weight in zip(runs, weights, strict=True)]
    idle = [0.0] * (len(shares) - len(runs))
    rows = [_interval(name, np.array(found + idle), np.array(shares)) for name, found in by_group.items() if any(found)]
    schema = {"quantity": pl.String} | dict.fromkeys(("estimate", "low", "high", "error"), pl.Float64)
    return pl.DataFrame(rows, schema=schema, orient="row")


def _misses(run: Result) -> int:
    return run.totals["accesses"] - run.totals["frees"] - run.totals["dram_hit"]


def _interval(
    name: str, found: NDArray[np.float64], shares: NDArray[np.float64]
) -> tuple[str, float, float, float, float]:
    # A ratio estimate: groups of more pages count for more, and what a group deviates is counted against its pages.
    estimate = float(found.sum() / shares.sum())
    n = found.size
    deviation = math.sqrt(float(((found - estimate * shares) ** 2).sum()) / (n - 1))
    half = _T_95[n - 2] * deviation * math.sqrt(n) / float(shares.sum())
    return name, estimate, max(0.0, estimate - half), estimate + half, half / estimate
