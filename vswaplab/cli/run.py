"""``vswaplab run``: trace and machine in, a folder with the result out."""

from __future__ import annotations

import argparse
import json
import re
import shlex
import sys
from dataclasses import replace
from pathlib import Path

from vswaplab.base.checks import whole_of
from vswaplab.base.errors import InputError
from vswaplab.base.paths import is_file
from vswaplab.base.progress import Progress
from vswaplab.base.units import PAGE_SIZE, format_bytes, format_ns
from vswaplab.cli.text import INTERRUPTED, OK, aligned_table
from vswaplab.engine.run import ENGINES, simulate
from vswaplab.images.measure import load_contents
from vswaplab.machine.config import Machine
from vswaplab.machine.describe import machine_words
from vswaplab.machine.presets import (
    DEFAULT_PRESET,
    check_tier,
    load_costs,
    load_machine,
    preset,
    preset_names,
    profile_tier,
    swap_profile,
    with_settings,
)
from vswaplab.machine.profiles import profiles
from vswaplab.machine.swapoff import parse_swapoff
from vswaplab.results.folder import check_folder
from vswaplab.results.result import RESULT, Result
from vswaplab.results.summary import effective_access_ns, readable, summarise, touches, verdict
from vswaplab.trace.files import load_or_open, shipped_traces
from vswaplab.trace.synthetic import with_contents
from vswaplab.trace.trace import Workload

DEFAULT_TRACE = "redis"
"""What ``vswaplab run`` alone shows; the first shipped trace if it is not there."""

RESULTS = Path("vswaplab-results")


_OPTIONS = (
    "profile", "profiles", "contents", "costs", "seed", "engine", "batch_size", "epoch_accesses", "head", "out",
)  # fmt: skip


def add_arguments(run: argparse.ArgumentParser) -> None:
    """Say what ``run`` understands."""
    presets = "; ".join(f"{name}: {line}" for name, line in preset_names().items()).replace("%", "%%")
    add = run.add_argument
    add("trace", nargs="?", metavar="TRACE", help="a Parquet file or a name that `vswaplab traces` lists")
    add("--machine", default=DEFAULT_PRESET, metavar="FILE.toml|PRESET", help=f"default {DEFAULT_PRESET}. {presets}")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="such as dram.capacity_pages=64MiB, cram=none")
    add("--profile", metavar="NAME", help="swap the CRAM device, or zswap's compressor if it names one")
    add("--profiles", metavar="FILE.toml", help="further profiles that --profile, --set or the machine may name")
    add(
        "--contents",
        metavar="CORPUS",
        help="what pages hold: a corpus of `vswaplab measure`, or a trace's name",
    )
    add("--costs", metavar="FILE.toml", help="a cost table in place of the machine's: fault_ns = 1500 and the like")
    add(
        "--swapoff",
        action="append",
        default=[],
        metavar="ACCESS:DEVICE",
        help="take a swapfile (0...), zram or cram "
        "away before that access; a third part says how its pages are found: page-table, virtual or reverse-map",
    )
    add("--seed", default="0", metavar="N", help="of the random draws, default 0")
    add("--engine", default="vectorised", metavar="NAME", help=f"{' or '.join(ENGINES)}: the same numbers")
    add("--batch-size", metavar="N", help="accesses handed over at once: speed only, no number changes")
    add("--epoch-accesses", metavar="N", help="length of a reporting window; default: 200 windows")
    add("--head", metavar="N", help="only the first N accesses")
    add("--out", metavar="DIR", help=f"where the result goes, default {RESULTS}/TRACE")
    add("--no-report", action="store_true", help="leave report.html and residency.svg out: saves some seconds")
    add("--json", action="store_true", help="print a JSON document instead of a table")
    run.set_defaults(verb=run_trace)


