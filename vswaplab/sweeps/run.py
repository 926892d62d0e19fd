"""The sweep itself: which runs there are, which are missing, and one table of all."""

from __future__ import annotations

import json
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Future, wait
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import polars as pl

from vswaplab.base.draws import checked_seeds
from vswaplab.base.errors import InputError
from vswaplab.base.interrupts import Interrupts
from vswaplab.base.plugins import source_of
from vswaplab.base.progress import Report, reporting
from vswaplab.engine.plan import check_run
from vswaplab.machine.config import Machine
from vswaplab.machine.policies import POLICIES, plugged_policy
from vswaplab.machine.presets import with_settings
from vswaplab.sweeps.design import Design
from vswaplab.sweeps.design import grid as full_grid
from vswaplab.sweeps.doors import Door, open_door
from vswaplab.sweeps.store import Store, run_key
from vswaplab.sweeps.worker import NOTES, AnyTrace, Done, Task, columns_of, model_version

_TICK = 0.2  # seconds until Ctrl-C is heard
_GRACE = 5  # seconds in which a broken pool says of each run that it is lost; of one taken just then it may not
_CHUNK_SECONDS = 0.25  # of work that goes to a worker at once, if one run takes less
_TASK_SECONDS = 0.01  # a chunk takes this long for each worker at least, so that 100 a second come to the scheduler
_MOST_RUNS = 1024  # of a chunk
_MOST_BREAKS = 3  # pools that may break one after the other with nothing finished


def sweep(
    trace: AnyTrace,
    machine: Machine,
    grid: Mapping[str, object] | Design,
    *,
    seeds: Iterable[int] = (0,),
    executor: object = None,
    store: str | Path | None = None,
    progress: bool | Report = True,
) -> pl.DataFrame:
    """Run a trace on many machines.

    Parameters
    ----------
    trace : Trace or TraceFile
        It goes to each worker once. One that ``vl.open_trace`` opened is read
        by every worker from its path.
    machine
        Of which every run changes some settings.
    grid : mapping or Design
        Dotted setting to values, each as ``--set`` spells it; or what
        ``vl.grid``, ``vl.random_design`` or ``vl.latin_hypercube`` made.
    seeds : whole numbers
        From 0 to 2**63 - 1. Every machine runs with each.
    executor : None, int, concurrent.futures.Executor or dask.distributed.Client
        Default: this process, one run after the other. A number: so many
        processes, made anew if one dies; a script that asks for them keeps what
        it does under ``if __name__ == "__main__":``, as every script with
        processes. No number in the table depends on it.
    store : path
        A folder that keeps each run when it is finished. A sweep that was
        killed goes on from there, and another that shares runs takes them.
    progress : bool or callable
        A bar on standard error or in the notebook; or ``progress(done, total)``.

    Returns
    -------
    runs : polars.DataFrame
        One row a point and seed, in the order of the design: ``point``, the
        settings, ``seed``; ``reason`` (why this machine was refused: then there
        are no numbers), ``note`` (what the run says about itself, such as that
        memory ran out, and its numbers with it),
        ``effective_access_ns``, ``stall_ns``, ``cpu_ns``, ``stall_TIER_ns``,
        and every counter, those of plug-ins' tiers too. After Ctrl-C, which a warning tells, rows of runs
        that are not finished are missing.

    Raises
    ------
    InputError
        An unknown setting; a design of which every machine is refused (both
        before anything runs); a store that cannot be written or is full; a
        worker that dies again and again. What was finished stays in the store.

    Examples
    --------
    >>> import vswaplab as vl
    >>> trace = vl.zipf(n_pages=200, n_accesses=1000, seed=1)
    >>> runs = sweep(trace, vl.preset("swap-only", 200), {"dram.capacity_pages": [50, 100, 0]}, progress=False)
    >>> runs.select("dram.capacity_pages", "seed", "pswpin", "reason").rows()[:2]
    [(50, 0, 170, None), (100, 0, 46, None)]
    >>> runs["reason"][2]
    'dram.capacity_pages must be a whole number of at least 1, got 0'
    """
    plan = _plan(trace, machine, grid, seeds)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=NOTES)
        kept = None if store is None else Store(store, plan.columns)
        rows, stopped = _run(trace, plan, executor, kept, progress)
    runs = plan.table(rows)
    if stopped:
        warnings.warn(f"interrupted: {runs.height:,} of {plan.keys.height:,} rows are there", stacklevel=2)
    ended, noted = runs["oom"].sum(), runs.filter(pl.col("oom") == 0)["note"].count()
    if ended:
        warnings.warn(f"{ended:,} of {runs.height:,} runs {ENDED}: their numbers are of what came before", stacklevel=2)
    if noted:
        warnings.warn(f"{noted:,} of {runs.height:,} runs carry a note: see the column note", stacklevel=2)
    return runs


