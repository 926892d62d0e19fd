"""``vswaplab profiles``, ``vswaplab prices`` and ``vswaplab traces``."""

from __future__ import annotations

import argparse
import json

import polars as pl

from vswaplab.base.units import PAGE_SIZE
from vswaplab.cli.text import OK, aligned_table
from vswaplab.machine.dollars import ITEMS, prices
from vswaplab.machine.profiles import profiles
from vswaplab.trace.files import shipped_traces


def list_profiles(arguments: argparse.Namespace) -> int:
    """Print the catalogue of devices and compressors."""
    table = profiles(arguments.profiles)
    if arguments.json:
        print(json.dumps(table.to_dicts(), indent=2))
        return OK
    headings = ["Name", "Kind", "Evidence", "Read, ns", "Store, ns", "Load, ns", "Ratio"]
    rows = [
        [
            row["name"],
            row["kind"],
            row["tag"],
            *(f"{row[time]:,}" for time in ("read_ns", "store_ns", "load_ns")),
            ratio,
        ]
        for row in table.iter_rows(named=True)
        for ratio in ["-" if row["ratio"] is None else f"{row['ratio']:.2f}"]
    ]
    print(aligned_table([headings, *rows], left=3))
    print("\ncram: a device that is read in place; compressor: behind zswap, whole page-in and page-out.")
    print("Ratio as published (sizes come from a trace's contents). Evidence: P primary text, A abstract or vendor,")
    print("S third party, R recalled, D derived, M measured here, guess. Sources: vswaplab profiles --json")
    return OK


def list_prices(arguments: argparse.Namespace) -> int:
    """Print a table of prices."""
    table = prices(arguments.prices, at=arguments.at).with_columns(pl.col("date").cast(pl.String))
    if arguments.json:
        print(json.dumps(table.to_dicts(), indent=2))
        return OK
    rows = [
        [row["item"], row["title"], row["tag"], row["date"], f"{row['usd_per_gib']:,.3f}"]
        for row in table.iter_rows(named=True)
    ]
    print(aligned_table([["Item", "What", "Evidence", "Date", "Price, $/GiB"], *rows], left=4))
    print()
    for item in table["item"].unique(maintain_order=True):
        print(f"{item}: {ITEMS.get(item, 'a tier of your own')}")
    print("Evidence as in `vswaplab profiles`. Sources and notes: vswaplab prices --json")
    return OK


def list_traces(arguments: argparse.Namespace) -> int:
    """Print the traces that come with the package."""
    table = shipped_traces()
    if arguments.json:
        print(json.dumps(table.to_dicts(), indent=2))
        return OK
    if not table.height:
        print("No trace came with this installation.")
        return OK
    rows = [
        [
            row["name"],
            f"{row['n_pages'] * PAGE_SIZE / (1 << 20):,.0f}",
            f"{row['n_records']:,}",
            f"{row['n_accesses']:,}",
        ]
        for row in table.iter_rows(named=True)
    ]
    print(aligned_table([["Name", "Memory, MiB", "Records", "Accesses recorded"], *rows]))
    print()
    for row in table.iter_rows(named=True):
        print(f"{row['name']}: {row['title']}")
    return OK
