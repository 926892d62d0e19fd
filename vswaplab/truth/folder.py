"""Truth folders: files of what real kernels did, read and checked.

A folder holds ``runs.json`` with ``epochs.csv`` and ``outcomes.npz``, or
``cram_runs.json`` with ``cram_epochs.csv`` and ``cram_outcomes.npz``, or both;
``swapoff.csv``, ``metadata.csv``, ``calibration.csv`` and ``noise.csv`` if there
is something to say. data/README.md describes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vswaplab.base.documents import read_json
from vswaplab.base.errors import InputError
from vswaplab.base.paths import path_of
from vswaplab.truth.calibration import Calibration, lengths_of, read_calibration
from vswaplab.truth.runs import Entry, Kind, TruthRun, run_of
from vswaplab.truth.traces import PAGE_MASK, accesses, content_classes, trace_sha256

CODES = 4
"""Outcomes that a code tells apart."""

_COUNTED = tuple(f"code{code}" for code in range(CODES))
_EVENTS = ("vm_pswpin", "vm_pswpout")
_POOL_EVENTS = ("vm_zswpin", "vm_zswpout", "vm_zswpwb", "zs_stored_pages")
_SWAPOFF = (
    "swap_slots_used_before", "pte_swapped_before", "zswap_stored_before", "swapcache_pages_before",
    "d_pswpin", "d_zswpin", "d_swpin_zero",
)  # fmt: skip
_NOISE = {"code0": "hits", "code1": "swap_cache", "code2": "zswap", "code3": "disk", "zs_stored_pages": "stored_end"}
_NOISE |= {f"vm_{name}": name for name in ("zswpout", "zswpin", "zswpwb", "pswpin", "pswpout")}
_NOISE |= {name: name for name in ("resident_mean", "stored_mean")}
_METADATA = (
    "vswap", "content_random_bytes", "zswap", "pages_swapped_pte", "d_slab_kib", "d_slab_kmalloc4k_bytes",
    "d_slab_kmalloc1k_bytes",
)  # fmt: skip


def read_truth(path: str | Path) -> list[TruthRun]:
    """Read every run of a truth folder, those that a kernel ended included.

    Parameters
    ----------
    path
        The folder.

    Returns
    -------
    runs
        In the order of the files; killed ones after the others, CRAM runs last.

    Raises
    ------
    InputError
        A file is missing, cut short or broken, a value is not what its column
        holds, files do not agree, or a run's trace is another one than the
        kernel replayed; one line that names the file and the run.
    """
    folder = path_of("path", path)
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder: give one that holds runs.json or cram_runs.json")
    runs: list[TruthRun] = []
    for prefix in ("", "cram_"):
        if (folder / f"{prefix}runs.json").exists():
            runs += _read_group(folder, prefix)
    if not runs:
        raise InputError(f"{folder} holds no runs.json and no cram_runs.json with a run: give a truth folder")
    return runs


def read_metadata(path: str | Path) -> pl.DataFrame:
    """Read slab memory by pages swapped out, ``metadata.csv`` of a truth folder.

    Returns
    -------
    table : polars.DataFrame
        One row per ``run`` and ``step`` (``u0`` to ``u100``: percent of the
        pages swapped out; ``sparse32``: one page in 32 left); empty if the
        folder has no such file.

    Raises
    ------
    InputError
        The file is broken, or a column is missing.
    """
    file = path_of("path", path) / "metadata.csv"
    if not file.exists():
        return pl.DataFrame(schema={"run": pl.String, "step": pl.String} | dict.fromkeys(_METADATA, pl.Int64))
    return read_table(file, ("run", "step"), _METADATA)


def read_table(file: Path, words: Iterable[str], numbers: Iterable[str]) -> pl.DataFrame:
    """Read a CSV file and make sure of the columns that are needed.

    Parameters
    ----------
    file
    words, numbers
        Columns of text, and of numbers or nothing.

    Raises
    ------
    InputError
        The file cannot be read or is no CSV, or a column is missing or of the wrong kind.
    """
    try:
        table = pl.read_csv(file.read_bytes(), infer_schema_length=None)  # polars takes no name that is not UTF-8
    except OSError as error:
        raise _unreadable(file, error) from None
    except pl.exceptions.PolarsError as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{file} is not a whole CSV table ({reason}): copy it again") from None
    words = tuple(words)
    for name in (*words, *numbers):
        if name not in table.columns:
            raise InputError(f"{file} has no column {name}: it is not of this format, or cut short; copy it again")
    empty = [name for name in table.columns if table[name].null_count() == table.height and name not in words]
    # of a column without a value CSV cannot tell the kind, and a name may be all digits
    table = table.with_columns(pl.col(empty).cast(pl.Int64), pl.col(words).cast(pl.String))
    for name in numbers:
        if not table[name].dtype.is_numeric():
            raise InputError(f"{file}: column {name} holds something that is not a number: mend the file")
    return table


def _unreadable(file: Path, error: OSError) -> InputError:
    return InputError(f"cannot read {file}: {error.strerror or error}; a truth folder needs it")


# A group: runs.json with its tables, or cram_runs.json with its own --------------------------


def _read_group(folder: Path, prefix: str) -> list[TruthRun]:
    file = folder / f"{prefix}runs.json"
    document = _document(file)
    runs = [run_of(e, _kind(e, prefix), is_failed=False) for e in _entries(document, file, "runs")]
    failed = [run_of(e, _kind(e, prefix), is_failed=True) for e in _entries(document, file, "failed_runs")]
    _refuse_twice(file, [run.name for run in runs + failed])
    epochs = _read_epochs(folder / f"{prefix}epochs.csv", runs)
    codes = _read_codes(folder / f"{prefix}outcomes.npz", [run for run in runs if _keeps_codes(document)])
    swapoffs = {} if prefix else _read_swapoffs(folder / "swapoff.csv")
    noise = {} if prefix else _read_noise(folder / "noise.csv")
    calibration = read_calibration(folder / "calibration.csv")
    for run in runs + failed:
        _check_trace(run, file)
    made = [_with_counts(run, epochs[run.name], codes.get(run.name), swapoffs) for run in runs]
    made = [replace(run, noise=noise.get(run.config, {})) for run in made]
    return [_with_lengths(run, calibration) for run in _with_memory(made + failed)]


def _kind(entry: Entry, prefix: str) -> Kind:
    if prefix:
        return "cram"
    return "vswap" if entry.has("vswap") else "zswap"


def _document(file: Path) -> Entry:
    try:
        return Entry(read_json(file), str(file))
    except OSError as error:
        raise _unreadable(file, error) from None
    except ValueError as error:  # broken JSON, or not UTF-8
        reason = " ".join(str(error).split())
        raise InputError(f"{file} is not whole JSON ({reason}): copy it again") from None


def _entries(document: Entry, file: Path, name: str) -> list[Entry]:
    rows = document.parts(name) if name == "runs" or document.has(name) else []
    return [Entry(row.table, f"{file}: run {row.text('run')!r}") for row in rows]


def _refuse_twice(file: Path, names: list[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"{file} has run {twice[0]!r} twice: rename or remove one")


def _keeps_codes(document: Entry) -> bool:
    return not document.has("outcome_codes") or document.flag("outcome_codes")


def _with_memory(runs: list[TruthRun]) -> list[TruthRun]:
    # MemTotal of a killed run is that of the same guest in a run that was not; failing that, all the guest's RAM.
    def guest(run: TruthRun) -> tuple[int, int, bool]:
        return run.guest_ram_mib, run.vcpus, run.has_vswap

    known = {guest(run): run.total_ram_pages for run in reversed(runs) if run.total_ram_pages}
    return [
        replace(run, total_ram_pages=run.total_ram_pages or known.get(guest(run), run.guest_ram_mib * 256))
        for run in runs
    ]


def _with_lengths(run: TruthRun, calibration: Calibration) -> TruthRun:
    compressor = (run.zswap or {}).get("compressor")
    if compressor is None:
        return run
    found = [lengths_of(calibration, run.kernel, str(compressor), c.random_bytes) for c in run.classes]
    return run if None in found else replace(run, lengths=tuple(cast("list[int]", found)))


# Snapshots ------------------------------------------------------------------------------------


def _read_epochs(file: Path, runs: list[TruthRun]) -> dict[str, pl.DataFrame]:
    has_pool = any(run.zswap is not None and run.cram is None for run in runs)
    n_classes = max((len(run.classes) for run in runs), default=0)
    present = tuple(f"present_c{k}" for k in range(n_classes))
    numbers = ("access", *_COUNTED, *present, *_EVENTS, *(_POOL_EVENTS if has_pool else ()))
    if any(run.kind == "vswap" for run in runs):
        numbers += ("vs_used", "swap_used_kb", "cg_swapcached")
    table = read_table(file, ("run", "row"), numbers)
    parts = {part["run"][0]: part for part in table.partition_by("run")}
    found = {}
    for run in runs:
        found[run.name] = rows = parts.get(run.name, table.clear())
        _check_rows(file, run, rows)
    return found


def _check_rows(file: Path, run: TruthRun, rows: pl.DataFrame) -> None:
    n_acc, step = run.trace.n_acc, run.epoch_accesses
    expected = [*range(step, n_acc, step), n_acc]
    epochs = rows.filter(row="epoch")
    reached = max(epochs["access"].drop_nulls().to_list(), default=0)
    if epochs["access"].to_list() != expected:
        raise InputError(
            f"{file}: run {run.name!r} has {epochs.height} epochs up to access {reached}, expected "
            f"{len(expected)} up to {n_acc}: the file is cut short or was put together wrongly, copy it again"
        )
    for row in ("start", "fill"):
        if rows.filter(row=row).height != 1:
            raise InputError(f"{file}: run {run.name!r} lacks its row {row!r}: copy the file again")
    needed = [*_COUNTED, *(f"present_c{k}" for k in range(len(run.classes))), *_EVENTS]
    if run.zswap is not None and run.cram is None:
        needed += _POOL_EVENTS
    empty = [name for name in needed if epochs[name].null_count()]
    if empty:
        raise InputError(f"{file}: run {run.name!r} lacks numbers in column {empty[0]}: copy the file again")


def _with_counts(
    run: TruthRun,
    epochs: pl.DataFrame,
    code: NDArray[np.uint8] | None,
    swapoffs: Mapping[str, Mapping[str, int]],
) -> TruthRun:
    if code is not None:
        _check_codes(run, epochs, code)
    return replace(run, epochs=epochs, code=code, swapoff_counts=swapoffs.get(run.name))


def _check_trace(run: TruthRun, file: Path) -> None:
    found = trace_sha256(accesses(run.trace))
    if run.trace_sha256 is not None and found != run.trace_sha256:
        raise InputError(
            f"{file}: run {run.name!r} replayed a trace with SHA-256 {run.trace_sha256[:12]}, its settings make "
            f"{found[:12]}: the settings or the hash were changed, copy the file again"
        )


def _check_codes(run: TruthRun, epochs: pl.DataFrame, code: NDArray[np.uint8]) -> None:
    last = epochs.filter(row="epoch").row(-1, named=True)
    percent = [found.percent for found in run.classes]
    page = accesses(run.trace) & np.uint32(PAGE_MASK)
    content = content_classes(run.trace.n_pages, percent, run.seed_class)[page]
    for value in range(CODES):
        counts = np.bincount(content[code == value], minlength=len(percent))
        columns = {f"code{value}": int(counts.sum())}
        columns |= {f"code{value}_c{k}": int(n) for k, n in enumerate(counts)}
        for name, n in columns.items():
            if name in last and last[name] != n:
                raise InputError(
                    f"run {run.name!r}: the outcomes have {n} accesses of {name}, the epochs {last[name]}: "
                    f"the files are not of one set, copy both again"
                )


# Outcomes of single accesses ------------------------------------------------------------------


def _read_codes(file: Path, runs: list[TruthRun]) -> dict[str, NDArray[np.uint8]]:
    if not runs:
        return {}
    try:
        with file.open("rb") as source, np.load(source, allow_pickle=False) as packed:
            return {run.name: _unpacked(file, run, packed) for run in runs}
    except InputError:
        raise
    except OSError as error:
        raise _unreadable(file, error) from None
    except Exception as error:  # a damaged archive fails in as many ways as there are bytes in it
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{file} is not a whole archive of arrays ({reason}): copy it again") from None


def _unpacked(file: Path, run: TruthRun, packed: Mapping[str, NDArray[np.uint8]]) -> NDArray[np.uint8]:
    if run.name not in packed:
        raise InputError(f"{file} has no outcomes of run {run.name!r}: copy it again, or say outcome_codes false")
    n_acc, four = run.trace.n_acc, packed[run.name]
    if four.dtype != np.uint8 or four.shape != (-(-n_acc // 4),):
        raise InputError(
            f"{file}: outcomes of run {run.name!r} must be {-(-n_acc // 4)} bytes, four accesses each, got "
            f"{four.shape} of {four.dtype}: copy the file again"
        )
    pairs = four[:, None] >> np.arange(0, 8, 2, dtype=np.uint8) & 3
    code = pairs.reshape(-1)[:n_acc].astype(np.uint8)
    code.flags.writeable = False
    return code


# Beside the runs ------------------------------------------------------------------------------


def _read_noise(file: Path) -> dict[str, dict[str, tuple[float, float]]]:
    if not file.exists():
        return {}
    table = read_table(file, ("config", "counter"), ("min", "max"))
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for config, counter, least, most in table.select("config", "counter", "min", "max").drop_nulls().iter_rows():
        if counter in _NOISE:
            found.setdefault(config, {})[_NOISE[counter]] = (least, most)
    return found


def _read_swapoffs(file: Path) -> dict[str, Mapping[str, int]]:
    if not file.exists():
        return {}
    table = read_table(file, ("run",), _SWAPOFF)
    return {row["run"]: row for row in table.iter_rows(named=True)}
