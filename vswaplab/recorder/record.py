"""Record a program: a trace of what it touched, and a corpus of how well its pages compress."""

from __future__ import annotations

import datetime
import json
import re
import shlex
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vswaplab.base.checks import flag, text_of, whole
from vswaplab.base.errors import InputError, shown
from vswaplab.base.interrupts import Interrupts, result_of
from vswaplab.base.paths import path_of
from vswaplab.base.whole import refused_in_one_line, whole_file
from vswaplab.contents.schemes import Pages, Sizes
from vswaplab.contents.sizes import Measure, measures
from vswaplab.contents.sizes import versions as codec_versions
from vswaplab.recorder import emulator, family
from vswaplab.recorder.family import FREE, MOMENT
from vswaplab.recorder.guest import DUMPS_KEPT, Limits, Ran, Report, run_guest
from vswaplab.recorder.pages import make_corpus, parents_ops, redraw_points, redraw_probability
from vswaplab.trace.files import check_corpus_place, check_trace_place, write_numbered

K = (64, 1024)
"""Least and most pages of a block, unless one number is asked for."""

FAMILY_RECORDS = 1 << 22
"""Records of a family, unless it is said otherwise: they are merged in memory, 250 bytes each."""

_FORMAT = 1


@dataclass
class Recording:
    """What a recording left.

    Parameters
    ----------
    trace, corpus
        The files; no corpus without contents.
    ran
        How the program ended.
    facts
        What the trace keeps of it.
    """

    trace: Path
    corpus: Path | None
    ran: Ran
    facts: dict[str, Any] = field(default_factory=dict)


def record(
    command: Sequence[str],
    out: str | Path = "recorded",
    *,
    name: str | None = None,
    title: str = "",
    children: bool = False,
    contents: bool = False,
    k: int | None = None,
    limits: Limits | None = None,
    report: Report | None = None,
    told: Callable[[str], None] | None = None,
) -> Recording:
    """Run a program in the emulator and write down what it touches.

    Ctrl-C ends the program and keeps what was recorded; so does a limit.
    What is an access, what is not seen, and why the reduction is exact is in
    ``data/README.md``.

    Parameters
    ----------
    command
        Program and arguments; it has this process's input, output and environment.
    out
        Folder: the trace goes to ``traces/NAME.parquet`` in it, the corpus to ``corpus/NAME.parquet``.
    name, title
        Default: of the program.
    children
        Record up to seven processes that fork off, too; the trace then starts at the first fork.
    contents
        Copy out a sample of the pages at up to four moments, and measure how they compress.
    k
        Pages of a block: the trace is exact for LRU memories of so many pages and more. Default: a sixteenth
        of the program's live pages, 64 to 1024.
    limits
        A ``vswaplab.recorder.guest.Limits``. Default: 16,777,216 records (4,194,304 with children), 4,194,304 pages.
    report, told
        Called while the program runs; before a longer step that follows.

    Returns
    -------
    recording : Recording

    Raises
    ------
    InputError
        No emulator, compiler or program; nothing recorded; a folder that cannot be written.
    """
    words = _words(command)
    flag("children", children)
    flag("contents", contents)
    text_of("title", title)
    if limits is not None and not isinstance(limits, Limits):
        raise InputError(f"limits must be a vswaplab.recorder.guest.Limits or None, got {shown(limits)}")
    label = Path(words[0]).name if name is None else text_of("name", name)
    emulator.check_tools()
    guest = emulator.guest_command(words)
    trace, corpus = _places(path_of("out", out), label, contents=contents)
    codecs = measures() if contents else {}  # before the program runs: a missing library costs nothing then
    limits = limits or Limits(max_records=FAMILY_RECORDS if children else Limits.max_records)
    with tempfile.TemporaryDirectory(prefix="vswaplab-") as place:
        work = Path(place)
        if "," in place:
            raise InputError(f"the folder for temporary files, {place}, has a comma in its name: set TMPDIR to another")
        plugin = emulator.build_plugin(work)
        ran = run_guest(
            guest, plugin, work, limits=limits, k=_block(k), children=children, contents=contents, report=report
        )
        # The program is over: what it left is written down whole, in a thread, where Ctrl-C does not come. A second
        # one gives it up.
        with Interrupts(), ThreadPoolExecutor(1) as pool:
            made = _Made(label, title or label, shlex.join(words), ran, codecs)
            try:
                return result_of(pool.submit(made.write, trace, corpus, told or (lambda _: None)))
            except KeyboardInterrupt:
                made.given_up.set()
                raise


