"""``vswaplab classroom``: one page for a class."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from vswaplab.base.errors import InputError
from vswaplab.base.progress import Progress
from vswaplab.base.whole import check_place, refused_in_one_line, write_whole
from vswaplab.cli.run import RESULTS
from vswaplab.cli.text import OK

DEFAULT_PAGE = RESULTS / "classroom.html"
_MARK = b" - vswaplab</title>"
_HEAD = 1 << 14  # bytes in which a page of ours has the mark


def add_arguments(verb: argparse.ArgumentParser) -> None:
    """Say what ``classroom`` understands."""
    verb.add_argument("--out", metavar="FILE.html", help=f"where the page goes, default {DEFAULT_PAGE}")
    verb.set_defaults(verb=write_page)


def write_page(arguments: argparse.Namespace) -> int:
    """Run the grid, write the page, tell."""
    target = DEFAULT_PAGE if arguments.out is None else Path(arguments.out)
    check_page(target)
    from vswaplab.classroom import classroom_html  # half a second of plotting library

    with Progress(sys.stderr, "runs") as progress:
        page = classroom_html(progress)
    data = page.encode()
    with refused_in_one_line(target, "choose another place"):
        write_whole(data, target)
    print(f"Page: {target} ({len(data) / 1e6:.1f} MB); open it in a browser, it needs no network")
    return OK


def check_page(target: Path) -> None:
    """Make sure, before the long work, that a file can be written.

    Raises
    ------
    InputError
        It is a folder or something else's file, or its folder cannot be made or written.
    """
    if target.is_dir():
        raise InputError(f"cannot write the page to {target}: it is a folder; name a file, such as {target}/page.html")
    if target.is_file() and target.stat().st_size and not _is_page(target):
        raise InputError(f"{target} is there, and not from `vswaplab classroom`: choose another place")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make {target.parent}: {error.strerror or error}; choose another place") from None
    with refused_in_one_line(f"the page to {target.parent}", "choose another place"):
        check_place(target.parent)


def _is_page(target: Path) -> bool:
    with refused_in_one_line(target, "choose another place"), target.open("rb") as file:
        return _MARK in file.read(_HEAD)
