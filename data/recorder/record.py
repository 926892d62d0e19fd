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
import platform
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import describe
import family
import numpy as np
import polars as pl
from numpy.typing import NDArray
from programs import PROGRAMS, Program

from vswaplab.base.units import PAGE_SIZE
from vswaplab.contents.schemes import Pages
from vswaplab.contents.sizes import LZO_MISSING, lzo_library, measure_pages, measures
from vswaplab.contents.sizes import versions as codec_versions
from vswaplab.trace.corpus import REGION_PAGES, number_regions

HERE = Path(__file__).parent
EMULATOR = "qemu-x86_64"
FORMAT = 1
LICENCE = "CC0-1.0"
ROWS_WANTED = 90_000
"""Rows of a corpus file; pages are sampled by address so that about this many remain."""
DUMP = np.dtype([("page", "<u8"), ("address", "<u8"), ("bytes", "u1", PAGE_SIZE)])
PARENT = 0
"""Mapper whose pages are copied out."""
HOW = (
    "qemu-user with a TCG plugin; touches of anonymous memory by 4 KiB page; kept per block of at most "
    "k distinct pages: first touch, first write, last touch of each page (exact for LRU memories that "
    "keep at least k pages)"
)
HOW_A_FAMILY = "; every process of a family that forks, from the first fork on, in one order of touches"


@dataclass(frozen=True)
class Run:
    """What one run under the plugin left: totals, the trace, and dumps still on disk."""

    totals: dict[str, Any]
    trace: family.Recorded
    dumps: list[Path]


def check_tools() -> None:
    """Stop with one line if something to record with is missing."""
    packages = {EMULATOR: "qemu-user", "gcc": "gcc"}
    missing = [package for tool, package in packages.items() if not shutil.which(tool)]
    if missing:
        raise SystemExit(f"recorder: install what is missing: apt-get install {' '.join(missing)}")
    if lzo_library() is None:
        raise SystemExit(f"recorder: {LZO_MISSING}")


def build_plugin(work: Path) -> Path:
    """Compile plugin.c."""
    plugin = work / "plugin.so"
    flags = ["-O2", "-std=gnu11", "-fPIC", "-shared"]
    subprocess.run(["gcc", *flags, "-o", plugin, HERE / "plugin.c"], check=True)
    return plugin


def run_once(program: Program, plugin: Path, work: Path, options: str = "") -> Run:
    """Run the program under the plugin in a fresh directory."""
    place = work / "run"
    place.mkdir()
    command = program.prepare(place)
    records = work / "records"
    emulator = [EMULATOR, "-cpu", "max", "-plugin", f"{plugin},out={records},k={program.k}{options}"]
    environment = {"PATH": "/usr/bin:/bin", "PYTHONHASHSEED": "0", **program.environment}
    with subprocess.Popen([*emulator, *command], cwd=place, env=environment, stdout=subprocess.DEVNULL) as guest:
        if program.drive:
            program.drive(place)
    if guest.returncode:
        raise SystemExit(f"recorder: {program.name} ended with status {guest.returncode}")
    shutil.rmtree(place)
    totals = json.loads(records.with_suffix(".json").read_text())
    if totals["n_children"] > family.MAX_CHILDREN:
        raise SystemExit(f"recorder: {program.name} forked {totals['n_children']} times: at most {family.MAX_CHILDREN}")
    trace = family.recorded(records)
    dumps = [work / f"dump.{moment}" for moment in range(len(trace.moments))]
    return Run(totals, trace, dumps)


def second_run(program: Program, plugin: Path, work: Path, first: Run) -> Run:
    """Run again, copying out a sample of the pages at the chosen shares of the record stream."""
    n_before, n_pages = first.totals["n_before_fork"], first.totals["n_peak"]
    n_records = first.totals["n_records"] - n_before
    stride = max(1, round(n_pages * len(program.moments) / ROWS_WANTED))
    at = ":".join(str(n_before + int(share * n_records)) for share in program.moments)
    return run_once(program, plugin, work, f",dump={work / 'dump'},stride={stride},moments={at}")


def measure_dump(path: Path, moment: int, step: int = 4096) -> pl.DataFrame:
    """Measure one dump and delete it."""
    pages = np.memmap(path, dtype=DUMP, mode="r")
    columns, parts = measures(), []
    for start in range(0, len(pages), step):
        part = pages[start : start + step]
        content: Pages = np.ascontiguousarray(part["bytes"])
        where = {"page": part["page"].astype(np.uint32), "address": part["address"].astype(np.uint64)}
        parts.append(pl.DataFrame(where | measure_pages(content, columns)))
    path.unlink()
    return pl.concat(parts).with_columns(moment=pl.lit(moment, pl.UInt8))


