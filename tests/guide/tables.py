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
    "tier": "DRAM, ZERO, and of CRAM, zswap, zram, plug-ins' tiers and swapfile what the machine has",
    "pages": "pages in the tier",
    "stored_bytes": "their data as it lies there, bytes: 4096 a page in DRAM and on a swapfile, 0 of ZERO",
    "media_bytes": "what is in use of the tier's medium, bytes: of a swapfile all slots in use, with those of pages "
    "that lie elsewhere; of CRAM also what freed pages hold until a flush",
    "multi_state_pages": "CRAM pages that some of their mappers have mapped and some not",
    "writable_pages": "writable budget in use: CRAM pages mapped writable, poisoned ones and zombies",
    "zombie_pages": "writable CRAM pages that were freed unseen",
    "balloon_pages": "device pages that a balloon holds back",
}
PAGES = {
    "page": "page number",
    "is_resident": "whether a folio of it is in DRAM",
    "backing": "NONE, ZERO, CRAM, ZSWAP, ZRAM, SWAPFILE or a plug-in's name; of a resident page SWAPFILE if its copy "
    "there is valid, else NONE",
    "mapping": "of a CRAM page: softleaf (behind a swap entry), read-only, writable or poisoned; else null",
    "stored_bytes": "compressed size in CRAM, zswap, zram or a plug-in's tier, bytes; 0 elsewhere (SWAPFILE, ZERO, "
    "DRAM, zram's backing device) and of a poisoned page",
    "swap_device": "device of its slot: index of a swapfile, or of zram, behind the last of them; null: no slot",
    "copy": "of a page that holds a slot: valid (the device has the page as it is), or stale (it has not: a write "
    "changed the page since, or nothing was written there); else null",
    "content": "row of the corpus that it holds, or held last; before any touch: the trace's",
    "mappers": "who maps it, one bit a mapper",
    "mapped": "who has a CRAM page mapped rather than behind a swap entry, one bit a mapper",
    "has_second_chance": "of a zswap entry: the shrinker passes it once",
    "is_cache_only": "of a resident page: only the swap cache knows it, after a swapoff or (`Machine.kernel`) while it "
    "is written out",
    "reclaim_rank": "of a page in DRAM, CRAM or zswap: place in the order of leaving the tier, 0: next; else null",
}
EVENTS = {
    "at": "index of the access before which the device goes",
    "event": "swapoff",
    "device": "swapfile N, zram or cram",
    "method": "how its pages are found: page-table, virtual or reverse-map",
    "slots_in_use": "slots of the device that pages hold; of cram: pages on it",
    "virtual_slots": "virtual slots with a page behind them; 0 without a layer",
    "virtual_clusters": "clusters of 512 virtual slots that these lie in",
    "address_space_pages": "page-table entries of one process: pages of the trace",
    "mappers": "processes with page tables",
    "visits_page_table": "entries that a search of all page tables would visit",
    "visits_virtual": "... of all virtual slots of those clusters",
    "visits_reverse_map": "... by a reverse map: the slots in use",
    "scan_page_table_ns": "time of the visits by page tables",
    "scan_virtual_ns": "... of all virtual slots",
    "scan_reverse_map_ns": "... by a reverse map",
    "pages_read": "pages read from the swapfile, or from zram's backing device",
    "pages_loaded": "pages decompressed, out of zswap or zram",
    "zswap_loaded": "those of them out of zswap",
    "recompressed_loaded": "those of them out of zram that its second compressor had made smaller",
    "zero_loaded": "pages filled with zeroes",
    "cram_loaded": "pages copied from CRAM to DRAM",
    "store_loaded": "pages loaded out of plug-ins' tiers",
    "copies_dropped": "slots behind pages that need none: given back, nothing read",
    "written_back": "CRAM pages that went on to a slower tier",
    "cache_only": "loaded pages that only the swap cache knew when they were loaded",
    "pte_changed": "page-table entries rewritten",
    "reclaim_runs": "reclaims run meanwhile",
    "minor_faults_left": "pages that only the swap cache knows since, at its end: a minor fault each, when touched",
    "virtual_slots_left": "virtual slots with only a folio behind them since; 0 without a layer",
    "metadata_left_bytes": "what the layer keeps for those",
    "data_ns": "time of reading, decompressing and copying",
    "time_ns": "that and the scan of the method taken",
    "later_ns": "time of the minor faults left",
    "oom": "1 if no frame could be freed and the run ended there; later events then have no row",
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
    run = vl.simulate(trace, machine, events=[vl.swapoff(at=len(trace))])
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
        "## `result.events`: one row a device taken away (`vl.swapoff`)\n",
        "What was there just before, and what came of it:\n",
        _rows(_told(run.events, EVENTS, {})),
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
