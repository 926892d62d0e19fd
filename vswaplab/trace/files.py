"""Read and write traces as Parquet files, and find the shipped ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vswaplab.base.errors import InputError
from vswaplab.base.paths import data_dir
from vswaplab.trace.corpus import Corpus
from vswaplab.trace.trace import Trace

_KEY = "vswaplab"
_FORMAT = 1


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
    path = Path(name)
    if path.is_file():
        return path
    shipped = data_dir() / "traces" / f"{path.name.removesuffix('.parquet')}.parquet"
    if (len(path.parts) == 1 or path.parts[:-1] == ("data", "traces")) and shipped.is_file():
        return shipped
    names = ", ".join(p.stem for p in sorted((data_dir() / "traces").glob("*.parquet")))
    raise InputError(f"no trace {str(name)!r}: give a Parquet file, or one of the shipped traces {names}")


def load_trace(path: str | Path) -> Trace:
    """Read a trace, with the contents recorded beside it if there are any.

    A trace at ``traces/NAME.parquet`` takes its contents from
    ``corpus/NAME.parquet`` beside that folder; one without gets made-up
    contents (``synthetic_corpus``).

    Parameters
    ----------
    path : path
        A Parquet file, or the name of a shipped trace.

    Raises
    ------
    InputError
        No such file, a damaged or empty one, a column missing or of a wrong
        dtype, a value out of range.
    """
    source = find_trace(path)
    table, about = _read(source, "trace"), _metadata(source)
    for column in ("page", "op"):
        if column not in table.columns:
            raise InputError(f"{source} has no column {column!r}: a trace needs page and op (see the data dictionary)")
    for column in ("page", "op", "repeat_reads", "repeat_writes", "mapper"):
        if column in table.columns and not table[column].dtype.is_integer():
            raise InputError(f"{source} column {column!r} is {table[column].dtype}: it must hold whole numbers")
        if column in table.columns and table[column].null_count():
            raise InputError(f"{source} column {column!r} has missing values: every access needs one")
    optional = {
        name: table[name].to_numpy() for name in ("repeat_reads", "repeat_writes", "mapper") if name in table.columns
    }
    n_pages = about.get("n_pages")
    corpus_path = source.parent.parent / "corpus" / source.name
    corpus, content = _load_corpus(corpus_path, cast("int | None", n_pages), table)
    try:
        return Trace(
            table["page"].to_numpy(),
            table["op"].to_numpy(),
            n_pages=cast("int | None", n_pages),
            content=content,
            corpus=corpus,
            mappers=cast("list[int] | None", about.get("mappers")),
            redraw_probability=cast(float, about.get("redraw_probability", 0.0)),
            recorder_k=cast(int, about.get("k", 0)),
            name=str(about.get("name", source.stem)),
            title=str(about.get("title", "")),
            repeat_reads=optional.get("repeat_reads"),
            repeat_writes=optional.get("repeat_writes"),
            mapper=optional.get("mapper"),
        )
    except InputError as error:
        raise InputError(f"{source}: {error}") from None


def save_trace(trace: Trace, path: str | Path) -> Path:
    """Write a trace's accesses as Parquet; contents stay with the corpus.

    Returns
    -------
    path : Path
    """
    columns = {"page": trace.page.astype(np.uint32), "op": trace.op}
    for name in ("repeat_reads", "repeat_writes", "mapper"):
        values = getattr(trace, name)
        if values is not None:
            columns[name] = values if name == "mapper" else values.astype(np.uint32)
    about = {
        "format": _FORMAT,
        "kind": "trace",
        "name": trace.name,
        "title": trace.title,
        "n_pages": trace.n_pages,
        "n_records": len(trace),
        "n_accesses": len(trace),
        "k": trace.recorder_k,
        "redraw_probability": trace.redraw_probability,
    }
    if trace.mappers is not None:
        about["mappers"] = trace.mappers.tolist()
    target = Path(path)
    partial = target.with_name(f".{target.name}.part")
    try:
        pl.DataFrame(columns).write_parquet(partial, metadata={_KEY: json.dumps(about)})
        partial.replace(target)
    except (OSError, pl.exceptions.PolarsError) as error:  # polars has its own error for a full disk
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise InputError(f"cannot write {target}: {reason}; free some space or choose another place") from None
    finally:
        partial.unlink(missing_ok=True)
    return target


def _read(path: Path, kind: str) -> pl.DataFrame:
    try:
        return pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"cannot read the {kind} {path}: not a whole Parquet file ({reason}); copy it again") from None


def _metadata(path: Path) -> dict[str, object]:
    try:
        about = json.loads(pl.read_parquet_metadata(path).get(_KEY, "{}"))
    except (OSError, ValueError, pl.exceptions.PolarsError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"cannot read {path}: not a whole Parquet file ({reason}); copy it again") from None
    if not isinstance(about, dict) or not isinstance(about.get("k", 0), int):
        raise InputError(f"{path}: its vswaplab metadata is damaged ({about!r}): write it again with save_trace")
    return cast("dict[str, object]", about)


def _load_corpus(
    path: Path, n_pages: int | None, table: pl.DataFrame
) -> tuple[Corpus | None, NDArray[np.int32] | None]:
    if not path.is_file():
        return None, None
    rows = _read(path, "corpus")
    for column in ("page", "moment", "region"):
        if column not in rows.columns:
            raise InputError(f"{path} has no column {column!r}: see the data dictionary")
        if not rows[column].dtype.is_integer() or rows[column].null_count():
            raise InputError(f"{path} column {column!r} is {rows[column].dtype} or lacks values: use whole numbers")
    pages = rows["page"].to_numpy().astype(np.int64)
    if pages.size and pages.min() < 0:
        raise InputError(f"{path} has page {pages.min()}: pages are numbered from 0")
    n = n_pages if n_pages is not None else int(table["page"].cast(pl.Int64).max() or 0) + 1  # type: ignore[arg-type]
    try:
        return Corpus(rows), _first_content(pages, rows["moment"].to_numpy(), n)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


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
