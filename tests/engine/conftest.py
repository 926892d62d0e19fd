"""Play a trace written as a table, and hold every line of it against the engine.

One line is one access and the counters it moves, derived by hand::

    w0  first_touch                          # comment
    r1  first_touch reclaim_runs zswpout(1000)*2
    !r2 reclaim_runs reclaim_fail oom        # memory ran out before it

``r``, ``w`` and ``f`` read, write and free a page, ``w0@1`` as mapper 1; ``r0/2/3``
stands for two more reads and three more writes of page 0. Page-table work
(``rmap_walks``, ``pte_*``) counts only in tables that name mappers. ``name(1000)`` also moves
``name_bytes`` by 1000, ``*2`` is twice the word before it. ``off:0 reclaim_runs``, ``off:zram``,
``off:cram/virtual`` take a device away, by the method named, before the access of the next line.
Every table runs on both engines, in batches of one access, of three, and as a whole.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import NamedTuple

import polars as pl
import pytest

import vswaplab as vl
from vswaplab.base.draws import CHOICE, draw
from vswaplab.engine.outcome import Drain
from vswaplab.machine.swapoff import Swapoff
from vswaplab.results.counters import COUNTER_NAMES, OUTCOMES

ZERO = 0
"""As a page's size: the page is all zeroes, and takes 64 bytes where it must be stored."""
SAME = -1
"""The same of a page that repeats another word."""

_FIGURES = {
    **dict.fromkeys(("read_ns", "read_loaded_ns", "write_ns"), 250),
    **dict.fromkeys(("store_ns", "load_ns"), 500),
    **{"granule_bytes": 4096, "rounding_bytes": 1, "metadata_bytes": 0, "advertised_ratio": 2.0},
    **{"algorithm": "none", "ratio_kind": "none", "tag": "guess", "guesses": "all of it"},
    **{"source": "made up for a test", "date": "2026-11-23"},
}
POOL = vl.Profile(name="pool", kind="compressor", title="round sizes", size_column="lz4_4k", **_FIGURES)
AGAIN = vl.Profile(name="again", kind="compressor", title="round sizes", size_column="bdi_64", **_FIGURES)
DEVICE = vl.Profile(name="device", kind="cram", title="round sizes", size_column="bdi_64", **_FIGURES)

Sizes = Sequence[int | list[int]]
_OPS = {"r": 0, "w": 1, "f": 2}
_PAGE_TABLE_WORK = ("rmap_walks", "pte_changed", "pte_unchanged", "pte_scanned")
_OP_COUNTERS = ("reads", "writes", "frees")


def zswap(**settings: int | bool) -> vl.Zswap:
    """Make a pool that stores the sizes of the table as they are."""
    return vl.Zswap(compressor=POOL, **settings)


def zram(pages: int, *, recompresses: bool = False, **settings: int | str | None) -> vl.Zram:
    """Make a zram of some pages that stores the sizes of the table, and recompresses to those ``on_device``."""
    return vl.Zram(pages * 4096, compressor=POOL, recompressor=AGAIN if recompresses else None, **settings)


def cram(media: int, device_pages: int, **settings: float | str) -> vl.Cram:
    """Make a device that stores the sizes of the table as they are, and is calm until it is full."""
    calm = dict.fromkeys(("close_at", "open_at", "writeback_high", "writeback_low"), 1.0)
    marks = {"profile": DEVICE, "media_bytes": media, "advertised_bytes": max(media, device_pages * 4096)}
    return vl.Cram(**(marks | calm | settings))


def seed_for(choices: dict[int, int], rows: int = 2) -> int:
    """Find a seed with which the write at each index draws the given row out of a region of ``rows``."""
    return next(s for s in range(1 << 16) if all(draw(s, i, CHOICE) % rows == row for i, row in choices.items()))


class Line(NamedTuple):
    """One line of a table."""

    op: int
    page: int
    mapper: int
    repeat_reads: int
    repeat_writes: int
    moves: Counter[str]
    is_served: bool


