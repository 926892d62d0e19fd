"""What a worker does: get the trace once, run machines on it, give one row of numbers a run."""

from __future__ import annotations

import hashlib
import importlib.metadata
import mmap
import pickle
import threading
import time
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import polars as pl

from vswaplab.base.errors import InputError
from vswaplab.engine.run import simulate
from vswaplab.machine.config import Machine
from vswaplab.machine.stores import store_counters
from vswaplab.results.counters import COUNTER_NAMES, TIMES
from vswaplab.results.result import Result
from vswaplab.results.summary import effective_access_ns
from vswaplab.trace.files import TraceFile
from vswaplab.trace.trace import Trace

AnyTrace = Trace | TraceFile

TIERS = ("dram", "zero", "cram", "zswap", "zram", "swapfile")

SCHEMA: dict[str, type[pl.DataType]] = {
    "reason": pl.String,
    "note": pl.String,
    "effective_access_ns": pl.Float64,
    **dict.fromkeys((*TIMES, *(f"stall_{tier}_ns" for tier in TIERS), *COUNTER_NAMES), pl.Int64),
}
"""Columns of a run's numbers; ``reason``: why a machine was refused, ``note``: what the run says about itself."""


def columns_of(machine: Machine) -> dict[str, type[pl.DataType]]:
    """Name the columns of a machine's runs: those of ``SCHEMA``, and those of its plug-ins' tiers."""
    names = [store.name for store in machine.stores]
    stalls = [f"stall_{name}_ns" for name in names]
    return SCHEMA | dict.fromkeys((*stalls, *(counter for name in names for counter in store_counters(name))), pl.Int64)


NOTES = r"(trace .* was reduced in blocks|interrupted: )"
"""The warnings of ``simulate`` that a sweep tells by its table."""

_ALIGN = 64  # bytes: numpy is slow on arrays that start anywhere

Row = tuple[object, ...]


@dataclass(frozen=True)
class Task:
    """One run: its place in the table, the machine, the seed of its draws."""

    index: int
    machine: Machine
    seed: int


@dataclass(frozen=True)
class Done:
    """What comes back: an index and a row a run, in the order of the tasks, and the seconds they took."""

    indexes: list[int]
    rows: list[Row]
    seconds: float
    model: str

    def frame(self, columns: Mapping[str, type[pl.DataType]]) -> pl.DataFrame:
        """Lay out the rows as a table with the column ``index`` before their own."""
        numbers = pl.DataFrame(self.rows, schema=columns, orient="row")
        return numbers.insert_column(0, pl.Series("index", self.indexes, dtype=pl.Int64))


@cache
def model_version() -> str:
    """Tell the model apart: the version, and a digest of the sources that numbers depend on."""
    sha = hashlib.sha256()
    root = Path(__file__).parents[1]
    for part in ("base", "engine", "machine", "results", "sweeps", "trace"):
        for path in sorted((root / part).rglob("*.py")):
            sha.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return f"{importlib.metadata.version('vswaplab')}+{sha.hexdigest()[:16]}"


def run_tasks(trace: AnyTrace, tasks: Sequence[Task]) -> Done:
    """Run machines on a trace; their plug-ins' tiers are the same.

    Raises
    ------
    KeyboardInterrupt
        Ctrl-C came: what is not finished is not told.
    """
    began = time.perf_counter()
    columns = columns_of(tasks[0].machine)
    rows = [_run(trace, task, columns) for task in tasks]
    return Done([task.index for task in tasks], rows, time.perf_counter() - began, model_version())


def _run(trace: AnyTrace, task: Task, columns: Iterable[str]) -> Row:
    try:  # one window: no total depends on how many there are
        result = simulate(trace, task.machine, seed=task.seed, epoch_accesses=len(trace))
    except InputError as error:
        return tuple(str(error) if name == "reason" else None for name in columns)
    if result.provenance["partial"]:
        raise KeyboardInterrupt
    return tuple(_number(result, name, len(trace)) for name in columns)


