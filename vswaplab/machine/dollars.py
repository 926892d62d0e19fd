"""What a machine costs: dollars a GiB from a dated table that people edit.

No price is in the code: they lie in ``data/prices.toml``, and people bring a
file of their own. (What an access costs, in nanoseconds, is another matter:
``vswaplab.results.prices``.)
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path

import polars as pl

from vswaplab.base.checks import number
from vswaplab.base.documents import read_toml_tables
from vswaplab.base.errors import InputError, shown
from vswaplab.base.paths import data_dir, path_of
from vswaplab.base.units import PAGE_SIZE
from vswaplab.machine.config import Machine, check_machine
from vswaplab.machine.profiles import TAGS

ITEMS = {
    "dram": "memory modules",
    "cram": "media behind a CRAM device, by the byte that is really there",
    "ssd": "what swapfiles, and zram's backing device, lie on",
}
"""What has a price; a tier of one's own (``vl.Store``) has one under its name."""

GIB = 1 << 30

_MOST_USD = 1_000_000_000

_SCHEMA = {
    "item": pl.String,
    "usd_per_gib": pl.Float64,
    "date": pl.Date,
    "title": pl.String,
    "tag": pl.String,
    "source": pl.String,
    "note": pl.String,
}


def prices(path: str | Path | None = None, *, at: str | date | None = None) -> pl.DataFrame:
    """Read a table of prices.

    Parameters
    ----------
    path
        A TOML file of ``[[price]]`` tables, taken alone; None: the built-in
        ``data/prices.toml``, whose head says what the fields are.
    at : date, or YYYY-MM-DD
        The newest price of each item up to that day; None: every row.

    Returns
    -------
    table : polars.DataFrame
        ``item``, ``usd_per_gib``, ``date``, ``title``, ``tag`` (evidence),
        ``source``, ``note``; in the order of the file. Change a price with
        polars (``with_columns``), or in a file.

    Raises
    ------
    InputError
        The file cannot be read; a field is missing, unknown or out of range;
        no price is as old as ``at``.

    Examples
    --------
    DRAM before and after the rise of 2026:

    >>> [prices(at=day).filter(item="dram")["usd_per_gib"].item() for day in ("2025-12-31", "2026-11-23")]
    [7.1, 32.0]
    """
    source = data_dir() / "prices.toml" if path is None else path_of("path", path)
    rows = read_toml_tables(source, "price table", "price")
    table = pl.DataFrame([_row(source, row) for row in rows], schema=_SCHEMA)
    return table if at is None else _newest(table, _day("at", at))


def cost_usd(machine: Machine, prices_table: pl.DataFrame | None = None) -> dict[str, float]:
    """Say what the memory and the swap devices of a machine cost.

    Parameters
    ----------
    machine
        DRAM by ``capacity_pages``, CRAM by its media, swapfiles and zram's
        backing device by their slots, a tier of one's own by its capacity under
        its own name. Pools that lie in DRAM have no price of their own. What the rest of a computer costs is left
        out, a CXL controller too, unless the price of media has it.
    prices_table
        What ``vl.prices`` gives; of several rows of an item the newest counts.
        Default: ``vl.prices()``.

    Returns
    -------
    usd : dict
        ``dram``, ``cram``, ``ssd``, names of own tiers, and the sum ``total``, dollars.

    Raises
    ------
    InputError
        The machine has what has no price.

    Examples
    --------
    >>> from vswaplab.machine.presets import preset
    >>> machine = preset("four-tiers", 1 << 28)  # for a program of 1 TiB: 40 %, media for 15 %, swap for 200 %
    >>> {item: round(usd) for item, usd in cost_usd(machine, prices(at="2026-11-23")).items()}
    {'dram': 13107, 'cram': 4915, 'ssd': 430, 'total': 18452}
    """
    check_machine(machine)
    table = prices() if prices_table is None else prices_table
    found = {item: _price(table, item) * gib if gib else 0.0 for item, gib in sizes_gib(machine).items()}
    return found | {"total": sum(found.values())}


