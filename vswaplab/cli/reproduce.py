"""``vswaplab reproduce``: every figure and table again, as files for a paper, or compared with what is kept."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vswaplab.base.errors import InputError
from vswaplab.base.paths import notebooks_dir
from vswaplab.base.whole import refused_in_one_line, write_whole
from vswaplab.cli.run import RESULTS
from vswaplab.cli.text import DIFFERS, INTERRUPTED, OK

if TYPE_CHECKING:
    from vswaplab.reproduce.parts import Part

DEFAULT_FOLDER = RESULTS / "paper"
MANIFEST = "manifest.json"
_README = "readme"


def add_arguments(verb: argparse.ArgumentParser) -> None:
    """Say what ``reproduce`` understands."""
    add = verb.add_argument
    add("--out", metavar="DIR", help=f"where figures, tables and {MANIFEST} go, default {DEFAULT_FOLDER}")
    add("--only", metavar="NAMES", help="some parts: readme and numbers of notebooks, such as readme,01,05")
    add("--check", action="store_true", help="name what differs from the manifest; status 1 if anything does")
    add("--manifest", metavar="FILE", help="check against this one, not the one that comes with the package")
    verb.set_defaults(verb=reproduce)


def reproduce(arguments: argparse.Namespace) -> int:
    """Make the parts one by one, write them, compare them; return the exit status."""
    from vswaplab.reproduce.manifest import read_manifest, shipped_manifest  # half a second of plotting library

    makers = _chosen(_makers(), arguments.only)
    is_check = arguments.check or arguments.manifest is not None
    kept = read_manifest(Path(arguments.manifest or shipped_manifest())) if is_check else None
    run = _Run(_command(arguments), _folder(arguments, is_check))
    try:
        for name, make in makers.items():
            run.add(name, make)
    except KeyboardInterrupt:
        print(f"vswaplab: interrupted; finished: {', '.join(run.made) or 'nothing'}", file=sys.stderr)
        return INTERRUPTED
    run.tell()
    lines = [*run.failures, *([] if kept is None else run.differences(kept))]
    for line in lines:
        print(line)
    if kept is not None and not lines:
        print("Nothing differs from the manifest.")
    return DIFFERS if lines else OK


def _makers() -> dict[str, Callable[[], Part]]:
    from vswaplab.reproduce.notebooks import run_part
    from vswaplab.reproduce.readme import readme_part

    try:
        notebooks = sorted(notebooks_dir().glob("[0-9][0-9]_*.ipynb"))
    except FileNotFoundError as error:
        raise InputError(str(error)) from None
    return {_README: readme_part} | {path.name[:2]: partial(run_part, path) for path in notebooks}


def _chosen(makers: dict[str, Callable[[], Part]], only: str | None) -> dict[str, Callable[[], Part]]:
    if only is None:
        return makers
    names = [name.strip() for name in only.split(",")]
    for name in names:
        if name not in makers:
            raise InputError(f"no part {name!r}: --only takes {', '.join(makers)}")
    return {name: make for name, make in makers.items() if name in names}


def _folder(arguments: argparse.Namespace, is_check: bool) -> Path | None:
    if arguments.out is None and is_check:
        return None
    folder = DEFAULT_FOLDER if arguments.out is None else Path(arguments.out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {folder}: {error.strerror or error}; choose another") from None
    if any(folder.iterdir()) and not (folder / MANIFEST).is_file():
        raise InputError(f"{folder} holds files that `vswaplab reproduce` did not make: choose another folder")
    return folder


def _command(arguments: argparse.Namespace) -> str:
    words = ["vswaplab", "reproduce"]
    for name in ("out", "only"):
        value = getattr(arguments, name)
        words += [] if value is None else [f"--{name}", value]
    return shlex.join(words)


class _Run:
    # The parts made so far, what went wrong, and the folder that they are written to.
    def __init__(self, command: str, folder: Path | None) -> None:
        self.command, self.folder = command, folder
        self.made: dict[str, Part] = {}
        self.failures: list[str] = []
        self.earlier = {} if folder is None else self._earlier(folder)
        if folder is not None:
            self._note(folder)

    def _earlier(self, folder: Path) -> dict[str, Any]:
        from vswaplab.reproduce.manifest import goes_with, read_manifest

        if not (folder / MANIFEST).is_file():
            return {}
        earlier = read_manifest(folder / MANIFEST)
        return dict(earlier["parts"]) if goes_with(earlier, self._manifest({})) else {}

    def _manifest(self, entries: Mapping[str, Any]) -> dict[str, Any]:
        from vswaplab.reproduce.manifest import manifest_of

        return manifest_of(entries, self.command)

    def add(self, name: str, make: Callable[[], Part]) -> None:
        print(f"vswaplab: {name} ...", file=sys.stderr, flush=True)
        started = time.monotonic()
        try:
            part = make()
        except InputError as error:  # the others can still be made
            self.failures.append(str(error))
            print(f"vswaplab: {name}: failed, see the end", file=sys.stderr, flush=True)
            return
        if self.folder is not None:
            self._write(part, self.folder)
        self.made[name] = part
        words = f"{len(part.figures)} figures, {len(part.tables)} tables, {time.monotonic() - started:.0f} s"
        print(f"vswaplab: {name}: {words}", file=sys.stderr, flush=True)

    def _write(self, part: Part, folder: Path) -> None:
        from vswaplab.reproduce.files import write_part

        self.earlier[part.name] = part.entry
        with refused_in_one_line(f"to {folder}", "make room there"):
            write_part(part, folder)
        self._note(folder)

    def _note(self, folder: Path) -> None:
        from vswaplab.reproduce.manifest import manifest_text

        with refused_in_one_line(f"to {folder}", "choose another folder"):
            write_whole(manifest_text(self._manifest(self.earlier)).encode(), folder / MANIFEST)

    def tell(self) -> None:
        parts = self.made.values()
        counts = f"{sum(len(p.figures) for p in parts)} figures, {sum(len(p.tables) for p in parts)} tables"
        print(
            counts if self.folder is None else f"{counts}: {self.folder}; {self.folder / MANIFEST} says what they are"
        )

    def differences(self, kept: Mapping[str, Any]) -> list[str]:
        from vswaplab.reproduce.manifest import differences, draws_alike

        found = self._manifest({name: part.entry for name, part in self.made.items()})
        if not draws_alike(kept, found):
            note = "other libraries or fonts than the manifest's: data are compared, the bytes of files are not"
            print(f"vswaplab: note: {note}", file=sys.stderr)
        return differences(kept, found)
