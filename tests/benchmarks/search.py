"""What the search of ``vl.optimise`` is worth beside a Latin hypercube of as many machines.

``.venv/bin/pip install -e '.[optimise]' && .venv/bin/python tests/benchmarks/search.py`` prints, in some minutes, the
cheapest machine within the limit that each finds: dollars a GiB of the program's memory, a line a seed.
"""

from __future__ import annotations

import vswaplab as vl

N_MACHINES, SEEDS = 128, range(3)
LIMIT = {"stall_percent": 2.0}


def main() -> None:
    trace = vl.sample(vl.load_trace("redis"), 0.05)
    n, machine = trace.n_pages, vl.preset("four-tiers", trace.n_pages)
    knobs = {
        "dram.capacity_pages": {"from": n // 10, "to": n},
        "cram.media_bytes": {"from": n * 4096 // 100, "to": n * 4096 // 2},
        "cram.advertised_bytes": {"from": n * 4096 // 2, "to": n * 4096},
        "zswap.max_pool_percent": {"from": 0, "to": 50},
        "zswap.compressor": ["lz4", "zstd", "deflate-iaa"],
        "swapfiles.0.capacity_slots": {"from": n // 2, "to": 2 * n},
    }
    prices = vl.prices(at="2026-11-23")
    for seed in SEEDS:
        found = vl.optimise(
            trace, machine, knobs, below=LIMIT, trials=N_MACHINES, seed=seed, prices=prices, progress=False
        ).filter("is_best")
        spread = vl.latin_hypercube(knobs, N_MACHINES, seed=seed)
        even = vl.pareto(vl.frontier(trace, machine, spread, prices=prices, progress=False), below=LIMIT)
        print(f"seed {seed}: search ${found['usd_per_gib'].min():.2f}, evenly spread ${even['usd_per_gib'].min():.2f}")


if __name__ == "__main__":
    main()