ENDED = "ended when memory ran out"
"""What a warning says of runs that did."""


@dataclass(frozen=True)
class _Plan:
    design: Design
    machines: list[Machine | None]  # by point
    columns: dict[str, type[pl.DataType]]  # of a run's numbers
    keys: pl.DataFrame  # point, seed, key (of a run), reason (of a refusal); in the table's order

    def tasks(self, missing: pl.DataFrame) -> list[Task]:
        rows = missing.select("index", "point", "seed").iter_rows()
        return [Task(index, cast("Machine", self.machines[point]), seed) for index, point, seed in rows]

    def table(self, rows: pl.DataFrame) -> pl.DataFrame:
        runs = self.keys.drop("index").join(rows, on="key", how="left", suffix="_run", maintain_order="left")
        is_there = (
            pl.col("reason").is_not_null() | pl.col("reason_run").is_not_null() | pl.col("accesses").is_not_null()
        )
        runs = runs.filter(is_there).with_columns(pl.coalesce("reason", "reason_run").alias("reason"))
        settings = self.design.frame()
        named = runs.join(settings, on="point", how="left", maintain_order="left")
        return named.select(*settings.columns, "seed", *self.columns)


def _plan(trace: AnyTrace, machine: Machine, grid: Mapping[str, object] | Design, seeds: Iterable[int]) -> _Plan:
    check_run(trace, machine)
    design = grid if isinstance(grid, Design) else full_grid(grid)
    numbers = checked_seeds(seeds)
    name = json.dumps([trace.digest, trace.recorder_k, trace.name])  # what a run's note says hangs on all three
    machines: list[Machine | None] = []
    rows: list[tuple[int, int, str | None, str | None]] = []
    for point in range(len(design)):
        made, reason = _machine(machine, design.settings(point))
        machines.append(made)
        text = "" if made is None else json.dumps(made.to_dict(), sort_keys=True)
        for seed in numbers:
            key = None if made is None else run_key(name, text + _plugged(made), seed, model_version())
            rows.append((point, seed, key, reason))
    if all(made is None for made in machines):
        raise InputError(f"each of the {len(design):,} machines is refused; the first: {rows[0][3]}")
    schema = {"point": pl.Int64, "seed": pl.Int64, "key": pl.String, "reason": pl.String}
    keys = pl.DataFrame(rows, schema=schema, orient="row").with_row_index("index")
    return _Plan(design, machines, columns_of(machine), keys)


def _plugged(machine: Machine) -> str:
    # The sources of the plug-ins that a machine uses: a changed one must not take an old number.
    policies = sorted(set(machine.policies.values()).difference(POLICIES))
    plugins = [*map(plugged_policy, policies), *map(type, machine.stores)]
    return "".join(source_of(plugin) for plugin in plugins)


def _machine(machine: Machine, settings: Sequence[str]) -> tuple[Machine | None, str | None]:
    try:
        return with_settings(machine, settings), None
    except InputError as error:
        return None, str(error)


def _run(
    trace: AnyTrace, plan: _Plan, executor: object, store: Store | None, progress: bool | Report
) -> tuple[pl.DataFrame, bool]:
    # Rows by key of all that is there in the end, and whether Ctrl-C came.
    wanted = plan.keys.filter(pl.col("key").is_not_null()).unique("key", keep="first", maintain_order=True)
    found = pl.DataFrame(schema={"key": pl.String, **plan.columns}) if store is None else store.find(wanted["key"])
    frames = [found]
    key_of = plan.keys.select(pl.col("index").cast(pl.Int64), "key")
    done = found.height

    def take(rows: pl.DataFrame) -> None:
        nonlocal done
        keyed = rows.join(key_of, on="index", how="left", maintain_order="left").select("key", *plan.columns)
        frames.append(keyed)
        fit = keyed.filter(pl.col("reason").is_null())
        if store is not None and fit.height:
            store.add(fit)
        done += keyed.height
        report(done, wanted.height)

    tasks = plan.tasks(wanted.join(found, on="key", how="anti", maintain_order="left"))
    with reporting(progress, "runs") as report, Interrupts() as interrupts:
        report(done, wanted.height)
        if tasks:
            with open_door(executor, trace) as door:
                _Driver(door, tasks, plan.columns, take, interrupts).run()
    return pl.concat(frames), interrupts.noted


