"""Boot a Debian kernel in QEMU, replay a page-access trace in it, and add the run to a truth folder.

    python data/recorder/kernel/boot.py FOLDER --kernel DIR --name zipf_mp20 --max-pool-percent 20
    python data/recorder/kernel/boot.py FOLDER --kernel DIR --matrix data/recorder/kernel/example.toml

Every setting of settings.py is an option; with a matrix, options given count for all its runs. Nothing is
downloaded: README.md says how to get a kernel. One guest runs at a time, for a minute or two, and is stopped after
--timeout. FOLDER is rewritten after every guest, each file whole: a call that is stopped loses its last guest only.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from folder import Folder, Report, calibration_rows, check_read_back, held, read_kill, read_report, zswap_read_back
from initrd import Kernel, build_initrd, build_workload, find_kernel, find_modules
from settings import MIB, WORDS, Settings, SetupError, Value, asked, classes_of, environment, read_matrix, settings_of

from vswaplab.base.errors import InputError
from vswaplab.truth.traces import TraceSettings, accesses, trace_sha256

EMULATOR = "qemu-system-x86_64"
PACKAGES = {EMULATOR: "qemu-system-x86", "busybox": "busybox-static", "gcc": "gcc libc6-dev"}
REPORT_BYTES = 64 * MIB
PAGE_CODES = ("hits", "swap cache", "zswap or zero", "disk")
BOOT_LINE = "console=ttyS0 loglevel=4 cgroup_no_v1=all panic=-1 rdinit=/init"


class GuestError(Exception):
    """A guest that did not do its run, told in one line."""


@dataclass(frozen=True)
class Lab:
    """What all guests of one call share."""

    kernel: Kernel
    workload: Path
    work: Path
    accel: str
    timeout_s: float
    console: Path | None


@dataclass(frozen=True)
class Outcome:
    """What is left of a guest: its console, its report if it wrote one, and seconds from start to end."""

    console: str
    report: Report | None
    wall_s: float


# One guest -----------------------------------------------------------------------------------


def run_guest(lab: Lab, settings: Settings, mode: str) -> Outcome:
    """Boot one guest and wait for its end.

    Parameters
    ----------
    lab
    settings
    mode : {"replay", "calib"}

    Raises
    ------
    GuestError
        It did not end in time.
    """
    modules = find_modules(lab.kernel, ["virtio_blk", "zsmalloc", settings.compressor])
    trace = accesses(trace_of(settings)).astype("<u4").tobytes() if mode == "replay" else b""
    text = environment(settings, mode, list(modules))
    (lab.work / "initrd").write_bytes(build_initrd(lab.workload, modules, text, trace))
    disks = {"swap": settings.swap_mib * MIB, "report": REPORT_BYTES + settings.n_acc // 4}
    for name, size in disks.items():
        with (lab.work / name).open("wb") as disk:
            disk.truncate(-(-size // 4096) * 4096)
    start = time.monotonic()
    console = _console(lab, settings)
    raw = (lab.work / "report").read_bytes()
    return Outcome(console, read_report(raw), round(time.monotonic() - start, 2))


def command(lab: Lab, settings: Settings) -> list[str]:
    """Give the emulator's command line."""
    words = [EMULATOR, "-M", "q35", "-accel", lab.accel, "-cpu", "host" if lab.accel == "kvm" else "max"]
    words += ["-m", str(settings.guest_mib), "-smp", str(settings.vcpus), "-no-reboot", "-nic", "none"]
    words += ["-display", "none", "-serial", "stdio", "-monitor", "none"]
    words += ["-kernel", str(lab.kernel.image), "-initrd", str(lab.work / "initrd"), "-append", BOOT_LINE]
    for name in ("swap", "report"):
        words += ["-drive", f"file={lab.work / name},if=virtio,format=raw,cache=unsafe,discard=ignore"]
    return words


