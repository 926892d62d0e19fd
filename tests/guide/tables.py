"""Write the guide's dictionary of the tables that a run gives.

    python tests/guide/tables.py

``notebooks/guide/tables.md`` is what it writes. Counters are told by the library; the other columns are told here,
and a column that nobody tells of is an error.
"""

from __future__ import annotations

import re
from pathlib import Path

import polars as pl

import vswaplab as vl
from vswaplab.results.counters import COUNTERS, TIMES

TARGET = Path(__file__).resolve().parents[2] / "notebooks" / "guide" / "tables.md"

EPOCHS = {
    "epoch": "number of the window",
    "start": "index of its first access",
    "stop": "index behind its last access",
    "pswpin_0": "pages read from swap device 0; the same for every device",
    "pswpout_0": "pages written to it",
    "pswpin_swapfile": "pages read from swapfiles, all together",
    "pswpin_zram": "pages read from zram",
    "pswpout_swapfile": "pages written to swapfiles",
    "pswpout_zram": "pages written to zram",
    "stall_dram_ns": "time that accesses waited in DRAM",
    "stall_zero_ns": "... for pages of zeroes",
    "stall_cram_ns": "... for CRAM",
    "stall_zswap_ns": "... for zswap",
    "stall_zram_ns": "... for zram",
    "stall_swapfile_ns": "... for swapfiles",
}
TIERS = {
    "epoch": "number of the window; the row is of its end",
    "access": "index behind the window's last access",
    "tier": "DRAM, ZERO, CRAM, zswap, zram, swapfile",
    "pages": "pages in the tier",
    "stored_bytes": "their data, compressed, bytes",
    "media_bytes": "what that takes of the tier's medium, bytes",
    "multi_state_pages": "CRAM pages that some of their mappers have mapped and some not",
    "writable_pages": "CRAM pages mapped writable: writable budget in use",
    "zombie_pages": "writable CRAM pages that were freed unseen",
    "balloon_pages": "device pages that a balloon holds back",
}
PAGES = {
    "page": "page number",
    "is_resident": "whether a folio of it is in DRAM",
    "backing": "NONE, ZERO, CRAM, ZSWAP, ZRAM, SWAPFILE; of a resident page: its valid copy on a swapfile",
    "mapping": "of a CRAM page: softleaf (behind a swap entry), read-only or writable",
    "stored_bytes": "compressed size where it lies, bytes",
    "swap_device": "device of its slot, -1: none",
    "copy": "of a page that holds a slot: valid, or stale (a write changed the page since)",
    "content": "row of the corpus that it holds",
    "mappers": "who maps it, one bit a mapper",
    "mapped": "who has a CRAM page mapped rather than behind a swap entry, one bit a mapper",
    "has_second_chance": "of a zswap entry: the shrinker passes it once",
    "is_cache_only": "of a resident page: only the swap cache knows it",
    "reclaim_rank": "place in the order of leaving its tier, 0: next",
}
SWEEP = {
    "point": "number of the design's point",
    "dram.capacity_pages": "a setting of the design, one column each",
    "seed": "seed of the run",
    "reason": "why no machine could be made of the point; null: it ran",
    "note": "what to know about the run",
    "effective_access_ns": "mean time of a touch, ns",
}

_HEAD = """# The tables of a run

Made by `python tests/guide/tables.py`. Index, page and counter columns are whole numbers; names that end in `_ns` are
nanoseconds, in `_bytes` bytes, in `_pages` pages of 4,096 bytes. Columns of the shipped traces, corpora and kernel
runs are in [data/README.md](../../data/README.md).
"""


def dictionary() -> str:
    """Tell every column of every table, as a run that is made here has them."""
    trace, machine = vl.zipf(n_pages=500, n_accesses=2000), vl.preset("four-tiers", 500)
    run = vl.simulate(trace, machine)
    swept = vl.sweep(trace, machine, {"dram.capacity_pages": [200]})
    counters = COUNTERS | TIMES
    parts = [
        _HEAD,
        "## `result.totals`: counters of the whole run\n",
        _rows({name: counters[name] for name in run.totals}),
        "## `result.epochs`: one row a reporting window\n\nThe counters above, of the window, and:\n",
        _rows(_told(run.epochs, EPOCHS, counters)),
        "## `result.tiers`: one row a window and tier\n",
        _rows(_told(run.tiers, TIERS, {})),
        "## `result.state()`: one row a page, at the end\n",
        _rows(_told(run.state(), PAGES, {})),
        "## `vl.sweep(...)`: one row a run\n\nCounters and times of the run, and:\n",
        _rows(_told(swept, SWEEP, counters | EPOCHS)),
    ]
    return "\n".join(parts).rstrip() + "\n"


def _told(table: pl.DataFrame, told: dict[str, str], elsewhere: dict[str, str]) -> dict[str, str]:
    # What is told of the table's own columns, in their order; all of them, and no others.
    own = [name for name in table.columns if name not in elsewhere]
    if set(own) != set(told):
        raise ValueError(f"told of {sorted(set(told) - set(own))}, not of {sorted(set(own) - set(told))}")
    return {name: told[name] for name in own}


def _rows(told: dict[str, str]) -> str:
    lines = [f"| `{name}` | {re.sub(r'[|]', '/', what)} |" for name, what in told.items()]
    return "\n".join(["| column | what it holds |", "|---|---|", *lines]) + "\n"


if __name__ == "__main__":
    TARGET.write_text(dictionary())
    print(f"{TARGET.name}: {len(TARGET.read_text()):,} characters")
