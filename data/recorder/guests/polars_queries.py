"""A small analysis in polars: sales of six regions, joined with a catalogue and summed up in rounds."""

from __future__ import annotations

import sys

import numpy as np
import polars as pl

REGIONS = ("north", "east", "south", "west", "export", "online")
N_SALES = 240_000
N_DAYS = 730
N_ITEMS = 15_000


def make_sales(rng: np.random.Generator) -> pl.DataFrame:
    """Two years of one region's sales in order of time; what sells well moves through the catalogue."""
    day = np.sort(rng.integers(0, N_DAYS, N_SALES))
    item = (day * (N_ITEMS // N_DAYS) + rng.pareto(0.8, N_SALES) * 50).astype(np.int64) % N_ITEMS
    return pl.DataFrame(
        {
            "item": item,
            "shop": rng.integers(0, 300, N_SALES),
            "day": day.astype(np.int32),
            "amount": np.round(rng.gamma(2.0, 15.0, N_SALES), 2),
            "units": rng.integers(1, 9, N_SALES).astype(np.int32),
            "customer": (rng.pareto(1.1, N_SALES) * 1000).astype(np.int64) % 1_000_000,
            "discount": np.round(rng.beta(1.0, 9.0, N_SALES), 3),
            "weight": rng.normal(1.0, 0.2, N_SALES),
        }
    )


def make_items(rng: np.random.Generator) -> pl.DataFrame:
    """Items with a name and a price, in order of their number."""
    number = np.arange(N_ITEMS)
    return pl.DataFrame(
        {
            "item": number,
            "name": [f"item-{n:06d}-{n * 2654435761 % 2**32:08x}" for n in number],
            "price": np.round(rng.gamma(3.0, 10.0, N_ITEMS), 2),
        }
    )


def enrich(sales: pl.DataFrame, items: pl.DataFrame) -> pl.DataFrame:
    """Sales with the price and name of the item and the net amount."""
    net = pl.col("amount") * (1 - pl.col("discount")) * pl.col("units")
    return sales.join(items, on="item", how="inner").with_columns(net=net)


def report(frames: list[pl.DataFrame], key: str) -> float:
    """Largest net sum by key over all regions."""
    net = pl.col("net").sum()
    parts = [frame.group_by(key).agg(net) for frame in frames]
    return float(pl.concat(parts).group_by(key).agg(net).sort("net")["net"][-1])


def main(seed: int) -> None:
    """Run the queries and print one number of each."""
    rng = np.random.default_rng(seed)
    items = make_items(rng)
    raw = [make_sales(rng) for _ in REGIONS]
    for frame in raw:
        by_item = frame.group_by("item").agg(pl.col("amount").sum(), pl.len())
        print(by_item.join(items, on="item").sort("price")["amount"][-1])
    frames = [enrich(frame, items) for frame in raw]
    print(report(frames, "shop"))
    print(report(frames[:2], "name"))
    late = pl.concat(frame.filter(pl.col("day") > 700) for frame in frames)
    print(late.sort("net", descending=True)["net"][:100].sum())
    del raw, late
    print(report(frames, "day"))


if __name__ == "__main__":
    main(int(sys.argv[1]))
