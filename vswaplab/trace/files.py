"""Read and write traces as Parquet files, and find the shipped ones."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Self, TypeVar, cast

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from vswaplab.base.backing import Op
from vswaplab.base.checks import text_of, whole
from vswaplab.base.documents import parse_json
from vswaplab.base.errors import InputError, shown
from vswaplab.base.parquet import parquet_facts, read_parquet, write_frames
from vswaplab.base.paths import data_dir, is_file, path_of
from vswaplab.base.whole import check_old, refused_in_one_line, whole_file
from vswaplab.trace.checks import access_column, count, parallel, probability, whole_numbers
from vswaplab.trace.checksums import KEY, Checksums, check_columns, checksums_of, told_checksums
from vswaplab.trace.corpus import Corpus
from vswaplab.trace.kept import is_made_up, read_contents, told_contents
from vswaplab.trace.trace import EMPTY, Piece, Trace, Workload, check_trace, n_pages_of

PIECE_ACCESSES = 1 << 20
"""Accesses of a trace file that lie in memory at once: about 30 MB."""

LARGE_ACCESSES = 1 << 24
"""Accesses from which on the command line leaves a trace in its file."""

_KEY = "vswaplab"
_FORMAT = 1
_COLUMNS: dict[str, type[pl.DataType]] = {
    "page": pl.UInt32,
    "op": pl.UInt8,
    "repeat_reads": pl.UInt32,
    "repeat_writes": pl.UInt32,
    "mapper": pl.UInt8,
}


class TraceFile(Workload):
    """A trace that stays in its file and is read piece by piece; ``open_trace`` makes it.

    ``simulate``, ``risk``, ``metadata_along``, ``drift``, ``collapse`` and
    ``save_trace`` take it like a ``Trace``. What it keeps in memory is a row of
    the corpus for each page, 4 bytes.

    Parameters
    ----------
    path : path
    columns : sequence of str
        The columns of the file that hold accesses.
    n_accesses : int
        How many of the file's it has.
    piece_accesses : int
    checksums
        Column to checksum, where the file tells them and the trace is all of it.
    facts
        As the keyword arguments of ``Trace``: n_pages, content, corpus,
        redraw_probability, content_shifts, recorder_k, name, title.
    """

    def __init__(
        self,
        path: Path,
        *,
        columns: Iterable[str],
        n_accesses: int,
        piece_accesses: int,
        checksums: Mapping[str, int] | None = None,
        **facts: Any,  # noqa: ANN401 - those of Workload
    ) -> None:
        self.path, self.columns, self.piece_accesses = path, tuple(columns), piece_accesses
        self._length, self.checksums = n_accesses, checksums
        super().__init__(**facts)

    def __len__(self) -> int:
        return self._length

    def pieces(self) -> Iterator[Piece]:
        """Read the accesses, a piece at a time.

        Raises
        ------
        InputError
            The file is damaged, or a value is out of range: names the access.
        """
        for start, frame in self._frames(self.columns):
            yield Piece(start, **{name: self._checked(frame[name], start) for name in self.columns})  # type: ignore[arg-type]

    def head(self, n_accesses: int) -> Self:
        """Cut the trace after its first accesses; pages and contents stay as they are."""
        n_accesses = min(count("n_accesses", n_accesses), len(self))
        return self._with(n_accesses=n_accesses, checksums=self.checksums if n_accesses == len(self) else None)

    def like(self, **changes: object) -> Self:
        """Make a trace of the same accesses that differs in the facts given, and in nothing else."""
        return self._with(**changes)

    def _with(self, **changes: object) -> Self:
        names = (
            "columns", "piece_accesses", "checksums", "n_pages", "content", "corpus", "redraw_probability",
            "content_shifts", "recorder_k", "name", "title",
        )  # fmt: skip
        arguments = {name: getattr(self, name) for name in names} | {"n_accesses": len(self)}
        return type(self)(self.path, **arguments | changes)

    def _arrays(self, name: str) -> Iterable[NDArray[np.generic]]:
        if name not in _COLUMNS:
            return super()._arrays(name)
        if name not in self.columns or (name.startswith("repeat") and not any(a.any() for a in self._column(name))):
            return ()
        return self._column(name)

    def _column(self, name: str) -> Iterator[NDArray[np.int32]]:
        for start, frame in self._frames([name]):
            yield self._checked(frame[name], start)

    def _checked(self, column: pl.Series, start: int) -> NDArray[np.int32]:
        values = _whole_column(self.path, column)
        with _named(self.path):
            return access_column(column.name, values, self.n_pages, start)

    def _frames(self, names: Iterable[str]) -> Iterator[tuple[int, pl.DataFrame]]:
        names, sums = list(names), Checksums()
        for start, frame in _frames(self.path, names, len(self), self.piece_accesses):
            for name in names:
                sums.add(name, _whole_column(self.path, frame[name]))
            if start + frame.height == len(self):
                check_columns(self.path, self.checksums, sums.of)
            yield start, frame


def shipped_traces() -> pl.DataFrame:
    """List the traces that come with the package.

    Returns
    -------
    traces : polars.DataFrame
        ``name``, ``title``, ``n_pages``, ``n_records``, ``n_accesses`` (before
        reduction), ``k``, ``path``; sorted by name.
    """
    rows = []
    for path in sorted((data_dir() / "traces").glob("*.parquet")):
        about = _metadata(path)
        names = ("name", "title", "n_pages", "n_records", "n_accesses", "k")
        rows.append({name: about[name] for name in names} | {"path": str(path)})
    return pl.DataFrame(rows)


def find_trace(name: str | Path) -> Path:
    """Turn a shipped trace's name, or a path, into a path.

    Raises
    ------
    InputError
        No such file and no such shipped trace.
    """
    path = path_of("path", name)
    if is_file(path):
        return path
    shipped = data_dir() / "traces" / f"{path.name.removesuffix('.parquet')}.parquet"
    if (len(path.parts) == 1 or path.parts[:-1] == ("data", "traces")) and is_file(shipped):
        return shipped
    names = ", ".join(p.stem for p in sorted((data_dir() / "traces").glob("*.parquet")))
    raise InputError(f"no trace {str(name)!r}: give a Parquet file, or one of the shipped traces {names}")


def load_trace(path: str | Path) -> Trace:
    """Read a trace, with the contents recorded beside it if there are any.

    A trace that ``save_trace`` wrote has its contents in the file. A recorded
    one at ``traces/NAME.parquet`` takes them from ``corpus/NAME.parquet`` beside
    that folder. One without gets made-up contents (``synthetic_corpus``), and
    its ``corpus.is_made_up`` is true. For a trace larger than memory there is
    ``open_trace``.

    Parameters
    ----------
    path : path
        A Parquet file, or the name of a shipped trace.

    Raises
    ------
    InputError
        No such file, a damaged or empty one, a column missing or of a wrong
        dtype, a value out of range, or not what was written.
    """
    source = find_trace(path)
    about = _metadata(source)
    table = _polars(source, "trace", lambda: read_parquet(source))
    columns = _columns(source, table.schema, table.height)
    told = told_checksums(source, about, columns)
    arrays: dict[str, Any] = {name: _whole_column(source, table[name]) for name in columns}
    check_columns(source, told, checksums_of(arrays))
    facts = _facts(source, about, int(arrays["page"].max()))
    with _named(source):
        return Trace(**arrays, mappers=cast("list[int] | None", about.get("mappers")), **facts)


def open_trace(path: str | Path, *, piece_accesses: int = PIECE_ACCESSES) -> TraceFile:
    """Open a trace that need not fit into memory.

    Runs give the same result as with ``load_trace``, bit for bit. The file is
    read once to check it, a piece at a time, and again by every run.

    Parameters
    ----------
    path : path
        A Parquet file, or the name of a shipped trace. Its row groups should
        be smaller than a piece, as those of ``save_trace`` and ``write_trace``
        are: one is decoded as a whole.
    piece_accesses : accesses
        How many lie in memory at once. It changes no number.

    Returns
    -------
    trace : TraceFile

    Raises
    ------
    InputError
        As ``load_trace``; also a trace of several mappers, whose copies only
        the whole stream tells.
    """
    source, piece = find_trace(path), count("piece_accesses", piece_accesses)
    about = _metadata(source)
    schema, n_accesses = _shape(source)
    columns = _columns(source, schema, n_accesses)
    if "mapper" in columns or about.get("mappers") is not None:
        raise InputError(f"{source} is a trace of several mappers, which only a whole stream tells: use vl.load_trace")
    largest = 0
    if about.get("n_pages") is None:
        pieces = _frames(source, ["page"], n_accesses, piece)
        largest = max(int(_whole_column(source, frame["page"]).max()) for _, frame in pieces)
    facts = _facts(source, about, largest)
    with _named(source):
        told = told_checksums(source, about, columns)
        trace = TraceFile(source, columns=columns, n_accesses=n_accesses, piece_accesses=piece, checksums=told, **facts)
    trace.digest  # noqa: B018 - reads and checks every access
    return trace


def load_or_open(path: str | Path) -> Trace | TraceFile:
    """Read a trace as ``load_trace`` does, or a large one as ``open_trace`` does: the numbers are the same."""
    source = find_trace(path)
    schema, n_accesses = _shape(source)
    is_shared = "mapper" in schema or _metadata(source).get("mappers") is not None
    return open_trace(source) if n_accesses > LARGE_ACCESSES and not is_shared else load_trace(source)


def is_trace(path: Path) -> bool:
    """Say whether a file is a trace that this package wrote."""
    return _told(path).get("kind") == "trace"


def is_corpus(path: Path) -> bool:
    """Say whether a file is a corpus that this package wrote."""
    return _told(path).get("kind") == "corpus"


def check_trace_place(path: Path, remedy: str = "choose another place") -> None:
    """Make sure that a trace written to a path replaces nothing but a trace.

    Raises
    ------
    InputError
        A file is there that is no trace of ours.
    """
    check_old(path, is_trace, "no trace that vswaplab wrote", remedy)


def check_corpus_place(path: Path, remedy: str = "choose another place") -> None:
    """Make sure that a corpus written to a path replaces nothing but a corpus; errors as ``check_trace_place``."""
    check_old(path, is_corpus, "no corpus that vswaplab wrote", remedy)


def save_trace(trace: Trace | TraceFile, path: str | Path) -> Path:
    """Write a trace as Parquet, with the contents of its pages.

    ``load_trace`` and ``open_trace`` then give the same trace, of the same
    digest. Made-up contents that every trace without others has are not
    written. Contents that the file cannot keep (a corpus column with missing
    values or words, more than 32 MiB) are left out with a warning. An earlier
    trace that is there is replaced, and no other file.

    Returns
    -------
    path : Path

    Raises
    ------
    InputError
        A trace of ``vl.drift`` or ``vl.collapse``, a place that cannot be
        written or has a file that is no trace of ours, a full disk. Nothing is
        left behind then.
    """
    check_trace(trace)
    if trace.content_shifts:
        raise InputError(
            f"{trace!r} drifts or collapses, which a trace file cannot say: save the trace that it was made of, "
            "and call vl.drift or vl.collapse again after vl.load_trace"
        )
    about = _about(trace.n_pages, trace.name, trace.title, trace.redraw_probability, trace.recorder_k)
    if trace.mappers is not None:
        about["mappers"] = trace.mappers.tolist()
    target = path_of("path", path)
    if _beside(target).is_file() or not is_made_up(trace):
        try:
            about["contents"] = told_contents(trace)
        except ValueError as error:
            warnings.warn(
                f"the page contents of {trace!r} are not in {target}, for {error}: keep the corpus, and give it again "
                "with vl.load_trace(path).like(corpus=..., content=...)",
                stacklevel=2,
            )
    pieces = ({name: getattr(piece, name) for name in trace.columns} for piece in trace.pieces())
    return _write(pieces, trace.columns, target, lambda: about)


def write_trace(
    pieces: Iterable[Mapping[str, ArrayLike]],
    path: str | Path,
    *,
    n_pages: int,
    name: str | None = None,
    title: str = "",
    redraw_probability: float = 0.0,
    recorder_k: int = 0,
) -> Path:
    """Write a trace that need not fit into memory, piece by piece.

    Parameters
    ----------
    pieces : iterable of mappings
        Accesses in time order: ``page``, ``op`` and optionally
        ``repeat_reads``, ``repeat_writes``, each an array (n_accesses,) as in
        ``Trace``; the same names in every piece.
    path : path
    n_pages, name, title, redraw_probability, recorder_k
        As in ``Trace``; the default name is the file's.

    Returns
    -------
    path : Path

    Raises
    ------
    InputError
        No access at all, a piece with other names or arrays of different
        length, a value out of range (names the access), a place that has a file
        which is no trace of ours, a full disk. Nothing is left behind then.

    Examples
    --------
    >>> import tempfile
    >>> pieces = ({"page": np.arange(4) + 4 * k, "op": np.ones(4, np.uint8)} for k in range(100))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     open_trace(write_trace(pieces, f"{folder}/scan.parquet", n_pages=400))
    TraceFile('scan', 400 accesses, 400 pages)
    """
    target, n_pages = path_of("path", path), count("n_pages", n_pages)
    about = _about(n_pages, target.stem if name is None else name, title, redraw_probability, recorder_k)
    if not isinstance(pieces, Iterable):
        raise InputError(f"pieces must be a list or an iterator of mappings, got {shown(pieces)}")
    rest = iter(pieces)
    first = next(rest, None)
    if first is None:
        raise InputError(EMPTY)
    columns = [column for column in _COLUMNS if column in _names(first, 0) and column != "mapper"]
    return _write(_checked_pieces(chain([first], rest), columns, n_pages), columns, target, lambda: about)


def write_numbered(
    pieces: Iterable[Mapping[str, NDArray[np.integer]]],
    path: Path,
    facts: Callable[[], Mapping[str, object]],
    *,
    name: str,
    title: str = "",
    has_mapper: bool = False,
) -> Path:
    """Write pieces that number their pages as they come, so that nobody knows how many there are until the end.

    Parameters
    ----------
    pieces
        As those of ``write_trace``, with every column but mapper unless it is asked for, and all values in range.
    path
    facts
        What to keep in the file, ``n_pages`` among it; asked after the last piece.
    name, title
    has_mapper
        The pieces have the column, and ``facts`` give ``mappers``.
    """
    columns = [column for column in _COLUMNS if has_mapper or column != "mapper"]
    return _write(pieces, columns, path, lambda: _about(1, name, title, 0.0, 0) | dict(facts()))


def _checked_pieces(
    pieces: Iterable[Mapping[str, ArrayLike]], columns: list[str], n_pages: int
) -> Iterator[Mapping[str, NDArray[np.int32]]]:
    at = 0
    for piece in pieces:
        if _names(piece, at) != set(columns) or not {"page", "op"} <= set(columns):
            raise InputError(
                f"the piece from access {at} on has {', '.join(map(str, piece))}: every piece needs page and op, "
                f"may have repeat_reads and repeat_writes, and has the names of the first"
            )
        length = whole_numbers("page", piece["page"]).size
        arrays = {name: parallel(name, piece[name], length) for name in columns}
        yield {name: access_column(name, array, n_pages, at) for name, array in arrays.items()}
        at += length
    if not at:
        raise InputError(EMPTY)


def _names(piece: object, at: int) -> set[str]:
    if not isinstance(piece, Mapping):
        raise InputError(f"the piece from access {at} on is {piece!r}: it must be a mapping of name to array")
    return set(piece)


def _about(n_pages: int, name: str, title: str, redraw_probability: float, recorder_k: int) -> dict[str, object]:
    return {
        "format": _FORMAT,
        "kind": "trace",
        "name": text_of("name", name),
        "title": text_of("title", title) or name,
        "n_pages": n_pages,
        "k": whole("recorder_k", recorder_k),
        "redraw_probability": probability(redraw_probability),
    }


def _write(
    pieces: Iterable[Mapping[str, NDArray[np.generic]]],
    columns: Sequence[str],
    target: Path,
    about: Callable[[], dict[str, object]],
) -> Path:
    check_trace_place(target)
    schema = {name: _COLUMNS[name] for name in columns}
    counts, sums = {"n_records": 0, "n_accesses": 0}, Checksums()

    def frames() -> Iterator[pl.DataFrame]:
        # No query in here: it would be one within the query that writes, and the two may wait for each other.
        for piece in pieces:
            counts["n_records"] += len(piece["op"])
            counts["n_accesses"] += _n_accesses(piece)
            for name in schema:
                sums.add(name, piece[name])
            yield pl.DataFrame([pl.Series(name, piece[name]).cast(dtype) for name, dtype in schema.items()])

    with refused_in_one_line(target, "free some space or choose another place"), whole_file(target) as file:
        write_frames(frames(), file, schema, lambda: {_KEY: json.dumps(about() | counts | {KEY: sums.of})})
    return target


def _n_accesses(piece: Mapping[str, NDArray[np.generic]]) -> int:
    # Those before a recorder dropped any.
    repeats = (piece[name] for name in ("repeat_reads", "repeat_writes") if name in piece)
    return int((piece["op"] != Op.FREE).sum()) + sum(int(array.sum(dtype=np.int64)) for array in repeats)


# What a file says ------------------------------------------------------------------------------


_T = TypeVar("_T")


def _polars(path: Path, kind: str, read: Callable[[], _T]) -> _T:
    try:
        return read()
    except InputError:  # says what to do already
        raise
    except OSError as error:  # the system's, which says nothing about the file
        reason = error.strerror or error
        raise InputError(f"cannot read the {kind} {path}: {reason}; give a file that can be read") from None
    except (ValueError, pl.exceptions.PolarsError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"cannot read the {kind} {path}: not a whole Parquet file ({reason}); copy it again") from None


@contextmanager
def _named(path: Path) -> Iterator[None]:
    try:
        yield
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _metadata(path: Path) -> dict[str, object]:
    about = _polars(path, "trace", lambda: parse_json(parquet_facts(path).metadata.get(_KEY, "{}")))
    if not isinstance(about, dict) or not isinstance(about.get("k", 0), int):
        raise InputError(f"{path}: its vswaplab metadata is damaged ({about!r}): write it again with save_trace")
    return cast("dict[str, object]", about)


def _told(path: Path) -> dict[str, object]:
    # Nothing, of a file that cannot be read.
    try:
        return _metadata(path)
    except InputError:
        return {}


def _shape(path: Path) -> tuple[Mapping[str, pl.DataType], int]:
    facts = _polars(path, "trace", lambda: parquet_facts(path))
    return facts.schema, facts.n_rows


def _frames(path: Path, names: Iterable[str], length: int, piece: int) -> Iterator[tuple[int, pl.DataFrame]]:
    columns = list(names)
    for start in range(0, length, piece):
        n_rows = min(piece, length - start)
        frame = _polars(path, "trace", partial(read_parquet, path, columns, start=start, n_rows=n_rows))
        if frame.height < n_rows:
            raise InputError(f"{path} became shorter while it was read: copy it again, then run again")
        yield start, frame


def _columns(path: Path, schema: Mapping[str, pl.DataType], length: int) -> list[str]:
    for name in ("page", "op"):
        if name not in schema:
            raise InputError(f"{path} has no column {name!r}: a trace needs page and op (see the data dictionary)")
    columns = [name for name in _COLUMNS if name in schema]
    for name in columns:
        if not schema[name].is_integer():
            raise InputError(f"{path} column {name!r} is {schema[name]}: it must hold whole numbers")
    if not length:
        raise InputError(f"{path}: {EMPTY}")
    return columns


def _whole_column(path: Path, column: pl.Series) -> NDArray[np.integer]:
    if column.null_count():
        raise InputError(f"{path} column {column.name!r} has missing values: every access needs one")
    return column.to_numpy()


def _facts(path: Path, about: Mapping[str, object], largest: int) -> dict[str, Any]:
    # Everything a trace file tells but its accesses; ``largest``: page number, for one that does not say n_pages.
    with _named(path):
        n_pages = n_pages_of(largest) if about.get("n_pages") is None else count("n_pages", about["n_pages"])
    corpus, content = _contents(path, about.get("contents"), n_pages)
    return {
        "n_pages": n_pages,
        "content": content,
        "corpus": corpus,
        "redraw_probability": about.get("redraw_probability", 0.0),
        "recorder_k": about.get("k", 0),
        "name": str(about.get("name", path.stem)),
        "title": str(about.get("title", "")),
    }


def _contents(path: Path, told: object, n_pages: int) -> tuple[Corpus | None, NDArray[np.int32] | None]:
    if told is None:
        return _load_corpus(_beside(path), n_pages)
    with _named(path):
        return read_contents(told, n_pages)


def _beside(path: Path) -> Path:
    # Where the contents of a recorded trace lie.
    return path.parent.parent / "corpus" / path.name


def _load_corpus(path: Path, n_pages: int) -> tuple[Corpus | None, NDArray[np.int32] | None]:
    if not path.is_file():
        return None, None
    rows = _polars(path, "corpus", lambda: read_parquet(path))
    for column in ("page", "moment", "region"):
        if column not in rows.columns:
            raise InputError(f"{path} has no column {column!r}: see the data dictionary")
        if not rows[column].dtype.is_integer() or rows[column].null_count():
            raise InputError(f"{path} column {column!r} is {rows[column].dtype} or lacks values: use whole numbers")
    pages = rows["page"].to_numpy().astype(np.int64)
    if pages.size and pages.min() < 0:
        raise InputError(f"{path} has page {pages.min()}: pages are numbered from 0")
    with _named(path):
        return Corpus(rows), _first_content(pages, rows["moment"].to_numpy(), n_pages)


def _first_content(page: NDArray[np.int64], moment: NDArray[np.integer], n_pages: int) -> NDArray[np.int32]:
    # A page starts as it was when first sampled; a page that never was, as the nearest sampled page before it.
    order = np.lexsort((moment, page))
    first = order[np.r_[True, page[order][1:] != page[order][:-1]]]
    content = np.full(n_pages, -1, np.int64)
    inside = first[page[first] < n_pages]
    content[page[inside]] = inside
    sampled = np.flatnonzero(content >= 0)
    if not sampled.size:
        return np.zeros(n_pages, np.int32)
    nearest = np.maximum(np.searchsorted(sampled, np.arange(n_pages), "right") - 1, 0)
    return content[sampled[nearest]].astype(np.int32)
