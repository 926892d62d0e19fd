"""Turn a file of another program into a trace: a piece at a time, whatever its length."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vswaplab.base.backing import Op
from vswaplab.base.checks import flag, mapping_of, one_of, text_of, whole
from vswaplab.base.errors import InputError
from vswaplab.base.paths import path_of
from vswaplab.trace.checks import count
from vswaplab.trace.files import TraceFile, check_trace_place, is_trace, load_or_open, write_numbered
from vswaplab.trace.importers.formats import FORMATS, detect
from vswaplab.trace.importers.mappers import MapperSets
from vswaplab.trace.importers.numbers import Numbers
from vswaplab.trace.importers.streams import STDIN, opened
from vswaplab.trace.importers.table import read_parquet
from vswaplab.trace.importers.touches import MAX_PAGES, Asked, Tally, Touches
from vswaplab.trace.trace import Trace

MAX_ACCESSES = 1 << 30
"""Accesses an import writes unless it is told otherwise: some 4 GB of Parquet."""
MAX_BYTES = 1 << 38
"""Plain bytes an import reads unless it is told otherwise: 256 GiB."""

_HEAD = 1 << 18
_OWN_LOST = (
    "; it is a trace of vswaplab's already, whose page contents, redraws and sampling are not taken over: "
    "use it as it is"
)

Report = Callable[[int, int], None]


@dataclass
class Imported:
    """What an import made, and what it left out."""

    path: Path
    format: str
    n_accesses: int = 0
    n_writes: int = 0
    n_frees: int = 0
    n_pages: int = 0
    passed_over: Mapping[str, int] = field(default_factory=dict)
    is_own: bool = False
    """The file was a trace of vswaplab's already."""

    @property
    def lost(self) -> str:
        """What the format cannot tell, or the import does not keep."""
        return FORMATS[self.format].lost + (_OWN_LOST if self.is_own else "")


def import_trace(
    source: str | Path,
    out: str | Path,
    *,
    format: str | None = None,
    columns: Mapping[str, str | int] | None = None,
    separator: str = "",
    default_op: str = "read",
    events: str = "",
    skip_unknown: bool = False,
    max_pages: int = MAX_PAGES,
    max_accesses: int = MAX_ACCESSES,
    max_bytes: int = MAX_BYTES,
    name: str | None = None,
    title: str = "",
) -> Trace | TraceFile:
    r"""Turn a file of another program into a trace, in bounded memory.

    Pages are numbered in order of first touch; the formats, what becomes of
    each, and what is lost are in ``notebooks/guide/import.md``.

    Parameters
    ----------
    source
        The file; gzip and zstd (extra ``zstd``) are undone. ``"-"`` is
        standard input.
    out
        The trace to write; a trace that is there is replaced when all is well.
    format
        ``"oracle-general"``, ``"lackey"``, ``"damo"``, ``"blkparse"``,
        ``"ftrace"``, ``"perf"``, ``"csv"`` or ``"parquet"``; default: found out.
    columns
        Of a table: role to column name, or number from 1. Roles: ``page``
        (a number or a word), ``address`` (in bytes) or ``sector`` (512
        bytes), one of the three; ``op``, ``size``, ``repeat_reads``,
        ``repeat_writes``, ``mapper`` (which process makes the access, 0 to 7),
        ``mappers`` (which processes map the page at the start, one bit each;
        default: those that access it). Default: by the names of the columns.
    separator
        Of a CSV file; default: found out.
    default_op
        ``"read"`` or ``"write"``: what an access is where the file does not say.
    events
        Of tracepoints: ``"fault"``, ``"swap"``, ``"block"`` or ``"reclaim"``;
        default: what the file has, in this order. Of blkparse: the action,
        default ``"Q"``.
    skip_unknown
        Pass over lines that are not understood.
    max_pages, max_accesses, max_bytes
        An import that would exceed one of them is refused: distinct pages
        (24 bytes of memory each), accesses (disk), bytes after decompression.
    name, title
        Of the trace; default: the name of ``out``.

    Returns
    -------
    trace
        As ``load_trace`` or, of more than 16 million accesses, ``open_trace`` gives it.

    Raises
    ------
    InputError
        Names the file and the line, record or row, and what was expected; or an argument that the format does not
        heed; or another file that is there already.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(f"{folder}/mem.txt").write_text(" S 5000,8\n L 1000,4\n L 5ffc,8\n")
    ...     trace = import_trace(f"{folder}/mem.txt", f"{folder}/mem.parquet")
    >>> trace.page.tolist(), trace.op.tolist()
    ([0, 1, 0, 2], [1, 0, 0, 0])
    """
    roles = {} if columns is None else mapping_of("columns", columns, "{'page': 'obj_id'}")
    asked = Asked(
        {role: str(column) for role, column in roles.items()},
        text_of("separator", separator),
        op_of(default_op),
        text_of("events", events),
        flag("skip_unknown", skip_unknown),
    )
    limits = Limits(max_pages, max_accesses, max_bytes)
    place = path_of("out", out)
    path_of("source", source)
    import_file(os.fspath(source), place, format, asked, limits, name=name, title=title)
    return load_or_open(place)


@dataclass(frozen=True)
class Limits:
    """How much an import may take."""

    max_pages: int = MAX_PAGES
    max_accesses: int = MAX_ACCESSES
    max_bytes: int = MAX_BYTES

    def __post_init__(self) -> None:
        count("max_pages", self.max_pages)
        for name in ("max_accesses", "max_bytes"):
            whole(name, getattr(self, name), 1)


