"""A pool of processes that is deaf to Ctrl-C, ends with its parent, and is not forked (polars may hang then)."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import wait as wait_for_end
from typing import ParamSpec, TypeVar

_Given = ParamSpec("_Given")
_Made = TypeVar("_Made")


def new_pool(n: int) -> ProcessPoolExecutor:
    """Make a pool of n processes; they start with the first task.

    A program that must not lose one to a Ctrl-C while they start hands that
    task over in ``deaf_children()``.
    """
    return ProcessPoolExecutor(n, mp_context=multiprocessing.get_context("spawn"), initializer=_follow_parent)


@contextmanager
def deaf_children() -> Iterator[None]:
    """Let processes started in here have Ctrl-C blocked from their first moment on: it is the parent's to hear."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def submit_to(
    pool: Executor, function: Callable[_Given, _Made], *args: _Given.args, **words: _Given.kwargs
) -> Future[_Made]:
    """Hand a task to a pool that may break while it takes it.

    Raises
    ------
    BrokenExecutor
        A process of the pool died before, or just now: CPython 3.11 closes
        the pipes of a broken pool while it still starts a process for the
        task, and then says ``OSError: handle is closed``.
    """
    try:
        return pool.submit(function, *args, **words)
    except BrokenExecutor:
        raise
    except Exception as error:
        if not getattr(pool, "_broken", False):
            raise
        raise BrokenProcessPool("a process of the pool died while the pool took a task") from error


def end_pool(pool: ProcessPoolExecutor) -> None:
    """End a pool of which nothing that still runs is wanted."""
    for process in list((pool._processes or {}).values()):
        process.terminate()
    pool.shutdown(wait=True, cancel_futures=True)


def _follow_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # If the parent is killed, its workers must not stay.
    parent = multiprocessing.parent_process()
    assert parent is not None
    sentinel = parent.sentinel

    def watch() -> None:
        wait_for_end([sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
