"""``vswaplab validate``: a folder of kernel runs in, errors of the model out."""

from __future__ import annotations

import argparse
import json
import sys
from importlib.metadata import version
from pathlib import Path

import polars as pl

from vswaplab.base.errors import InputError
from vswaplab.base.progress import Progress
from vswaplab.cli.run import RESULTS
from vswaplab.cli.text import INTERRUPTED, OK, aligned_table
from vswaplab.results.folder import Kind, check_folder, write_folder
from vswaplab.truth.targets import BOOT, MET, MISSED, NOISE
from vswaplab.truth.validate import Validation, validate

_KIND = Kind(
    "a vswaplab validation",
    frozenset({"vswaplab", "folder", "only", "partial"}),
    frozenset({f"{table}.{kind}" for table in ("counters", "runs", "targets") for kind in ("parquet", "csv")})
    | {"provenance.json", "validation.svg", "validation.html"},
)
_COUNTER_KEYS = ("run", "counter", "kernel", "model", "low", "high")
_RUN_KEYS = ("run", "agreement", "lru_agreement", "ceiling")
MOST_BOOTS = 64


def add_arguments(verb: argparse.ArgumentParser) -> None:
    """Say what ``validate`` understands."""
    add = verb.add_argument
    add("folder", metavar="DIR", help="runs.json, epochs.csv, outcomes.npz and so on; data/README.md has the format")
    add("--only", metavar="TEXT", help="only the runs that have this in their name")
    add(
        "--boots", type=int, default=1, metavar="N", help="replay each run in N boots: the model's own range, default 1"
    )
    add("--out", metavar="DIR", help=f"where tables and figure go, default {RESULTS}/validate-DIR")
    add("--json", action="store_true", help="print a JSON document instead of tables")
    verb.set_defaults(verb=validate_folder)


def validate_folder(arguments: argparse.Namespace) -> int:
    """Replay, save, tell; return the exit status."""
    source = Path(arguments.folder)
    target = Path(arguments.out) if arguments.out is not None else RESULTS / f"validate-{source.resolve().name}"
    check_folder(target, _KIND)
    if not 1 <= arguments.boots <= MOST_BOOTS:
        raise InputError(f"--boots must be from 1 to {MOST_BOOTS}, got {arguments.boots}: 8 show what timing moves")
    with Progress(sys.stderr) as progress:
        found = validate(source, only=arguments.only, n_boots=arguments.boots, progress=progress)
    if not found.counters.height:
        print("vswaplab: interrupted before the first run was finished: nothing is kept", file=sys.stderr)
        return INTERRUPTED
    provenance = {"vswaplab": version("vswaplab"), "folder": str(source), "only": arguments.only}
    provenance |= {"boots": arguments.boots, "partial": found.is_partial}
    write_folder(target, lambda folder: _save(found, folder, provenance), _KIND)
    if arguments.json:
        print(json.dumps(_document(found, arguments.boots), indent=2))
    else:
        _tell(found, target, arguments.boots)
    return INTERRUPTED if found.is_partial else OK


def _save(found: Validation, folder: Path, provenance: dict[str, object]) -> None:
    from vswaplab.charts.theme import chart_svg  # half a second of plotting library
    from vswaplab.charts.validation import validation_chart

    for name, table in (("counters", found.counters), ("runs", found.runs), ("targets", found.targets)):
        for ending, write in (("parquet", table.write_parquet), ("csv", table.write_csv)):
            with (folder / f"{name}.{ending}").open("wb") as file:  # polars takes no name that is not UTF-8
                write(file)
    (folder / "provenance.json").write_text(json.dumps(provenance, indent=2) + "\n", encoding="utf-8")
    chart = validation_chart(found.counters, found.runs)
    (folder / "validation.svg").write_text(chart_svg(chart), encoding="utf-8")
    (folder / "validation.html").write_text(chart.to_html(inline=True), encoding="utf-8")


def _document(found: Validation, n_boots: int) -> dict[str, object]:
    document: dict[str, object] = {
        "counters": found.counters.select(_COUNTER_KEYS).to_dicts(),
        "runs": found.runs.select(_RUN_KEYS).to_dicts(),
    }
    if n_boots > 1:
        document["counters"] = found.counters.select(*_COUNTER_KEYS, "model_low", "model_high").to_dicts()
        document["targets"] = found.targets.to_dicts()
    return document


