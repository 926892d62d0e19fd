"""A whole truth folder in the model: what kernels counted beside what the model says."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from vswaplab.base.errors import InputError
from vswaplab.truth.boots import Boot, boots, in_boot
from vswaplab.truth.counters import agreement, ceiling, kernel_counters, lru_agreement, ranges, repetitions
from vswaplab.truth.folder import read_metadata, read_truth
from vswaplab.truth.machines import machine_of, not_modelled, other_pages, served_before
from vswaplab.truth.metadata import STEPS, grown_kib, predicted_kib, steps_of
from vswaplab.truth.replay import Replay, replay
from vswaplab.truth.runs import TruthRun
from vswaplab.truth.targets import clues, parting, targets

Progress = Callable[[int, int], None]

COUNTER_SCHEMA = {
    "run": pl.String,
    "kind": pl.String,
    "counter": pl.String,
    "kernel": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "model": pl.Float64,
    "model_low": pl.Float64,
    "model_high": pl.Float64,
    "error_percent": pl.Float64,
}
RUN_SCHEMA = {
    "run": pl.String,
    "kind": pl.String,
    "agreement": pl.Float64,
    "agreement_best": pl.Float64,
    "lru_agreement": pl.Float64,
    "ceiling": pl.Float64,
    "kernel_oom": pl.Boolean,
    "model_oom": pl.Boolean,
    "not_modelled": pl.String,
    "parts_in": pl.String,
    "parts_at": pl.Int64,
    "clues": pl.String,
}


@dataclass(frozen=True)
class Validation:
    """What kernels counted beside what the model says.

    Parameters
    ----------
    counters : polars.DataFrame
        One row per ``run`` and ``counter``: ``kernel``, ``low`` and ``high``
        (over the repetitions of the configuration), ``model``, ``model_low``
        and ``model_high`` (over the boots), ``error_percent`` (null where the
        kernel has 0 and the model not).
    runs : polars.DataFrame
        One row per ``run``: ``agreement`` with the model, access by access,
        ``agreement_best`` of the boots, ``lru_agreement``, ``ceiling`` (lowest agreement between repetitions; null
        if there is one), ``kernel_oom``, ``model_oom``, ``not_modelled``,
        settings that the model lacks, and in which counter the boot that agrees
        best parts from the kernel (``parts_in``), at which access (``parts_at``); and the
        ``clues`` that its counters hold.
    targets : polars.DataFrame
        One row per run and target, with its verdict (``truth.targets``).
    is_partial : bool
        It was interrupted: runs are missing.
    """

    counters: pl.DataFrame
    runs: pl.DataFrame
    targets: pl.DataFrame
    is_partial: bool


def validate(
    path: str | Path, *, only: str | None = None, n_boots: int = 1, progress: Progress | None = None
) -> Validation:
    """Replay every run of a truth folder.

    Parameters
    ----------
    path
        The folder.
    only
        Runs whose name holds this text; ranges are over all repetitions.
    n_boots
        In how many boots each run is replayed (``truth.boots``).
    progress : callable
        Called as ``progress(done, total)``, in accesses.

    Returns
    -------
    validation : Validation
        After Ctrl-C of the runs that were finished.

    Raises
    ------
    InputError
        The folder is not whole, or no run has such a name.
    """
    every = read_truth(path)
    steps = steps_of(read_metadata(path))
    runs = [run for run in every if only is None or only in run.name]
    tables = [name for name in steps if only is None or only in name]
    if not runs and not tables:
        raise InputError(f"no run of {path} has {only!r} in its name: it has {', '.join(r.name for r in every[:5])}...")
    counters, rows, is_partial = [], [], False
    try:
        replays = _Replays(runs, boots(n_boots), progress)
        for run in runs:
            found = replays.of(run)
            same = repetitions(run, every)
            counters += _counter_rows(run, same, found)
            rows.append(_run_row(run, same, found))
    except KeyboardInterrupt:
        is_partial = True
    for name in tables:
        counters += _metadata_rows(name, steps[name])
    tables_of = _frame(counters, COUNTER_SCHEMA), _frame(rows, RUN_SCHEMA)
    return Validation(*tables_of, targets({run.name: run for run in runs}, *tables_of), is_partial)


class _Replays:
    # Repetitions share one replay.

    def __init__(self, runs: Sequence[TruthRun], in_boots: Sequence[Boot], progress: Progress | None) -> None:
        self.progress, self.boots = progress, in_boots
        self.key = {run.name: _key(run) for run in runs}
        lengths = {self.key[run.name]: served_before(run) + run.trace.n_acc for run in runs}
        self.total, self.done = len(in_boots) * sum(lengths.values()), 0
        self.found: dict[str, list[Replay]] = {}

    def of(self, run: TruthRun) -> list[Replay]:
        key = self.key[run.name]
        if key not in self.found:
            self.found[key] = [self._replay(run, boot) for boot in self.boots]
        return self.found[key]

    def _replay(self, run: TruthRun, boot: Boot) -> Replay:
        found = replay(run, in_boot(machine_of(run), boot), progress=self._report)
        self.done += served_before(run) + run.trace.n_acc
        return found

    def _report(self, done: int, _: int) -> None:
        if self.progress is not None:
            self.progress(self.done + done, self.total)


def _key(run: TruthRun) -> str:
    made = json.dumps(machine_of(run).to_dict(), sort_keys=True)
    what = (run.trace, run.classes, run.seed_class, run.lengths, run.epoch_accesses, run.kind, run.has_vswap)
    others = other_pages(run)
    return repr((what, others, made, run.code is None, run.swapoff_counts is None, run.is_killed_by_swapoff))


def _counter_rows(run: TruthRun, same: Sequence[TruthRun], replays: Sequence[Replay]) -> list[tuple[object, ...]]:
    found = replays[0]
    if run.kill is not None:
        rows = [_row(run.name, run.kind, "oom", 1, int(found.is_oom))]
        pool = run.kill.get("cg_zswap_bytes_at_kill")
        if pool is not None and not run.is_killed_by_swapoff and found.is_oom:
            rows.append(_row(run.name, run.kind, "zswap_bytes_at_kill", pool, found.zswap_bytes))
        return rows
    between = ranges(same)
    rows = [
        _row(run.name, run.kind, name, n, found.counters[name], between[name], [r.counters[name] for r in replays])
        for name, n in kernel_counters(run).items()
    ]
    return rows + ([_row(run.name, run.kind, "oom", 0, 1)] if found.is_oom else [])


def _metadata_rows(name: str, rows: Mapping[str, Mapping[str, int]]) -> list[tuple[object, ...]]:
    return [
        _row(name, "metadata", f"slab_kib_{step}", grown_kib(rows, step), predicted_kib(rows, step)) for step in STEPS
    ]


def _row(
    run: str,
    kind: str,
    counter: str,
    kernel: float,
    model: float,
    between: tuple[float, float] | None = None,
    of_boots: Sequence[float] = (),
) -> tuple[object, ...]:
    error = 100 * (model - kernel) / kernel if kernel else (None if model else 0.0)
    numbers = kernel, *(between or (kernel, kernel)), model, min(of_boots, default=model), max(of_boots, default=model)
    return run, kind, counter, *(float(n) for n in numbers), error


def _run_row(run: TruthRun, same: Sequence[TruthRun], replays: Sequence[Replay]) -> tuple[object, ...]:
    shares = [] if run.code is None else [agreement(run.code, r.code) for r in replays if r.code is not None]
    best = replays[shares.index(max(shares))] if shares else replays[0]
    kills = (run.is_killed, replays[0].is_oom)
    most = ceiling(same) if run.code is not None else None
    agreed = (shares[0], max(shares)) if shares else (None, None)
    apart = None if run.is_killed or run.cram is not None else parting(run, best.epochs)
    told = (None, None) if apart is None else (apart.counter, apart.access)
    lacks = ", ".join(not_modelled(run))
    return run.name, run.kind, *agreed, lru_agreement(run), most, *kills, lacks, *told, "; ".join(clues(run, same))


def _frame(rows: Sequence[tuple[object, ...]], schema: dict[str, type[pl.DataType]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=schema, orient="row")
