"""What a change of a machine did, in one plain sentence; the largest effects first."""

from __future__ import annotations

from collections.abc import Iterator

from vswaplab.base.units import drawn_ns, format_share
from vswaplab.machine.config import machine_from_dict
from vswaplab.results.prices import repeat_wait_ns
from vswaplab.results.result import Result
from vswaplab.results.summary import effective_access_ns

_MOST = 3  # effects that a sentence tells besides the time
_SMALLEST = 0.02  # of a counter, to be told
_FEW = 20  # events: below that a factor says nothing

_COUNTS = {  # counters of a window
    "pswpin_swapfile": "swapfile reads",
    "pswpout_zram": "zram stores",
    "pswpin_zram": "zram loads",
    "zswpout": "zswap stores",
    "zswpin": "zswap loads",
    "zswpwb": "zswap writebacks",
    "cram_in": "pages into CRAM",
    "cram_promote": "pages moved from CRAM to DRAM",
    "reclaim_fail": "victims without room",
}


def below_dram_ns(result: Result) -> int:
    """Add up the time that accesses waited for anything below DRAM, ns.

    The time of DRAM itself would drown the rest: a record of a trace can stand for hundreds of touches.
    """
    return result.totals["stall_ns"] - int(result.epochs["stall_dram_ns"].sum())


def record_wait_ns(result: Result) -> int:
    """Add up the time that the records of a trace waited below DRAM, ns; their repeats count as the CPU caches' affair.

    One page in CRAM whose record stands for millions of touches weighs nothing here; in ``below_dram_ns`` it may be
    most of the time. The truth is between the two.
    """
    machine = machine_from_dict(result.provenance["machine"])  # type: ignore[arg-type]
    return below_dram_ns(result) - repeat_wait_ns(machine, result.totals)


def gate_share(result: Result) -> float:
    """Give the share of the run's windows in which CRAM's closed gate turned a page away."""
    windows = result.epochs.height
    return float((result.epochs["cram_refused_gate"] > 0).sum()) / windows if windows else 0.0


def change_words(before: Result, after: Result) -> str:
    """Say what became of a run: memory lost or run out, the gate, what was counted most differently, the time.

    Parameters
    ----------
    before, after : Result
        Of the same trace.

    Returns
    -------
    words
        Parts joined by commas, without a full stop.
    """
    if before.totals == after.totals:
        return "nothing changes"
    if before.totals["accesses"] != after.totals["accesses"]:  # counts of runs that end elsewhere say nothing
        return ", ".join([*(list(_losses(before, after)) or ["memory still runs out"]), *_progress(before, after)])
    grave = [*_losses(before, after), *_gate(before, after)]
    ranked = sorted(_counters(before, after), key=lambda found: -found[0])
    return ", ".join([*grave, *(words for _, words in ranked[: max(1, _MOST - len(grave))]), *_times(before, after)])


def _losses(before: Result, after: Result) -> Iterator[str]:
    if after.totals["oom"] != before.totals["oom"]:
        yield "memory runs out" if after.totals["oom"] else "memory no longer runs out"
    old, new = before.totals["poison"], after.totals["poison"]
    if old != new:
        yield f"memory lost by {new:,} writes instead of {old:,} (poison)"


def _progress(before: Result, after: Result) -> Iterator[str]:
    yield f"{after.totals['accesses']:,} accesses are served instead of {before.totals['accesses']:,}"


def _gate(before: Result, after: Result) -> Iterator[str]:
    old, new = gate_share(before), gate_share(after)
    if abs(new - old) >= 0.01:
        yield f"CRAM's gate turned pages away in {format_share(new)} of the run instead of {format_share(old)}"


def _counters(before: Result, after: Result) -> Iterator[tuple[float, str]]:
    for name, many in _COUNTS.items():
        old, new = (int(result.epochs[name].sum()) for result in (before, after))
        larger, smaller = max(old, new), min(old, new)
        if larger < _FEW or (larger - smaller) < _SMALLEST * larger:
            continue
        yield (larger - smaller) / max(smaller, _FEW), f"{_ratio(old, new)} {many}"


def _ratio(old: int, new: int) -> str:
    if not old or not new:
        return f"{new:,} instead of {old:,}"
    times = new / old
    if times >= 1.995:
        return f"{times:.1f} times as many"
    return f"{format_share(abs(times - 1))} {'more' if times > 1 else 'fewer'}"


def _times(before: Result, after: Result) -> Iterator[str]:
    old, new = below_dram_ns(before), below_dram_ns(after)
    change = f" ({_signed(new / old - 1)})" if old and new else ""
    yield f"the program waits {drawn_ns(new)} below DRAM instead of {drawn_ns(old)}{change}"
    whole_old, whole_new = effective_access_ns(before), effective_access_ns(after)
    yield f"effective access time {whole_new:,.1f} ns ({_signed(whole_new / max(whole_old, 1e-9) - 1)})"


def _signed(share: float) -> str:
    return "the same" if abs(share) < 0.0005 else f"{100 * share:+.{0 if abs(share) >= 0.1 else 1}f} %"


def ending_words(result: Result) -> str:
    """Say where a run that memory ended stopped; empty if it did not."""
    totals, planned = result.totals, result.provenance["n_accesses"]
    if not totals["oom"]:
        return ""
    return f"Memory ran out after {totals['accesses']:,} of {planned:,} accesses: the numbers end there."
