"""A truth folder that grows: the report of a guest read, and added to what the folder holds."""

from __future__ import annotations

import csv
import fcntl
import io
import json
import os
import re
import statistics
import struct
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from settings import PAGE, SetupError

MAGIC = b"VSWREPT1"
CODES = 4
CALIB_PAGES = 4096

Row = dict[str, str]
Entry = dict[str, Any]  # of runs.json

_VM = """pgfault pgmajfault pswpin pswpout zswpin zswpout zswpwb swpin_zero swpout_zero nrswpin nrswpout swap_ra
swap_ra_hit pgscan_kswapd pgscan_direct pgsteal_kswapd pgsteal_direct pgscan_anon pgsteal_anon pgactivate pgdeactivate
pgrefill allocstall_normal allocstall_movable workingset_refault_anon workingset_activate_anon workingset_restore_anon
workingset_nodereclaim nr_free_pages nr_inactive_anon nr_active_anon nr_swapcached slabs_scanned"""
_ZS = """pool_total_size stored_pages written_back_pages pool_limit_hit reject_reclaim_fail reject_alloc_fail
reject_kmemcache_fail reject_compress_poor reject_compress_fail stored_incompressible_pages"""
_MI = "MemTotal MemFree SwapCached SwapFree SwapTotal Zswap Zswapped"
_CG = """anon file kernel pagetables slab swapcached inactive_anon active_anon zswap zswapped zswap_incomp zswpin
zswpout zswpwb pswpin pswpout pgscan pgsteal pgscan_direct pgsteal_direct pgfault pgmajfault pgactivate pgdeactivate
pgrefill workingset_refault_anon workingset_activate_anon workingset_restore_anon ev_max ev_oom ev_low ev_high
memory_current zswap_current swap_current"""
_NOISE = """code0 code1 code2 code3 vm_pswpin vm_pswpout vm_zswpin vm_zswpout vm_zswpwb vm_swpin_zero vm_swpout_zero
zs_pool_limit_hit zs_stored_pages zs_pool_total_size cg_anon cg_zswap cg_pgscan cg_pgsteal
cg_workingset_refault_anon resident_mean stored_mean pool_mean"""
_CALIBRATION = """kernel compressor cls k_random_bytes pages stored_in_zswap stored_bytes_per_page pool_bytes_per_page
zero_pages written_to_disk reject_compress_poor reject_compress_fail"""
_SPREAD = "config counter runs mean min max sd sd_over_mean"
_KILL = {"cg_zswap_bytes": "zswap", "cg_zswapped_bytes": "zswapped", "cg_zswap_incomp_bytes": "zswap_incomp"}


# The report of a guest -----------------------------------------------------------------------


@dataclass(frozen=True)
class Report:
    """What a guest left on its report disk.

    Parameters
    ----------
    settings : dict
        As the kernel read them back.
    rows : list of dict
        Snapshots: column to value, ``row`` is the kind.
    end : dict
        Pages with wrong content, and histograms.
    packed : (n_acc / 4,) uint8
        Outcomes, four accesses a byte.
    """

    settings: Row
    rows: list[Row]
    end: Row
    packed: NDArray[np.uint8]


