"""Runs one after another, and what Ctrl-C leaves of them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence

from vswaplab.base.progress import check_report
from vswaplab.engine.run import Progress
from vswaplab.results.result import Result


def in_turn(runs: Sequence[Callable[[], Result]], progress: Progress | None = None) -> Iterator[Result]:
    """Make runs one after another.

    Parameters
    ----------
    runs
        Each makes one result, as ``simulate`` does.
    progress : callable
        Called as ``progress(done, total)`` after every run.

    Yields
    ------
    result : Result
        After Ctrl-C no more of them: half a run says nothing.

    Raises
    ------
    KeyboardInterrupt
        Before the first run was finished.
    """
    check_report(progress)
    for done, run in enumerate(runs):
        result = run()
        if result.provenance["partial"]:
            if not done:
                raise KeyboardInterrupt
            warnings.warn(f"interrupted: {done} of {len(runs)} runs were finished", stacklevel=3)
            return
        yield result
        if progress is not None:
            progress(done + 1, len(runs))
