"""Processes beside this one."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import BrokenExecutor, Future
from multiprocessing.context import SpawnProcess
from typing import Any

import pytest

from vswaplab.base.workers import end_pool, new_pool, submit_to


def test_new_pool__a_process_does_not_hear_ctrl_c() -> None:
    pool = new_pool(1)
    try:
        process = pool.submit(os.getpid).result()
        pool.submit(signal.raise_signal, signal.SIGINT).result()
        assert pool.submit(os.getpid).result() == process != os.getpid()
    finally:
        end_pool(pool)


def test_submit_to__a_pool_that_breaks_while_it_starts_a_process_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    pool: Any = new_pool(2)
    started = SpawnProcess.start

    def start_late(process: SpawnProcess) -> None:
        deadline = time.monotonic() + 3  # from CPython 3.12.1 on a pool does not break while it takes a task
        while not pool._call_queue._reader.closed and time.monotonic() < deadline:
            time.sleep(0.01)
        started(process)

    def hand_over() -> Future[int]:
        return submit_to(pool, os.getpid)

    try:
        dies = submit_to(pool, os._exit, 9)
        monkeypatch.setattr(SpawnProcess, "start", start_late)
        with pytest.raises(BrokenExecutor):
            hand_over().result(timeout=30)
        with pytest.raises(BrokenExecutor):
            dies.result(timeout=30)
    finally:
        end_pool(pool)


def test_submit_to__what_is_wrong_with_a_whole_pool_is_said_as_it_is() -> None:
    pool = new_pool(1)
    pool.shutdown()

    with pytest.raises(RuntimeError, match="after shutdown"):
        submit_to(pool, os.getpid)
