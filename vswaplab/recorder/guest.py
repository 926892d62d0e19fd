"""A program under the plugin, from its start to its end, or to whatever stops it before."""

from __future__ import annotations

import mmap
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vswaplab.base.errors import InputError
from vswaplab.base.interrupts import Interrupts
from vswaplab.recorder.emulator import EMULATOR

CONTROL = np.dtype(
    [
        ("stop", "<u4"), ("n_ended", "<u4"), ("k_most", "<u4"), ("n_dumps", "<u4"), ("n_pages", "<u8"),
        ("clock", "<u8"), ("block", "<u8"), ("n_records", "<u8"), ("n_frees", "<u8"), ("n_marks", "<u8"),
        ("n_in_block", "<u4"), ("padding", "<u4"), ("lock", "<i4"), ("n_running", "<u4"), ("n_children", "<u4"),
    ],
    align=True,
)  # fmt: skip
"""How plugin.c's shared_state begins."""

DUMPS_KEPT = 4
MOMENTS = tuple(1 << power for power in range(10, 26))
"""Contents are copied out when so many records are out, and at the end; the last four are kept."""

_POLL_S = 0.1
_GRACE_S = 5.0

Report = Callable[["Seen"], None]


@dataclass(frozen=True)
class Limits:
    """How much a recording may take.

    Parameters
    ----------
    max_records
        24 bytes of temporary disk each, about 6 in the trace.
    max_pages
        Distinct pages the program may touch; the recorder keeps 60 bytes of memory each.
    sample_pages
        Of each moment, at most so many pages are copied out: 4 KiB of temporary disk each, five moments at a time.
    """

    max_records: int = 1 << 24
    max_pages: int = 1 << 22
    sample_pages: int = 1 << 13


@dataclass(frozen=True)
class Seen:
    """How far a recording is."""

    n_records: int
    n_accesses: int
    n_pages: int
    seconds: float


@dataclass(frozen=True)
class Ran:
    """What a program left under the plugin."""

    records: Path
    dumps: list[Path]
    status: int | None
    """Of the program; None: it was ended."""
    stopped: str
    """What ended the recording before the program: "", "Ctrl-C" or the name of a limit."""
    k: int
    n_children: int
    n_ended: int
    """Processes that closed their records; none: the first one became another program, or was killed."""
    seen: Seen


def run_guest(
    command: list[str],
    plugin: Path,
    work: Path,
    *,
    limits: Limits,
    k: tuple[int, int],
    children: bool,
    contents: bool,
    report: Report | None = None,
) -> Ran:
    """Run a program under the plugin; Ctrl-C ends it and keeps what was recorded.

    Parameters
    ----------
    command
        As ``guest_command`` gives it; with this process's input, output and environment.
    plugin
    work
        Where records and dumps go.
    limits
    k
        Least and most pages of a block.
    children
        Record what forks off, too.
    contents
        Copy pages out.
    report
        Told ten times a second.
    """
    records, control_path = work / "records", work / "control"
    options = {
        "out": records, "control": control_path, "k": k[1], "kmin": k[0], "children": int(children),
        "records": limits.max_records, "pages": limits.max_pages, "emulator": shutil.which(EMULATOR), "self": plugin,
    }  # fmt: skip
    if contents:
        options |= {"dump": work / "dump", "sample": limits.sample_pages, "final": 1}
        options |= {"moments": ":".join(map(str, MOMENTS))}
    arguments = ",".join(f"{name}={value}" for name, value in options.items())
    control_path.write_bytes(bytes(mmap.PAGESIZE))
    with control_path.open("r+b") as file, mmap.mmap(file.fileno(), mmap.PAGESIZE) as memory:
        control = np.frombuffer(memory, CONTROL, 1)
        row = control[0]
        try:
            # A session of its own: the terminal's Ctrl-C is for the recorder, which then stops the program.
            guest = subprocess.Popen(
                [EMULATOR, "-cpu", "max", "-plugin", f"{plugin},{arguments}", *command], start_new_session=True
            )
            status, stopped = _wait(guest, control, limits, work, report)
            if not records.exists():
                raise InputError(f"{EMULATOR} did not start {command[0]}: its message is above")
            k_most, n_children, n_ended = (int(row[name]) for name in ("k_most", "n_children", "n_ended"))
            return Ran(records, dumps_of(work), status, stopped, k_most, n_children, n_ended, _seen(control, 0.0))
        finally:
            del control, row


def _wait(
    guest: subprocess.Popen[bytes], control: np.ndarray[tuple[int], np.dtype[np.void]], limits: Limits, work: Path,
    report: Report | None,
) -> tuple[int | None, str]:  # fmt: skip
    start = time.monotonic()
    with Interrupts() as interrupts:
        try:
            while guest.poll() is None and not interrupts.noted and not control["stop"][0]:
                with suppress(subprocess.TimeoutExpired):
                    guest.wait(_POLL_S)
                for old in dumps_of(work)[:-DUMPS_KEPT]:
                    old.unlink()
                if report is not None:
                    report(_seen(control, time.monotonic() - start))
            limited = bool(control["stop"][0])
            asked = guest.poll() is None or limited
            _end(guest, control)
        except BaseException:
            _kill(guest)
            raise
    if not asked:
        return guest.returncode, ""
    return None, _limit(control, limits) if limited else "Ctrl-C"


def _limit(control: np.ndarray[tuple[int], np.dtype[np.void]], limits: Limits) -> str:
    return "--max-records" if control["n_records"][0] >= limits.max_records else "--max-pages"


def _end(guest: subprocess.Popen[bytes], control: np.ndarray[tuple[int], np.dtype[np.void]]) -> None:
    # The program itself, and what it left behind: each closes its records, or is killed.
    control["stop"] = 1
    deadline = time.monotonic() + _GRACE_S
    n_killed = int((guest.poll() or 0) < 0)  # one that died of a signal did not say that it ended
    while (guest.poll() is None or control["n_running"][0] > n_killed) and time.monotonic() < deadline:
        time.sleep(_POLL_S / 10)
    _kill(guest)


def _kill(guest: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(guest.pid, signal.SIGKILL)
    guest.wait()


def dumps_of(work: Path) -> list[Path]:
    """List the dumps there are, in order of time."""
    return sorted(work.glob("dump.*"), key=lambda path: int(path.suffix[1:]))


def _seen(control: np.ndarray[tuple[int], np.dtype[np.void]], seconds: float) -> Seen:
    row = control[0]
    n_accesses = int(row["clock"]) - int(row["n_frees"]) - int(row["n_marks"])
    return Seen(int(row["n_records"]), n_accesses, int(row["n_pages"]), seconds)
