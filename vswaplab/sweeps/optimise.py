"""A search over a machine's knobs: which machine is cheapest, or waits least, within limits on the others.

The search is Optuna's tree-structured Parzen estimator (Bergstra, Bardenet,
Bengio and Kegl, NIPS 2011), an extra; the runs are ``vl.frontier``'s. Trials
are asked for eight at a time whatever runs them, so that nothing depends on
the number of workers.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from vswaplab.base.checks import names_of, whole
from vswaplab.base.draws import checked_seeds
from vswaplab.base.errors import InputError
from vswaplab.base.progress import Report, reporting
from vswaplab.engine.plan import check_run
from vswaplab.machine.config import Machine
from vswaplab.machine.presets import with_settings
from vswaplab.results.pareto import limits_of, pareto, within
from vswaplab.sweeps.design import Design, Point, axes, six_digits
from vswaplab.sweeps.doors import open_door
from vswaplab.sweeps.frontier import SCHEMA, frontier
from vswaplab.sweeps.worker import AnyTrace

_MOST_SEED = (1 << 32) - 1  # of Optuna's draws
_MOST_TRIALS = 1_000_000  # of one search
_BATCH = 8  # trials asked for at once
_OBJECTIVES = tuple(name for name, dtype in SCHEMA.items() if dtype in (pl.Float64, pl.Int64) and name != "point")


def optimise(
    trace: AnyTrace,
    machine: Machine,
    knobs: Mapping[str, object],
    *,
    minimise: str | Sequence[str] = "cost_usd",
    below: Mapping[str, float] | None = None,
    trials: int = 100,
    seed: int = 0,
    prices: pl.DataFrame | None = None,
    seeds: Iterable[int] = (0,),
    executor: object = None,
    store: str | Path | None = None,
    progress: bool | Report = True,
) -> pl.DataFrame:
    """Search a machine's settings for what is best within limits.

    Parameters
    ----------
    trace, machine
    knobs
        Dotted setting to its values or its range, as in ``vl.random_design``.
    minimise : column or columns of ``vl.frontier``
        With one, the best is one machine; with several, a front.
    below : column to limit
        ``{"stall_percent": 2, "poison_high": 1e-6}``. Counting never shows a
        chance of 0: with a limit of 1e-6 on ``poison_high`` only machines pass
        that cannot lose data by rule, unless ``seeds`` are 3.842 million.
    trials : machines
        Tried one after the other, eight at a time.
    seed
        Of the search, from 0 to 2**32 - 1; the same seed tries the same machines.
    prices, seeds, executor, store, progress
        As in ``vl.frontier``; with ``store`` a search that was stopped takes
        what is there and goes on.

    Returns
    -------
    table : polars.DataFrame
        One row a trial, with the columns of ``vl.frontier`` and
        ``is_feasible`` (within every limit), ``is_best`` (of those, nothing
        beats it). After Ctrl-C the trials that were finished.

    Raises
    ------
    InputError
        Optuna is not installed; an unknown setting or column; no trial or more
        than a million; every machine is refused.
    """
    check_run(trace, machine)
    names = [minimise] if isinstance(minimise, str) else names_of("minimise", minimise)
    limits = limits_of(below)
    _check(names, limits, trials)
    wanted = {"prices": prices, "seeds": checked_seeds(seeds), "store": store}
    points: list[Point] = []
    tables: list[pl.DataFrame] = []
    # Workers start once, for all batches.
    with reporting(progress, "machines") as report, open_door(executor, trace) as door:
        study = _Study(knobs, names, limits, whole("seed", seed, 0, _MOST_SEED))
        for start in range(0, trials, _BATCH):
            report(start, trials)
            design = study.ask(min(_BATCH, trials - start))
            found = _tried(trace, machine, design, {**wanted, "executor": door})
            study.tell(found)
            points.extend(design.points)
            tables.append(found.with_columns(point=pl.col("point") + start))
            if found.height < len(design):  # Ctrl-C: vl.sweep has said so
                break
        report(sum(table.height for table in tables), trials)
    settings = Design(tuple(study.axes), tuple(points)).frame()
    return _judged(settings.join(pl.concat(tables), on="point", how="inner", maintain_order="left"), names, limits)


def _check(names: Sequence[str], limits: Mapping[str, float], trials: int) -> None:
    for what, columns in (("minimise", names), ("below", limits)):
        for name in columns:
            if not isinstance(name, str) or name not in _OBJECTIVES:
                raise InputError(
                    f"{what}: {name!r} is not a number of vl.frontier: choose from {', '.join(_OBJECTIVES)}"
                )
    if not names:
        raise InputError("minimise needs a column, such as 'cost_usd'")
    whole("trials", trials, 1, _MOST_TRIALS)


class _Study:
    # Optuna's study: points out, rows of a frontier in.

    def __init__(
        self, knobs: Mapping[str, object], names: Sequence[str], limits: Mapping[str, float], seed: int
    ) -> None:
        self.axes, self.names, self.limits = axes(knobs), list(names), limits
        self.optuna = _optuna()
        sampler = self.optuna.samplers.TPESampler(seed=seed)
        self.study = self.optuna.create_study(directions=["minimize"] * len(names), sampler=sampler)
        self.open: list[Any] = []

    def ask(self, n: int) -> Design:
        self.open = [self.study.ask() for _ in range(n)]
        points = [tuple(self._value(trial, name) for name in self.axes) for trial in self.open]
        return Design(tuple(self.axes), tuple(points))

    def _value(self, trial: Any, name: str) -> object:  # noqa: ANN401 - optuna is an extra
        axis = self.axes[name]
        if axis.choices is not None:
            return axis.choices[trial.suggest_categorical(name, list(range(len(axis.choices))))]
        low, high = axis.ends
        if isinstance(low, int) and isinstance(high, int):
            return trial.suggest_int(name, low, high, log=axis.log)
        return six_digits(trial.suggest_float(name, low, high, log=axis.log), low, high)

    def tell(self, found: pl.DataFrame) -> None:
        rows = {row["point"]: row for row in found.to_dicts()}
        for i, trial in enumerate(self.open):
            row = rows.get(i)
            if row is None or any(row[name] is None for name in (*self.names, *self.limits)):
                self.study.tell(trial, state=self.optuna.trial.TrialState.FAIL)
                continue
            for name, limit in self.limits.items():
                trial.set_constraint(name, row[name] - limit)
            self.study.tell(trial, [row[name] for name in self.names])


def _optuna() -> Any:  # noqa: ANN401 - optuna is an extra
    try:
        optuna = importlib.import_module("optuna")
    except ImportError:
        raise InputError("optimise needs optuna: pip install 'vswaplab[optimise]'") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _tried(trace: AnyTrace, machine: Machine, design: Design, wanted: Mapping[str, Any]) -> pl.DataFrame:
    # vl.sweep refuses a design of which every machine is refused: of eight that may happen.
    reasons = [_reason(machine, design.settings(point)) for point in range(len(design))]
    if None in reasons:
        return frontier(trace, machine, design, progress=False, **wanted).select(*SCHEMA)
    return pl.DataFrame([{"point": i, "reason": reason} for i, reason in enumerate(reasons)], schema=SCHEMA)


def _reason(machine: Machine, settings: Sequence[str]) -> str | None:
    try:
        with_settings(machine, settings)
    except InputError as error:
        return str(error)
    return None


def _judged(table: pl.DataFrame, names: Sequence[str], limits: Mapping[str, float]) -> pl.DataFrame:
    if table["reason"].null_count() == 0:
        raise InputError(f"each of the {table.height} machines is refused; the first: {table['reason'][0]}")
    feasible = within(table, limits).filter(pl.col("reason").is_null())
    best = pareto(feasible, names)
    return table.with_columns(
        is_on_front=pl.col("point").is_in(pareto(table)["point"].implode()),
        is_feasible=pl.col("point").is_in(feasible["point"].implode()),
        is_best=pl.col("point").is_in(best["point"].implode()),
    )
