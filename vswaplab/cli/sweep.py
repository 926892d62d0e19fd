"""``vswaplab sweep``: a file with a design in, a folder with every run out."""

from __future__ import annotations

import argparse
import difflib
import importlib
import io
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from vswaplab.base.checks import whole, whole_of
from vswaplab.base.documents import read_toml
from vswaplab.base.errors import InputError, shown
from vswaplab.base.paths import is_file
from vswaplab.base.progress import Progress
from vswaplab.base.whole import refused_in_one_line, write_whole
from vswaplab.cli.run import RESULTS, default_trace
from vswaplab.cli.text import INTERRUPTED, OK, aligned_table
from vswaplab.machine.config import Machine
from vswaplab.machine.presets import DEFAULT_PRESET, load_machine, preset
from vswaplab.sweeps.design import Design, grid, latin_hypercube, random_design
from vswaplab.sweeps.run import ENDED, sweep
from vswaplab.sweeps.worker import AnyTrace, model_version
from vswaplab.trace.files import load_or_open

_DESIGNS: dict[str, Callable[..., Design]] = {
    "grid": grid,
    "random": random_design,
    "latin-hypercube": latin_hypercube,
}
_KEYS = ("trace", "head", "machine", "seeds", "design", "n", "design_seed", "settings")
_BEST = 5  # rows that are printed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what ``sweep`` understands."""
    add = parser.add_argument
    add("grid", metavar="GRID.toml", help=f"the keys {', '.join(_KEYS)}; the README has an example")
    add_workers(parser)
    add("--out", metavar="DIR", help=f"where runs and table go, default {RESULTS}/sweep-GRID")
    parser.set_defaults(verb=run_sweep)


def add_workers(parser: argparse.ArgumentParser) -> None:
    """Say where runs may go."""
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--workers", metavar="N", help="processes on this machine; default: this one alone")
    where.add_argument("--scheduler", metavar="ADDRESS", help="of a Dask cluster, such as tcp://10.0.0.1:8786")


def run_sweep(arguments: argparse.Namespace) -> int:
    """Run what is missing, write the table, tell; return the exit status."""
    source = Path(arguments.grid)
    asked = read_grid(source)
    folder = Path(arguments.out) if arguments.out is not None else RESULTS / f"sweep-{source.stem}"
    check_sweep_folder(folder)
    print(f"Sweep of {len(asked.design):,} machines, {len(asked.seeds)} seed(s) each, on trace {asked.trace.name}")
    print(f"  {len(asked.trace):,} accesses to {asked.trace.n_pages:,} pages; machine {asked.machine_name}", flush=True)
    with open_executor(arguments) as executor, Progress(sys.stderr, "runs") as bar:
        counts = _Counts(bar)
        runs = sweep(
            asked.trace,
            asked.machine,
            asked.design,
            seeds=asked.seeds,
            executor=executor,
            store=folder / "store",
            progress=counts,
        )
    is_partial = runs.height < len(asked.design) * len(asked.seeds)
    _save(folder, runs, _provenance(asked, source, is_partial=is_partial))
    _tell(runs, asked.design, counts, folder)
    return INTERRUPTED if is_partial else OK


@dataclass(frozen=True)
class Asked:
    """What a GRID.toml asks for."""

    trace: AnyTrace
    machine_name: str
    machine: Machine
    design: Design
    settings: dict[str, object]
    seeds: list[int]


class _Counts:
    # Remembers how many runs were there before the first was run.

    def __init__(self, bar: Progress) -> None:
        self.bar, self.kept, self.total = bar, -1, 0

    def __call__(self, done: int, total: int) -> None:
        self.kept, self.total = done if self.kept < 0 else self.kept, total
        self.bar(done, total)


# GRID.toml -------------------------------------------------------------------------------------


def read_grid(source: Path) -> Asked:
    """Read a sweep's file.

    Raises
    ------
    InputError
        It cannot be read, or a key or a value in it is wrong; one line that names the file.
    """
    tables = read_toml(source, "sweep")
    try:
        return _understood(tables, source.parent)
    except InputError as error:
        raise InputError(f"{source}: {error}") from None


def _understood(tables: Mapping[str, Any], folder: Path) -> Asked:
    for key in tables:
        if key not in _KEYS:
            raise InputError(f"{key!r} is not a key of a sweep: {_nearest(key, _KEYS)}")
    settings = _settings(tables)
    design = _design(tables, settings)  # before the trace is read, which may take long
    head = None if "head" not in tables else whole("head", tables["head"], 1)
    trace = load_or_open(_beside(folder, _text(tables, "trace", default_trace())))
    name = _text(tables, "machine", DEFAULT_PRESET)
    path = Path(_beside(folder, name))
    names_file = name.endswith(".toml") or is_file(path)
    machine = load_machine(path) if names_file else preset(name, trace.n_pages)
    seeds = tables.get("seeds", [0])
    if not isinstance(seeds, list):
        raise InputError(f"seeds must be a list, such as [0, 1, 2], got {shown(seeds)}")
    return Asked(trace if head is None else trace.head(head), name, machine, design, settings, seeds)