class _Driver:
    # Keeps the workers busy, and hands on what they finish as it comes.

    def __init__(
        self,
        door: Door,
        tasks: Sequence[Task],
        columns: Mapping[str, type[pl.DataType]],
        take: Callable[[pl.DataFrame], None],
        interrupts: Interrupts,
    ) -> None:
        self.door, self.columns, self.take, self.interrupts = door, columns, take, interrupts
        self.queue = deque(tasks)
        self.pending: dict[Future[Done], list[Task]] = {}
        self.n_done, self.seconds, self.breaks = 0, 0.0, 0

    def run(self) -> None:
        try:
            while (self.queue or self.pending) and not self.interrupts.noted:
                self._fill()
                self._collect(wait(self.pending, timeout=_TICK, return_when=FIRST_COMPLETED).done)
        finally:
            for future in self.pending:
                future.cancel()

    def _fill(self) -> None:
        limit = 1 if self.breaks else self.door.limit  # after a death one run at a time: it may be that run's doing
        while self.queue and len(self.pending) < limit:
            tasks = [self.queue.popleft() for _ in range(self._chunk())]
            try:
                self.pending[self.door.submit(tasks)] = tasks
            except BrokenExecutor as error:
                self.queue.extendleft(reversed(tasks))
                self._mend(error)

    def _chunk(self) -> int:
        # One run until we know how long one takes; near the end no more than leaves something for every worker.
        if not self.n_done or self.breaks:
            return 1
        target = max(_CHUNK_SECONDS, _TASK_SECONDS * self.door.workers)
        fitting = int(target * self.n_done / max(self.seconds, 1e-9))
        share = len(self.queue) // (2 * self.door.workers)
        return max(1, min(fitting, share, _MOST_RUNS, len(self.queue)))

    def _collect(self, finished: Iterable[Future[Done]]) -> None:
        frames, problem = [], None
        for future in finished:
            tasks = self.pending.pop(future)
            try:
                frames.append(self._checked(future.result()))
            except KeyboardInterrupt:
                self.interrupts.noted = True
            except (Exception, CancelledError) as error:
                problem = error
                self.queue.extend(tasks)  # last: what kills its worker must not keep the others waiting
        if frames:  # first what is finished
            self.breaks = 0
            self.take(pl.concat(frames))
        if isinstance(problem, BrokenExecutor):
            self._mend(problem)
        elif problem is not None:
            raise _told(problem)

    def _checked(self, done: Done) -> pl.DataFrame:
        if done.model != model_version():
            raise InputError(
                f"a worker has another vswaplab ({done.model}) than this process ({model_version()}): "
                f"install the same on all"
            )
        self.n_done += len(done.rows)
        self.seconds += done.seconds
        return done.frame(self.columns)

    def _mend(self, problem: BrokenExecutor) -> None:
        # A process of the pool died. All that the pool had is lost; what it had finished comes first.
        lost, self.pending = self.pending, {}
        whole = [future for future in wait(lost, timeout=_GRACE).done if future.exception() is None]
        for future, tasks in lost.items():
            if future not in whole:
                self.queue.extend(tasks)
        self.breaks += 1
        if whole:
            self.take(pl.concat([self._checked(future.result()) for future in whole]))
        if self.door.revive is None or self.breaks > _MOST_BREAKS:
            again = "" if self.door.revive is None else " again and again"
            raise InputError(
                f"a worker process died{again} (killed, or out of memory; or the script that starts it lacks "
                f"`if __name__ == '__main__':`): start again, perhaps with fewer workers; {_KEPT}"
            ) from problem
        self.door.revive()


_KEPT = "what was finished is in the store, if one was given"


def _told(problem: BaseException) -> BaseException:
    # What a cluster says in many lines, in one.
    if isinstance(problem, CancelledError):
        return InputError(f"the cluster dropped the runs it had (is the scheduler lost?): start again; {_KEPT}")
    if type(problem).__module__.partition(".")[0] == "distributed":
        reason = " ".join(str(problem).split())[:200]
        return InputError(f"the cluster gave up a run ({reason}): start again; {_KEPT}")
    return problem
