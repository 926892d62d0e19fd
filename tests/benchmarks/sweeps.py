"""What a sweep costs beside its runs, and what that means for a thousand workers and a million machines.

``.venv/bin/pip install -e '.[sweep]' && .venv/bin/python tests/benchmarks/sweeps.py``
prints the two tables of the README. Nothing is asserted: the figures are of this machine, at this load.
"""

from __future__ import annotations

import logging
import os
import pickle
import resource
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import polars as pl

import vswaplab as vl
from vswaplab.sweeps.run import _CHUNK_SECONDS, _TASK_SECONDS, _Driver, _plan
from vswaplab.sweeps.store import Store
from vswaplab.sweeps.worker import Done, Task, packed, run_tasks

ROUNDS = 3
N_RUNS = 300
MILLION = 1_000_000
WORKERS = 1_000


def timed(work: Callable[[], object], rounds: int = ROUNDS) -> tuple[float, float]:
    """Give the median wall and CPU seconds of this process."""
    walls, cpus = [], []
    for _ in range(rounds):
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return median(walls), median(cpus)


def design(n: int) -> vl.Design:
    return vl.latin_hypercube({"dram.capacity_pages": {"from": 3000, "to": 9000}, "zswap.max_pool_percent": [5, 20]}, n)


@contextmanager
def cluster(n: int) -> Iterator[object]:
    from distributed import Client, LocalCluster

    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    with LocalCluster(n_workers=n, threads_per_worker=1, dashboard_address=None) as local, Client(local) as client:
        yield client


def plan_cost(trace: vl.Trace, machine: vl.Machine) -> float:
    """Seconds a machine to build it, check it and work out its key."""
    points = design(500)
    return timed(lambda: _plan(trace, machine, points, [0]))[0] / 500


def costs() -> dict[str, float]:
    """Measure every figure: seconds and bytes, a run, a chunk, a file or a trace."""
    trace = vl.load_trace("redis")
    machine = vl.preset("four-tiers", trace.n_pages)
    short = trace.head(20_000)
    tasks = [Task(i, machine, i) for i in range(N_RUNS)]
    found = {"plan": plan_cost(trace, machine)}
    found |= alone(short, machine)
    found |= pools("pool", short, machine, N_RUNS) | pools("full", trace, machine, 24)
    found |= dask(short, machine)
    return found | bytes_of(trace, tasks) | store_costs(run_tasks(short, tasks[:1]).frame())


def alone(trace: vl.Trace, machine: vl.Machine) -> dict[str, float]:
    """Give seconds a run, and what the sweep around it takes, from one and the same sweep."""
    inside: list[float] = []
    checked = _Driver._checked

    def noted(self: _Driver, done: Done) -> pl.DataFrame:
        inside.append(done.seconds)
        return checked(self, done)

    _Driver._checked = noted  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory() as store:
        wall, _ = timed(lambda: vl.sweep(trace, machine, design(N_RUNS), store=store, progress=False), 1)
    _Driver._checked = checked  # type: ignore[method-assign]
    return {"run": sum(inside) / N_RUNS, "serial": (wall - sum(inside)) / N_RUNS}


def pools(name: str, trace: vl.Trace, machine: vl.Machine, n: int) -> dict[str, float]:
    """Give seconds with one process and with two, in turns, the best of each; what starting them takes; CPU seconds."""
    asking: list[float] = []
    working: dict[int, list[float]] = {1: [], 2: []}

    def work(count: int, n: int) -> None:
        before, children = time.process_time(), children_cpu()
        vl.sweep(trace, machine, design(n), executor=count, progress=False)
        asking.append(time.process_time() - before)
        working[count].append(children_cpu() - children)

    one, two = in_turns(lambda: work(1, n), lambda: work(2, n))
    cpu = {f"{name}_cpu": min(asking) / n, **{f"{name}_work{count}": min(working[count]) / n for count in working}}
    start_one, start_two = in_turns(lambda: work(1, 1), lambda: work(2, 2))
    for count in working:  # the start is CPU time too
        cpu[f"{name}_work{count}"] -= min(working[count]) / n
    return {f"{name}1": one - start_one, f"{name}2": two - start_two, f"{name}_start": start_two, **cpu}


def children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def dask(trace: vl.Trace, machine: vl.Machine) -> dict[str, float]:
    found = {}
    for count in (1, 2):
        with cluster(count) as client:
            work = lambda client=client: vl.sweep(trace, machine, design(N_RUNS), executor=client, progress=False)  # noqa: E731
            found[f"dask{count}"] = min(in_turns(work, work))
            if count == 2:
                found["dask_task"] = task_cost(client)
    return found


def task_cost(client: object) -> float:
    """Seconds a task of nothing takes, with the client, the scheduler and two workers on the same two cores."""
    tasks = 2_000
    wall, _ = timed(lambda: client.gather(client.map(lambda i: i, range(tasks), pure=False)))  # type: ignore[attr-defined]
    return wall / tasks


def in_turns(*works: Callable[[], object]) -> list[float]:
    """Give the least seconds of each, over rounds that take turns: what a busy neighbour took falls on all."""
    best = [float("inf")] * len(works)
    for _ in range(ROUNDS):
        for at, work in enumerate(works):
            best[at] = min(best[at], timed(work, 1)[0])
    return best