def _console(lab: Lab, settings: Settings) -> str:
    # in a session of its own, so that Ctrl-C comes here first; whatever happens, the guest does not outlive this
    with subprocess.Popen(
        command(lab, settings),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as guest:
        try:
            said = guest.communicate(timeout=lab.timeout_s)[0]
        except subprocess.TimeoutExpired:
            raise GuestError(f"no end within {lab.timeout_s:g} s: raise --timeout, or make fewer accesses") from None
        finally:
            guest.kill()
            guest.wait()
    text = said.decode(errors="replace").replace("\r", "")
    if lab.console:
        with lab.console.open("a", encoding="utf-8") as log:
            log.write(f"==== {settings.name}\n{text}\n")
    return text


def why_dead(console: str) -> str:
    """Say in one line why a guest ended without a report."""
    lines = [line.strip() for line in console.splitlines() if line.strip()]
    failed = [line.removeprefix("guest: ") for line in lines if line.startswith("guest: failed")]
    panics = [line for line in lines if "Kernel panic" in line]
    return next(iter([*failed, *panics, *lines[-1:]]), "the emulator said nothing")


def trace_of(settings: Settings) -> TraceSettings:
    """Give what the trace is made from."""
    s = settings
    return TraceSettings(s.trace, s.n_pages, s.n_acc, s.seed, s.write_pct)


# Runs ----------------------------------------------------------------------------------------


def calibrate(lab: Lab, folder: Folder, settings: Settings) -> None:
    """Measure what pages of each class become, if the folder does not tell."""
    random_bytes = [n for _, n in classes_of(settings.mix)]
    if not settings.zswap or folder.is_calibrated(lab.kernel.release, settings.compressor, random_bytes):
        return
    plain = replace(settings, max_pool_percent=50, shrinker=False)
    found = run_guest(lab, plain, "calib")
    if found.report is None:
        raise GuestError(f"calibration of {settings.compressor}: {why_dead(found.console)}")
    check_read_back(found.report, asked(plain))
    folder.add_calibration(calibration_rows(found.report, settings.compressor, random_bytes))
    folder.save()
    print(f"calibration of {settings.compressor}: {found.wall_s:.0f} s", flush=True)


def replay(lab: Lab, folder: Folder, settings: Settings) -> None:
    """Make one run and add it to the folder."""
    wanted: dict[str, Any] = {"kernel": lab.kernel.release, **asked(settings)}
    rep = folder.next_repetition(settings.name, wanted)
    run = f"{settings.name}.r{rep}" if rep else settings.name
    found = run_guest(lab, settings, "replay")
    entry = {"run": run, "config": settings.name, "rep": rep, "accel": f"qemu {lab.accel}"} | wanted
    entry |= {"trace": wanted["trace"] | {"sha256": trace_sha256(accesses(trace_of(settings)))}, "wall_s": found.wall_s}
    if found.report is not None:
        check_read_back(found.report, wanted)
        folder.add_run(entry | measured(found.report, settings), found.report)
        line = told(found.report)
    elif kill := read_kill(found.console):
        folder.add_failed(entry | {"outcome": "OOM kill of the workload"} | kill)
        line = "out of memory, the kernel killed the workload: noted under failed_runs"
    else:
        raise GuestError(why_dead(found.console))
    folder.save()
    print(f"{run}: {found.wall_s:.0f} s; {line}", flush=True)


def measured(report: Report, settings: Settings) -> dict[str, Any]:
    """Give what a kernel says of itself, in the words of runs.json."""
    total = int(report.rows[0]["mi_MemTotal_kb"]) // 4
    limit = total * settings.max_pool_percent // 100
    return {
        "kernel": report.settings["kernel"],
        "totalram_pages": total,
        "zswap_parameters": zswap_read_back(report) if settings.zswap else None,
        "pool_limit_pages": limit if settings.zswap else None,
        "pool_accept_pages": limit * settings.accept_threshold_percent // 100 if settings.zswap else None,
        "pages_with_wrong_content": int(report.end["wrong_pages"]),
    }


def told(report: Report) -> str:
    """Say in a few words how the accesses went."""
    last = [row for row in report.rows if row["row"] == "epoch"][-1]
    wrong = int(report.end["wrong_pages"])
    words = ", ".join(f"{name} {last[f'code{code}']}" for code, name in enumerate(PAGE_CODES))
    return words + (f"; {wrong} PAGES WITH WRONG CONTENT" if wrong else "")


def run_all(lab: Lab, folder: Folder, todo: Sequence[Settings]) -> int:
    """Make every run; one that fails is told of and left out.

    Returns
    -------
    n_failed : runs
    """
    n_failed = 0
    for settings in todo:
        for _ in range(settings.repetitions):
            try:
                calibrate(lab, folder, settings)
                replay(lab, folder, settings)
            except (GuestError, SetupError) as error:
                n_failed += 1
                print(f"boot: {settings.name}: {error}", file=sys.stderr, flush=True)
                break  # its repetitions would fail alike
    return n_failed


# Command line --------------------------------------------------------------------------------


def parser() -> argparse.ArgumentParser:
    """Make the command line: a few options, and one for each setting."""
    made = argparse.ArgumentParser(
        prog="boot.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    made.add_argument("folder", type=Path, help="truth folder to make, or to add to")
    made.add_argument(
        "--kernel", type=Path, default=Path("/"), metavar="DIR", help="where a kernel package is unpacked"
    )
    made.add_argument("--release", help="which kernel, if there are several there")
    made.add_argument("--matrix", type=Path, metavar="TOML", help="file of configurations")
    made.add_argument("--only", nargs="+", metavar="NAME", help="of the matrix, these")
    made.add_argument("--list", action="store_true", help="print the configurations, boot nothing")
    made.add_argument("--timeout", type=float, default=240, metavar="S", help="most seconds of one guest (%(default)g)")
    made.add_argument(
        "--accel", choices=("tcg", "kvm"), default="tcg", help="emulation, or the machine's own processor"
    )
    made.add_argument("--console", type=Path, metavar="FILE", help="where to keep what the guests print")
    made.add_argument("--name", help="name of the configuration, without a matrix")
    group = made.add_argument_group("settings, as in a matrix")
    for each in fields(Settings)[1:]:
        words = WORDS[each.name][2] + f" ({_shown(each.default)})"
        kind, shown = KINDS[type(each.default)]
        group.add_argument("--" + each.name.replace("_", "-"), type=kind, metavar=shown, help=words)
    return made


def configurations(given: argparse.Namespace) -> list[Settings]:
    """Give what to run, from the command line and the matrix."""
    over: dict[str, Value] = {n: v for n in WORDS if (v := getattr(given, n)) is not None}
    if given.matrix is None:
        if given.only:
            raise SetupError("--only chooses from a matrix: give --matrix too")
        return [settings_of(over | ({"name": given.name} if given.name else {}))]
    if given.name:
        raise SetupError("--name is of a run without a matrix: leave one of the two out")
    found = [replace(settings, **over) for settings in read_matrix(given.matrix)]  # type: ignore[arg-type]
    for name in given.only or []:
        if name not in [settings.name for settings in found]:
            raise SetupError(f"{given.matrix} has no run {name!r}")
    return [settings for settings in found if not given.only or settings.name in given.only]


def check_packages() -> None:
    """Make sure that everything needed is installed."""
    missing = [package for tool, package in PACKAGES.items() if not shutil.which(tool)]
    if missing:
        raise SetupError(f"something is missing: apt-get install {' '.join(missing)}")


def main(words: Sequence[str] | None = None) -> int:
    """Run from the command line.

    Returns
    -------
    status : int
        0: all was done; 1: a run failed; 2: nothing was started; 130: stopped.
    """
    signal.signal(signal.SIGTERM, _stop)
    given = parser().parse_args(words)
    try:
        todo = configurations(given)
        for settings in todo:
            trace_of(settings)
        if given.list:
            print("\n".join(map(str, todo)))
            return 0
        check_packages()
        kernel = find_kernel(given.kernel, given.release)
        with held(given.folder) as folder, tempfile.TemporaryDirectory(prefix="guest-") as place:
            work = Path(place)
            lab = Lab(kernel, build_workload(work), work, given.accel, given.timeout, given.console)
            return 1 if run_all(lab, folder, todo) else 0
    except (SetupError, InputError, OSError) as error:
        print(f"boot: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"boot: stopped; {given.folder} holds every run that ended before", file=sys.stderr)
        return 130


def _is_on(word: str) -> bool:
    if word not in ("on", "off"):
        raise argparse.ArgumentTypeError(f"must be on or off, got {word!r}")
    return word == "on"


def _shown(value: object) -> str:
    return ("off", "on")[value] if isinstance(value, bool) else str(value)


def _stop(signal_number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


KINDS: dict[type, tuple[Callable[[str], Value], str]] = {bool: (_is_on, "on|off"), int: (int, "N"), str: (str, "WORD")}
"""Kind of a setting: what reads it from the command line, and what stands for it in the help."""

if __name__ == "__main__":
    sys.exit(main())
