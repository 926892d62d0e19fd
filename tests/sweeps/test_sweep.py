"""A sweep is the runs that ``simulate`` makes, whoever makes them and in whatever order they are finished."""

from __future__ import annotations

import random
import signal
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

import vswaplab as vl
from vswaplab.machine.presets import with_settings
from vswaplab.results.summary import effective_access_ns
from vswaplab.sweeps import run as run_module
from vswaplab.sweeps import worker
from vswaplab.sweeps.doors import Door, open_door

TRACE = vl.zipf(n_pages=80, n_accesses=400, seed=1).like(redraw_probability=0.5)
MACHINE = vl.preset("four-tiers", 80)
GRID = {"dram.capacity_pages": [10, 20, 30], "zswap.max_pool_percent": [5, 20], "layer": ["none", "vswap"]}
SEEDS = (0, 3)


def sweep(grid: object = GRID, **options: object) -> pl.DataFrame:
    return vl.sweep(TRACE, MACHINE, grid, **({"seeds": SEEDS, "progress": False} | options))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def serial() -> pl.DataFrame:
    return sweep()


class Shuffled(Executor):
    """Finishes what it is given in a random order, from another thread."""

    def __init__(self, seed: int) -> None:
        self.random, self.jobs, self.lock = random.Random(seed), [], threading.Lock()

    def submit(self, fn: Callable[..., object], /, *args: object, **_: object) -> Future[Any]:  # type: ignore[override]
        future: Future[Any] = Future()
        with self.lock:
            self.jobs.append((future, fn, args))
        threading.Timer(0.002, self.finish_one).start()
        return future

    def finish_one(self) -> None:
        with self.lock:
            future, fn, args = self.jobs.pop(self.random.randrange(len(self.jobs)))
        future.set_result(fn(*args))


def test_sweep__rows_are_what_simulate_gives(serial: pl.DataFrame) -> None:
    for row in serial.gather_every(4).iter_rows(named=True):
        result = vl.simulate(TRACE, with_settings(MACHINE, vl.grid(GRID).settings(row["point"])), seed=row["seed"])
        assert {name: row[name] for name in result.totals} == result.totals
        assert row["effective_access_ns"] == effective_access_ns(result)
        assert row["stall_zswap_ns"] == result.epochs["stall_zswap_ns"].sum()


def test_sweep__keys_come_first_in_the_order_of_the_design(serial: pl.DataFrame) -> None:
    assert serial.columns[:6] == ["point", *GRID, "seed", "reason"]
    assert serial["point"].to_list() == [p for p in range(12) for _ in SEEDS]
    assert serial["seed"].to_list() == list(SEEDS) * 12
    assert serial["reason"].null_count() == serial.height == 24


def test_sweep__seeds_make_a_difference(serial: pl.DataFrame) -> None:
    assert serial.group_by("point").agg(pl.col("stall_ns").n_unique()).get_column("stall_ns").max() == 2


@pytest.mark.parametrize("n", [1, 3])
def test_sweep__threads_change_nothing(serial: pl.DataFrame, n: int) -> None:
    with ThreadPoolExecutor(n) as pool:
        assert_frame_equal(sweep(executor=pool), serial, check_exact=True)


@pytest.mark.parametrize("seed", range(3))
def test_sweep__order_of_completion_changes_nothing(
    serial: pl.DataFrame, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_module, "_CHUNK_SECONDS", 0.01)
    assert_frame_equal(sweep(executor=Shuffled(seed)), serial, check_exact=True)


@pytest.mark.slow
def test_sweep__processes_change_nothing(serial: pl.DataFrame) -> None:
    assert_frame_equal(sweep(executor=2), serial, check_exact=True)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        assert_frame_equal(sweep(executor=pool), serial, check_exact=True)


def test_sweep__a_trace_in_its_file_gives_the_same(tmp_path: Path) -> None:
    path = vl.save_trace(TRACE, tmp_path / "trace.parquet")
    there, here = (
        vl.sweep(trace, MACHINE, {"dram.capacity_pages": [10, 20]}, progress=False)
        for trace in (vl.open_trace(path, piece_accesses=64), vl.load_trace(path))
    )

    assert_frame_equal(there, here, check_exact=True)


