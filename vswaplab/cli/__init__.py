"""The command line: ``vswaplab run``, ``sweep``, ``validate``, ``classroom``, ``reproduce``, ``profiles``...

Results and tables go to standard output, progress and notes to standard
error. Bad input is one line on standard error and exit status 2; Ctrl-C keeps
what was finished and exits with 130.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    argv
        The words after ``vswaplab``; default: those of this process.

    Returns
    -------
    status
        0 done, 1 a check found differences, 2 bad input, 130 interrupted.
    """
    waits = threading.current_thread() is threading.main_thread()
    previous = signal.signal(signal.SIGINT, _leave) if waits else None
    try:
        from vswaplab.cli.entry import run_command  # numpy and polars: half a second, in which Ctrl-C may come
    finally:
        if waits:
            signal.signal(signal.SIGINT, previous)
    return run_command(argv)


def _leave(*_: object) -> None:
    os._exit(130)  # nothing is begun, and a library half loaded could turn KeyboardInterrupt into anything
