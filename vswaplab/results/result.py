"""The result of a run: tables, totals and where they came from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import polars as pl

from vswaplab.base.checks import mapping_of, text_of
from vswaplab.base.documents import read_json
from vswaplab.base.errors import InputError, shown
from vswaplab.base.parquet import read_parquet, write_frames
from vswaplab.base.paths import path_of
from vswaplab.results.counters import COUNTERS, TIMES
from vswaplab.results.folder import Kind, write_folder

_TABLES: dict[str, tuple[str, ...]] = {
    "epochs": ("epoch", "start", "stop", *COUNTERS, *TIMES),
    "tiers": ("epoch", "access", "tier", "pages", "stored_bytes", "media_bytes"),
    "pages": ("page", "is_resident", "backing", "stored_bytes"),
    "events": (),
}
"""Tables of a saved result, and columns that must be there."""
_FORMAT = 2
_SLICE = 1 << 18  # pages that are laid out as a table at once when a result is saved


_OWN = frozenset({*(f"{name}.parquet" for name in _TABLES), "totals.json", "provenance.json"})

RESULT = Kind("a vswaplab result", frozenset({"result_format"}), _OWN | {"report.html", "residency.svg"})


class Pages(Protocol):
    """The final state of every page in a compact form."""

    def __len__(self) -> int:
        """Count the pages."""
        ...

    def frame(self, start: int, stop: int) -> pl.DataFrame:
        """Lay out pages start..stop-1 as a table."""
        ...


@dataclass(frozen=True)
class Result:
    """What came out of one simulation.

    Parameters
    ----------
    totals : dict
        Counter name to number; every counter is present. ``stall_ns`` and
        ``cpu_ns`` are derived by the cost table.
    epochs : polars.DataFrame
        One row per reporting window: ``epoch``, ``start`` and ``stop`` (access
        indexes), the window's counters, ``pswpin`` and ``pswpout`` of each swap
        device (``_0``, ``_1``...) and of all ``_swapfile`` and ``_zram``, its
        stall and CPU time in ns.
    tiers : polars.DataFrame
        One row per window and tier, at the window's end: ``pages``,
        ``stored_bytes`` (their data), ``media_bytes`` (what is in use of the
        tier's medium); of CRAM also ``multi_state_pages`` (some of their
        mappers have them mapped and some not), ``writable_pages`` (writable
        budget in use), ``zombie_pages`` and ``balloon_pages`` (held back).
    final : Pages or polars.DataFrame
        What ``state()`` makes its table of.
    events : polars.DataFrame
        One row per device taken away: ``at`` (access), ``event`` ("swapoff"),
        ``device``, ``method``; before it ``slots_in_use``, ``virtual_slots``,
        ``virtual_clusters``, ``address_space_pages``, ``mappers``;
        ``visits_`` and ``scan_..._ns`` of each method; what was moved
        (``pages_read``, ``pages_loaded``, of them ``zswap_loaded`` and
        ``recompressed_loaded``; ``zero_loaded``, ``cram_loaded``,
        ``store_loaded`` (out of plug-ins' tiers), ``copies_dropped``,
        ``written_back``, ``cache_only`` (loaded, and known to the swap cache
        only), ``pte_changed``, ``reclaim_runs``);
        ``minor_faults_left`` (pages that only the swap cache knows since, at
        the end: a reclaim meanwhile may have taken some out again) and
        ``virtual_slots_left`` (names with only a folio behind them, whatever
        the method those of resident copies too) with their
        ``metadata_left_bytes``; ``data_ns`` (reading and decompressing),
        ``time_ns`` (with the scan), ``later_ns`` (of the faults left), ``oom``.
    provenance : dict
        Version, machine, seed, engine, trace name and digest.
    """

    totals: dict[str, int]
    epochs: pl.DataFrame
    tiers: pl.DataFrame
    final: Pages | pl.DataFrame
    events: pl.DataFrame
    provenance: dict[str, object]

    def __repr__(self) -> str:
        trace, n = self.provenance.get("trace"), self.totals.get("accesses", 0)
        return f"Result({trace!r}, {n:,} accesses, {self.epochs.height} epochs)"

    @cached_property
    def pages(self) -> pl.DataFrame:
        """The table that ``state()`` returns; made when it is first asked for, about 100 bytes a page."""
        return self.final if isinstance(self.final, pl.DataFrame) else self.final.frame(0, len(self.final))

    def state(self) -> pl.DataFrame:
        """Give the final state, one row per page.

        Returns
        -------
        pages : polars.DataFrame
            ``page``, ``is_resident``, ``backing`` (NONE, ZERO, CRAM, ZSWAP, ZRAM,
            SWAPFILE or a plug-in's name; of a resident page: its valid swapfile
            copy), ``mapping`` (of a CRAM page: softleaf, read-only, writable or
            poisoned), ``stored_bytes`` (compressed size; 0 where pages lie as
            they are), ``swap_device`` and ``copy`` (of a page that holds a
            slot), ``content`` (row of the corpus), ``mappers``
            and ``mapped`` (bit sets: who maps the page, and who has a CRAM page
            mapped rather than behind a swap entry),
            ``has_second_chance`` (of a zswap entry), ``is_cache_only`` (of a
            resident page that only the swap cache knows), ``reclaim_rank``
            (of a page in DRAM, CRAM or zswap; 0 is next in its tier). ``mapping``,
            ``swap_device``, ``copy`` and ``reclaim_rank`` are null of other pages.
        """
        return self.pages

    def save(self, folder: str | Path, extra: Mapping[str, str] | None = None) -> Path:
        """Write tables (Parquet), totals and provenance (JSON) to a folder.

        Everything is written beside the folder first and then renamed, so an
        earlier result stays whole if anything fails. Other files that lie with
        an earlier result stay there.

        Parameters
        ----------
        folder : path
            Must not exist, be empty, or hold an earlier result; the working
            folder and a mount point cannot be renamed.
        extra : mapping
            More text files, name to content; a name is that of a file in the
            folder, and none of the result's own.

        Raises
        ------
        InputError
            The folder holds something else, cannot be written, or the disk is
            full; a name in ``extra`` that is not allowed.
        """
        others = _checked_extra({} if extra is None else extra)
        return write_folder(path_of("folder", folder), lambda staging: self._write(staging, others), RESULT)

    def _write(self, folder: Path, extra: Mapping[str, str]) -> None:
        for name in ("epochs", "tiers", "events"):
            _write_table(getattr(self, name), folder / f"{name}.parquet")
        self._write_pages(folder / "pages.parquet")
        for name, data in (("totals", self.totals), ("provenance", self.provenance | {"result_format": _FORMAT})):
            (folder / f"{name}.json").write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
        for name, text in extra.items():
            (folder / name).write_text(text, encoding="utf-8", errors="backslashreplace")  # they may name any path

    def _write_pages(self, path: Path) -> None:
        final = self.final
        if isinstance(final, pl.DataFrame) or len(final) <= _SLICE:
            _write_table(self.pages, path)
            return
        starts = range(0, len(final), _SLICE)
        slices = (final.frame(start, min(start + _SLICE, len(final))) for start in starts)
        with path.open("wb") as file:
            write_frames(slices, file, final.frame(0, 0).schema)


def _checked_extra(extra: object) -> Mapping[str, str]:
    files = mapping_of("extra", extra, "{'notes.txt': 'text'}")
    for name, text in files.items():
        text_of(f"extra[{shown(name)}]", text)
        if not isinstance(name, str) or name in ("", ".", "..") or not {"/", "\0"}.isdisjoint(name):
            raise InputError(f"extra must have names of files in the folder, such as 'notes.txt', got {shown(name)}")
        if name in _OWN:
            raise InputError(f"extra has {shown(name)}, a file of the result's own: choose another name")
    return files


def _write_table(table: pl.DataFrame, path: Path) -> None:
    with path.open("wb") as file:
        table.write_parquet(file)


def load_result(folder: str | Path) -> Result:
    """Read a saved result.

    Raises
    ------
    InputError
        The folder is not a result, a file is missing or damaged.
    """
    source = path_of("folder", folder)
    if not (source / "provenance.json").is_file():
        raise InputError(f"{source} is not a vswaplab result: it has no provenance.json; give a folder made by save()")
    try:
        provenance = read_json(source / "provenance.json")
        if not isinstance(provenance, dict) or provenance.pop("result_format", None) != _FORMAT:
            raise InputError(f"the result in {source} was written by another version of vswaplab: run it again")
        tables = {name: read_parquet(source / f"{name}.parquet") for name in _TABLES}
        totals = read_json(source / "totals.json")
    except InputError:
        raise
    except (FileNotFoundError, ValueError, pl.exceptions.PolarsError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"the result in {source} is damaged ({reason}): run the simulation again") from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"cannot read the result in {source}: {reason}; give a folder that can be read") from None
    if not isinstance(totals, dict) or not all(isinstance(totals.get(name), int) for name in (*COUNTERS, *TIMES)):
        raise InputError(f"the result in {source} is damaged (totals.json lacks counters): run the simulation again")
    for name, columns in _TABLES.items():
        missing = [column for column in columns if column not in tables[name].columns]
        if missing:
            raise InputError(f"the result in {source} is damaged ({name} lacks {missing[0]}): run the simulation again")
    return Result(totals=totals, final=tables.pop("pages"), **tables, provenance=provenance)