def test_sweep__a_refused_machine_is_a_row_with_its_reason() -> None:
    runs = sweep({"cram.open_at": [0.5, 0.99], "cram.close_at": [0.9]}, seeds=[0])

    assert runs["reason"].to_list() == [None, runs["reason"][1]]
    assert "cram.open_at" in runs["reason"][1]
    assert runs["pswpin"].to_list()[1] is None


def test_sweep__a_machine_that_the_trace_cannot_have_is_a_row_with_its_reason(tmp_path: Path) -> None:
    vl.save_trace(TRACE, tmp_path / "trace.parquet")
    trace = vl.open_trace(tmp_path / "trace.parquet")
    runs = vl.sweep(trace, MACHINE, {"dram.policy": ["lru", "clairvoyant"]}, store=tmp_path / "store", progress=False)

    assert runs["accesses"].to_list() == [400, None]
    assert "clairvoyant" in runs["reason"][1]


def test_sweep__refuses_before_anything_runs_if_no_machine_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "simulate", lambda *_, **__: pytest.fail("something ran"))

    with pytest.raises(vl.InputError, match=r"each of the 2 machines is refused; the first: dram.capacity_pages must"):
        sweep({"dram.capacity_pages": [0, -1]})
    with pytest.raises(vl.InputError, match=r"did you mean dram\.policy"):
        sweep({"dram.polcy": ["lru"]})


def test_sweep__runs_equal_machines_once(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[int] = []
    simulate = worker.simulate
    monkeypatch.setattr(worker, "simulate", lambda *a, **k: (ran.append(1), simulate(*a, **k))[1])

    runs = sweep({"dram.capacity_pages": [20, "80KiB", 20]}, seeds=[0])

    assert len(ran) == 1
    assert runs["dram.capacity_pages"].to_list() == [20, 20, 20]
    assert runs["pswpin"].n_unique() == 1


def test_sweep__short_runs_go_in_chunks_and_long_ones_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    run_tasks = worker.run_tasks

    def counted(seconds: float) -> Callable[[vl.Trace, Sequence[worker.Task]], worker.Done]:
        def run(trace: vl.Trace, tasks: Sequence[worker.Task]) -> worker.Done:
            sizes.append(len(tasks))
            return replace(run_tasks(trace, tasks), seconds=seconds * len(tasks))

        return run

    for seconds, largest in ((0.05, 5), (1.0, 1)):
        sizes.clear()
        monkeypatch.setattr("vswaplab.sweeps.doors.run_tasks", counted(seconds))
        sweep()
        assert (sizes[0], max(sizes), sum(sizes)) == (1, largest, 24)


def test_sweep__chunks_grow_with_the_workers_so_that_a_scheduler_keeps_up() -> None:
    driver = run_module._Driver.__new__(run_module._Driver)
    driver.queue, driver.n_done, driver.seconds, driver.breaks = deque(range(1_000_000)), 10, 2.0, 0  # type: ignore[arg-type]
    for workers, runs in ((2, 1), (100, 5), (1000, 50)):
        driver.door = Door(lambda _: Future(), lambda workers=workers: workers)  # type: ignore[misc]
        assert driver._chunk() == runs


def test_sweep__a_run_that_a_breaking_pool_forgets_is_run_again(
    serial: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_module, "_GRACE", 0.1)
    lost: Future[worker.Done] = Future()
    lost.set_exception(BrokenProcessPool())
    of_broken_pool = [Future[worker.Done](), lost]  # the first is never told what became of it

    def submit(tasks: Sequence[worker.Task]) -> Future[worker.Done]:
        if of_broken_pool:
            return of_broken_pool.pop(0)
        done: Future[worker.Done] = Future()
        done.set_result(worker.run_tasks(TRACE, tasks))
        return done

    table = sweep(executor=Door(submit, lambda: 1, revive=lambda: None))

    assert_frame_equal(table, serial, check_exact=True)


def test_sweep__progress_counts_runs() -> None:
    told: list[tuple[int, int]] = []
    sweep(progress=lambda done, total: told.append((done, total)))

    assert told[0] == (0, 24)
    assert told[-1] == (24, 24)


def test_sweep__notes_are_a_column_and_one_warning() -> None:
    trace = TRACE.like(recorder_k=15)

    with pytest.warns(UserWarning, match="1 of 2 runs carry a note") as caught:
        runs = vl.sweep(trace, vl.preset("swap-only", 80), {"dram.capacity_pages": [10, 50]}, progress=False)

    assert len(caught) == 1
    assert "was reduced in blocks of 15 pages" in runs["note"][0]
    assert runs["note"][1] is None


def test_sweep__ctrl_c_keeps_what_is_finished(serial: pl.DataFrame, tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        if done >= 5:
            signal.raise_signal(signal.SIGINT)

    with pytest.warns(UserWarning, match=r"interrupted: \d+ of 24 rows are there"):
        part = sweep(progress=stop, store=tmp_path)

    assert 5 <= part.height < 24
    assert_frame_equal(part, serial.join(part, on=["point", "seed"], how="semi", maintain_order="left"))
    told: list[tuple[int, int]] = []
    assert_frame_equal(sweep(store=tmp_path, progress=lambda *t: told.append(t)), serial, check_exact=True)
    assert told[0] == (part.height, 24)


def test_sweep__a_worker_with_another_model_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "model_version", lambda: "0.0.1+other")

    with pytest.raises(vl.InputError, match=r"another vswaplab \(0.0.1\+other\)"):
        sweep()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"seeds": []}, "seeds must be different whole numbers"),
        ({"seeds": [1, 1]}, "seeds must be different whole numbers"),
        ({"seeds": [-1]}, "seed must be a whole number of at least 0"),
        ({"seeds": [np.array([7])]}, "seed must be a whole number of at least 0"),
        ({"seeds": 3}, "seeds must be different whole numbers"),
        ({"executor": 0}, "executor must be None, a number of processes"),
        ({"executor": "two"}, "executor must be None, a number of processes"),
        ({"store": 5}, "store must be a path, a text or a pathlib.Path, got 5"),
        ({"progress": "abc"}, "progress must be true, false or a function of .*, got 'abc'"),
    ],
)
def test_sweep__refuses_options_in_one_line(options: dict[str, Any], words: str) -> None:
    with pytest.raises(vl.InputError, match=words):
        sweep(**options)


