"""Ctrl-C that waits for a good moment: noted while a step is under way, heard between two steps."""

from __future__ import annotations

import signal
import threading


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
