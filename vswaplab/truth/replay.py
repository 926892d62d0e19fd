"""A run of a real kernel, in the model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vswaplab.base.errors import InputError, shown
from vswaplab.engine import simulate
from vswaplab.engine.codes import Moment, Story, tell
from vswaplab.engine.outcome import Occupancy
from vswaplab.engine.plan import FOOTPRINT_PAGE
from vswaplab.machine.config import Machine
from vswaplab.machine.swapoff import swapoff
from vswaplab.trace import Trace
from vswaplab.truth.machines import machine_of, served_before, trace_of
from vswaplab.truth.runs import TruthRun

Progress = Callable[[int, int], None]
_FOLLOWED = ("zswpout", "zswpwb", "pswpout", "pool_limit_hit", "pgdeactivate", "pgactivate")


@dataclass(frozen=True)
class Replay:
    """What the model says of a run.

    Parameters
    ----------
    counters : dict
        Counter name to number, under the names of ``kernel_counters``.
    code : (n,) uint8
        Outcome of every access after the fill, as in ``TruthRun.code``; shorter
        if memory ran out, None if it was not asked for.
    is_oom : bool
        Memory ran out.
    zswap_bytes : bytes
        In zswap at the end.
    epochs : polars.DataFrame
        One row per epoch of the run: ``access``, pages ``mapped`` and pages
        ``stored`` in zswap, ``pool_pages`` that they take, and since the start
        ``zswpout``, ``zswpwb``, ``pswpout``, ``pool_limit_hit``,
        ``pgdeactivate`` and ``pgactivate``; fewer rows if memory ran out.
    """

    counters: dict[str, float]
    code: NDArray[np.uint8] | None
    is_oom: bool
    zswap_bytes: int
    epochs: pl.DataFrame


def replay(
    run: TruthRun,
    machine: Machine | None = None,
    *,
    with_codes: bool | None = None,
    progress: Progress | None = None,
) -> Replay:
    """Replay a run in the model, from its configuration.

    Parameters
    ----------
    run : TruthRun
    machine : Machine
        Another one than the run's own.
    with_codes : bool
        Keep the outcome of every access; default: if the run has them.
    progress : callable
        Called as ``progress(done, total)`` now and then.

    Returns
    -------
    replay : Replay

    Raises
    ------
    InputError
        No run; a setting that no machine can have, or contents that nobody measured.
    """
    if not isinstance(run, TruthRun):
        raise InputError(f"run must be one of the runs that vl.read_truth gives, got {shown(run)}")
    trace, made = trace_of(run), machine or machine_of(run)
    before, n_acc = served_before(run), run.trace.n_acc
    ends = [*range(run.epoch_accesses, n_acc, run.epoch_accesses), n_acc]
    codes = run.code is not None if with_codes is None else with_codes
    marks = [before, *(before + end for end in ends)]
    story = tell(trace, made, marks, with_codes=codes, progress=progress)
    code = None if story.code is None else story.code[before:]
    is_oom = story.is_oom or (run.is_killed_by_swapoff and _swapoff_kills(trace, made))
    epochs = _epochs(story, before, run.trace.n_pages)
    return Replay(_counters(run, story, epochs), code, is_oom, story.moments[-1].occupancy.zswap_bytes, epochs)


def _swapoff_kills(trace: Trace, machine: Machine) -> bool:
    result = simulate(trace, machine, epoch_accesses=len(trace), events=[swapoff(at=len(trace))])
    return bool(result.totals["oom"])


def _epochs(story: Story, before: int, n_pages: int) -> pl.DataFrame:
    seen = story.moments[1:] or story.moments
    held = [moment.occupancy for moment in seen]
    columns = {
        "access": [moment.access - before for moment in seen],
        "mapped": [_mapped(moment, n_pages) for moment in seen],
        "stored": [now.zswap for now in held],
        "pool_pages": [-(-now.zswap_footprint // FOOTPRINT_PAGE) for now in held],
    }
    columns |= {name: [moment.count[name] for moment in seen] for name in _FOLLOWED}
    return pl.DataFrame(columns)


def _mapped(moment: Moment, n_pages: int) -> int:
    # Of the program's pages. Exact LRU does not tell one page from another.
    if moment.mapped is not None:
        return int(moment.mapped[:n_pages].sum())
    now = moment.occupancy
    return now.resident - now.cache_only + now.cram - now.cram_cache_only


def _counters(run: TruthRun, story: Story, epochs: pl.DataFrame) -> dict[str, float]:
    fill, last = story.moments[0], story.moments[-1]
    codes = [after - before for before, after in zip(fill.codes, last.codes, strict=True)]
    found: dict[str, float] = dict(zip(("hits", "swap_cache", "zswap", "disk"), codes, strict=True))
    before = fill.count if run.cram is not None else dict.fromkeys(last.count, 0)
    found |= {name: last.count[name] - before[name] for name in ("zswpout", "zswpin", "zswpwb", "pswpin", "pswpout")}
    found["resident_mean"] = float(np.mean(epochs["mapped"].to_numpy()))
    found["stored_mean"] = float(np.mean(epochs["stored"].to_numpy()))
    found["stored_end"] = last.occupancy.zswap
    if run.kind == "vswap":
        found |= _slots(run, last.occupancy, last.swap_cache)
    if run.cram is not None:
        found |= {"demoted": last.count["cram_in"] - before["cram_in"]}
        found |= {
            "promoted": last.count["cram_promote"] - before["cram_promote"],
            "cram_end": last.occupancy.cram - last.occupancy.cram_cache_only,
        }
    return found


def _slots(run: TruthRun, held: Occupancy, cached: int | None) -> dict[str, float]:
    # Without a layer every swapped page holds a slot. A resident page that kept its slot is in the swap cache; so is
    # what a swapoff left there.
    slots, inside = sum(held.slots), held.zswap + held.zero
    if cached is None:
        cached = slots - held.swapped - (0 if run.has_vswap else inside) + held.cache_only
    found: dict[str, float] = {"slots_used": slots, "swap_cache_end": cached}
    if run.has_vswap:
        found["vs_used"] = inside + held.swapped + cached
    if run.swapoff_counts is not None:  # memory.max was lifted first, so what it finds is what it moves
        found |= {"swapoff_slots": slots, "swapoff_entries": held.swapped + inside, "swapoff_cached": cached}
        loaded = (0, 0) if run.has_vswap else (held.zswap, held.zero)
        found |= dict(zip(("swapoff_pswpin", "swapoff_zswpin", "swapoff_zero"), (held.swapped, *loaded), strict=True))
    return found