def _parse(table: str) -> tuple[list[Line], list[Swapoff]]:
    lines: list[Line] = []
    events: list[Swapoff] = []
    waiting: Counter[str] = Counter()  # what an event moves counts with the access after it, or the last one
    for text in filter(None, (text.split("#")[0].strip() for text in table.splitlines())):
        if found := re.match(r"off:(\w+)(?:/([a-z-]+))?", text):
            device = int(found[1]) if found[1].isdigit() else found[1]
            events.append(vl.swapoff(at=len(lines), device=device, method=found[2]))
            waiting += _moves(text.split()[1:])
        else:
            lines.append(_line(text))
            lines[-1].moves.update(waiting)
            waiting.clear()
    lines[-1].moves.update(waiting)
    return lines, events


def _line(text: str) -> Line:
    access, *words = text.split()
    found = re.fullmatch(r"(!?)([rwf])(\d+)(?:@(\d))?(?:/(\d+)/(\d+))?", access)
    assert found, f"not an access: {access}"
    op = _OPS[found[2]]
    moves = _moves(words)
    if not found[1]:
        moves.update(["accesses", _OP_COUNTERS[op]])
    numbers = [int(found[i] or 0) for i in range(3, 7)]
    return Line(op, *numbers, moves, not found[1])


def _moves(words: list[str]) -> Counter[str]:
    moves: Counter[str] = Counter()
    for word in words:
        parts = re.fullmatch(r"([a-z_]+)(?:\((\d+)\))?(?:\*(\d+))?", word)
        assert parts, f"not a word: {word}"
        assert parts[1] in COUNTER_NAMES, f"not a counter: {parts[1]}"
        times = int(parts[3] or 1)
        moves[parts[1]] += times
        if parts[2]:
            moves[f"{parts[1]}_bytes"] += times * int(parts[2])
    return moves


def _corpus(sizes: Sizes, on_device: Sizes) -> tuple[pl.DataFrame, list[int]]:
    # Page p has region p to itself; its first content is the first row of the region.
    rows: list[tuple[int, bool, bool, int, int]] = []
    first: list[int] = []
    for page, (pool, device) in enumerate(zip(sizes, on_device, strict=True)):
        first.append(len(rows))
        pair = [side if isinstance(side, list) else [side] for side in (pool, device)]
        rows += [
            (page, a == ZERO, a in (ZERO, SAME), a if a > 0 else 64, b if b > 0 else 64)
            for a, b in zip(*pair, strict=True)
        ]
    return pl.DataFrame(rows, schema=["region", "is_zero", "same_filled", "lz4_4k", "bdi_64"], orient="row"), first


def _where(row: dict[str, object]) -> str:
    place = "DRAM" if row["is_resident"] else str(row["mapping"] or row["backing"])
    copy = {"valid": "+copy", "stale": "+stale"}.get(str(row["copy"]), "")
    cache = "+cache" if row["is_cache_only"] else ""
    return place + ("" if place in ("SWAPFILE", "ZRAM") else copy) + cache