def _words(command: object) -> list[str]:
    words = list(command) if isinstance(command, Sequence) and not isinstance(command, str | bytes) else None
    if words is None or not all(isinstance(word, str) for word in words):
        raise InputError(f"the command must be a list of texts, such as ['ls', '-l'], got {shown(command)}")
    if not words:
        raise InputError("no command to record: vswaplab record [OPTIONS] -- COMMAND ...")
    return words


def _block(k: int | None) -> tuple[int, int]:
    if k is None:
        return K
    k = whole("k", k, 1, 1 << 20)
    return k, k


def _places(out: Path, name: str, *, contents: bool) -> tuple[Path, Path | None]:
    if not re.fullmatch(r"[\w.+@-]+", name) or name.startswith("."):
        raise InputError(f"the name {name!r} is no name for a file: use letters, digits and any of _.+@- (--name)")
    trace, corpus = out / "traces" / f"{name}.parquet", out / "corpus" / f"{name}.parquet"
    remedy = "choose another --name or --out"
    check_trace_place(trace, remedy)
    if contents:
        check_corpus_place(corpus, remedy)
    elif corpus.exists():
        raise InputError(f"{corpus} is of an earlier recording and would be taken for this one's: {remedy}")
    try:
        for path in (trace, corpus) if contents else (trace,):
            path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make {out}: {error.strerror}; choose another folder (--out)") from None
    return trace, corpus if contents else None


@dataclass
class _Made:
    name: str
    title: str
    command: str
    ran: Ran
    codecs: dict[str, Measure]
    given_up: Event = field(default_factory=Event)

    def write(self, trace: Path, corpus: Path | None, told: Callable[[str], None]) -> Recording:
        told("writing the trace")
        merged = _merged(self.ran)
        facts = self._facts(is_family=merged is not None)
        if corpus is not None:
            told("measuring its pages")
            facts |= self._write_corpus(corpus, merged)
        if merged is None:
            facts = _write_alone(self.ran.records, trace, facts, self._go_on)
        else:
            facts |= merged.facts | {"n_records": merged.table.height}
            piece = {column: merged.table[column].to_numpy() for column in merged.table.columns}
            write_numbered(iter([piece]), trace, lambda: facts, name=self.name, title=self.title, has_mapper=True)
        return Recording(trace, corpus, self.ran, facts)

    def _go_on(self) -> None:
        if self.given_up.is_set():
            raise KeyboardInterrupt

    def _heard(self, codec: Measure) -> Measure:
        def measure(pages: Pages) -> Sizes:
            self._go_on()
            return codec(pages)

        return measure

    def _facts(self, *, is_family: bool) -> dict[str, Any]:
        return {
            "name": self.name,
            "title": self.title,
            "command": self.command,
            "k": self.ran.k,
            "machine": emulator.machine(),
            "recorded": datetime.datetime.now(datetime.UTC).date().isoformat(),
            "how": emulator.HOW + emulator.HOW_A_FAMILY if is_family else emulator.HOW,
            "stopped": self.ran.stopped,
        } | _totals(self.ran.records)

    def _write_corpus(self, path: Path, merged: family.Recorded | None) -> dict[str, Any]:
        page, op, found = _for_contents(self.ran.records, merged)
        there = {int(dump.suffix[1:]): dump for dump in self.ran.dumps}
        kept = [at for at, (dump, _) in enumerate(found.dumps) if dump in there][-DUMPS_KEPT:]
        moments = [found.moments[at] for at in kept]
        dumps, offsets = [there[found.dumps[at][0]] for at in kept], [found.dumps[at][1] for at in kept]
        numbers = None if found.numbers is None else [found.numbers[at] for at in kept]
        corpus = make_corpus(dumps, numbers, {name: self._heard(codec) for name, codec in self.codecs.items()}, offsets)
        writes, changed = redraw_points(page, op, corpus, moments)
        about = {
            "format": _FORMAT, "kind": "corpus", "name": self.name, "title": self.title, "n_rows": corpus.height,
            "n_regions": corpus["region"].n_unique(), "moments": moments, "versions": codec_versions(),
        }  # fmt: skip
        _write_whole(corpus, path, about)
        return {"redraw_probability": redraw_probability(writes, changed), "redraw_samples": len(writes)}


