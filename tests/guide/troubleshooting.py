"""Write the guide's page of errors, from the lines that the commands really print.

    python tests/guide/troubleshooting.py

``notebooks/guide/troubleshooting.md`` is what it writes. Every command is run, in an empty folder.
"""

from __future__ import annotations

import io
import os
import tempfile
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill

from vswaplab.cli import main

TARGET = Path(__file__).resolve().parents[2] / "notebooks" / "guide" / "troubleshooting.md"


@dataclass(frozen=True)
class Case:
    """A command that is refused, and what to do then."""

    command: str
    advice: str
    files: tuple[tuple[str, str], ...] = ()


CASES = {
    "Names": [
        Case("run rediss", "Names of shipped traces are listed by `vswaplab traces`; anything else is a file."),
        Case("run --machine four-tires", "Presets are listed in `vswaplab run --help`; a file ends in `.toml`."),
        Case("run --set dram.capacity_page=4096", "Settings are the arguments of `vl.Dram`, `vl.Cram` and so on: "
             "[API reference](api.md)."),
        Case("run --set cram.profile=ocp", "`vswaplab profiles` lists devices and compressors; "
             "[extend](extend.md) says how to add one."),
    ],
    "Values": [
        Case("run --set cram.media_bytes=0", "To take a tier away say `--set cram=none`."),
        Case("run --set cram.writeback_high=0.5", "Marks come in pairs: set both."),
        Case("run --set dram.capacity_pages=12MB", "Sizes are whole numbers, or take KiB, MiB or GiB."),
        Case("run --set swap_max_slots=-1", "Numbers have a range, which the line names."),
    ],
    "Files": [
        Case("run mine.parquet", "The path is taken from the folder you are in."),
        Case("run mine.parquet", "Copy the file again: its end, where Parquet keeps its index, is missing or damaged.",
             (("mine.parquet", "PAR1, cut short"),)),
        Case("run --machine mine.toml", "The parser says where it stopped.", (("mine.toml", "[dram\n"),)),
        Case("run --machine mine.toml", "A misspelt key is an error, so that no setting is silently without effect.",
             (("mine.toml", "[dram]\ncapacity = 64\n"),)),
        Case("run --out results", "Nothing of yours is overwritten but an earlier result; what lies with it stays.",
             (("results/notes.txt", "mine"),)),
    ],
    "Your own machine and mechanisms": [
        Case("measure --core notes", "`gcore PID` makes a core dump; without `--core` any file is measured.",
             (("notes", "a text, and no memory image"),)),
        Case("measure --pid 4194305", "Processes end: `ps -e` lists those that are there. [measure](measure.md)"),
        Case("calibrate box", "One file of a box is enough: [calibrate](calibrate.md) says which.",
             (("box/notes", ""),)),
        Case("calibrate box", "The line of a zram device has 7 to 9 numbers, as the kernel wrote them.",
             (("box/mm_stat", "4096 40 4096 0 4096 2 0"),)),
        Case("calibrate box", "Give another name, `--out FILE`, or move yours.",
             (("machine.toml", "[dram]\ncapacity_pages = 9\n"), ("box/meminfo", "MemTotal: 900000 kB"))),
        Case("run --set dram.policy=mru", "A plug-in is known once its package is installed: [extend](extend.md)."),
        Case("run --costs mine.toml", "The names are the arguments of `vl.Costs`.",
             (("mine.toml", "fualt_ns = 900\n"),)),
    ],
    "Traces of other programs": [
        Case("import mem.txt", "The program's own output is between valgrind's: say `--log-file` to valgrind, or "
             "`--skip-unknown` here.", (("mem.txt", " L 1000,8\nhello\n S 2000,8\n"),)),
        Case("import samples.txt", "Addresses of code: `perf record` needs its `-d`, and `perf script` its `-F`.",
             (("samples.txt", "gzip 186 55.58: 1 page-faults: 7f5f17102b70 _start+0x0 (/usr/bin/gzip)\n"),)),
        Case("import damon.txt", "Rounded addresses name no page.",
             (("damon.txt", "0   addr 85.582 TiB   size 19.754 MiB  access 0 hz   age 4.600 s\n"),)),
        Case("import trace.csv", "Other names, or no heading at all: then columns have numbers.",
             (("trace.csv", "1,7,4096\n2,8,4096\n"),)),
        Case("import trace.csv --columns page=2,op=3", "A word or number of [a list](import.md#tables).",
             (("trace.csv", "1,7,fetch\n"),)),
        Case("import trace.csv --max-pages 1", "Or the file is not what it says.", (("trace.csv", "page\n1\n2\n"),)),
        Case("import cut.bin --format oracle-general", "Copy it again.", (("cut.bin", "0" * 23),)),
        Case("import notes.txt", "Say what it is with `--format`; for a table say `--columns` too.",
             (("notes.txt", "what I did today\n"),)),
        Case("import mem.txt", "Nothing in it counts: here, only instructions were traced.",
             (("mem.txt", "I  1000,3\nI  1003,3\n"),)),
    ],
    "Many runs and real kernels": [
        Case("sweep grid.toml", "A grid needs its settings: `vswaplab sweep --help` shows one.",
             (("grid.toml", 'trace = "redis"\n'),)),
        Case("sweep grid.toml", "Did you mean the key it names?", (("grid.toml", "setings = 1\n"),)),
        Case("validate .", "Point it at a folder that a recorder of kernels wrote; its format is in data/README.md."),
    ],
}  # fmt: skip

_HEAD = """# Troubleshooting

Every refusal is one line: the value, what was expected, what to do. These lines are real:
`python tests/guide/troubleshooting.py` ran the commands and wrote this page. Here a long line is folded.

"""
_TAIL = """## When there is no error

- **The run is slow.** The progress bar shows accesses a second. A trace with few pages and many reclaims is the slow
  case (README, "How fast").
- **It was interrupted.** After Ctrl-C what was finished is kept, and marked `partial`; a sweep goes on where it was.
- **The explorer stays empty in JupyterLab.** Run all cells; a notebook is committed with still pictures.
- **JupyterLab refuses to start as root.** Add `--allow-root`, or use an ordinary user.
- **A number looks wrong.** `engine="reference"` is the model one access at a time: if it says something else, that is
  a bug worth reporting. What the model leaves out is in notebook 09.
"""


def page() -> str:
    """Run every command and tell what it said."""
    parts = [_HEAD]
    for title, cases in CASES.items():
        parts.append(f"## {title}\n\n")
        parts += [f"```console\n$ vswaplab {case.command}\n{_said(case)}\n```\n\n{case.advice}\n\n" for case in cases]
    return "".join([*parts, _TAIL])


def _said(case: Case) -> str:
    errors = io.StringIO()
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        for name, text in case.files:
            Path(name).parent.mkdir(exist_ok=True)
            Path(name).write_text(text)
        with redirect_stderr(errors), redirect_stdout(io.StringIO()):
            status = main(case.command.split())
        said = errors.getvalue().strip().replace(f"{os.path.realpath(folder)}/", "")
    if not status or "\n" in said:
        raise ValueError(f"vswaplab {case.command} ended with {status} and said {said!r}: one line was expected")
    return fill(said, 100, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)


if __name__ == "__main__":
    TARGET.write_text(page())
    print(f"{TARGET.name}: {len(TARGET.read_text()):,} characters")
