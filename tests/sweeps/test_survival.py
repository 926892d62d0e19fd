"""Processes are killed for real: what was finished stays, and the numbers are those of an undisturbed run."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import vswaplab as vl

pytestmark = pytest.mark.slow

GRID = """
trace = "redis"
head = {head}
seeds = [0, 1]
design = "latin-hypercube"
n = {n}
[settings]
"dram.capacity_pages" = { from = 2000, to = 9000, log = true }
zswap.max_pool_percent = { from = 1, to = 40 }
layer = ["none", "vswap"]
"""
SETTINGS = {
    "dram.capacity_pages": {"from": 2000, "to": 9000, "log": True},
    "zswap.max_pool_percent": {"from": 1, "to": 40},
    "layer": ["none", "vswap"],
}
N_MACHINES, MANY = 70, 500
HEAD = {N_MACHINES: 120_000, MANY: 8_000}  # accesses: a sweep lasts long enough to be disturbed on a quick machine too
N_RUNS = 2 * N_MACHINES


def undisturbed(n_machines: int) -> pl.DataFrame:
    trace = vl.load_trace("redis").head(HEAD[n_machines])
    design = vl.latin_hypercube(SETTINGS, n_machines)
    return vl.sweep(trace, vl.preset("four-tiers", trace.n_pages), design, seeds=[0, 1], progress=False)


@pytest.fixture(scope="module")
def serial() -> pl.DataFrame:
    return undisturbed(N_MACHINES)


class Sweep:
    """``vswaplab sweep`` as a process in a session of its own."""

    def __init__(self, folder: Path, *words: str, n_machines: int = N_MACHINES) -> None:
        grid = GRID.replace("{head}", str(HEAD[n_machines])).replace("{n}", str(n_machines))
        (folder / "grid.toml").write_text(grid)
        self.store, self.table = folder / "out/store", folder / "out/runs.parquet"
        command = [sys.executable, "-m", "vswaplab.cli", "sweep", "grid.toml", "--out", "out", *words]
        self.process = subprocess.Popen(
            command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )

    def kept(self) -> int:
        """Count the runs in the store."""
        return sum(pl.read_parquet(path, columns=["key"]).height for path in self.store.glob("*.parquet"))

    def wait_for(self, n_runs: int) -> None:
        until(lambda: self.process.poll() is not None or self.kept() >= n_runs)
        assert self.process.poll() is None, self.process.communicate()

    def kill(self) -> int:
        """Kill -9 the process alone; return how many runs were kept."""
        self.process.kill()
        self.process.communicate()
        until(lambda: not in_session(self.process.pid))  # its workers do not outlive it
        return self.kept()

    def end(self) -> str:
        """Wait for the end; return what it printed."""
        out, err = self.process.communicate(timeout=120)
        assert (self.process.returncode, notes(err)) == (0, "")
        return out

    def runs(self) -> pl.DataFrame:
        return pl.read_parquet(self.table)


def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline, "waited for a minute"
        time.sleep(0.02)


def in_session(session: int) -> list[int]:
    """List the live processes of a session but for its leader."""
    return [pid for pid, fields in processes() if int(fields[3]) == session != pid and fields[0] != "Z"]


def processes() -> Iterator[tuple[int, list[str]]]:
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = path.read_text()
        except OSError:  # ended meanwhile
            continue
        yield int(path.parent.name), text.rpartition(")")[2].split()


def workers_of(parent: int) -> list[int]:
    found = []
    for pid, fields in processes():
        if int(fields[1]) == parent and b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes():
            found.append(pid)
    assert found, f"no worker of {parent} is alive"
    return found


def notes(err: str) -> str:
    """Leave out the progress that a busy machine has time to tell."""
    return "".join(line for line in err.splitlines(keepends=True) if not re.match(r"vswaplab: [\d,]+ of ", line))


def before(out: str) -> int:
    found = re.search(r"; ([\d,]+) of [\d,]+ runs were there before", out)
    assert found is not None
    return int(found[1].replace(",", ""))


@pytest.mark.parametrize(
    ("words", "n_machines"), [((), N_MACHINES), (("--workers", "2"), MANY)], ids=["alone", "a thousand by two workers"]
)
def test_sweep__killed_twice_goes_on_and_loses_only_what_was_in_flight(
    tmp_path: Path, words: tuple[str, ...], n_machines: int
) -> None:
    n_runs, part = 2 * n_machines, n_machines // 4
    first = Sweep(tmp_path, *words, n_machines=n_machines)
    first.wait_for(part)
    one = first.kill()
    second = Sweep(tmp_path, *words, n_machines=n_machines)
    second.wait_for(one + part)
    two = second.kill()

    third = Sweep(tmp_path, *words, n_machines=n_machines)

    assert before(third.end()) == two
    assert 2 * part <= two < n_runs
    assert third.kept() == n_runs  # nothing was kept twice, so nothing kept was run again
    assert_frame_equal(third.runs(), undisturbed(n_machines), check_exact=True)


def test_sweep__goes_on_when_a_worker_is_killed(tmp_path: Path, serial: pl.DataFrame) -> None:
    sweep = Sweep(tmp_path, "--workers", "2")
    sweep.wait_for(20)
    os.kill(workers_of(sweep.process.pid)[0], signal.SIGKILL)

    sweep.end()

    assert sweep.kept() == N_RUNS
    assert_frame_equal(sweep.runs(), serial, check_exact=True)


def test_sweep__ctrl_c_ends_it_at_once_with_what_is_finished(tmp_path: Path, serial: pl.DataFrame) -> None:
    sweep = Sweep(tmp_path, "--workers", "2")
    sweep.wait_for(20)
    os.killpg(sweep.process.pid, signal.SIGINT)  # as a terminal does: to the workers too

    out, err = sweep.process.communicate(timeout=20)

    assert sweep.process.returncode == 130
    assert re.fullmatch(r"vswaplab: note: interrupted: \d+ of 140 rows are there\n", notes(err))
    part = sweep.runs()
    assert 20 <= part.height == sweep.kept() < N_RUNS
    assert_frame_equal(part, serial.join(part, on=["point", "seed"], how="semi", maintain_order="left"))
    assert f"{part.height} rows, 0 of them refused" in out


DIES = """
import os, multiprocessing, vswaplab as vl
from vswaplab.sweeps import worker
if __name__ == "__mp_main__":
    real = worker.run_tasks
    def run(trace, tasks):
        if any(task.seed == 3 for task in tasks):
            os._exit(9)  # as the kernel's out-of-memory killer would
        return real(trace, tasks)
    worker.run_tasks = run
