"""What every single access found: four codes, as a kernel's accounting tells them apart.

A kernel's engine says so itself. Of the others the reference runs one access
at a time, and its counters are looked at after each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vswaplab.base.errors import InputError
from vswaplab.base.progress import check_report
from vswaplab.engine.kernel import KernelVectorised, kernel_vectorised
from vswaplab.engine.outcome import Occupancy
from vswaplab.engine.plan import check_run, make_plan
from vswaplab.engine.reference import Reference
from vswaplab.engine.vectorised import Vectorised
from vswaplab.machine.config import Machine
from vswaplab.trace.trace import Trace

HIT, MINOR, NO_INPUT, INPUT = range(4)
"""No fault; a minor fault; a major fault without block input (zswap, zero page); one with it (disk)."""

NO_CODE = 255
"""Code of a free, and of an access that killed its process."""

CODE_OF_OUTCOME: dict[str, int] = {
    "dram_hit": HIT,
    "cram_read": HIT,
    "cram_write": HIT,
    "first_touch": MINOR,
    "copy_on_write": MINOR,
    "cram_soft_fault": MINOR,
    "cram_made_writable": MINOR,
    "cram_promote": MINOR,
    "swpin_zero": NO_INPUT,
    "zswpin": NO_INPUT,
    "pswpin": INPUT,
    "sigbus": NO_CODE,
}
"""Outcome of an access (``results.counters.OUTCOMES``) to its code."""

MINOR_HITS = ("swap_cache", "minor_fault")
"""Counters of hits that were minor faults after all."""

_LOOKED_AT = (*MINOR_HITS, *CODE_OF_OUTCOME)
_CODES = (*(MINOR for _ in MINOR_HITS), *CODE_OF_OUTCOME.values())

Progress = Callable[[int, int], None]
_STEP = 1 << 12  # accesses between two reports of progress


@dataclass(frozen=True)
class Moment:
    """The counters, and what each tier holds, before one access."""

    access: int
    count: dict[str, int]
    """Counter name to number, since the start."""
    occupancy: Occupancy
    swap_cache: int | None
    """Pages in the swap cache, mapped ones included; None: the engine does not tell."""
    mapped: NDArray[np.bool_] | None
    """(n_pages,) which pages are mapped; None: the engine does not tell."""

    @property
    def codes(self) -> list[int]:
        """(4,) accesses of each code so far."""
        totals = [sum(self.count[name] for name, found in CODE_OF_OUTCOME.items() if found == c) for c in range(4)]
        minor_hits = sum(self.count[name] for name in MINOR_HITS)
        return [totals[HIT] - minor_hits, totals[MINOR] + minor_hits, totals[NO_INPUT], totals[INPUT]]


@dataclass(frozen=True)
class Story:
    """A run, looked at in some moments; the last one is where it ended."""

    moments: list[Moment]
    code: NDArray[np.uint8] | None
    """(n_accesses,) codes up to the last moment; None if they were not asked for."""

    @property
    def is_oom(self) -> bool:
        """Whether memory ran out."""
        return bool(self.moments[-1].count["oom"])


def outcome_codes(trace: Trace, machine: Machine, *, seed: int = 0) -> NDArray[np.uint8]:
    """Say what every access found.

    Parameters
    ----------
    trace : Trace
    machine : Machine
    seed : int
        Of the draws that writes make, as in ``simulate``.

    Returns
    -------
    code : (n_accesses,) uint8
        0 no fault, 1 a minor fault, 2 loaded without block input, 3 read from a
        device; 255 for a free. Shorter if memory ran out.

    Raises
    ------
    InputError
        The corpus lacks a profile's column.
    """
    code = tell(trace, machine, [len(trace)], seed=seed).code
    assert code is not None
    return code


def tell(
    trace: Trace,
    machine: Machine,
    marks: Sequence[int],
    *,
    seed: int = 0,
    with_codes: bool = True,
    progress: Progress | None = None,
) -> Story:
    """Run a trace and look at it in some moments.

    Parameters
    ----------
    trace : Trace
    machine : Machine
    marks : (n,) access index
        Growing; the run ends at the last one, or before it if memory ran out.
    seed : int
    with_codes : bool
        Without them it goes faster; the counters are the same.
    progress : callable
        Called as ``progress(done, total)`` now and then.
    """
    check_run(trace, machine)
    check_report(progress)
    if machine.stores:
        raise InputError("the codes of a kernel's accounting know no stores of plug-ins: leave machine.stores out")
    plan = make_plan(trace, machine, seed)
    code = np.full(marks[-1] if with_codes else 0, NO_CODE, np.uint8)
    engine: Reference | Vectorised | KernelVectorised
    if machine.kernel is not None:
        engine = kernel_vectorised(plan, trace)
        engine.codes = code if with_codes else None
    else:
        engine = Reference(plan, trace) if with_codes else Vectorised(plan, trace)
    at, moments = 0, []
    for mark in marks:
        while at < mark and not engine.count["oom"]:
            stop = min(at + _STEP, mark)
            at = _record(engine, at, stop, code) if isinstance(engine, Reference) else engine.run(at, stop)
            if progress is not None:
                progress(at, marks[-1])
        told: tuple[int | None, NDArray[np.bool_] | None] = None, None
        if isinstance(engine, KernelVectorised):
            told = engine.swap_cache, np.frombuffer(engine.mapped, np.bool_).copy()
        moments.append(Moment(at, dict(engine.count), engine.occupancy(), *told))
        if at < mark:
            break
    return Story(moments, code[:at] if with_codes else None)


def _record(engine: Reference, start: int, stop: int, code: NDArray[np.uint8]) -> int:
    # Like engine.run, with a look at the counters after each access.
    count = engine.count
    for index in range(start, stop):
        before = _look(count)
        if engine.run(index, index + 1) == index:
            return index
        code[index] = _moved(before, _look(count))
    return stop


def _look(count: dict[str, int]) -> tuple[int, ...]:
    return tuple([count[name] for name in _LOOKED_AT])


def _moved(before: tuple[int, ...], now: tuple[int, ...]) -> int:
    # The first counter that moved decides: minor hits stand before the hits that they are.
    return next((c for a, b, c in zip(before, now, _CODES, strict=True) if b > a), NO_CODE)