def _number(result: Result, name: str, n_accesses: int) -> object:
    if name == "reason":
        return None
    if name == "note":
        notes: list[str] = result.provenance["notes"]  # type: ignore[assignment]
        if result.totals["oom"]:
            notes = [f"memory ran out after {result.totals['accesses']:,} of {n_accesses:,} accesses", *notes]
        return "; ".join(notes) or None
    if name == "effective_access_ns":
        return effective_access_ns(result)
    return result.totals[name] if name in result.totals else int(result.epochs[name].sum())


# The trace in another process ------------------------------------------------------------------


@dataclass(frozen=True)
class Spool:
    """Where a process finds the trace: two files that it maps, so that all processes of a machine share the pages."""

    digest: str
    folder: str


def write_spool(trace: AnyTrace, folder: Path) -> Spool:
    """Write a trace for other processes.

    Raises
    ------
    InputError
        The disk is full, or the folder cannot be written.
    """
    head, arrays = packed(trace)
    try:
        with (folder / "arrays").open("wb") as file:
            for array in arrays:
                file.write(array)
                file.write(bytes(-len(array) % _ALIGN))
        (folder / "head").write_bytes(pickle.dumps((head, [len(array) for array in arrays])))
    except OSError as error:
        raise InputError(
            f"cannot hand the trace to other processes in {folder}: {error.strerror}; make room, or set TMPDIR"
        ) from None
    return Spool(trace.digest, str(folder))


def packed(trace: AnyTrace) -> tuple[bytes, list[memoryview]]:
    """Take a trace apart: a pickle, and the bytes of its arrays."""
    arrays: list[pickle.PickleBuffer] = []
    head = pickle.dumps(trace, protocol=5, buffer_callback=arrays.append)
    return head, [array.raw() for array in arrays]


_traces: dict[str, AnyTrace] = {}  # of this process, by digest
_users: Counter[str] = Counter()  # how many sweeps on a cluster's workers here count on each
_lock = threading.Lock()  # of these two: workers may share a process


def run_spooled(spool: Spool, tasks: Sequence[Task]) -> Done:
    """Run machines on the trace of a spool, which this process reads the first time only."""
    if spool.digest not in _traces:
        _keep(spool.digest, _read_spool(Path(spool.folder)))
    return run_tasks(_traces[spool.digest], tasks)


def _read_spool(folder: Path) -> AnyTrace:
    head, lengths = pickle.loads((folder / "head").read_bytes())
    if not sum(lengths):
        return _loaded(head, [])
    with (folder / "arrays").open("rb") as file:
        view = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    pieces, start = [], 0
    for length in lengths:
        pieces.append(view[start : start + length])
        start += length + -length % _ALIGN
    return _loaded(head, pieces)


def _loaded(head: bytes, arrays: Sequence[object]) -> AnyTrace:
    trace: AnyTrace = pickle.loads(head, buffers=arrays)
    return trace


def _keep(digest: str, trace: AnyTrace) -> None:
    # A worker that lives long must not gather the traces of all sweeps: those that nobody counts on go.
    warnings.filterwarnings("ignore", message=NOTES)
    for idle in [other for other in _traces if not _users[other]]:
        del _traces[idle]
    _traces[digest] = trace


def keep_packed(digest: str, head: bytes, arrays: Sequence[bytes]) -> None:
    """Keep a trace that came over the network, until ``let_go`` was called as often as this."""
    with _lock:
        _users[digest] += 1
        if digest not in _traces:
            _keep(digest, _loaded(head, arrays))


def let_go(digest: str) -> None:
    """Say that a sweep no longer counts on a trace; without any that does, it is dropped."""
    with _lock:
        _users[digest] -= 1
        if _users[digest] <= 0:
            del _users[digest]
            _traces.pop(digest, None)


def run_kept(digest: str, tasks: Sequence[Task]) -> Done:
    """Run machines on the trace that this process was given.

    Raises
    ------
    InputError
        It was given none, or another.
    """
    trace = _traces.get(digest)
    if trace is None:
        raise InputError(
            f"a worker of the cluster has no trace {digest[:12]}: start again, perhaps with new workers; "
            f"what was finished is in the store"
        )
    return run_tasks(trace, tasks)