def sizes_gib(machine: Machine) -> dict[str, float]:
    """Say how much of each item a machine has, GiB."""
    backing = machine.zram.backing_slots if machine.zram is not None else 0
    slots = sum(device.capacity_slots for device in machine.swapfiles) + backing
    return {
        "dram": machine.dram.capacity_pages * PAGE_SIZE / GIB,
        "cram": 0.0 if machine.cram is None else machine.cram.media_bytes / GIB,
        "ssd": slots * PAGE_SIZE / GIB,
        **{store.name: store.capacity_bytes / GIB for store in machine.stores if not store.in_dram},
    }


def dram_price(prices_table: pl.DataFrame | None = None) -> float:
    """Give the newest price of DRAM, dollars a GiB."""
    return _price(prices() if prices_table is None else prices_table, "dram")


def _price(table: pl.DataFrame, item: str) -> float:
    if not isinstance(table, pl.DataFrame):
        raise InputError(f"the prices must be a table, such as vl.prices gives, got {shown(table)}")
    missing = [name for name in ("item", "usd_per_gib", "date") if name not in table.columns]
    if missing:
        raise InputError(f"the prices have no column {missing[0]!r}: take the table that vl.prices gives")
    rows = table.filter(pl.col("item") == item).sort("date")
    if not rows.height:
        raise InputError(f"the prices have none of {item} ({_words(item)}): add a [[price]] with item = {item!r}")
    return float(rows["usd_per_gib"][-1])


def _words(item: str) -> str:
    return ITEMS.get(item, "a tier of your own")


def _newest(table: pl.DataFrame, day: date) -> pl.DataFrame:
    old_enough = table.filter(pl.col("date") <= day)
    missing = [item for item in table["item"].unique(maintain_order=True) if item not in old_enough["item"]]
    if missing:
        first = min(table.filter(pl.col("item") == missing[0])["date"].to_list())
        raise InputError(f"no price of {missing[0]} is as old as {day}: the oldest is of {first}")
    return old_enough.sort("date", maintain_order=True).unique("item", keep="last", maintain_order=True)


def _row(source: Path, row: Mapping[str, object]) -> dict[str, object]:
    who = f"{source}: a price of {row.get('item', 'nothing')!r}"
    for field in row:
        if field not in _SCHEMA:
            near = difflib.get_close_matches(field, _SCHEMA, n=1)
            raise InputError(
                f"{who} has the unknown field {field!r}: {f'did you mean {near[0]}?' if near else 'drop it'}"
            )
    if not re.fullmatch("[a-z][a-z0-9_]*", str(row.get("item"))):
        raise InputError(f"{who}: item must be one of {', '.join(ITEMS)}, or the name of a tier of your own")
    expected = f"a number from 0 to {_MOST_USD:,}"
    usd = number(f"{who}: usd_per_gib", row.get("usd_per_gib"), 0, _MOST_USD, expected=expected)
    if not isinstance(row.get("note", ""), str):
        raise InputError(f"{who}: note must be a text, got {row['note']!r}")
    for field in ("title", "tag", "source"):
        text = row.get(field)
        if not isinstance(text, str) or not text.strip():
            raise InputError(f"{who}: {field} must be a text; say where the figure is from")
    if not {tag.strip() for tag in str(row["tag"]).split(",")} <= set(TAGS):
        raise InputError(f"{who}: tag {row['tag']!r} must be letters out of {', '.join(TAGS)}, joined by commas")
    day = _day(f"{who}: date", row.get("date"))
    return {"note": "", **row, "usd_per_gib": usd, "date": day}


def _day(name: str, value: object) -> date:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    try:
        return date.fromisoformat(str(value))
    except ValueError:
        raise InputError(f"{name} must be a day, YYYY-MM-DD, got {shown(value)}") from None