def bytes_of(trace: vl.Trace, tasks: list[Task]) -> dict[str, float]:
    head, arrays = packed(trace)
    return {
        "trace_bytes": len(head) + sum(map(len, arrays)),
        "task_bytes": len(pickle.dumps(tasks[:1])),
        "row_bytes": len(pickle.dumps(run_tasks(trace.head(20_000), tasks[:1]))),
        "plan_bytes": plan_bytes(trace, tasks[0].machine),
    }


def plan_bytes(trace: vl.Trace, machine: vl.Machine) -> float:
    """Bytes that the asking process keeps of each machine."""
    points = design(2_000)
    tracemalloc.start()
    plan = _plan(trace, machine, points, [0])
    held = tracemalloc.get_traced_memory()[0] / len(plan.machines)
    tracemalloc.stop()
    return held


def store_costs(row: pl.DataFrame) -> dict[str, float]:
    return store_cost(row, 1, 20) | store_cost(row, 1000, 3)


def store_cost(row: pl.DataFrame, n: int, files: int) -> dict[str, float]:
    """Give seconds to write and to read a file of so many runs, and its bytes."""
    rows = pl.concat([row] * n).with_columns(pl.int_range(pl.len()).hash().cast(pl.String).alias("key"))
    with tempfile.TemporaryDirectory(dir=os.environ.get("VSWAPLAB_STORE")) as folder:
        store = Store(folder)
        batches = iter([rows.with_columns(pl.col("key") + str(i)) for i in range(files)])
        written = timed(lambda: store.add(next(batches)), files)[0]
        read = timed(lambda: store.find(rows["key"]))[0] / files
        size = next(Path(folder).iterdir()).stat().st_size
    return {f"write{n}": written, f"read{n}": read, f"file{n}_bytes": size}


def measured(c: dict[str, float]) -> str:
    """Write the figures as a table."""
    ms, kb = 1e3, 1e-3

    def twice(name: str) -> str:
        return f"{c[f'{name}1']:.2f} s, {c[f'{name}2']:.2f} s: {c[f'{name}1'] / c[f'{name}2']:.2f}x"

    rows = [
        ("a run of 20,000 accesses (redis), bare", f"{c['run'] * ms:.1f} ms"),
        ("a sweep's overhead a run, this process alone, with a store", f"{c['serial'] * ms:.2f} ms"),
        ("of that: building, checking and naming the machine", f"{c['plan'] * ms:.2f} ms"),
        ("CPU of the asking process a run, with worker processes", f"{c['pool_cpu'] * ms:.2f} ms"),
        ("start of two worker processes", f"{c['pool_start']:.1f} s"),
        (f"{N_RUNS} such runs, 1 and 2 processes, without their start", twice("pool")),
        ("CPU of one and of two workers a run", f"{c['pool_work1'] * ms:.1f} ms, {c['pool_work2'] * ms:.1f} ms"),
        (f"{N_RUNS} such runs, 1 and 2 Dask workers", twice("dask")),
        ("24 runs of the whole trace, 1 and 2 processes, without their start", twice("full")),
        ("a Dask task of nothing", f"{c['dask_task'] * ms:.2f} ms"),
        ("sent once a worker: the trace", f"{c['trace_bytes'] / 1e6:.0f} MB"),
        ("kept by the asking process: a machine", f"{c['plan_bytes'] * kb:.1f} kB"),
        ("sent a run: machine there, row back", f"{c['task_bytes'] * kb:.1f} kB, {c['row_bytes'] * kb:.1f} kB"),
        ("a store file of 1 run: write and sync, read, size", store_words(c, 1)),
        ("a store file of 1,000 runs", store_words(c, 1000)),
    ]
    return "\n".join(["| What | Measured |", "| --- | ---: |", *(f"| {what} | {figure} |" for what, figure in rows)])


def store_words(c: dict[str, float], n: int) -> str:
    return f"{c[f'write{n}'] * 1e3:.1f} ms, {c[f'read{n}'] * 1e3:.1f} ms, {c[f'file{n}_bytes'] / 1e3:.0f} kB"


def on_paper(c: dict[str, float]) -> str:
    """Work out a million machines, of short runs and of whole ones, on a thousand workers: a figure a bottleneck."""
    short, whole = c["run"], c["full1"] / 24
    target = max(_CHUNK_SECONDS, _TASK_SECONDS * WORKERS)
    few, many = max(1, int(target / whole)), max(1, int(target / short))
    rows = [
        ("workers, if nothing else bounded them", short * MILLION / WORKERS, whole * MILLION / WORKERS),
        ("asking process: machines built and named", c["plan"] * MILLION, c["plan"] * MILLION),
        ("asking process: tasks and rows", *[(c["pool_cpu"] - c["plan"]) * MILLION] * 2),
        ("scheduler: a task a chunk", c["dask_task"] * MILLION / many, c["dask_task"] * MILLION / few),
        ("trace to the workers through one link of 1 GB/s", *[c["trace_bytes"] * WORKERS / 1e9] * 2),
        ("store written, a file of 1,000 runs", *[c["write1000"] * MILLION / 1000] * 2),
        ("store read at a restart, a file a chunk", c["read1000"] * MILLION / many, c["read1"] * MILLION / few),
    ]
    lines = [f"| {what} | {clock(a)} | {clock(b)} |" for what, a, b in rows]
    head = f"| What bounds it | {short * 1e3:.0f} ms a run, {many} a chunk | {whole:.2f} s a run, {few} a chunk |"
    return "\n".join([head, "| --- | ---: | ---: |", *lines])


def clock(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


if __name__ == "__main__":
    figures = costs()
    print(measured(figures), on_paper(figures), f"load {os.getloadavg()[0]:.2f}", sep="\n\n")
