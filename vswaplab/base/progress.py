"""How far a long piece of work is: one line on a terminal, a bar in a notebook."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

import numpy as np

from vswaplab.base.errors import InputError, shown

Report = Callable[[int, int], None]
"""Called with how many are done and their total."""

_EVERY = {"terminal": 0.1, "notebook": 0.25, "log": 10.0}  # seconds between two reports


class Progress:
    """Say how far a run is.

    On a terminal a line that is rewritten, in a notebook a bar, elsewhere a line every ten seconds.

    Parameters
    ----------
    stream
        Where lines go.
    noun
        What is counted.
    """

    def __init__(self, stream: TextIO, noun: str = "accesses") -> None:
        self.stream, self.noun = stream, noun
        self.notebook = _notebook()
        self.kind = "notebook" if self.notebook else "terminal" if stream.isatty() else "log"
        self.start = self.last = time.monotonic()
        self.first: int | None = None
        self.handle: Any = None

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self.kind == "terminal":
            print("\r\x1b[K", end="", file=self.stream, flush=True)

    def __call__(self, done: int, total: int) -> None:
        """Take a report: how many are done, and how many there are in all."""
        now = time.monotonic()
        if self.first is None:  # what was done before the first report says nothing of the speed
            self.first, self.start = done, now
        is_end = self.kind == "notebook" and done == total
        if now - self.last < _EVERY[self.kind] and not is_end:
            return
        self.last = now
        text = progress_words(done, total, done - self.first, now - self.start, self.noun)
        {"terminal": self._on_terminal, "notebook": self._in_notebook, "log": self._on_log}[self.kind](
            done, total, text
        )

    def _on_terminal(self, done: int, total: int, text: str) -> None:
        bar = "#" * (30 * done // total)
        print(f"\r\x1b[K[{bar:<30}] {text}", end="", file=self.stream, flush=True)

    def _on_log(self, done: int, total: int, text: str) -> None:
        print(f"vswaplab: {text}", file=self.stream, flush=True)

    def _in_notebook(self, done: int, total: int, text: str) -> None:
        bar = f'<progress value="{done}" max="{total}" aria-label="{self.noun} done" style="width: 20em"></progress>'
        data = {"text/html": f"{bar} <span>{text}</span>", "text/plain": text}
        if self.handle is None and self.notebook is not None:
            self.handle = self.notebook(data, raw=True, display_id=True)
        elif self.handle is not None:
            self.handle.update(data, raw=True)


def check_report(progress: object) -> None:
    """Check that progress is reported to a function, or to nobody."""
    if progress is not None and not callable(progress):
        raise InputError(f"progress must be a function of (done, total), or None, got {shown(progress)}")


@contextmanager
def reporting(progress: bool | Report | None, noun: str) -> Iterator[Report]:
    """Give what to report to: a line or a bar of our own, a function, or nobody.

    Parameters
    ----------
    progress
        True: our own, on standard error or in the notebook.
    noun
        What is counted.

    Raises
    ------
    InputError
        It is none of these.
    """
    if progress is True:
        with Progress(sys.stderr, noun) as bar:
            yield bar
    elif callable(progress):
        yield progress
    elif progress is False or progress is None:
        yield lambda done, total: None
    else:
        raise InputError(f"progress must be true, false or a function of (done, total), got {shown(progress)}")


def progress_words(done: int, total: int, fresh: int, seconds: float, noun: str) -> str:
    """Say how many are done, how fast, and what time that leaves.

    Parameters
    ----------
    done, total
    fresh
        How many of those done were done in ``seconds``.
    seconds
    noun

    Examples
    --------
    >>> progress_words(30, 90, 20, 10.0, "runs")
    '30 of 90 runs (33%), 2.0 runs a second, about 30 s left'
    """
    text = f"{done:,} of {total:,} {noun} ({done / total:.0%})"
    if done == total or not fresh or seconds <= 0:
        return text
    rate = fresh / seconds
    return f"{text}, {_speed(rate)} {noun} a second, about {_span((total - done) / rate)} left"


def _speed(rate: float) -> str:
    if rate >= 1:
        return f"{rate:,.0f}" if rate >= 10 else f"{rate:.1f}"
    return np.format_float_positional(rate, 2, fractional=False, trim="-")


def _span(seconds: float) -> str:
    for limit, unit, length in ((120, "s", 1), (7200, "min", 60), (172_800, "h", 3600)):
        if seconds < limit:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds / 86_400:.0f} days"


def _notebook() -> Callable[..., Any] | None:
    # IPython's display, if this process is a notebook's kernel; it is loaded there already.
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is None or not hasattr(shell, "kernel"):
        return None
    display: Callable[..., Any] = ipython.display.display  # type: ignore[union-attr]
    return display