def _tell(found: Validation, target: Path, n_boots: int) -> None:
    from vswaplab.charts.validation import finding

    print(aligned_table(_counter_cells(found.counters), left=2))
    if found.runs.height:
        print()
        print(aligned_table(_run_cells(found.runs)))
    print()
    if found.targets.height:
        _tell_targets(found, n_boots)
    print(f"{finding(found.counters, found.runs)}.")
    for line in _kills(found.runs):
        print(line)
    print("Low and High: over repetitions of the configuration. Model: from the configuration, and from")
    print("times of the emulated guest, three of them chosen by fit (vswaplab/truth/machines.py).")
    if found.runs.height:
        print("Agreement: accesses with the kernel's outcome. Exact LRU is an easier question: hit or miss alone, of a")
        print("cache told the size that was measured. Ceiling: the lowest agreement of two repetitions of the kernel.")
    print(f"Tables and figure: {target}; open {target / 'validation.html'} in a browser")


def _tell_targets(found: Validation, n_boots: int) -> None:
    n = {verdict: found.targets.filter(verdict=verdict).height for verdict in (MET, NOISE, BOOT, MISSED)}
    other = found.targets.filter(pl.col("verdict") != MET)
    if other.height:
        print(aligned_table(_target_cells(other), left=2))
        print()
    print(f"Targets (vswaplab/truth/targets.py): {found.targets.height}, met {n[MET]}; not met but inside what")
    print(
        f"repetitions of the kernel span {n[NOISE]}, within reach of the model's boots {n[BOOT]}, missed {n[MISSED]}."
    )
    for run in found.targets.filter(verdict=MISSED)["run"].unique(maintain_order=True):
        clue = found.runs.row(by_predicate=pl.col("run") == run, named=True)["clues"]
        print(f"{run}: {clue or 'no counter tells more'}.")
    if n_boots == 1:
        print("One boot: --boots 8 tells what the phase of the kernel's clock and the guest's speed move.")
    else:
        print(
            f"Boots: {n_boots}, which differ in when statistics are flushed and in the guest's speed (truth/boots.py)."
        )


def _target_cells(targets: pl.DataFrame) -> list[list[str]]:
    rows = [["Run", "Target", "Kernel", "Least", "Most", "Model", "Boots", "Verdict", "First apart in"]]
    for row in targets.iter_rows(named=True):
        apart = "-" if row["parts_in"] is None else f"{row['parts_in']}, access {row['parts_at']:,}"
        say = _percent if row["counter"] == "agreement" else _number
        ends = f"{say(row['model_low'])} to {say(row['model_high'])}"
        kernel = "-" if row["kernel"] is None else say(row["kernel"])
        middle = (say(row[key]) for key in ("least", "most", "model"))
        rows.append([row["run"], row["counter"], kernel, *middle, ends, row["verdict"], apart])
    return rows


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _counter_cells(counters: pl.DataFrame) -> list[list[str]]:
    rows = [["Run", "Counter", "Kernel", "Low", "High", "Model", "Error, %"]]
    previous = ""
    for row in counters.iter_rows(named=True):
        name = row["run"] if row["run"] != previous else ""
        previous = row["run"]
        error = "-" if row["error_percent"] is None else f"{row['error_percent']:+.1f}"
        rows.append([name, row["counter"], *(_number(row[key]) for key in ("kernel", "low", "high", "model")), error])
    return rows


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:,.1f}"


def _run_cells(runs: pl.DataFrame) -> list[list[str]]:
    headings = ["Run", "Agreement, %", "Exact LRU, %", "Ceiling, %", "Kernel ended", "Model ended", "Not modelled"]
    rows = [headings]
    for row in runs.iter_rows(named=True):
        shares = ("-" if row[key] is None else f"{100 * row[key]:.2f}" for key in _RUN_KEYS[1:])
        ends = ("OOM kill" if row[key] else "whole" for key in ("kernel_oom", "model_oom"))
        rows.append([row["run"], *shares, *ends, row["not_modelled"] or "-"])
    return rows


def _kills(runs: pl.DataFrame) -> list[str]:
    killed = runs.filter(pl.col("kernel_oom"))
    whole = runs.filter(~pl.col("kernel_oom"))
    lines = []
    if killed.height:
        lines.append(
            f"Runs that the kernel ended for want of memory: {killed.height}, the model {_count(killed)} of them."
        )
    if _count(whole):
        names = ", ".join(whole.filter(pl.col("model_oom"))["run"])
        lines.append(f"Runs that the kernel completed and the model ends: {_count(whole)} ({names}).")
    return lines


def _count(runs: pl.DataFrame) -> int:
    return int(runs["model_oom"].sum())
