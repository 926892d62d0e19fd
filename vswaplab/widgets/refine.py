"""One run in the background, given up as soon as another is wanted."""

from __future__ import annotations

import asyncio
import contextvars
import queue
import threading
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from vswaplab.engine.run import Progress

_T = TypeVar("_T")


class OutOfDateError(Exception):
    """Nobody wants this run any more."""


class Refiner:
    """Do work in a thread and hand what it makes back to the thread that asked.

    In a notebook that is the event loop of the kernel; without one, ``wait``
    hands it back.
    """

    def __init__(self) -> None:
        self._serial = 0
        self._thread: threading.Thread | None = None
        self._done: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()

    def stop(self) -> None:
        """Give the work up; returns when it has ended, after a window of the run at most."""
        self._serial += 1
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def start(self, work: Callable[[Progress], _T], deliver: Callable[[_T], None]) -> None:
        """Give up what is under way and begin ``work``, which must pass on the progress callback it gets."""
        self.stop()
        serial, loop, context = self._serial, _loop(), contextvars.copy_context()

        def progress(*_: int) -> None:
            if serial != self._serial:
                raise OutOfDateError

        def run() -> None:
            try:
                made = work(progress)
            except OutOfDateError:
                return
            hand = partial(self._hand, serial, deliver, made)
            if loop is None:
                self._done.put(hand)
            else:
                loop.call_soon_threadsafe(hand, context=context)

        self._thread = threading.Thread(target=run, name="vswaplab-refine", daemon=True)
        self._thread.start()

    def _hand(self, serial: int, deliver: Callable[[_T], None], made: _T) -> None:
        if serial == self._serial:
            deliver(made)

    def wait(self) -> None:
        """Wait for the work and take what it made, where no event loop does."""
        if self._thread is not None:
            self._thread.join()
        while not self._done.empty():
            self._done.get()()


def _loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
