"""Any CSV (libCacheSim's too) or Parquet table of accesses, by which column plays which role."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vswaplab.base import parquet
from vswaplab.base.backing import MAX_MAPPERS, Op
from vswaplab.base.documents import parse_json
from vswaplab.base.errors import InputError, shown
from vswaplab.base.units import PAGE_SIZE
from vswaplab.trace.importers.footer import check_row_groups
from vswaplab.trace.importers.lines import Block, blocks
from vswaplab.trace.importers.touches import PIECE, Asked, Keys, Tally, Touches, spread

ROLES: Mapping[str, tuple[str, ...]] = {
    "page": ("page", "page_number", "vpn", "pfn", "obj_id", "object_id", "object", "obj", "key", "id", "block"),
    "address": ("address", "addr", "vaddr", "va", "virtual_address"),
    "sector": ("sector", "lba", "lbn"),
    "op": ("op", "operation", "rw", "access", "access_type", "is_write", "rwbs"),
    "size": ("size", "obj_size", "object_size", "length", "len", "bytes"),
    "repeat_reads": ("repeat_reads",),
    "repeat_writes": ("repeat_writes",),
    "mapper": ("mapper",),
    "mappers": ("mappers",),
}
"""Role of a column to the names by which it is known, in lower case; the first three are what names the page."""

# Words of traces and of key-value stores, and the SCSI commands READ and WRITE (6, 10, 16) of vscsi traces.
_WORDS = {
    Op.READ: ("0", "r", "read", "load", "l", "get", "false", "rd", "ra", "28", "88", "8"),
    Op.WRITE: (
        "1",
        "w",
        "write",
        "store",
        "s",
        "set",
        "put",
        "add",
        "m",
        "modify",
        "true",
        "wr",
        "ws",
        "2a",
        "8a",
        "a",
    ),
    Op.FREE: ("2", "d", "f", "free", "delete", "del", "discard", "remove", "trim", "unmap"),
}
_OPS = {word: int(op) for op, words in _WORDS.items() for word in words}
_SHIFTS = {"address": 12, "sector": 3}
_SECTOR_BYTES = 512
_SEPARATORS = ",;\t |"
_MAX_REPEATS = (1 << 31) - 2
_MAX_SET = (1 << MAX_MAPPERS) - 1
_SET = "a set of mappers, one bit each"
_MAX_COLUMNS = 1000
_Bytes = NDArray[np.uint8]
_NEITHER = r"(?i)^$|^[-+]?(\d+\.\d*|\.\d+|\d+e[-+]?\d+|nan|inf(inity)?)$|^[-+]\d"  # a number, but not a whole one
LOST = "times, sizes of objects (one object is one page), whatever is in other columns"
LOST_CSV = f"{LOST}; page keys that are words are known by a hash of 64 bits"


# CSV -------------------------------------------------------------------------------------------


def read_csv(stream: BinaryIO, asked: Asked, tally: Tally) -> Iterator[Touches]:
    """Read lines of separated fields; a first line without numbers is a heading.

    Parameters
    ----------
    stream
        Plain text; quoted fields may not hold line ends.
    asked
        ``columns`` by name or by number from 1, ``separator``, ``default_op``.
    tally
        Not used.
    """
    header: list[str] | None = None
    roles: dict[str, str] = {}
    separator = asked.separator
    for block in blocks(stream):
        block = _without_comments(block) if header is not None else block
        if header is None:
            block, header, separator = _start(block, asked)
            if not header:
                continue
            roles = roles_of(header, asked.columns)
        yield from _touches(_fields(block, separator, len(header), header), roles, asked)


def _start(block: Block, asked: Asked) -> tuple[Block, list[str] | None, str]:
    # The rest of the first block, the names of the columns (their numbers if there is no heading), the separator.
    at = (block.lines.str.strip_chars() != "").arg_max()
    if at is None or not block.lines[at].strip():
        return block, None, asked.separator
    first = str(block.lines[at]).lstrip("# ").strip()
    separator = asked.separator or max(_SEPARATORS, key=first.count)
    names = [name.strip().strip("\"'") for name in first.split(separator)]
    if len(names) > _MAX_COLUMNS:
        raise InputError(f"line {block.first + at}: {len(names)} columns, expected at most {_MAX_COLUMNS}")
    if any(_is_number(name) for name in names):
        return _without_comments(block), [str(number) for number in range(1, len(names) + 1)], separator
    rest = Block(block.first + at + 1, block.lines[at + 1 :])
    return _without_comments(rest), names, separator


def is_csv(line: str) -> bool:
    """Tell whether a first line can be that of a CSV file: separated fields, or numbers."""
    words = line.lower().split()
    is_known = len(words) == 1 and any(words[0] in names for names in ROLES.values())
    return is_known or re.search(r"[,;\t|]", line) is not None or all(map(_is_number, words))


def _is_number(text: str) -> bool:
    return re.fullmatch(r"-?(0x[0-9a-fA-F]+|\d+(\.\d*)?)", text) is not None


def _without_comments(block: Block) -> Block:
    # Blank lines and comments become null: line numbers stay.
    is_aside = block.lines.str.contains(r"^\s*(#|$)")
    return Block(block.first, block.lines.set(is_aside, None))


def _fields(block: Block, separator: str, n_columns: int, header: Sequence[str]) -> pl.DataFrame:
    rows = pl.DataFrame({"text": block.lines, "line": np.arange(block.first, block.first + len(block.lines))})
    rows = rows.drop_nulls("text")
    found = rows["text"].str.count_matches(separator, literal=True) + 1
    wrong = found != n_columns
    if wrong.any():
        at = int(wrong.arg_max() or 0)
        raise InputError(
            f"line {rows['line'][at]}: {found[at]} fields separated by {separator!r}, expected {n_columns}: "
            f"{shown(rows['text'][at])}"
        )
    parts = rows["text"].str.split_exact(separator, n_columns - 1).struct.unnest()
    parts.columns = [f"{number}" for number in range(n_columns)]
    clean = parts.select(pl.all().str.strip_chars().str.strip_chars("\"'"))
    clean.columns = list(header)
    return clean.with_columns(rows["line"].alias(_LINE))


_LINE, _ROW = "\0line", "\0row"  # where a row is from, CSV or Parquet; no heading can be that


# Parquet ---------------------------------------------------------------------------------------


def read_parquet(path: Path, asked: Asked, tally: Tally) -> Iterator[Touches]:
    """Read a Parquet table, a row group at a time at most.

    Parameters
    ----------
    path
        A file; never a pattern or a folder.
    asked
        ``columns`` by name, ``default_op``.
    tally
        Not used.
    """
    check_row_groups(path)
    try:
        facts = parquet.parquet_facts(path)
        roles = roles_of(list(facts.schema), asked.columns)
        sets = None if asked.columns or roles.get("page") != "page" or "mappers" in roles else _sets(facts.metadata)
        for start in range(0, facts.n_rows, PIECE):
            rows = parquet.read_parquet(path, sorted(set(roles.values())), start=start, n_rows=PIECE)
            numbered = rows.with_columns(pl.Series(_ROW, np.arange(start, start + rows.height) + 1))
            if sets is not None:
                page = _numbers(numbered, "page", sets.size - 1)
                numbered = numbered.with_columns(mappers=sets[page.astype(np.int64)])
            yield from _touches(numbered, roles if sets is None else roles | {"mappers": "mappers"}, asked)
    except pl.exceptions.PolarsError as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"not a whole Parquet file ({reason}): copy it again") from None


def _sets(metadata: Mapping[str, str]) -> NDArray[np.uint8] | None:
    # Of a trace that vswaplab wrote: every page's mappers, which no column tells.
    try:
        about = parse_json(metadata.get("vswaplab", "{}"))
    except ValueError:
        about = None
    given = about.get("mappers") if isinstance(about, dict) and about.get("kind") == "trace" else None
    if given is None:
        return None
    if not isinstance(given, list) or not all(type(each) is int and 0 <= each <= _MAX_SET for each in given):
        raise InputError(f"the mappers in its metadata are not {_SET}: write it again with vl.save_trace")
    return np.array(given, np.uint8)


# Both ------------------------------------------------------------------------------------------


def roles_of(header: Sequence[str], columns: Mapping[str, str]) -> dict[str, str]:
    """Say which column plays which role.

    Parameters
    ----------
    header
        Names of the columns.
    columns
        What the user says: role to name, or number from 1; the others are known by their names.

    Raises
    ------
    InputError
        An unknown role or column, two columns of one name, or none that names the page.

    Examples
    --------
    >>> roles_of(["time", "obj_id", "rw"], {})
    {'page': 'obj_id', 'op': 'rw'}
    """
    if len(set(header)) < len(header):
        raise InputError(f"two columns have the same name ({', '.join(header)}): rename one")
    roles = {role: _column(role, name, header) for role, name in columns.items()}
    if not columns:
        for role, names in ROLES.items():
            known = [name for name in header if name.strip().lower() in names]
            if known and not (role in _SHIFTS and "page" in roles):
                roles[role] = known[0]
    naming = [role for role in ("page", "address", "sector") if role in roles]
    if len(naming) != 1:
        raise InputError(
            f"{'no column names' if not naming else 'several columns name'} the page (columns: {', '.join(header)}): "
            f"say which does, --columns page=NAME, address=NAME or sector=NAME (or its number, from 1)"
        )
    return roles


def _column(role: str, name: str, header: Sequence[str]) -> str:
    if role not in ROLES:
        raise InputError(f"columns: no role {role!r}: choose from {', '.join(ROLES)}")
    if name in header:
        return name
    if name.isdecimal() and 1 <= int(name) <= len(header):
        return header[int(name) - 1]
    raise InputError(f"columns: no column {name!r} for {role}: there is {', '.join(header)}")


def _touches(rows: pl.DataFrame, roles: Mapping[str, str], asked: Asked) -> Iterator[Touches]:
    if not rows.height:
        return
    op = _ops(rows, roles["op"]) if "op" in roles else np.full(rows.height, asked.default_op, np.uint8)
    repeats = {
        role: _numbers(rows, roles[role], _MAX_REPEATS).astype(np.uint32)
        for role in ("repeat_reads", "repeat_writes")
        if role in roles
    }
    mapper, mappers = _sharing(rows, roles, asked)
    if "page" in roles:
        yield Touches(_keys(rows, roles["page"]), op, **repeats, mapper=mapper, mappers=mappers)
        return
    role = "address" if "address" in roles else "sector"
    if repeats:
        raise InputError(f"columns: repeats belong to a page, and {role} with a size may be several: give page")
    yield from spread(*_spans(rows, role, roles, asked.max_pages * PAGE_SIZE), op, mapper=mapper, mappers=mappers)


def _sharing(rows: pl.DataFrame, roles: Mapping[str, str], asked: Asked) -> tuple[_Bytes | None, _Bytes | None]:
    # Who makes each access, and the set of those who map its page at the start; None: the table does not tell.
    try:
        mapper, mappers = (
            _numbers(rows, roles[role], most).astype(np.uint8) if role in roles else None
            for role, most in (("mapper", MAX_MAPPERS - 1), ("mappers", _MAX_SET))
        )
    except InputError as error:
        if asked.columns:
            raise
        raise InputError(f"{error}; if it is something else, name the columns to read, such as page=page") from None
    if mappers is not None:
        is_stray = mappers & (np.uint8(1) << (np.uint8(0) if mapper is None else mapper)) == 0
        if is_stray.any():
            raise _bad(rows, roles["mappers"], int(is_stray.argmax()), f"{_SET}, with that of the access in it")
    return mapper, mappers


def _spans(rows: pl.DataFrame, role: str, roles: Mapping[str, str], max_bytes: int) -> tuple[Keys, NDArray[np.int64]]:
    unit = 1 if role == "address" else _SECTOR_BYTES
    start = _numbers(rows, roles[role], ((1 << 63) - 1) // unit) * np.uint64(unit)
    size = np.ones(start.size, np.uint64)
    if "size" in roles:
        size = np.maximum(_numbers(rows, roles["size"], max_bytes), size)
    first = start >> np.uint64(12)
    return first, ((start + size - np.uint64(1) >> np.uint64(12)) - first).astype(np.int64) + 1


def _keys(rows: pl.DataFrame, name: str) -> Keys:
    # A whole number is itself; a word (a key of a store) its hash; what is neither is refused.
    column = rows[name]
    if column.dtype.is_integer():
        return _numbers(rows, name, (1 << 64) - 1)
    if column.dtype != pl.String:
        raise InputError(f"column {name!r} is {column.dtype}: a page is named by whole numbers or words")
    bad = column.is_null() | column.str.contains(_NEITHER)
    if bad.any():
        raise _bad(rows, name, int(bad.arg_max() or 0), "a whole number or a word that names a page")
    return _whole(column).fill_null(column.hash(0)).to_numpy()


def _ops(rows: pl.DataFrame, name: str) -> NDArray[np.uint8]:
    column = rows[name]
    if column.dtype == pl.Boolean or column.dtype.is_integer():
        column = column.cast(pl.Int64, strict=False).cast(pl.String)
    if column.dtype != pl.String:
        raise InputError(f"column {name!r} is {column.dtype}: what an access does is a word or a number")
    op = column.str.to_lowercase().replace_strict(_OPS, default=None, return_dtype=pl.UInt8)
    if op.null_count():
        raise _bad(rows, name, int(op.is_null().arg_max() or 0), "read, write or free (r, w, d; 0, 1, 2; load, store)")
    return op.to_numpy()


def _numbers(rows: pl.DataFrame, name: str, most: int) -> NDArray[np.uint64]:
    column = rows[name]
    if column.dtype != pl.String and not column.dtype.is_integer():
        raise InputError(f"column {name!r} is {column.dtype}: it must hold whole numbers")
    number = _whole(column) if column.dtype == pl.String else column.cast(pl.UInt64, strict=False)
    bad = number.is_null() | (number > most)
    if bad.any():
        raise _bad(rows, name, int(bad.arg_max() or 0), f"a whole number from 0 to {most}")
    return number.to_numpy()


def _whole(column: pl.Series) -> pl.Series:
    # Decimal, or hexadecimal behind 0x; null: neither.
    digits = column.str.extract(r"^0[xX]([0-9a-fA-F]+)$", 1).str.to_integer(base=16, dtype=pl.UInt64, strict=False)
    return digits.fill_null(column.str.extract(r"^(\d+)$", 1).cast(pl.UInt64, strict=False))


def _bad(rows: pl.DataFrame, name: str, at: int, expected: str) -> InputError:
    value = rows[name][at]
    got = "nothing" if value is None else shown(str(value))
    column = f"column {name}" if name.isdecimal() else name
    where = next(name for name in (_LINE, _ROW) if name in rows.columns)
    return InputError(f"{where[1:]} {rows[where][at]}: {column} is {got}: expected {expected}")