def _settings(tables: Mapping[str, Any]) -> dict[str, object]:
    settings = tables.get("settings")
    if not isinstance(settings, Mapping) or not settings:
        raise InputError('a sweep needs a table [settings], such as "dram.capacity_pages" = ["32MiB", "64MiB"]')
    return dict(_flat(settings))


def _design(tables: Mapping[str, Any], settings: Mapping[str, object]) -> Design:
    kind = _text(tables, "design", "grid")
    if kind not in _DESIGNS:
        raise InputError(f"design {kind!r}: {_nearest(kind, _DESIGNS)}")
    if kind == "grid":
        for key in ("n", "design_seed"):
            if key in tables:
                raise InputError(f"{key} is for random and latin-hypercube designs: leave it out, or set design")
        return grid(settings)
    if "n" not in tables:
        raise InputError(f"design {kind!r} needs n, the number of machines")
    return _DESIGNS[kind](settings, tables["n"], seed=whole("design_seed", tables.get("design_seed", 0)))


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    # A dotted key of TOML is a table in a table, unless it is quoted.
    for key, value in settings.items():
        if isinstance(value, Mapping) and "from" not in value and "to" not in value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _text(tables: Mapping[str, Any], key: str, default: str) -> str:
    value = tables.get(key, default)
    if not isinstance(value, str):
        raise InputError(f"{key} must be a text, got {shown(value)}")
    return value


def _nearest(word: str, known: Mapping[str, object] | tuple[str, ...]) -> str:
    near = difflib.get_close_matches(word.lower(), list(known), n=1, cutoff=0.5)
    return f"did you mean {near[0]}?" if near else f"choose from {', '.join(known)}"


def _beside(folder: Path, name: str) -> str:
    # A file is looked for beside GRID.toml first, so that the two can move together.
    return str(folder / name) if is_file(folder / name) else name


# Workers ---------------------------------------------------------------------------------------


@contextmanager
def open_executor(arguments: argparse.Namespace) -> Iterator[object]:
    """Give what ``--workers`` or ``--scheduler`` name, as ``vl.sweep`` takes it."""
    if arguments.scheduler is None:
        yield None if arguments.workers is None else whole_of("--workers", arguments.workers, 1, 1024)
        return
    with _client(arguments.scheduler) as client:
        yield client


def _client(address: str) -> Any:  # noqa: ANN401 - dask is an extra
    try:
        distributed = importlib.import_module("distributed")
    except ImportError:
        raise InputError("--scheduler needs dask: pip install 'vswaplab[sweep]'") from None
    for name in ("distributed", "distributed.client", "distributed.core", "tornado.application", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what matters comes back as one line
    try:
        return distributed.Client(address, timeout=5)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"no Dask scheduler at {address!r} ({reason}): give the address that `dask scheduler` prints"
        ) from None


# The folder ------------------------------------------------------------------------------------


def check_sweep_folder(folder: Path) -> None:
    """Refuse a folder that holds something else."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"cannot write a sweep to {folder}: it is a file; choose a folder")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "store").is_dir():
        raise InputError(f"{folder} holds files that are not of a sweep: choose another folder")


def _save(folder: Path, runs: pl.DataFrame, provenance: Mapping[str, object]) -> None:
    table = io.BytesIO()
    runs.write_parquet(table)
    with refused_in_one_line(f"the table to {folder}", "make room and start again: every run is kept"):
        write_whole(table.getvalue(), folder / "runs.parquet")
        write_whole((json.dumps(provenance, indent=2) + "\n").encode(), folder / "sweep.json")


def _provenance(asked: Asked, source: Path, *, is_partial: bool) -> dict[str, object]:
    return {
        "model": model_version(),
        "trace": asked.trace.name,
        "trace_digest": asked.trace.digest,
        "n_accesses": len(asked.trace),
        "machine": asked.machine.to_dict(),
        "settings": list(asked.design.names),
        "n_points": len(asked.design),
        "seeds": asked.seeds,
        "partial": is_partial,
        "grid": source.read_text(encoding="utf-8"),
    }


def _tell(runs: pl.DataFrame, design: Design, counts: _Counts, folder: Path) -> None:
    refused, ended = runs["reason"].count(), runs["oom"].sum()
    best = runs.filter(pl.col("oom") == 0).sort("effective_access_ns", maintain_order=True).head(_BEST)
    headings = [*design.names, "seed", "A touch, ns", "Stall, ms", "Faults to disk"]
    body = [
        [
            *(str(row[name]) for name in (*design.names, "seed")),
            f"{row['effective_access_ns']:.2f}",
            f"{row['stall_ns'] / 1e6:,.1f}",
            f"{row['pswpin']:,}",
        ]
        for row in best.iter_rows(named=True)
    ]
    if body:
        print(f"\nThe {len(body)} with the shortest effective access time:")
        print(aligned_table([headings, *body], left=0))
    told = f"{runs.height:,} rows, {refused:,} of them refused"
    if ended:
        told += f", {ended:,} {ENDED}"
    print(f"\n{told}; {counts.kept:,} of {counts.total:,} runs were there before")
    print(f"Result: {os.path.join(folder, 'runs.parquet')}")  # noqa: PTH118 - as the user wrote it
