"""What a kernel counted in a run, by name, and how far its repetitions are apart."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from itertools import combinations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vswaplab.truth.runs import TruthRun
from vswaplab.truth.traces import PAGE_MASK, accesses

COUNTERS: dict[str, str] = {
    "hits": "accesses without a fault",
    "swap_cache": "accesses with a minor fault: the page was in the swap cache, or was written to on a CRAM node",
    "zswap": "accesses that loaded without block input: from zswap, or a zero page",
    "disk": "accesses that read from the swap device",
    "zswpout": "pages stored in zswap",
    "zswpin": "pages loaded from zswap",
    "zswpwb": "pages written back from zswap",
    "pswpin": "pages read from the swap device",
    "pswpout": "pages written to the swap device",
    "resident_mean": "pages mapped, mean over the epochs",
    "stored_mean": "pages in zswap, mean over the epochs",
    "stored_end": "pages in zswap at the last access",
    "slots_used": "physical swap slots in use at the last access",
    "swap_cache_end": "pages in the swap cache at the last access",
    "vs_used": "virtual swap slots in use at the last access",
    "demoted": "pages moved to the CRAM node",
    "promoted": "pages moved back from it",
    "cram_end": "pages on the CRAM node that are mapped, at the last access",
    "swapoff_slots": "physical slots in use that swapoff finds",
    "swapoff_entries": "page-table entries with a swap entry that it finds",
    "swapoff_cached": "pages in the swap cache that it finds",
    "swapoff_pswpin": "pages that it reads from the device",
    "swapoff_zswpin": "pages that it loads from zswap",
    "swapoff_zero": "zero pages that it fills in",
    "oom": "1 if memory ran out",
    "zswap_bytes_at_kill": "bytes in zswap at an OOM kill",
}
"""Counter name to what it counts. The first four are counts of the outcome codes 0 to 3 after the fill. Events are
counted from before the fill, those of CRAM runs from after it: as the tables of the measurements do."""

_SWAPOFF = {
    "swapoff_slots": "swap_slots_used_before",
    "swapoff_entries": "pte_swapped_before",
    "swapoff_cached": "swapcache_pages_before",
    "swapoff_pswpin": "d_pswpin",
    "swapoff_zswpin": "d_zswpin",
    "swapoff_zero": "d_swpin_zero",
}
_EVENTS = ("zswpout", "zswpin", "zswpwb", "pswpin", "pswpout")


def kernel_counters(run: TruthRun) -> dict[str, float]:
    """Give the counters of a run, at its last access.

    Returns
    -------
    counters : dict
        Name (of ``COUNTERS``) to number. With zswap off, 0 is stored.
    """
    epochs = run.epochs.filter(row="epoch")
    first = run.epochs.filter(row="fill" if run.cram is not None else "start").row(0, named=True)
    last = epochs.row(-1, named=True)
    found: dict[str, float] = {
        name: last[f"code{code}"] for code, name in enumerate(("hits", "swap_cache", "zswap", "disk"))
    }
    found |= {name: _grown(first, last, f"vm_{name}") for name in _EVENTS}
    stored = epochs["zs_stored_pages"] if "zs_stored_pages" in epochs.columns else pl.Series([0])
    found["resident_mean"] = resident_mean(run)
    found["stored_mean"] = float(np.mean(stored.fill_null(0).to_numpy()))
    found["stored_end"] = int(stored[-1] or 0)
    if run.kind == "vswap":
        found |= {"slots_used": last["swap_used_kb"] // 4, "swap_cache_end": last["cg_swapcached"] // 4096}
        found |= {"vs_used": last["vs_used"]} if run.has_vswap else {}
    if run.swapoff_counts is not None:
        found |= {name: run.swapoff_counts[column] for name, column in _SWAPOFF.items()}
    if run.cram is not None:
        found |= _cram(first, last, len(run.classes))
    return found


def _grown(first: dict[str, int | None], last: dict[str, int | None], *names: str) -> int:
    return sum((last.get(name) or 0) - (first.get(name) or 0) for name in names)


def _cram(first: dict[str, int | None], last: dict[str, int | None], n_classes: int) -> dict[str, float]:
    return {
        "demoted": _grown(first, last, "vm_pgdemote_kswapd", "vm_pgdemote_direct"),
        "promoted": _grown(first, last, "cram_freed_pages"),
        "cram_end": sum(last.get(f"node1_c{k}") or 0 for k in range(n_classes)),
    }


def resident_mean(run: TruthRun) -> float:
    """Give the pages that were mapped, mean over the epochs."""
    present = pl.sum_horizontal([f"present_c{k}" for k in range(len(run.classes))])
    return float(np.mean(run.epochs.filter(row="epoch").select(present).to_series().to_numpy()))


def repetitions(run: TruthRun, runs: Sequence[TruthRun]) -> list[TruthRun]:
    """List the completed runs of one configuration, the run itself included.

    A run whose page-cluster did nothing, as fewer than one read in a thousand
    was ahead, repeats the run that differs from it in page-cluster only: those
    are listed too.
    """
    mine = run.config, run.has_vswap, run.kind
    done = [other for other in runs if not other.is_killed]
    same = [other for other in done if (other.config, other.has_vswap, other.kind) == mine]
    if not run.page_cluster or run.read_ahead is None or _ONE_IN * run.read_ahead[0] >= run.read_ahead[1]:
        return same
    return same + [other for other in done if not other.page_cluster and _settings(other) == _settings(run)]


_ONE_IN = 1000


def _settings(run: TruthRun) -> tuple[object, ...]:
    # All but page-cluster, and which run it is.
    limits = run.memory_max, run.swap_max, run.zswap_max, run.zswap_writeback, run.swap_device_mib
    content = run.trace, run.classes, run.seed_class, run.seed_content, run.epoch_accesses
    guest = run.kind, run.kernel, run.vcpus, run.total_ram_pages, run.lru_gen, run.swappiness, run.has_vswap
    return *guest, *content, *limits, run.swapoff, None if run.zswap is None else tuple(sorted(run.zswap.items()))


def ranges(runs: Sequence[TruthRun]) -> dict[str, tuple[float, float]]:
    """Give the least and the most of every counter over repetitions, those told of in ``noise.csv`` included."""
    found = [kernel_counters(run) for run in runs]
    told = {name: [end for run in runs for end in run.noise.get(name, ())] for name in found[0]}
    return {name: _range([*(row[name] for row in found), *told[name]]) for name in found[0]}


def _range(values: list[float]) -> tuple[float, float]:
    return min(values), max(values)


# Access by access -----------------------------------------------------------------------------


def agreement(kernel: NDArray[np.uint8], model: NDArray[np.uint8]) -> float:
    """Give the share of accesses with the same outcome; one that the model did not come to has none."""
    return float((kernel[: model.size] == model).sum() / kernel.size)


def ceiling(runs: Sequence[TruthRun]) -> float | None:
    """Give the lowest agreement between two repetitions; None if there is one only."""
    codes = [run.code for run in runs if run.code is not None]
    return min((agreement(one, other) for one, other in combinations(codes, 2)), default=None)


def lru_agreement(run: TruthRun) -> float | None:
    """Give the share of accesses that an exact LRU gets right, as hit or miss.

    It has the size that was measured, on average, and the same fill.
    """
    if run.code is None:
        return None
    page = (accesses(run.trace) & np.uint32(PAGE_MASK)).tolist()
    hit = _lru_hits(page, run.trace.n_pages, round(resident_mean(run)))
    return float(((run.code == 0) == hit).mean())


def _lru_hits(page: Sequence[int], n_pages: int, capacity: int) -> NDArray[np.bool_]:
    held: OrderedDict[int, None] = OrderedDict.fromkeys(range(max(0, n_pages - capacity), n_pages))
    hit = np.zeros(len(page), np.bool_)
    for i, wanted in enumerate(page):
        if wanted in held:
            held.move_to_end(wanted)
            hit[i] = True
        else:
            held[wanted] = None
            if len(held) > capacity:
                held.popitem(last=False)
    return hit