class Play:
    """Runs tables on one engine, in batches of one size."""

    def __init__(self, engine: str, batch: int | None) -> None:
        self.engine, self.batch = engine, batch

    def __call__(
        self,
        table: str,
        machine: vl.Machine,
        *,
        sizes: int | Sizes = 1000,
        on_device: int | Sizes | None = None,
        ends: str | None = None,
        redraw: float = 0.0,
        seed: int = 0,
        mappers: list[int] | None = None,
    ) -> vl.Result:
        """Run a table; check its counters line by line and where each page ends.

        Parameters
        ----------
        sizes : compressed bytes of each page, or of all; a list: the contents a write may draw
        on_device : the same on the CRAM device, or recompressed, if it differs
        mappers : mapper set of each page, one bit a mapper; default: one mapper
        ends : one word a page: DRAM, ZERO, ZSWAP, ZRAM, SWAPFILE, NONE or the mapping of a
            CRAM page; ``+copy`` and ``+stale`` if it also holds a slot, ``+cache`` if only
            the swap cache knows it
        """
        lines, events = _parse(table)
        n_pages = 1 + max(line.page for line in lines)
        sizes = [sizes] * n_pages if isinstance(sizes, int) else sizes
        on_device = sizes if on_device is None else on_device
        on_device = [on_device] * len(sizes) if isinstance(on_device, int) else on_device
        corpus, content = _corpus(sizes, on_device)
        trace = vl.Trace(
            [line.page for line in lines],
            [line.op for line in lines],
            n_pages=len(sizes),
            mapper=[line.mapper for line in lines] if mappers else None,
            mappers=mappers,
            repeat_reads=[line.repeat_reads for line in lines],
            repeat_writes=[line.repeat_writes for line in lines],
            content=content,
            corpus=corpus,
            redraw_probability=redraw,
        )
        window = self.batch or len(lines)
        result = vl.simulate(
            trace, machine, seed=seed, engine=self.engine, batch_size=window, epoch_accesses=window, events=events
        )
        self._check_counters(lines, result, window, ignored=() if mappers else _PAGE_TABLE_WORK)
        if ends is not None:
            assert [_where(row) for row in result.state().iter_rows(named=True)] == ends.split()
        return result

    def _check_counters(self, lines: list[Line], result: vl.Result, window: int, ignored: Sequence[str]) -> None:
        for epoch in result.epochs.iter_rows(named=True):
            inside = lines[epoch["start"] : epoch["start"] + window]
            expected = sum((line.moves for line in inside), Counter())
            seen = Counter({name: epoch[name] for name in COUNTER_NAMES if epoch[name] and name not in ignored})
            assert seen == expected, f"accesses from {epoch['start']}: {dict(seen - expected)} too many, " + (
                f"{dict(expected - seen)} too few"
            )
        totals = result.totals
        assert totals["accesses"] == sum(line.is_served for line in lines)
        assert totals["accesses"] == totals["reads"] + totals["writes"] + totals["frees"]
        assert totals["accesses"] - totals["frees"] == sum(totals[name] for name in OUTCOMES)


def _order(result: vl.Result, place: str) -> list[int]:
    state = result.state().filter(pl.col("reclaim_rank").is_not_null()).sort("reclaim_rank")
    is_there = pl.col("is_resident") if place == "DRAM" else ~pl.col("is_resident") & (pl.col("backing") == place)
    return state.filter(is_there)["page"].to_list()


def _tier(result: vl.Result, name: str) -> tuple[int, int, int]:
    last = result.tiers.filter(pl.col("tier") == name).row(-1, named=True)
    return last["pages"], last["stored_bytes"], last["media_bytes"]


def _moved(result: vl.Result, event: int = 0) -> dict[str, int]:
    row = result.events.row(event, named=True)
    return {field.name: row[field.name] for field in fields(Drain) if row[field.name]}


class Kit(NamedTuple):
    """What a table needs beside ``vl``."""

    play: Play
    zswap: Callable[..., vl.Zswap]
    zram: Callable[..., vl.Zram]
    cram: Callable[..., vl.Cram]
    seed_for: Callable[..., int]
    order: Callable[[vl.Result, str], list[int]]
    """Pages of DRAM, CRAM or ZSWAP, next victim first."""
    tier: Callable[[vl.Result, str], tuple[int, int, int]]
    """Pages, stored bytes and media bytes of a tier at the end."""
    moved: Callable[..., dict[str, int]]
    """What the swapoff of that number moved, without the zeroes."""


@pytest.fixture(params=[(e, b) for e in ("reference", "vectorised") for b in (1, 3, None)], ids=str)
def kit(request: pytest.FixtureRequest) -> Kit:
    """Everything a table needs, once for each engine and batch size."""
    return Kit(Play(*request.param), zswap, zram, cram, seed_for, _order, _tier, _moved)