def read_report(raw: bytes) -> Report | None:
    """Read a report disk; None if the guest wrote nothing."""
    magic, n_text, n_codes = struct.unpack_from("<8sQQ", raw)
    at = PAGE + -(-n_text // PAGE) * PAGE
    if magic != MAGIC or at + n_codes > len(raw):
        return None
    rows: list[Row] = []
    for line in raw[PAGE : PAGE + n_text].decode().splitlines():
        name, _, value = line.partition(" ")
        if name == "row":
            rows.append({})
        rows[-1][name] = value
    parts = {row["row"]: row for row in rows}
    kept = [row for row in rows if row["row"] not in ("settings", "end")]
    return Report(parts["settings"], kept, parts.get("end", {}), np.frombuffer(raw, np.uint8, n_codes, at))


def zswap_read_back(report: Report) -> Row:
    """Give zswap's parameters as the kernel showed them."""
    return {name.removeprefix("zswap_"): v for name, v in sorted(report.settings.items()) if name.startswith("zswap_")}


def check_read_back(report: Report, asked: Mapping[str, Any]) -> None:
    """Make sure that the kernel took the settings.

    Raises
    ------
    SetupError
        It kept another value, of a compressor that it does not have, say.
    """
    found = zswap_read_back(report)
    wanted = dict(asked["zswap_parameters"] or {"enabled": "N"})
    for name in ("swappiness", "page_cluster", "lru_gen"):
        wanted[name] = str(asked[name])
        found[name] = str(int(report.settings.get(name, "0"), 0))
    for name, value in wanted.items():
        if found.get(name) != value:
            raise SetupError(f"the kernel kept {name} = {found.get(name)}, asked for was {value}: does it have that?")


def calibration_rows(report: Report, compressor: str, random_bytes: list[int]) -> list[Row]:
    """Say what pages of each class became, by the kernel's own counters.

    Parameters
    ----------
    report
        Of mode ``calib``: a snapshot before and one after each class.
    compressor : str
    random_bytes : (n_classes,) bytes
    """
    pairs = zip(report.rows[::2], report.rows[1::2], strict=True)
    return [
        {"kernel": report.settings["kernel"], "compressor": compressor, "cls": str(k), "k_random_bytes": str(n)}
        | _became(before, after)
        for k, (n, (before, after)) in enumerate(zip(random_bytes, pairs, strict=True))
    ]


def _became(before: Row, after: Row) -> Row:
    def grown(name: str) -> str:
        return str(int(after.get(name, 0)) - int(before.get(name, 0)))

    stored = int(after.get("cg_zswapped", 0)) // PAGE
    return {
        "pages": str(CALIB_PAGES),
        "stored_in_zswap": str(stored),
        "stored_bytes_per_page": str(round(int(after["cg_zswap"]) / stored, 3)) if stored else "",
        "pool_bytes_per_page": str(round(int(grown("zs_pool_total_size")) / stored, 3)) if stored else "",
        "zero_pages": grown("vm_swpout_zero"),
        "written_to_disk": grown("vm_pswpout"),
        "reject_compress_poor": grown("zs_reject_compress_poor"),
        "reject_compress_fail": grown("zs_reject_compress_fail"),
    }


def read_kill(console: str) -> dict[str, int] | None:
    """Read what the kernel reported at an OOM kill; None if there was none.

    Returns
    -------
    figures : dict
        KiB and bytes by the names of ``failed_runs``, the guest's pages if it said them.
    """
    kill = re.search(r"Killed process \d+ \(workload\).* anon-rss:(\d+)kB", console)
    if kill is None:
        return None
    figures = {"anon_rss_kib_at_kill": int(kill[1])}
    for name, theirs in _KILL.items():
        found = re.findall(rf"^(?:\[[^]]*\] )?{theirs} (\d+)\s*$", console, re.MULTILINE)
        figures[f"{name}_at_kill"] = int(found[-1]) if found else 0
    total = re.search(r"^MemTotal: +(\d+) kB", console, re.MULTILINE)
    return figures | ({"totalram_pages": int(total[1]) // 4} if total else {})


# The folder ----------------------------------------------------------------------------------


@dataclass
class Table:
    """A CSV file: its columns, and its rows as text."""

    columns: list[str]
    rows: list[Row] = field(default_factory=list)

    def add(self, rows: Iterable[Row], columns: Iterable[str]) -> None:
        """Add rows at the end; columns that are new go behind the others."""
        self.columns += [name for name in columns if name not in self.columns]
        self.rows += rows

    def text(self) -> str:
        """Write all of it; a value that a row lacks is an empty cell."""
        out = io.StringIO()
        writer = csv.DictWriter(out, self.columns, restval="", extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        return out.getvalue()


@contextmanager
def held(path: Path) -> Iterator[Folder]:
    """Read a folder and keep other writers out meanwhile; it is made if it is missing.

    Raises
    ------
    SetupError
        Another program is adding to it, or it is damaged.
    """
    path.mkdir(parents=True, exist_ok=True)
    lock = os.open(path, os.O_RDONLY)
    try:
        _take(lock, path)
        yield Folder(path)
    finally:
        os.close(lock)


def _take(lock: int, path: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise SetupError(f"another program is adding to {path}: wait for it, or take another folder") from None


class Folder:
    """A truth folder, read whole; ``save`` writes it whole.

    Parameters
    ----------
    path
        It may be missing, or hold runs of others: nothing of it is dropped.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.document: Entry = self._json("runs.json")
            self.epochs = self._table("epochs.csv", "run config rep row")
            self.times = self._table("latency_hist.csv", "run code log2_ns count")
            self.calibration = self._table("calibration.csv", _CALIBRATION)
            self.noise = self._table("noise.csv", _SPREAD)
            self.packed = self._arrays("outcomes.npz")
        except (OSError, ValueError, KeyError) as error:
            raise SetupError(f"{path} is not a whole truth folder ({error}): mend it, or take a new one") from None

    @property
    def entries(self) -> list[Entry]:
        """Runs, and those that the kernel ended."""
        return [*self.document["runs"], *self.document.get("failed_runs", [])]

    def next_repetition(self, config: str, asked: Mapping[str, Any]) -> int:
        """Give the number of the next repetition of a configuration, 0 if it is new.

        Raises
        ------
        SetupError
            The folder has a configuration of that name with other settings.
        """
        same = [entry for entry in self.entries if entry["config"] == config]
        for entry in same:
            other = [name for name in asked if not _agree(asked[name], entry.get(name))]
            if other:
                raise SetupError(
                    f"{self.path} has a configuration {config!r} with another {other[0]}: choose another name"
                )
        return max((entry["rep"] + 1 for entry in same), default=0)

    def add_run(self, entry: Entry, report: Report) -> None:
        """Add a run: its settings, snapshots, outcomes and histograms, and the noise of its configuration."""
        name = entry["run"]
        self._refuse(name)
        own = {"run": name, "config": entry["config"], "rep": str(entry["rep"])}
        self.epochs.rows = [row for row in self.epochs.rows if row["run"] != name]  # left by a save that was cut off
        self.times.rows = [row for row in self.times.rows if row["run"] != name]
        n_classes = len(entry["content"]["mix"])
        self.epochs.add([own | row for row in report.rows], columns(n_classes))
        self.times.add(_histogram(name, report.end), ())
        self.packed[name] = report.packed
        self.document["runs"].append(entry)
        self._measure_noise(entry["config"])

    def add_failed(self, entry: Entry) -> None:
        """Add a run that the kernel ended."""
        self._refuse(entry["run"])
        self.document.setdefault("failed_runs", []).append(entry)

    def add_calibration(self, rows: list[Row]) -> None:
        """Add what pages become, but for what is there already."""
        have = {_calibrated(row) for row in self.calibration.rows}
        self.calibration.add([row for row in rows if _calibrated(row) not in have], ())

    def is_calibrated(self, kernel: str, compressor: str, random_bytes: Iterable[int]) -> bool:
        """Say whether the folder tells what pages of every class become."""
        have = {_calibrated(row) for row in self.calibration.rows}
        return all((kernel, compressor, str(n)) in have for n in random_bytes)

    def save(self) -> None:
        """Write every file beside its old one, then put the new ones in place, runs.json last."""
        packed = io.BytesIO()
        np.savez_compressed(packed, **self.packed)  # type: ignore[arg-type]
        tables = {"epochs": self.epochs, "latency_hist": self.times, "calibration": self.calibration}
        contents = {f"{name}.csv": table.text().encode() for name, table in tables.items()}
        contents |= {"noise.csv": self.noise.text().encode()} if self.noise.rows else {}
        contents |= {"outcomes.npz": packed.getvalue()}
        contents |= {"runs.json": (json.dumps(self.document, indent=1) + "\n").encode()}
        for name, content in contents.items():
            (self.path / f".{name}.new").write_bytes(content)
        for name in contents:
            (self.path / f".{name}.new").replace(self.path / name)

    def _refuse(self, name: str) -> None:
        if any(entry["run"] == name for entry in self.entries):
            raise SetupError(f"{self.path} has a run {name!r}: choose another name")

    def _measure_noise(self, config: str) -> None:
        runs = [entry["run"] for entry in self.document["runs"] if entry["config"] == config]
        known = [int(row["runs"]) for row in self.noise.rows if row["config"] == config]
        if len(runs) < 2 or max(known, default=0) > len(runs):  # of repetitions that the folder does not hold
            return
        ends = [_end([row for row in self.epochs.rows if row["run"] == run and row["row"] == "epoch"]) for run in runs]
        self.noise.rows = [row for row in self.noise.rows if row["config"] != config]
        self.noise.rows += [
            {"config": config, "counter": name} | _spread([end[name] for end in ends])
            for name in _NOISE.split()
            if all(name in end for end in ends)
        ]

    def _json(self, name: str) -> Entry:
        file = self.path / name
        if not file.exists():
            return {"page_size": PAGE, "runs": []}
        document: Entry = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(document, dict) or not isinstance(document.get("runs"), list):
            raise ValueError(f"no runs in {name}")
        return document

    def _table(self, name: str, new: str) -> Table:
        file = self.path / name
        if not file.exists():
            return Table(new.split())
        with file.open(newline="", encoding="utf-8") as source:
            reader = csv.DictReader(source)
            rows = list(reader)
        return Table(list(reader.fieldnames or new.split()), rows)

    def _arrays(self, name: str) -> dict[str, NDArray[np.uint8]]:
        file = self.path / name
        if not file.exists():
            return {}
        with np.load(file, allow_pickle=False) as arrays:
            return dict(arrays)


def columns(n_classes: int) -> list[str]:
    """Name the columns of epochs.csv."""
    of_class = range(n_classes)
    names = ["run", "config", "rep", "row", "access", "t_ns", "reads", "writes"]
    names += [f"{word}{c}" for word in ("code", "ns_code") for c in range(CODES)]
    names += [f"code{c}_c{k}" for c in range(CODES) for k in of_class]
    names += [f"{word}_c{k}" for word in ("present", "swapped") for k in of_class]
    names += [f"vm_{name}" for name in _VM.split()] + [f"zs_{name}" for name in _ZS.split()]
    return names + [f"mi_{name}_kb" for name in _MI.split()] + [f"cg_{name}" for name in _CG.split()]


def _agree(asked: object, found: object) -> bool:
    # the kernel's figures (SHA-256 of the trace, parameters not asked for) may stand beside those asked for
    if isinstance(asked, Mapping) and isinstance(found, Mapping):
        return all(_agree(value, found.get(name)) for name, value in asked.items())
    return asked == found


def _histogram(run: str, end: Row) -> list[Row]:
    found = [(name.split("_"), count) for name, count in end.items() if name.startswith("hist_")]
    return [{"run": run, "code": code, "log2_ns": bucket, "count": count} for (_, code, bucket), count in found]


def _calibrated(row: Row) -> tuple[str, str, str]:
    return row["kernel"], row["compressor"], row["k_random_bytes"]


def _end(epochs: list[Row]) -> dict[str, float]:
    # counters at the last access, and means over the epochs
    numbers = [
        {name: float(v) for name, v in row.items() if name not in ("run", "config", "row") and v} for row in epochs
    ]
    means = {"stored_mean": "zs_stored_pages", "pool_mean": "zs_pool_total_size"}
    found = {mean: statistics.fmean(row.get(name, 0) for row in numbers) for mean, name in means.items()}
    present = [[v for name, v in row.items() if name.startswith("present_")] for row in numbers]
    return numbers[-1] | found | {"resident_mean": statistics.fmean(sum(row) for row in present)}


def _spread(values: list[float]) -> Row:
    mean, deviation = statistics.fmean(values), statistics.stdev(values)
    return {
        "runs": str(len(values)),
        "mean": str(round(mean, 1)),
        "min": str(min(values)),
        "max": str(max(values)),
        "sd": str(round(deviation, 1)),
        "sd_over_mean": str(round(deviation / mean, 5)) if mean else "",
    }
