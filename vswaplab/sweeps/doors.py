"""Where runs go: this process, threads, processes, a Dask cluster; to the sweep all look alike.

A door takes the trace to its workers once, and turns tasks into futures.
"""

from __future__ import annotations

import importlib
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from vswaplab.base.errors import InputError, shown
from vswaplab.base.workers import deaf_children, end_pool, new_pool, submit_to
from vswaplab.sweeps.worker import (
    AnyTrace,
    Done,
    Spool,
    Task,
    keep_packed,
    let_go,
    packed,
    run_kept,
    run_spooled,
    run_tasks,
    write_spool,
)

_MOST_WORKERS = 4096  # of a pool of our own
_UNKNOWN_WORKERS = 8  # of an executor that does not say how many it has


class Door:
    """Tasks in, futures out.

    Parameters
    ----------
    submit : callable
        Takes tasks.
    count : callable
        Says how many workers there are.
    ahead
        Whether tasks may wait at the door.
    revive : callable
        Makes a new pool in place of a broken one; None if it is not ours.
    """

    def __init__(
        self,
        submit: Callable[[Sequence[Task]], Future[Done]],
        count: Callable[[], int],
        *,
        ahead: bool = True,
        revive: Callable[[], None] | None = None,
    ) -> None:
        self.submit, self.count, self.ahead, self.revive = submit, count, ahead, revive

    @property
    def workers(self) -> int:
        """How many runs go on at once, about."""
        return max(1, self.count())

    @property
    def limit(self) -> int:
        """How many chunks may be under way: enough that no worker waits, few enough to stop soon."""
        return 2 * self.workers + 2 if self.ahead else 1


@contextmanager
def open_door(executor: object, trace: AnyTrace) -> Iterator[Door]:
    """Make the door of an executor.

    Parameters
    ----------
    executor : None, int, concurrent.futures.Executor, dask.distributed.Client or Door
        As ``vl.sweep`` takes it; a door is handed on.
    trace

    Raises
    ------
    InputError
        It is none of these, or a pool of forked processes.
    """
    with _opened(executor, trace) as door:
        yield door


def _opened(executor: object, trace: AnyTrace) -> Any:  # noqa: ANN401 - a context manager of a Door
    if isinstance(executor, Door):  # somebody keeps it open for several sweeps of the trace
        return nullcontext(executor)
    if executor is None:
        return _here(trace)
    if isinstance(executor, int) and not isinstance(executor, bool) and 1 <= executor <= _MOST_WORKERS:
        return _own_pool(executor, trace)
    if isinstance(executor, ThreadPoolExecutor):
        return _threads(executor, trace)
    if isinstance(executor, Executor):
        return _processes(executor, trace)
    if hasattr(executor, "get_executor") and hasattr(executor, "register_plugin"):
        return _dask(executor, trace)
    raise InputError(
        f"executor must be None, a number of processes up to {_MOST_WORKERS:,}, a concurrent.futures executor or a "
        f"dask.distributed client, got {shown(executor)}"
    )


@contextmanager
def _here(trace: AnyTrace) -> Iterator[Door]:
    def submit(tasks: Sequence[Task]) -> Future[Done]:
        future: Future[Done] = Future()
        try:
            future.set_result(run_tasks(trace, tasks))
        except BaseException as error:  # Ctrl-C too: it comes out of result(), as from a worker
            future.set_exception(error)
        return future

    yield Door(submit, lambda: 1, ahead=False)


@contextmanager
def _threads(executor: ThreadPoolExecutor, trace: AnyTrace) -> Iterator[Door]:
    yield Door(lambda tasks: executor.submit(run_tasks, trace, tasks), lambda: executor._max_workers)


@contextmanager
def _processes(executor: Executor, trace: AnyTrace) -> Iterator[Door]:
    context = getattr(executor, "_mp_context", None)
    if context is not None and context.get_start_method() == "fork":
        raise InputError(
            "a pool of forked processes can hang in polars: give a number as executor, or "
            "ProcessPoolExecutor(n, mp_context=multiprocessing.get_context('spawn'))"
        )
    with _spooled(trace) as spool:
        yield Door(
            lambda tasks: submit_to(executor, run_spooled, spool, tasks),
            lambda: int(getattr(executor, "_max_workers", _UNKNOWN_WORKERS)),
        )


@contextmanager
def _spooled(trace: AnyTrace) -> Iterator[Spool]:
    with tempfile.TemporaryDirectory(prefix="vswaplab-") as folder:
        yield write_spool(trace, Path(folder))


@contextmanager
def _own_pool(n: int, trace: AnyTrace) -> Iterator[Door]:
    pools: list[ProcessPoolExecutor] = []

    def revive() -> None:
        pools.append(new_pool(n))

    def submit(tasks: Sequence[Task]) -> Future[Done]:
        with deaf_children():
            return submit_to(pools[-1], run_spooled, spool, tasks)

    with _spooled(trace) as spool:
        revive()
        try:
            yield Door(submit, lambda: n, revive=revive)
        finally:
            for pool in pools:
                end_pool(pool)


@contextmanager
def _dask(client: Any, trace: AnyTrace) -> Iterator[Door]:  # noqa: ANN401 - dask is an extra
    name = f"vswaplab-{uuid.uuid4().hex}"  # its own: another sweep of this trace may end before
    client.register_plugin(_plugin(trace), name=name)
    executor = client.get_executor(pure=False, retries=3)
    counted = [0, -1.0]  # workers, and when they were counted: it asks the scheduler

    def count() -> int:
        if time.monotonic() - counted[1] > 2:
            counted[:] = [sum(client.nthreads().values()), time.monotonic()]
        return int(counted[0])

    try:
        yield Door(lambda tasks: executor.submit(run_kept, trace.digest, tasks), count)
    finally:
        if client.status == "running":
            executor.shutdown(wait=False)
            client.unregister_worker_plugin(name)


def _plugin(trace: AnyTrace) -> object:
    # A worker gets the plugin, and the trace in it, when it joins: now, later, or again after it was killed.
    base = importlib.import_module("distributed").WorkerPlugin
    head, arrays = packed(trace)
    sent, digest = [bytes(array) for array in arrays], trace.digest

    class TracePlugin(base):  # type: ignore[misc,valid-type]
        def setup(self, worker: object) -> None:
            keep_packed(digest, head, sent)

        def teardown(self, worker: object) -> None:
            let_go(digest)

    return TracePlugin()