def op_of(word: str) -> Op:
    """Read ``default_op``."""
    one_of("the default op", word, ("read", "write"))
    return Op[word.upper()]


def import_file(
    source: str,
    out: Path,
    format: str | None = None,
    asked: Asked = Asked(),  # noqa: B008 - frozen
    limits: Limits = Limits(),
    *,
    name: str | None = None,
    title: str = "",
    progress: Report | None = None,
) -> Imported:
    """Do what ``import_trace`` says and tell of it; ``progress`` takes bytes read and bytes there are."""
    if format is not None:
        one_of("the format", format, tuple(FORMATS))
    if name is not None:
        text_of("name", name)
    text_of("title", title)
    _check_place(source, out)
    shown = "standard input" if source == STDIN else source
    try:
        return _import(source, out, format, asked, limits, name, title, progress)
    except InputError as error:
        raise InputError(f"{shown}: {error}") from None


def _check_place(source: str, out: Path) -> None:
    if out.is_dir():
        raise InputError(
            f"cannot write the trace to {out}: it is a folder; name a file, such as {out / 'trace.parquet'}"
        )
    if out.exists() and source != STDIN and Path(source).exists() and out.samefile(source):
        raise InputError(f"{out} is the file to import: write the trace somewhere else (--out)")
    check_trace_place(out, "write the trace somewhere else (--out)")


def _import(
    source: str,
    out: Path,
    format: str | None,
    asked: Asked,
    limits: Limits,
    name: str | None,
    title: str,
    progress: Report | None,
) -> Imported:
    with opened(source, limits.max_bytes) as (stream, position):
        head = stream.peek(_HEAD)[:_HEAD]
        if not head:
            raise InputError("the file is empty")
        made = Imported(out, format or detect(head))
        _check_asked(made.format, asked)
        tally, asked = Tally(), replace(asked, max_pages=limits.max_pages)
        reader = FORMATS[made.format].read
        touches = _parquet(source, asked, tally) if reader is None else reader(stream, asked, tally)
        made.is_own = reader is None and is_trace(Path(source))
        size = Path(source).stat().st_size if source != STDIN else 0
        told = _told(touches, progress, position, size)
        _write(told, made, tally, limits, out.stem if name is None else name, title)
    return made


def _check_asked(name: str, asked: Asked) -> None:
    usual = Asked()
    for option in ("columns", "separator", "default_op", "events", "skip_unknown"):
        if option not in FORMATS[name].uses and getattr(asked, option) != getattr(usual, option):
            heeding = ", ".join(other for other, form in FORMATS.items() if option in form.uses)
            raise InputError(
                f"--{option.replace('_', '-')} says nothing about {name} (it is for {heeding}): "
                f"leave it out, or say --format"
            )


def _parquet(source: str, asked: Asked, tally: Tally) -> Iterator[Touches]:
    if source == STDIN or not Path(source).is_file():
        raise InputError("Parquet is read from a file, not from a pipe: save it first")
    return read_parquet(Path(source), asked, tally)


def _told(
    touches: Iterator[Touches], progress: Report | None, position: Callable[[], int], size: int
) -> Iterator[Touches]:
    for some in touches:
        yield some
        if progress is not None and size:
            progress(min(position(), size), size)


def _write(touches: Iterator[Touches], made: Imported, tally: Tally, limits: Limits, name: str, title: str) -> None:
    numbers, sets = Numbers(limits.max_pages), MapperSets()
    first = next(touches, None)
    has_mapper = first is not None and first.mapper is not None

    def pieces() -> Iterator[dict[str, NDArray[np.integer]]]:
        for some in chain(() if first is None else (first,), touches):
            if some.key.size:
                piece = _piece(some, numbers, made, limits)
                sets.add(piece["page"], some.mapper, some.mappers)
                yield piece
        if not made.n_accesses:
            raise InputError(f"no access in it{_instead(tally)}: is it {FORMATS[made.format].title}? say --format")
        made.n_pages, made.passed_over = numbers.n_pages, dict(tally)

    def facts() -> dict[str, object]:
        imported = {"format": made.format, "passed_over": dict(made.passed_over), "lost": made.lost}
        return {"n_pages": made.n_pages, "imported": imported} | sets.facts

    write_numbered(pieces(), made.path, facts, name=name, title=title, has_mapper=has_mapper)


def _instead(tally: Tally) -> str:
    told = ", ".join(f"{number:,} {what}" for what, number in tally.most_common(3))
    return f" ({told})" if told else ""


def _piece(some: Touches, numbers: Numbers, made: Imported, limits: Limits) -> dict[str, NDArray[np.integer]]:
    made.n_accesses += some.key.size
    if made.n_accesses > limits.max_accesses:
        raise InputError(
            f"more than {limits.max_accesses:,} accesses: raise the limit (--max-accesses), or cut the file"
        )
    made.n_writes += int((some.op == Op.WRITE).sum())
    made.n_frees += int((some.op == Op.FREE).sum())
    none = np.zeros(some.key.size, np.uint32)
    piece: dict[str, NDArray[np.integer]] = {
        "page": numbers(some.key),
        "op": some.op,
        "repeat_reads": none if some.repeat_reads is None else some.repeat_reads,
        "repeat_writes": none if some.repeat_writes is None else some.repeat_writes,
    }
    return piece if some.mapper is None else piece | {"mapper": some.mapper}