def test_sweep__refuses_forked_processes() -> None:
    with (
        ProcessPoolExecutor(1, mp_context=get_context("fork")) as pool,
        pytest.raises(vl.InputError, match="forked processes can hang"),
    ):
        sweep(executor=pool)


def test_spool__a_process_reads_the_trace_once_and_its_arrays_are_read_only(tmp_path: Path) -> None:
    spool = worker.write_spool(TRACE, tmp_path)
    with warnings.catch_warnings():
        first = worker.run_spooled(spool, [worker.Task(0, MACHINE, 0)])
        (tmp_path / "arrays").unlink()
        (tmp_path / "head").unlink()
        again = worker.run_spooled(spool, [worker.Task(0, MACHINE, 0)])

    (held,) = worker._traces.values()
    assert isinstance(held, vl.Trace)
    assert held.digest == TRACE.digest
    assert not held.page.flags.writeable
    assert first.rows == again.rows == worker.run_tasks(TRACE, [worker.Task(0, MACHINE, 0)]).rows


@pytest.fixture(scope="module")
def client() -> Iterator[object]:
    distributed = pytest.importorskip("distributed", reason="dask is not installed: pip install 'vswaplab[sweep]'")
    with distributed.Client(processes=False, n_workers=1, threads_per_worker=1, dashboard_address=None) as started:
        yield started


@pytest.mark.parametrize("other", [TRACE, TRACE.like(redraw_probability=0.1)], ids=["one trace", "two traces"])
def test_open_door__sweeps_at_once_on_a_cluster_keep_each_its_trace(client: object, other: vl.Trace) -> None:
    tasks = [worker.Task(0, MACHINE, 0)]

    with open_door(client, TRACE) as first:
        with open_door(client, other) as second:
            assert first.submit(tasks).result().rows == worker.run_tasks(TRACE, tasks).rows
            assert second.submit(tasks).result().rows == worker.run_tasks(other, tasks).rows
        assert first.submit(tasks).result().rows == worker.run_tasks(TRACE, tasks).rows

    assert not {TRACE.digest, other.digest} & worker._traces.keys()
    assert not worker._users


def test_run_kept__a_worker_without_the_trace_says_so_in_one_line() -> None:
    with pytest.raises(vl.InputError, match="a worker of the cluster has no trace 0123456789ab: start again"):
        worker.run_kept("0123456789abcdef", [worker.Task(0, MACHINE, 0)])
