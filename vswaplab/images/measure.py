"""Measure the pages of an image under every codec, on all cores, into a corpus."""

from __future__ import annotations

import datetime
import json
import os
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, Future
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vswaplab.base.checks import whole
from vswaplab.base.documents import parse_json
from vswaplab.base.errors import InputError, shown
from vswaplab.base.interrupts import Interrupts
from vswaplab.base.parquet import parquet_facts, read_parquet
from vswaplab.base.paths import data_dir, is_file, path_of
from vswaplab.base.plugins import is_by_hand
from vswaplab.base.progress import check_report
from vswaplab.base.whole import refused_in_one_line, whole_file
from vswaplab.base.workers import deaf_children, end_pool, new_pool, submit_to
from vswaplab.contents.schemes import Pages
from vswaplab.contents.sizes import LZO_MISSING, Measure, measure_pages, measures, versions
from vswaplab.images.sources import Image, open_core, open_file, open_process
from vswaplab.images.stretches import Chunk, Stretches, chunks
from vswaplab.trace.corpus import REGION_PAGES, Corpus, is_size_column, number_regions
from vswaplab.trace.files import check_corpus_place

MOST_PAGES = 200_000
"""Pages that are measured unless told otherwise: 800 MB, two to three minutes of one core."""

MOST_ROWS = 1 << 24
"""Rows of a corpus that is read: half a gigabyte of memory."""

_CHUNK_PAGES = 1024  # of one task: 4 MiB, under a second of work
_MOST_PROCESSES = 4096
_FEW_PAGES = 4096  # not worth starting processes for

Progress = Callable[[int, int], None]
"""Called with the pages done and their total."""

Columns = dict[str, NDArray[np.generic]]


@dataclass(frozen=True)
class Contents:
    """What was measured.

    Parameters
    ----------
    corpus : Corpus
        One row a page, with the columns of the data dictionary; ``page``
        counts in order of address and leaves one number out where a gap is.
    about : dict
        ``source``, ``pages_seen`` (that the image has), ``pages_measured``,
        ``pages_left_out`` (code and read-only data of a core), ``partial`` (Ctrl-C), ``versions``...
    """

    corpus: Corpus
    about: dict[str, Any]

    @property
    def table(self) -> pl.DataFrame:
        """The corpus as a table."""
        return self.corpus.table

    def __repr__(self) -> str:
        return f"Contents({self.about['source']!r}, {len(self.corpus):,} pages)"

    def save(self, path: str | Path) -> Path:
        """Write the corpus as Parquet, whole or not at all; ``load_contents`` and ``Corpus`` read it.

        Raises
        ------
        InputError
            The place cannot be written or has a file that is no corpus of ours, or the disk is full.
        """
        target = path_of("path", path)
        check_corpus_place(target)
        with refused_in_one_line(target, "free some space or choose another place"), whole_file(target) as file:
            self.table.write_parquet(file, metadata={"vswaplab": json.dumps({"kind": "corpus"} | self.about)})
        return target


def measure(
    file: str | Path | None = None,
    *,
    core: str | Path | None = None,
    pid: int | None = None,
    most_pages: int = MOST_PAGES,
    processes: int | None = None,
    progress: Progress | None = None,
) -> Contents:
    """Measure how well pages compress, under every codec and granule.

    Parameters
    ----------
    file : path
        A memory image, or any file or block device.
    core : path
        An ELF core dump: its writable segments.
    pid : int
        A running process: its anonymous pages, those in swap included.
    most_pages : pages
        Of a larger image whole aligned pieces of 256 KiB are measured, one in
        so many: neighbours stay together.
    processes
        How many measure at once; default: one a CPU.
    progress : callable
        Called as ``progress(done, total)``.

    Returns
    -------
    contents : Contents
        Only sizes: no byte of the image is in it. After Ctrl-C it holds what
        was measured until then, the lowest addresses.

    Raises
    ------
    InputError
        None or several of the three; an image that cannot be read, is cut,
        compressed or no core dump; no library to measure with; a process that
        measured was killed.
    """
    most_pages = whole("most_pages", most_pages, 1)
    processes = whole("processes", _cpus() if processes is None else processes, 1, _MOST_PROCESSES)
    check_report(progress)
    with _opened(file, core, pid) as image:
        kept = image.stretches.sample(most_pages)
        columns = measures()
        if "lzo_4k" not in columns:
            warnings.warn(f"the column lzo_4k is left out: {LZO_MISSING}", stacklevel=2)
        with Interrupts() as interrupts:
            parts = []
            pieces = chunks(image.stretches, kept, image.read, _CHUNK_PAGES)
            done = 0
            is_alone = kept.total <= _FEW_PAGES or is_by_hand("codec")
            for part in _measured(pieces, columns, 1 if is_alone else processes):
                parts.append(part)
                done += len(part["page"])
                if progress is not None:
                    progress(done, kept.total)
                if interrupts.noted:
                    break
    if interrupts.noted and not parts:
        raise KeyboardInterrupt
    if not parts:
        raise InputError(f"{image.title}: none of its pages could be read; is it still there?")
    if interrupts.noted:
        warnings.warn(f"interrupted: {done:,} of {kept.total:,} pages are measured", stacklevel=2)
    return _contents(image, kept, parts, partial=interrupts.noted)


