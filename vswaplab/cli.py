"""The command line: ``vswaplab run``, ``profiles``, ``traces``, ``lab``.

Results and tables go to standard output, progress and notes to standard
error. Bad input is one line on standard error and exit status 2; Ctrl-C keeps
what was finished and exits with 130.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NoReturn, TextIO

import polars as pl

import vswaplab
from vswaplab.base.errors import InputError
from vswaplab.base.paths import notebooks_dir
from vswaplab.base.units import PAGE_SIZE, format_bytes, format_ns
from vswaplab.engine.run import ENGINES, simulate
from vswaplab.machine.config import Machine
from vswaplab.machine.describe import machine_words
from vswaplab.machine.presets import (
    DEFAULT_PRESET,
    load_machine,
    preset,
    preset_names,
    swap_profile,
    with_settings,
)
from vswaplab.machine.profiles import profiles
from vswaplab.results.result import Result, check_folder
from vswaplab.results.summary import effective_access_ns, readable, summarise, verdict
from vswaplab.trace.files import load_trace, shipped_traces
from vswaplab.trace.trace import Trace

OK, BAD_INPUT, INTERRUPTED = 0, 2, 130

DEFAULT_TRACE = "redis"
"""What ``vswaplab run`` alone shows; the first shipped trace if it is not there."""

RESULTS = Path("vswaplab-results")
NOTEBOOKS = Path("vswaplab-notebooks")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    argv
        The words after ``vswaplab``; default: those of this process.

    Returns
    -------
    status
        0 done, 2 bad input, 130 interrupted.
    """
    try:
        with _notes_in_one_line():
            status = _dispatch(argv)
            sys.stdout.flush()
            return status
    except SystemExit as stop:  # argparse: --help, --version, a usage error
        return stop.code if isinstance(stop.code, int) else BAD_INPUT
    except InputError as error:
        return _refuse(str(error))
    except (OverflowError, MemoryError) as error:
        return _refuse(f"a size is too large for this program ({error or 'out of memory'}): lower it")
    except KeyboardInterrupt:
        print("vswaplab: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # whoever read our output has seen enough
        _drop_stdout()
        return OK
    except OSError as error:  # standard output on a full disk, a working folder that is gone
        _drop_stdout()
        return _refuse(
            f"{error.filename or 'standard output'}: {error.strerror or error}; make room, or write elsewhere"
        )


def _dispatch(argv: Sequence[str] | None) -> int:
    parser = _parser()
    arguments, rest = parser.parse_known_args(argv)
    if rest and arguments.verb is not _lab:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    arguments.rest = rest
    verb: Callable[[argparse.Namespace], int] = arguments.verb
    return verb(arguments)


def _refuse(message: str) -> int:
    print(f"vswaplab: {' '.join(message.split())}", file=sys.stderr)
    return BAD_INPUT


def _drop_stdout() -> None:
    # What is still buffered cannot be written: point it elsewhere, or Python complains at exit.
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextlib.contextmanager
def _notes_in_one_line() -> Iterator[None]:
    def show(message: Warning | str, *_: object, **__: object) -> None:
        print(f"vswaplab: note: {' '.join(str(message).split())}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.filterwarnings("always", category=UserWarning, module="vswaplab")
        warnings.showwarning = show
        yield


# Arguments ------------------------------------------------------------------------------------


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(BAD_INPUT, f"vswaplab: {message}; see `{self.prog} --help`\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="vswaplab", description="Linux virtual swap with compressed-RAM tiers, simulated.")
    parser.add_argument("--version", action="version", version=f"vswaplab {vswaplab.__version__}")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    _add_run(verbs.add_parser("run", help="run a trace on a machine and save the result"))
    lister = verbs.add_parser("profiles", help="list the devices and compressors")
    lister.add_argument("--profiles", metavar="FILE.toml", help="add the profiles of this file")
    lister.add_argument("--json", action="store_true", help="print JSON")
    lister.set_defaults(verb=_profiles)
    lister = verbs.add_parser("traces", help="list the traces that come with the package")
    lister.add_argument("--json", action="store_true", help="print JSON")
    lister.set_defaults(verb=_traces)
    lab = verbs.add_parser("lab", help="open the notebooks; further options go to JupyterLab, such as --no-browser")
    lab.set_defaults(verb=_lab)
    return parser


def _add_run(run: argparse.ArgumentParser) -> None:
    presets = "; ".join(f"{name}: {line}" for name, line in preset_names().items()).replace("%", "%%")
    add = run.add_argument
    add("trace", nargs="?", metavar="TRACE", help="a Parquet file or a name that `vswaplab traces` lists")
    add("--machine", default=DEFAULT_PRESET, metavar="FILE.toml|PRESET", help=f"default {DEFAULT_PRESET}. {presets}")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="such as dram.capacity_pages=64MiB, cram=none")
    add("--profile", metavar="NAME", help="swap the CRAM device, or zswap's compressor if it names one")
    add("--profiles", metavar="FILE.toml", help="further profiles that --profile, --set or the machine may name")
    add("--seed", default="0", metavar="N", help="of the random draws, default 0")
    add("--engine", default="vectorised", metavar="NAME", help=f"{' or '.join(ENGINES)}: the same numbers")
    add("--batch-size", metavar="N", help="accesses handed over at once: speed only, no number changes")
    add("--epoch-accesses", metavar="N", help="length of a reporting window; default: 200 windows")
    add("--head", metavar="N", help="only the first N accesses")
    add("--out", metavar="DIR", help=f"where the result goes, default {RESULTS}/TRACE")
    add("--no-report", action="store_true", help="leave report.html out: saves some seconds")
    add("--json", action="store_true", help="print a JSON document instead of a table")
    run.set_defaults(verb=_run)


def _whole(option: str, text: str | None, at_least: int) -> int | None:
    if text is None:
        return None
    try:
        number = int(text)
    except ValueError:
        number = at_least - 1
    if number < at_least:
        raise InputError(f"{option} must be a whole number of at least {at_least}, got {text!r}")
    return number


# run ------------------------------------------------------------------------------------------


def _run(arguments: argparse.Namespace) -> int:
    seed = _whole("--seed", arguments.seed, 0)
    window = _whole("--epoch-accesses", arguments.epoch_accesses, 1)
    batch = _whole("--batch-size", arguments.batch_size, 1)
    head = _whole("--head", arguments.head, 1)
    name = arguments.trace or default_trace()
    trace = load_trace(name) if head is None else load_trace(name).head(head)
    machine = _machine(arguments, trace)
    folder = Path(arguments.out) if arguments.out is not None else RESULTS / _folder_name(trace.name)
    check_folder(folder)
    if not arguments.json:
        _introduce(trace, arguments.machine, machine)
    with _Progress(sys.stderr) as progress:
        result = simulate(
            trace,
            machine,
            seed=seed or 0,
            engine=arguments.engine,
            batch_size=batch,
            epoch_accesses=window,
            progress=progress,
        )
    result = replace(result, provenance=result.provenance | {"command": _command(arguments, name)})
    return _finish(result, folder, arguments)


def default_trace() -> str:
    """Name the trace that is run if none is asked for.

    Raises
    ------
    InputError
        No trace came with the package.
    """
    shipped = shipped_traces()
    names = shipped["name"].to_list() if shipped.height else []
    if not names:
        raise InputError("no trace came with this installation: give a Parquet file, vswaplab run FILE")
    return DEFAULT_TRACE if DEFAULT_TRACE in names else str(names[0])


def _machine(arguments: argparse.Namespace, trace: Trace) -> Machine:
    asked = arguments.machine
    if arguments.profiles is not None:
        profiles(arguments.profiles)  # a bad file is refused even if nothing in it is named
    if asked.endswith(".toml") or Path(asked).is_file():
        machine = load_machine(asked, arguments.profiles)
    else:
        machine = preset(asked, trace.n_pages)
    if arguments.profile is not None:
        machine = swap_profile(machine, arguments.profile, arguments.profiles)
    return with_settings(machine, arguments.set, arguments.profiles) if arguments.set else machine


def _folder_name(trace_name: str) -> str:
    return re.sub(r"[^\w.+-]+", "-", trace_name).strip(".-") or "trace"


def _command(arguments: argparse.Namespace, trace: str) -> str:
    words = ["vswaplab", "run", trace, "--machine", arguments.machine]
    for setting in arguments.set:
        words += ["--set", setting]
    for option in ("profile", "profiles", "seed", "engine", "batch_size", "epoch_accesses", "head", "out"):
        value = getattr(arguments, option)
        if value is not None:
            words += [f"--{option.replace('_', '-')}", value]
    return shlex.join(words)


def _finish(result: Result, folder: Path, arguments: argparse.Namespace) -> int:
    is_partial = bool(result.provenance["partial"])
    if not result.epochs.height and is_partial:
        print("vswaplab: interrupted before the first window was finished: nothing is kept", file=sys.stderr)
        return INTERRUPTED
    result.save(folder)  # at once: a second Ctrl-C must not cost what is finished
    has_report = not arguments.no_report and _add_report(result, folder)
    if arguments.json:
        print(json.dumps(_document(result, folder), indent=2))
    else:
        _tell(result, folder, has_report=has_report)
    is_whole = not is_partial and has_report is not arguments.no_report
    return OK if is_whole else INTERRUPTED


def _add_report(result: Result, folder: Path) -> bool:
    try:
        from vswaplab.report import report_html  # half a second of plotting library

        result.save(folder, extra={"report.html": report_html(result)})
    except KeyboardInterrupt:
        print("vswaplab: note: interrupted while drawing: the result is there without report.html", file=sys.stderr)
        return False
    return True


def _document(result: Result, folder: Path) -> dict[str, object]:
    return {
        "totals": result.totals,
        "summary": summarise(result).to_dicts(),
        "effective_access_ns": effective_access_ns(result),
        "is_memory_lost": bool(result.totals["poison"]),
        "verdict": verdict(result),
        "provenance": result.provenance,
        "folder": str(folder),
    }


def _introduce(trace: Trace, asked: str, machine: Machine) -> None:
    title = "" if trace.title == trace.name else f": {trace.title}"
    size = format_bytes(trace.n_pages * PAGE_SIZE)
    print(f"Trace {trace.name}{title}")
    print(f"  {len(trace):,} accesses to {trace.n_pages:,} pages ({size})")
    print(f"Machine {asked}")
    for line in machine_words(machine):
        print(f"  {line}")
    print(flush=True)


def _tell(result: Result, folder: Path, *, has_report: bool) -> None:
    print(_table(readable(summarise(result))))
    print()
    mean, whole = format_ns(effective_access_ns(result)), format_ns(result.totals["stall_ns"])
    print(f"Effective access time: {mean} a touch, {whole} in all (a model's time, from a table of costs).")
    for sentence in verdict(result):
        if not sentence.startswith("Note:"):  # said on standard error when the run began
            print(sentence)
    print(f"Result: {folder}" + (f"; open {folder / 'report.html'} in a browser" if has_report else ""))


def _table(rows: list[list[str]], *, left: int = 1) -> str:
    # The first columns are words, the others numbers; a heading's unit goes below its name.
    headings, *body = rows
    tops = [[part.strip() for part in text.partition(", ")[::2]] for text in headings]
    lines = [[top for top, _ in tops], [unit for _, unit in tops], *body]
    lines = [line for line in lines if any(line)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headings))]
    aligned = (
        (text.ljust(width) if column < left else text.rjust(width))
        for line in lines
        for column, (text, width) in enumerate(zip(line, widths, strict=True))
    )
    return "\n".join("  ".join(next(aligned) for _ in widths).rstrip() for _ in lines)


