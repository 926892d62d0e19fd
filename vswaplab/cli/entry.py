"""The way in and out: arguments, refusals, notes, Ctrl-C."""

from __future__ import annotations

import argparse
import contextlib
import errno
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn, TextIO, cast

from vswaplab.base.errors import InputError
from vswaplab.cli.calibrate import add_arguments as add_calibrate_arguments
from vswaplab.cli.classroom import add_arguments as add_classroom_arguments
from vswaplab.cli.data import add_export_arguments, add_import_arguments
from vswaplab.cli.frontier import add_arguments as add_frontier_arguments
from vswaplab.cli.lab import open_lab
from vswaplab.cli.lists import list_prices, list_profiles, list_traces
from vswaplab.cli.measure import add_arguments as add_measure_arguments
from vswaplab.cli.record import add_arguments as add_record_arguments
from vswaplab.cli.reproduce import add_arguments as add_reproduce_arguments
from vswaplab.cli.run import add_arguments
from vswaplab.cli.streams import STANDARD_OUTPUT, Output
from vswaplab.cli.sweep import add_arguments as add_sweep_arguments
from vswaplab.cli.text import BAD_INPUT, INTERRUPTED, OK
from vswaplab.cli.validate import add_arguments as add_validate_arguments


def run_command(argv: Sequence[str] | None) -> int:
    """Run one command; see ``vswaplab.cli.main``."""
    _open_closed_streams()
    try:
        with _notes_in_one_line(), _any_encoding():
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
    except OSError as error:  # standard output on a full disk, a working folder that is gone
        if error.filename == STANDARD_OUTPUT:
            _drop_stdout()
            if isinstance(error, BrokenPipeError):  # whoever read our output has seen enough
                return OK
        return _refuse(_system_words(error))


def _open_closed_streams() -> None:
    # Python has None for a stream that was closed before it began; its number must not become another file's.
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - to the end of the process


def _dispatch(argv: Sequence[str] | None) -> int:
    parser = _parser()
    arguments, rest = parser.parse_known_args(argv)
    if rest and arguments.verb is not open_lab:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    _check_empty(arguments)
    arguments.rest = rest
    verb: Callable[[argparse.Namespace], int] = arguments.verb
    return verb(arguments)


def _check_empty(arguments: argparse.Namespace) -> None:
    # Whoever writes "$NAME" with no such variable does not mean the default.
    for name, value in vars(arguments).items():
        if value == "" and name != "title":
            word = name.replace("_", "-")
            raise InputError(f"{word} is empty (an unset shell variable?): give a value, or leave it out")


def _refuse(message: str) -> int:
    print(f"vswaplab: {' '.join(message.split())}", file=sys.stderr)
    return BAD_INPUT


def _system_words(error: OSError) -> str:
    # What no command expected of the system.
    reason = error.strerror or str(error) or type(error).__name__
    if error.filename != STANDARD_OUTPUT and not _has_working_folder():
        return "the working folder is gone: change to one that is there"
    name = "a file or pipe that has no name here" if error.filename is None else str(error.filename)
    is_full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) or name == STANDARD_OUTPUT
    return f"{name}: {reason}; {'make room, or write elsewhere' if is_full else 'see that it is there and may be used'}"


def _has_working_folder() -> bool:
    try:
        Path.cwd()
    except OSError:
        return False
    return True


def _drop_stdout() -> None:
    # What is still buffered cannot be written: point it elsewhere, or Python complains at exit.
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextlib.contextmanager
def _any_encoding() -> Iterator[None]:
    # Standard error has backslashes from Python.
    with contextlib.redirect_stdout(cast("TextIO", Output(sys.stdout))):
        yield


@contextlib.contextmanager
def _notes_in_one_line() -> Iterator[None]:
    def show(message: Warning | str, *_: object, **__: object) -> None:
        print(f"vswaplab: note: {' '.join(str(message).split())}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.filterwarnings("always", category=UserWarning, module="vswaplab")
        warnings.showwarning = show
        yield


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        if found := re.search(r"argument (--[\w-]+): expected one argument", message):
            message += f", and one that begins with - is written {found[1]}=VALUE"
        self.exit(BAD_INPUT, f"vswaplab: {message}; see `{self.prog} --help`\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="vswaplab", description="Linux virtual swap with compressed-RAM tiers, simulated.")
    parser.add_argument("--version", action="version", version=f"vswaplab {version('vswaplab')}")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    add_arguments(verbs.add_parser("run", help="run a trace on a machine and save the result"))
    add_sweep_arguments(verbs.add_parser("sweep", help="run a trace on many machines; goes on where it was stopped"))
    add_measure_arguments(verbs.add_parser("measure", help="say how well pages of a file, core or process compress"))
    add_calibrate_arguments(verbs.add_parser("calibrate", help="write a machine file that starts from a Linux box"))
    add_frontier_arguments(verbs.add_parser("frontier", help="set the cost of many machines against stall and risk"))
    add_validate_arguments(verbs.add_parser("validate", help="hold the model against what real kernels did"))
    add_classroom_arguments(verbs.add_parser("classroom", help="write one page with sliders for a class"))
    add_reproduce_arguments(verbs.add_parser("reproduce", help="make every figure and table again, for a paper"))
    add_record_arguments(
        verbs.add_parser("record", help="record a program of yours: trace, and how its pages compress")
    )
    add_import_arguments(verbs.add_parser("import", help="turn a file of another program into a trace"))
    add_export_arguments(verbs.add_parser("export", help="write a trace's accesses for another program"))
    lister = verbs.add_parser("profiles", help="list the devices and compressors")
    lister.add_argument("--profiles", metavar="FILE.toml", help="add the profiles of this file")
    lister.add_argument("--json", action="store_true", help="print JSON")
    lister.set_defaults(verb=list_profiles)
    lister = verbs.add_parser("prices", help="list what memory and swap devices cost")
    lister.add_argument("--prices", metavar="FILE.toml", help="the prices of this file")
    lister.add_argument("--at", metavar="DAY", help="the newest of each item up to that day, YYYY-MM-DD")
    lister.add_argument("--json", action="store_true", help="print JSON")
    lister.set_defaults(verb=list_prices)
    lister = verbs.add_parser("traces", help="list the traces that come with the package")
    lister.add_argument("--json", action="store_true", help="print JSON")
    lister.set_defaults(verb=list_traces)
    lab = verbs.add_parser(
        "lab",
        help="open the notebooks, or the explorer; further options go to JupyterLab or Voila, such as --no-browser",
    )
    lab.add_argument("--app", action="store_true", help="the explorer alone, as a page that Voila serves (extra demo)")
    lab.add_argument("--trace", metavar="TRACE", help="what the explorer begins with, default redis")
    lab.set_defaults(verb=open_lab)
    return parser
