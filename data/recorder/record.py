"""Re-make the shipped data: record real programs and measure their pages.

    python data/recorder/record.py [NAME ...] [--list] [--out DIR]

Every program runs twice in qemu-user under the plugin of plugin.c: once to learn how long its record
stream is, once to record it and to copy out page contents at the moments that follow from the first
run. Contents live in a temporary directory until they are measured; only sizes are kept.
Needs qemu-user, gcc, liblzo2-2 and, in this Python, vswaplab with its extra `record`.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import describe
import polars as pl
from programs import PROGRAMS, Program

from vswaplab.base.errors import InputError
from vswaplab.contents.sizes import LZO_MISSING, lzo_library, measures
from vswaplab.contents.sizes import versions as codec_versions
from vswaplab.recorder import emulator, family
from vswaplab.recorder.pages import make_corpus, parents_ops, redraw_points, redraw_probability
from vswaplab.trace.checksums import KEY as CHECKSUMS
from vswaplab.trace.checksums import checksums_of

HERE = Path(__file__).parent
FORMAT = 1
LICENCE = "CC0-1.0"
ROWS_WANTED = 90_000
"""Rows of a corpus file; pages are sampled by address so that about this many remain."""


@dataclass(frozen=True)
class Run:
    """What one run under the plugin left: totals, the trace, and dumps still on disk."""

    totals: dict[str, Any]
    trace: family.Recorded
    dumps: list[Path]


def check_tools() -> None:
    """Stop with one line if something to record with is missing."""
    emulator.check_tools()
    if lzo_library() is None:
        raise InputError(LZO_MISSING)


def run_once(program: Program, plugin: Path, work: Path, options: str = "") -> Run:
    """Run the program under the plugin in a fresh directory."""
    place = work / "run"
    place.mkdir()
    command = program.prepare(place)
    records = work / "records"
    guest_options = f"{plugin},out={records},k={program.k}{options}"
    loader = [emulator.EMULATOR, "-cpu", "max", "-plugin", guest_options]
    environment = {"PATH": "/usr/bin:/bin", "PYTHONHASHSEED": "0", **program.environment}
    with subprocess.Popen([*loader, *command], cwd=place, env=environment, stdout=subprocess.DEVNULL) as guest:
        if program.drive:
            program.drive(place)
    if guest.returncode:
        raise SystemExit(f"recorder: {program.name} ended with status {guest.returncode}")
    shutil.rmtree(place)
    totals = json.loads(records.with_suffix(".json").read_text())
    if totals["n_children"] > family.MAX_CHILDREN:
        raise SystemExit(f"recorder: {program.name} forked {totals['n_children']} times: at most {family.MAX_CHILDREN}")
    trace = family.recorded(records, whole=True)
    dumps = [work / f"dump.{moment}" for moment in range(len(trace.moments))]
    return Run(totals, trace, dumps)


def second_run(program: Program, plugin: Path, work: Path, first: Run) -> Run:
    """Run again, copying out a sample of the pages at the chosen shares of the record stream."""
    n_before, n_pages = first.totals["n_before_fork"], first.totals["n_peak"]
    n_records = first.totals["n_records"] - n_before
    stride = max(1, round(n_pages * len(program.moments) / ROWS_WANTED))
    at = ":".join(str(n_before + int(share * n_records)) for share in program.moments)
    return run_once(program, plugin, work, f",dump={work / 'dump'},stride={stride},moments={at}")


def shown_command(program: Program) -> str:
    """Show the command as shipped: programs by their bare names."""
    with tempfile.TemporaryDirectory() as place:
        first, *rest = program.prepare(Path(place))
    name = "python" if first == sys.executable else Path(first).name
    setting = [f"{key}={value}" for key, value in program.environment.items()]
    return " ".join([*setting, name, *(part or "''" for part in rest)])


def write_file(frame: pl.DataFrame, path: Path, facts: dict[str, Any]) -> None:
    """Write one parquet file with its facts under the key `vswaplab`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.write_parquet(
        path,
        compression="zstd",
        compression_level=19,
        row_group_size=len(frame),
        data_page_size=1 << 24,
        metadata={"vswaplab": json.dumps(facts)},
    )


def record(program: Program, plugin: Path, out: Path, work: Path) -> None:
    """Record one program and write its two files."""
    first = run_once(program, plugin, work)
    run = second_run(program, plugin, work, first)
    trace, moments = run.trace.table, run.trace.moments
    corpus = make_corpus(run.dumps, run.trace.numbers, measures())
    points = redraw_points(trace["page"].to_numpy(), parents_ops(trace), corpus, moments)
    common = {
        "format": FORMAT,
        "name": program.name,
        "title": program.title,
        "machine": emulator.machine(),
        "recorded": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "licence": LICENCE,
    }
    trace_facts = common | {
        "kind": "trace",
        "n_pages": run.totals["n_pages"],
        "n_pages_live_peak": run.totals["n_peak"],
        "n_records": len(trace),
        "n_accesses": run.totals["n_accesses"],
        "k": program.k,
        "redraw_probability": redraw_probability(*points),
        "redraw_samples": len(points[0]),
        "program": program.what,
        "versions": program.versions(),
        "command": shown_command(program),
        "how": emulator.HOW + emulator.HOW_A_FAMILY if run.trace.facts else emulator.HOW,
        **run.trace.facts,
        CHECKSUMS: checksums_of({name: trace[name].to_numpy() for name in trace.columns}),
    }
    corpus_facts = common | {
        "kind": "corpus",
        "n_rows": len(corpus),
        "n_regions": corpus["region"].n_unique(),
        "moments": moments,
        "versions": codec_versions(),
    }
    write_file(trace, out / "traces" / f"{program.name}.parquet", trace_facts)
    write_file(corpus, out / "corpus" / f"{program.name}.parquet", corpus_facts)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="programs to record (default: all)")
    parser.add_argument("--list", action="store_true", help="list the programs and stop")
    parser.add_argument("--out", type=Path, default=HERE.parent, help="where traces/ and corpus/ go")
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.names) - set(PROGRAMS))
    if unknown:
        parser.error(f"no such program: {', '.join(unknown)}")
    return options


def main() -> None:
    """Record the named programs and bring the tables of the README up to date."""
    options = parse()
    if options.list:
        for program in PROGRAMS.values():
            print(f"{program.name:8}  {program.title}")
        return
    try:
        check_tools()
        record_all(options)
    except InputError as error:
        raise SystemExit(f"recorder: {error}") from None


def record_all(options: argparse.Namespace) -> None:
    """Record one program after the other."""
    os.environ["LC_ALL"] = "C"
    with tempfile.TemporaryDirectory() as place:
        plugin = emulator.build_plugin(Path(place))
        for name in options.names or PROGRAMS:
            with tempfile.TemporaryDirectory() as work:
                record(PROGRAMS[name], plugin, options.out, Path(work))
            print(f"recorded {name}", flush=True)
    describe.update_readme(options.out)


if __name__ == "__main__":
    main()