def run_trace(arguments: argparse.Namespace) -> int:
    """Simulate, save, tell; return the exit status."""
    seed = whole("--seed", arguments.seed, 0)
    window = whole("--epoch-accesses", arguments.epoch_accesses, 1)
    batch = whole("--batch-size", arguments.batch_size, 1)
    head = whole("--head", arguments.head, 1)
    name = default_trace() if arguments.trace is None else arguments.trace
    trace = load_or_open(name) if head is None else load_or_open(name).head(head)
    if arguments.contents is not None:
        trace = with_contents(trace, load_contents(arguments.contents).corpus)
    machine = _machine(arguments, trace)
    events = [parse_swapoff(text) for text in arguments.swapoff]
    folder = Path(arguments.out) if arguments.out is not None else RESULTS / _folder_name(trace.name)
    check_folder(folder, RESULT)
    if not arguments.json:
        _introduce(trace, arguments.machine, machine)
    with Progress(sys.stderr) as progress:
        result = simulate(
            trace,
            machine,
            seed=seed or 0,
            engine=arguments.engine,
            batch_size=batch,
            epoch_accesses=window,
            events=events,
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


def _machine(arguments: argparse.Namespace, trace: Workload) -> Machine:
    asked = arguments.machine
    if arguments.profiles is not None:
        profiles(arguments.profiles)  # a bad file is refused even if nothing in it is named
    if asked.endswith(".toml") or is_file(Path(asked)):
        machine = load_machine(asked, arguments.profiles)
    else:
        machine = preset(asked, trace.n_pages)
    if arguments.costs is not None:
        machine = replace(machine, costs=load_costs(arguments.costs))
    return _with_options(machine, arguments.profile, arguments.set, arguments.profiles)


def _with_options(machine: Machine, profile: str | None, settings: list[str], profiles_file: str | None) -> Machine:
    if profile is None:
        return with_settings(machine, settings, profiles_file) if settings else machine
    tier = profile_tier(profile, profiles_file)
    if getattr(machine, tier) is None:  # a setting may add it, and then may name another profile
        added = swap_profile(with_settings(machine, settings, profiles_file), profile, profiles_file)
        return with_settings(added, settings, profiles_file)
    made = with_settings(swap_profile(machine, profile, profiles_file), settings, profiles_file)
    check_tier(made, tier, profile)  # a setting may take it away
    return made


def _folder_name(trace_name: str) -> str:
    return re.sub(r"[^\w.+-]+", "-", trace_name).strip(".-") or "trace"


def _command(arguments: argparse.Namespace, trace: str) -> str:
    words = ["vswaplab", "run", trace, "--machine", arguments.machine]
    for setting in arguments.set:
        words += ["--set", setting]
    for event in arguments.swapoff:
        words += ["--swapoff", event]
    for option in _OPTIONS:
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
    has_report = not arguments.no_report and not is_partial and _add_report(result, folder)
    if arguments.json:
        print(json.dumps(_document(result, folder), indent=2))
    else:
        _tell(result, folder, has_report=has_report)
    is_whole = not is_partial and has_report is not arguments.no_report
    return OK if is_whole else INTERRUPTED


def _add_report(result: Result, folder: Path) -> bool:
    try:
        from vswaplab.report import report_html, residency_svg  # half a second of plotting library

        result.save(folder, extra={"report.html": report_html(result), "residency.svg": residency_svg(result)})
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
        "events": result.events.to_dicts(),
        "verdict": verdict(result),
        "provenance": result.provenance,
        "folder": str(folder),
    }


def _introduce(trace: Workload, asked: str, machine: Machine) -> None:
    title = "" if trace.title == trace.name else f": {trace.title}"
    size = format_bytes(trace.n_pages * PAGE_SIZE)
    print(f"Trace {trace.name}{title}")
    print(f"  {len(trace):,} accesses to {trace.n_pages:,} pages ({size})")
    if trace.corpus.is_made_up:
        print(
            "  what its pages hold is made up: --contents CORPUS gives what vswaplab measure found, or a trace's name"
        )
    print(f"Machine {asked}")
    for line in machine_words(machine):
        print(f"  {line}")
    print(flush=True)


def _time_words(result: Result) -> str:
    n_touches = max(1, touches(result))
    outside = result.totals["stall_ns"] - int(result.epochs["stall_dram_ns"].sum())
    return (
        f"Effective access time: {format_ns(effective_access_ns(result))} a touch, {outside / n_touches:.1f} ns of it "
        f"outside DRAM; {format_ns(result.totals['stall_ns'])} over {touches(result):,} touches "
        f"(a model's time, from a table of costs)."
    )


def _tell(result: Result, folder: Path, *, has_report: bool) -> None:
    print(aligned_table(readable(summarise(result))))
    print()
    print(_time_words(result))
    for sentence in verdict(result):
        if not sentence.startswith("Note:"):  # said on standard error when the run began
            print(sentence)
    print(f"Result: {folder}" + (f"; open {folder / 'report.html'} in a browser" if has_report else ""))


def whole(option: str, text: str | None, at_least: int) -> int | None:
    """Read a whole number that an option was given as text; None stays None."""
    return None if text is None else whole_of(option, text, at_least)
