"""How likely a CRAM device is overrun: the same run over many seeds, and what can be said from so many."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import polars as pl

from vswaplab.base.checks import whole
from vswaplab.base.draws import checked_seeds
from vswaplab.base.errors import InputError, shown
from vswaplab.engine.plan import check_run
from vswaplab.engine.run import Progress, simulate
from vswaplab.engine.turns import in_turn
from vswaplab.machine.config import Cram, Machine
from vswaplab.results.result import Result
from vswaplab.results.statistics import wilson_interval
from vswaplab.trace.files import TraceFile
from vswaplab.trace.trace import Trace

_MOST_SEEDS = 1_000_000


def risk(
    trace: Trace | TraceFile,
    machine: Machine,
    *,
    seeds: int | Sequence[int] = 100,
    epoch_accesses: int | None = None,
    progress: Progress | None = None,
) -> pl.DataFrame:
    """Run a trace over many seeds and write down how close each came to overrunning the CRAM media.

    A seed decides what writes redraw, and nothing else: with
    ``redraw_probability`` 0 all runs are the same, and the accesses always are.
    Runs of one trace say little about another (notebook 05): to speak of a
    workload, join the tables of several traces.

    Parameters
    ----------
    trace, machine
        As in ``simulate``; the machine must have CRAM.
    seeds
        How many, or which.
    epoch_accesses : accesses
        Length of a window: shares and extremes are seen at window ends.
    progress : callable
        Called as ``progress(done, total)`` after every run.

    Returns
    -------
    runs : polars.DataFrame
        One row a seed: ``seed``; ``poison`` and ``sigbus`` (counts);
        ``min_headroom_bytes`` (media less what is on it, at the fullest);
        ``max_zombie_pages``, ``max_balloon_pages``; ``share_over_high`` (of
        the windows, those that ended above ``writeback_high``);
        ``gate_closed_intervals``, ``oom``, ``cram_promote``, ``stall_ns``.
        After Ctrl-C the runs that were finished.

    Raises
    ------
    InputError
        A machine without CRAM, no seed or more than a million.
    """
    check_run(trace, machine)
    cram = machine.cram
    if cram is None:
        raise InputError("risk needs a machine with CRAM: nothing else can be overrun")
    chosen = _chosen(seeds)
    runs = [partial(simulate, trace, machine, seed=seed, epoch_accesses=epoch_accesses) for seed in chosen]
    rows = [_row(result, cram, seed) for result, seed in zip(in_turn(runs, progress), chosen, strict=False)]
    return pl.DataFrame(rows)


def _chosen(seeds: object) -> Sequence[int]:
    if hasattr(seeds, "__index__") and not hasattr(seeds, "__len__"):
        return range(whole("seeds", seeds, 1, _MOST_SEEDS, expected=f"1 to {_MOST_SEEDS:,} seeds: how many, or which"))
    return checked_seeds(seeds)


def _row(result: Result, cram: Cram, seed: int) -> dict[str, object]:
    tier = result.tiers.filter(pl.col("tier") == "CRAM")
    stored = tier["media_bytes"]
    names = ("poison", "sigbus", "gate_closed_intervals", "oom", "cram_promote", "stall_ns")
    return {"seed": seed} | {name: result.totals[name] for name in names} | {
        "min_headroom_bytes": cram.media_bytes - max(stored, default=0),
        "max_zombie_pages": max(tier["zombie_pages"], default=0),
        "max_balloon_pages": max(tier["balloon_pages"], default=0),
        "share_over_high": (stored > cram.bytes_of(cram.writeback_high)).mean(),
    }  # fmt: skip


def can_lose(machine: Machine) -> bool:
    """Say whether a machine can lose data at all: only a write in place to a page of CRAM can overrun the media.

    Without a writable budget there is no such write, and a device that owns the
    budget grants only writes for which it keeps room (rule 4;
    ``tests/engine/test_invariants.py`` looks for a counter-example). That is a
    statement on the rules; counting runs never gives a chance of 0.

    Examples
    --------
    >>> from vswaplab.machine.presets import preset
    >>> can_lose(preset("four-tiers", 1000)), can_lose(preset("cram-writable", 1000))
    (False, True)
    """
    cram = machine.cram
    return cram is not None and cram.writable_budget_pages > 0 and cram.budget_owner == "host"


def poison_probability(runs: pl.DataFrame) -> pl.DataFrame:
    """Say how likely a run loses memory, with the interval that so many runs allow.

    Parameters
    ----------
    runs
        What ``risk`` returns.

    Returns
    -------
    estimate : polars.DataFrame
        One row: ``runs``, ``poisoned``, ``probability``, and ``low`` and
        ``high`` of Wilson's 95 % interval (E. B. Wilson, JASA 1927).

    Examples
    --------
    No poison in 1,000 runs leaves a chance of up to 0.4 % a run.

    >>> estimate = poison_probability(pl.DataFrame({"poison": [0] * 1000}))
    >>> round(estimate["high"].item(), 4)
    0.0038
    """
    if not isinstance(runs, pl.DataFrame) or "poison" not in runs.columns or not runs.schema["poison"].is_numeric():
        raise InputError(
            f"runs must be a table with a column of numbers, poison, such as vl.risk gives, got {shown(runs)}"
        )
    n = runs.height
    poisoned = int((runs["poison"] > 0).sum())
    low, high = wilson_interval(poisoned, n)
    share = poisoned / n if n else math.nan
    return pl.DataFrame([{"runs": n, "poisoned": poisoned, "probability": share, "low": low, "high": high}])