class _Progress:
    # On a terminal one line that is rewritten; elsewhere a line every ten seconds, so that short runs print none.
    def __init__(self, stream: TextIO) -> None:
        self.stream, self.is_terminal = stream, stream.isatty()
        self.start = self.last = time.monotonic()

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self.is_terminal:
            print("\r\x1b[K", end="", file=self.stream, flush=True)

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self.last < (0.1 if self.is_terminal else 10):
            return
        self.last = now
        left = (now - self.start) * (total - done) / done if done else 0.0
        text = f"{done:,} of {total:,} accesses ({done / total:.0%}), about {left:.0f} s left"
        if self.is_terminal:
            bar = "#" * (30 * done // total)
            print(f"\r\x1b[K[{bar:<30}] {text}", end="", file=self.stream, flush=True)
        else:
            print(f"vswaplab: {text}", file=self.stream, flush=True)


# profiles, traces -----------------------------------------------------------------------------


def _profiles(arguments: argparse.Namespace) -> int:
    table = profiles(arguments.profiles)
    if arguments.json:
        print(json.dumps(table.to_dicts(), indent=2))
        return OK
    headings = ["Name", "Kind", "Evidence", "Read, ns", "Store, ns", "Load, ns", "Ratio"]
    rows = [
        [
            row["name"],
            row["kind"],
            row["tag"],
            *(f"{row[time]:,}" for time in ("read_ns", "store_ns", "load_ns")),
            ratio,
        ]
        for row in table.iter_rows(named=True)
        for ratio in ["-" if row["ratio"] is None else f"{row['ratio']:.2f}"]
    ]
    print(_table([headings, *rows], left=3))
    print("\ncram: a device that is read in place; compressor: behind zswap, whole page-in and page-out.")
    print("Ratio as published (sizes come from a trace's contents). Evidence: P primary text, A abstract or vendor,")
    print("S third party, R recalled, D derived, M measured here, guess. Sources: vswaplab profiles --json")
    return OK


def _traces(arguments: argparse.Namespace) -> int:
    table = shipped_traces()
    if arguments.json:
        print(json.dumps(table.to_dicts(), indent=2))
        return OK
    if not table.height:
        print("No trace came with this installation.")
        return OK
    rows = [
        [
            row["name"],
            f"{row['n_pages'] * PAGE_SIZE / (1 << 20):,.0f}",
            f"{row['n_records']:,}",
            f"{row['n_accesses']:,}",
        ]
        for row in table.iter_rows(named=True)
    ]
    print(_table([["Name", "Memory, MiB", "Records", "Accesses recorded"], *rows]))
    print()
    print(_titles(table))
    return OK


def _titles(table: pl.DataFrame) -> str:
    return "\n".join(f"{row['name']}: {row['title']}" for row in table.iter_rows(named=True))


# lab ------------------------------------------------------------------------------------------


def _lab(arguments: argparse.Namespace) -> int:
    try:
        shipped = notebooks_dir()
    except FileNotFoundError as error:
        raise InputError(str(error)) from None
    folder = own_notebooks(shipped, NOTEBOOKS) if shipped.name.startswith("_") else shipped
    print(f"Notebooks: {folder}", flush=True)
    server = subprocess.Popen([sys.executable, "-m", "jupyterlab", *arguments.rest, str(folder)])
    while True:
        try:
            return server.wait()
        except KeyboardInterrupt:  # JupyterLab got it too, and asks or stops
            continue


def own_notebooks(shipped: Path, folder: Path) -> Path:
    """Copy shipped notebooks to a folder of the user's; files that are there already stay as they are.

    Raises
    ------
    InputError
        The folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for source in sorted(shipped.glob("*.ipynb")):
            if not (folder / source.name).exists():
                shutil.copyfile(source, folder / source.name)
    except OSError as error:
        raise InputError(f"cannot write {folder}: {error.strerror or error}; change to another folder") from None
    return folder


if __name__ == "__main__":
    sys.exit(main())