def make_corpus(dumps: list[Path], numbers: list[dict[int, int]] | None) -> pl.DataFrame:
    """Measure every dump; a page belongs to the region where it was first sampled."""
    parts = [measure_dump(path, moment) for moment, path in enumerate(dumps)]
    if numbers is not None:
        parts = [
            part.with_columns(pl.col("page").replace_strict(number, return_dtype=pl.UInt32))
            for part, number in zip(parts, numbers, strict=True)
        ]
    rows = pl.concat(parts)
    first = rows.group_by("page").agg(pl.col("address").sort_by("moment").first())
    rows = rows.drop("address").join(first, on="page", how="left")
    region = number_regions((rows["address"] // REGION_PAGES).to_numpy())
    rows = rows.with_columns(region=pl.Series(region)).sort("region", "page", "moment")
    return rows.select(describe.CORPUS_COLUMNS)


def redraw_points(
    trace: pl.DataFrame, corpus: pl.DataFrame, moments: list[int]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Kept writes between two consecutive moments, and whether any size changed, per page pair.

    Pages freed in between and pages without a kept write are left out. Of a family, the parent's
    pages are sampled and so the parent's writes and frees count.
    """
    page, op = trace["page"].to_numpy(), trace["op"].to_numpy()
    if "mapper" in trace.columns:
        op = np.where(trace["mapper"].to_numpy() == PARENT, op, family.READ)
    n_pages = int(page.max()) + 1
    sizes = [name for name in describe.CORPUS_COLUMNS if name not in ("page", "moment", "region")]
    writes, changed = [], []
    for moment in range(len(moments) - 1):
        window = slice(moments[moment], moments[moment + 1])
        n_writes = np.bincount(page[window][op[window] == family.WRITE], minlength=n_pages)
        n_frees = np.bincount(page[window][op[window] == family.FREE], minlength=n_pages)
        before = corpus.filter(pl.col("moment") == moment)
        after = corpus.filter(pl.col("moment") == moment + 1)
        both = before.join(after, on="page", suffix="_after")
        differs = both.select(pl.any_horizontal(pl.col(n) != pl.col(f"{n}_after") for n in sizes))
        pages = both["page"].to_numpy()
        keep = (n_writes[pages] > 0) & (n_frees[pages] == 0)
        writes.append(n_writes[pages][keep])
        changed.append(differs.to_series().to_numpy()[keep])
    return np.concatenate(writes), np.concatenate(changed)


def redraw_probability(writes: NDArray[np.int64], changed: NDArray[np.bool_]) -> float:
    """Maximum-likelihood p of P(changed after w writes) = 1 - (1 - p) ** w, by bisection."""

    def slope(p: float) -> float:
        w = writes.astype(float)
        unchanged = (1 - p) ** w
        gain = w * unchanged / ((1 - p) * (1 - unchanged))
        return float(np.where(changed, gain, -w / (1 - p)).sum())

    if not changed.any() or changed.all():
        return float(changed.any())
    low, high = 1e-9, 1 - 1e-9
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) > 0 else (low, middle)
    return round((low + high) / 2, 4)


def machine() -> dict[str, str]:
    """Say what the recording depends on, without names of hosts."""
    words = next(
        line.split(":")[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    )
    qemu = subprocess.run([EMULATOR, "--version"], capture_output=True, text=True, check=True).stdout
    return {
        "cpu": words,
        "emulated_cpu": "max",
        "kernel": f"Linux {'.'.join(platform.release().split('.')[:2])}",
        "qemu": qemu.split()[2],
    }


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
    corpus = make_corpus(run.dumps, run.trace.numbers)
    points = redraw_points(trace, corpus, moments)
    common = {
        "format": FORMAT,
        "name": program.name,
        "title": program.title,
        "machine": machine(),
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
        "how": HOW + HOW_A_FAMILY if run.trace.facts else HOW,
        **run.trace.facts,
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
    check_tools()
    os.environ["LC_ALL"] = "C"
    with tempfile.TemporaryDirectory() as place:
        plugin = build_plugin(Path(place))
        for name in options.names or PROGRAMS:
            with tempfile.TemporaryDirectory() as work:
                record(PROGRAMS[name], plugin, options.out, Path(work))
            print(f"recorded {name}", flush=True)
    describe.update_readme(options.out)


if __name__ == "__main__":
    main()