def load_contents(path: str | Path) -> Contents:
    """Read what was measured: a file made by ``Contents.save``, or the corpus of a shipped trace by its name.

    Raises
    ------
    InputError
        No such file, or not a corpus.

    Examples
    --------
    >>> load_contents("redis")
    Contents('Redis serving a skewed client whose hot keys move', 80,204 pages)
    """
    source = path_of("path", path)
    shipped = data_dir() / "corpus" / f"{source.name}.parquet"
    if len(source.parts) == 1 and not is_file(source) and is_file(shipped):
        source = shipped
    try:
        facts = parquet_facts(source)
        about = parse_json(facts.metadata.get("vswaplab", "{}"))
        if not isinstance(about, dict):
            raise ValueError(f"its vswaplab metadata is {shown(about)}")
        if facts.n_rows > MOST_ROWS:
            raise InputError(f"{source} has {facts.n_rows:,} rows: a corpus has at most {MOST_ROWS:,}; sample it")
        table = read_parquet(source)
    except InputError:
        raise
    except (OSError, ValueError, pl.exceptions.PolarsError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error).splitlines()[0]
        raise InputError(
            f"cannot read the corpus {source}: {reason}; give a file that vswaplab measure wrote"
        ) from None
    corpus = _corpus(source, table, about)
    known = {"source": str(about.get("title", source.stem)), "pages_seen": len(corpus), "pages_measured": len(corpus)}
    return Contents(corpus, known | about)


def _corpus(source: Path, table: pl.DataFrame, about: dict[str, Any]) -> Corpus:
    kind = about.get("kind", "corpus")
    has_sizes = "kind" in about or any(map(is_size_column, table.columns))  # those of plug-ins have any name
    if kind != "corpus" or not has_sizes:
        why = f"it is a {kind}" if kind != "corpus" else "it has no column of sizes, such as lz4_4k"
        raise InputError(f"{source} is no corpus: {why}; give a file that vswaplab measure wrote")
    try:
        return Corpus(table)
    except InputError as error:
        raise InputError(f"{source}: {error}") from None


# The work ----------------------------------------------------------------------------------------


def _opened(file: str | Path | None, core: str | Path | None, pid: int | None) -> AbstractContextManager[Image]:
    if sum(given is None for given in (file, core, pid)) != 2:
        raise InputError("measure one thing: a file, or core=CORE, or pid=PID")
    if file is not None:
        return open_file(path_of("file", file))
    return open_core(path_of("core", core)) if core is not None else open_process(whole("pid", pid, 1))


def _cpus() -> int:
    return len(os.sched_getaffinity(0))


def _measured(pieces: Iterable[Chunk], columns: dict[str, Measure], processes: int) -> Iterator[Columns]:
    # In order of address; with processes a few chunks are under way, so that memory stays bounded.
    if processes == 1:
        for piece in pieces:
            yield _where(piece) | measure_pages(piece.pages, columns)
        return
    pool = new_pool(processes)
    waiting: deque[tuple[Columns, Future[Columns]]] = deque()
    try:
        for piece in pieces:
            with deaf_children():
                waiting.append((_where(piece), submit_to(pool, _measure_elsewhere, piece.pages)))
            if len(waiting) > 2 * processes:
                where, sizes = waiting.popleft()
                yield where | sizes.result()
        for where, sizes in waiting:
            yield where | sizes.result()
    except BrokenExecutor as error:
        raise InputError(
            f"one of {processes} processes that measure died (killed, or out of memory): start again with fewer, "
            f"such as processes=1 (--jobs 1)"
        ) from error
    finally:
        end_pool(pool)


def _where(piece: Chunk) -> Columns:
    return {"page": piece.number.astype(np.uint32), "address": piece.address}


_here = cache(measures)  # of a worker: its libraries are opened once


def _measure_elsewhere(pages: Pages) -> Columns:
    return measure_pages(pages, _here())


def _contents(image: Image, kept: Stretches, parts: list[Columns], *, partial: bool) -> Contents:
    rows = pl.concat([pl.DataFrame(part) for part in parts])
    region = number_regions((rows["address"] // REGION_PAGES).to_numpy())
    table = rows.select(
        "page",
        pl.lit(0, pl.UInt8).alias("moment"),
        pl.Series("region", region),
        pl.exclude("page", "address"),
    )
    about = {
        "format": 1,
        "kind": "corpus",
        "name": image.name,
        "title": image.title,
        "source": image.title,
        "recorded": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "n_rows": table.height,
        "n_regions": int(region[-1]) + 1,
        "moments": [0],
        "pages_seen": image.stretches.total,
        "pages_left_out": image.n_left_out,
        "pages_measured": table.height,
        "pages_unreadable": 0 if partial else kept.total - table.height,
        "partial": partial,
        "versions": versions(),
    }
    return Contents(Corpus(table), about)
