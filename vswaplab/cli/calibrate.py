"""``vswaplab calibrate``: what a Linux box shows in, a machine file that starts from it out."""

from __future__ import annotations

import argparse
from pathlib import Path

from vswaplab.base.whole import check_old, refused_in_one_line, write_whole
from vswaplab.boxes.calibrate import HEAD, Calibration, calibrate, contents_words
from vswaplab.cli.text import OK, aligned_table
from vswaplab.images.measure import Contents
from vswaplab.machine.presets import load_machine
from vswaplab.trace.files import check_corpus_place, load_or_open

_FILE = "machine.toml"
_REMEDY = "name another file, --out FILE"
_REGIONS = 256  # of the contents: 16,384 pages


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what ``calibrate`` understands."""
    add = parser.add_argument
    add("folder", nargs="?", default="/", metavar="FOLDER", help="copies of a box's /proc and /sys; default: this box")
    add("--cgroup", metavar="GROUP", help="take the limits of this memory group below /sys/fs/cgroup")
    add("--trace", metavar="TRACE", help="scale the box, so that this trace's pages stand for its anonymous pages")
    add("--contents", metavar="CORPUS", help="also write made-up contents like those of its pool, for `vswaplab run`")
    add("--out", default=_FILE, metavar="FILE", help=f"where the machine file goes, default {_FILE}")
    parser.set_defaults(verb=calibrate_machine)


def calibrate_machine(arguments: argparse.Namespace) -> int:
    """Read, write, tell; return the exit status."""
    target = Path(arguments.out)
    check_old(target, _is_ours, "not from `vswaplab calibrate`", _REMEDY)
    if arguments.contents is not None:
        check_corpus_place(Path(arguments.contents), "name another file, --contents CORPUS")
    found = calibrate(arguments.folder, cgroup=arguments.cgroup)
    if arguments.trace is not None:
        found = found.scaled(load_or_open(arguments.trace).n_pages)
    found.machine  # noqa: B018 - refused before a file is there
    corpus = None if arguments.contents is None else found.corpus(n_regions=_REGIONS)
    text = found.toml("this box" if arguments.folder == "/" else str(arguments.folder))
    with refused_in_one_line(target, _REMEDY):
        write_whole(text.encode(), target)
    load_machine(target)
    _tell(found)
    words = f"vswaplab run TRACE --machine {target}"
    if corpus is not None:
        place = Contents(corpus, {"source": "contents like those of a box's pool"}).save(arguments.contents)
        words += f" --contents {place}"
    print(f"Machine: {target}; next: {words}")
    return OK


def _is_ours(file: Path) -> bool:
    with file.open("rb") as opened:
        return opened.read(len(HEAD)) == HEAD.encode()


def _tell(found: Calibration) -> None:
    rows = [
        [f"{row['part']}.{row['name']}".lstrip("."), row["value"], row["evidence"], row["why"]]
        for row in found.table.iter_rows(named=True)
    ]
    print(aligned_table([["Setting", "Value", "Known", "From"], *rows], left=4))
    assumed = sum(row[2] == "ASSUMED" for row in rows)
    print(f"\n{len(rows)} settings, {assumed} of them ASSUMED; the rest of the machine has the package's defaults.")
    for line in contents_words(found.contents):
        print(line)
    for note in found.notes:
        print(f"Note: the box {note}" if not note.startswith("could") else f"Note: {note}")