if __name__ == "__main__":
    trace = vl.zipf(n_pages=80, n_accesses=400, seed=1)
    try:
        vl.sweep(trace, vl.preset("four-tiers", 80), {"dram.capacity_pages": [20]}, seeds=range(6), executor=2,
                 store="store", progress=False)
    except vl.InputError as error:
        print(error)
"""


def test_sweep__a_run_that_kills_its_worker_every_time_is_one_line_and_the_rest_is_kept(tmp_path: Path) -> None:
    (tmp_path / "dies.py").write_text(DIES)

    done = subprocess.run([sys.executable, "dies.py"], cwd=tmp_path, capture_output=True, text=True, timeout=60)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("a worker process died again and again (killed, or out of memory")
    assert done.stdout.count("\n") == 1
    kept = [pl.read_parquet(path, columns=["key"]).height for path in (tmp_path / "store").glob("*.parquet")]
    assert sum(kept) == 5


# A Dask cluster on the loopback interface ------------------------------------------------------


class Cluster:
    """A real scheduler and its workers, each a process."""

    def __init__(self, folder: Path) -> None:
        self.log = (folder / "dask.log").open("w")
        self.file = folder / "scheduler.json"
        self.scheduler = self.start("scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", self.file)
        until(self.file.is_file)
        self.address = str(json.loads(self.file.read_text())["address"])
        self.workers = [self.add_worker(), self.add_worker()]

    def start(self, what: str, *words: str | Path) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", f"distributed.cli.dask_{what}", *words, "--no-dashboard"]
        return subprocess.Popen(command, stdout=self.log, stderr=self.log, cwd=self.file.parent)

    def add_worker(self) -> subprocess.Popen[bytes]:
        return self.start("worker", self.address, "--nthreads", "1", "--no-nanny", "--host", "127.0.0.1")

    def stop(self) -> None:
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()
        self.log.close()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    pytest.importorskip("distributed", reason="dask is not installed: pip install 'vswaplab[sweep]'")
    started = Cluster(tmp_path)
    yield started
    started.stop()


def test_sweep__dask_goes_on_when_a_worker_is_killed(tmp_path: Path, serial: pl.DataFrame, cluster: Cluster) -> None:
    sweep = Sweep(tmp_path, "--scheduler", cluster.address)
    sweep.wait_for(N_RUNS // 2)
    cluster.workers[0].kill()

    sweep.end()

    assert sweep.kept() == N_RUNS
    assert_frame_equal(sweep.runs(), serial, check_exact=True)


def test_sweep__dask_a_worker_that_joins_late_gets_the_trace(
    tmp_path: Path, serial: pl.DataFrame, cluster: Cluster
) -> None:
    sweep = Sweep(tmp_path, "--scheduler", cluster.address)
    sweep.wait_for(20)
    cluster.workers.append(cluster.add_worker())
    for worker in cluster.workers[:2]:  # all that were there when it began
        worker.kill()

    sweep.end()

    assert_frame_equal(sweep.runs(), serial, check_exact=True)


def test_sweep__dask_a_lost_scheduler_is_one_line_and_what_was_finished_stays(
    tmp_path: Path, serial: pl.DataFrame, cluster: Cluster
) -> None:
    sweep = Sweep(tmp_path, "--scheduler", cluster.address)
    sweep.wait_for(20)
    cluster.scheduler.kill()

    _, err = sweep.process.communicate(timeout=60)

    assert sweep.process.returncode == 2
    assert re.fullmatch(
        r"vswaplab: the cluster .*start again; what was finished is in the store, if one was given\n", notes(err)
    )
    kept = sweep.kept()
    assert 20 <= kept < N_RUNS
    again = Sweep(tmp_path)
    assert before(again.end()) == kept
    assert_frame_equal(again.runs(), serial, check_exact=True)
