"""Ctrl-C that waits for a good moment: noted while a step is under way, heard between two steps."""

from __future__ import annotations

import signal
import threading
from concurrent.futures import Future, wait
from typing import TypeVar

_T = TypeVar("_T")
_HEARD_WITHIN = 0.1  # seconds


class Interrupts:
    """Note Ctrl-C instead of raising KeyboardInterrupt, for as long as the context lasts.

    In the main thread only, and only where Python's own handler is set; else
    nothing changes. Inside one another, all of them note it. A second Ctrl-C
    goes through.
    """

    def __init__(self) -> None:
        self.noted = False
        """Whether Ctrl-C was pressed."""

    def __enter__(self) -> Interrupts:
        handler = signal.getsignal(signal.SIGINT) if _is_main_thread() else None
        if handler in (signal.default_int_handler, _note):
            _waiting.append(self)
            signal.signal(signal.SIGINT, _note)
        return self

    def __exit__(self, *_: object) -> None:
        if self in _waiting:
            _waiting.remove(self)
            if not _waiting and signal.getsignal(signal.SIGINT) is _note:
                signal.signal(signal.SIGINT, signal.default_int_handler)


_waiting: list[Interrupts] = []


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _note(*_: object) -> None:
    for interrupts in _waiting:
        interrupts.noted = True
    signal.signal(signal.SIGINT, signal.default_int_handler)


def result_of(future: Future[_T]) -> _T:
    """Wait for a thread's result, and hear Ctrl-C meanwhile.

    A wait without end never hears one that comes while it begins: the main
    thread then sleeps until something else wakes it.
    """
    while not wait([future], timeout=_HEARD_WITHIN).done:
        pass
    return future.result()