def _merged(ran: Ran) -> family.Recorded | None:
    # A program that forked under --children; of any other the records are the trace as they are.
    if not ran.n_children:
        return None
    found = family.recorded(ran.records)
    return found if found.facts else None


def _totals(records: Path) -> dict[str, Any]:
    # The plugin's own, if the process closed its records.
    try:
        totals = json.loads(records.with_suffix(".json").read_text())
    except (OSError, ValueError):
        return {}
    return {"n_pages_live_peak": totals["n_peak"], "n_accesses": totals["n_accesses"]}


def _write_alone(records: Path, trace: Path, facts: dict[str, Any], go_on: Callable[[], None]) -> dict[str, Any]:
    n_records = n_accesses = 0
    largest = -1

    def pieces() -> Iterator[dict[str, NDArray[np.integer]]]:
        nonlocal n_records, n_accesses, largest
        for chunk in family.alone(records):
            go_on()
            rows = chunk[chunk["op"] <= FREE]
            if not len(rows):
                continue
            touches = rows[rows["op"] != FREE]
            n_records += len(rows)
            n_accesses += len(touches) + sum(int(touches[name].sum(dtype=np.int64)) for name in _REPEATS)
            largest = max(largest, int(rows["page"].max()))
            yield {name: rows[name] for name in ("page", "op", *_REPEATS)}
        if not n_records:
            raise InputError("the program touched no memory before it was stopped: nothing is kept")

    def told() -> dict[str, Any]:
        return facts | {"n_pages": largest + 1, "n_records": n_records, "n_accesses": n_accesses}

    write_numbered(pieces(), trace, told, name=facts["name"], title=facts["title"])
    return told()


_REPEATS = ("repeat_reads", "repeat_writes")


def _for_contents(
    records: Path, merged: family.Recorded | None
) -> tuple[NDArray[np.uint32], NDArray[np.uint8], family.Recorded]:
    # Pages and ops of the trace, 5 bytes a row, and where the dumps lie in it.
    if merged is not None:
        return merged.table["page"].to_numpy(), parents_ops(merged.table), merged
    page, op, n_rows = [np.zeros(0, np.uint32)], [np.zeros(0, np.uint8)], 0
    found = family.Recorded(pl.DataFrame(), [], [])
    for chunk in family.alone(records):
        is_row, is_mark = chunk["op"] <= FREE, chunk["op"] == MOMENT
        found.moments += (n_rows + is_row.cumsum()[is_mark]).tolist()
        found.dumps += family.dumps_of(chunk[is_mark])
        n_rows += int(is_row.sum())
        page.append(chunk["page"][is_row])
        op.append(chunk["op"][is_row].astype(np.uint8))
    return np.concatenate(page), np.concatenate(op), found


def _write_whole(table: pl.DataFrame, path: Path, about: dict[str, Any]) -> None:
    with refused_in_one_line(path, "make room, or choose another --out"), whole_file(path) as file:
        table.write_parquet(file, compression="zstd", metadata={"vswaplab": json.dumps(about)})
