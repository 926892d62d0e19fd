"""Follow single pages: where each one is after every access.

For small cases that a person checks by hand. The reference engine runs one
access at a time, and the state of every page is written down after each.
"""

from __future__ import annotations

import polars as pl

from vswaplab.base.backing import Op, State
from vswaplab.base.errors import InputError, shown
from vswaplab.engine.outcome import PageTable
from vswaplab.engine.plan import Plan, check_run, make_plan
from vswaplab.engine.run import make_engine
from vswaplab.machine.config import Machine
from vswaplab.results.counters import OUTCOMES
from vswaplab.trace.trace import Trace

MAX_ROWS = 20_000
"""Accesses times pages at most: what a person can still look at."""

PLACES: dict[State, tuple[str, str]] = {
    State.NONE: ("nowhere", "nowhere"),
    State.RESIDENT: ("DRAM", "DRAM"),
    State.ZERO: ("zero", "ZERO"),
    State.CRAM_SOFTLEAF: ("CRAM (entry)", "CRAM"),
    State.CRAM_READONLY: ("CRAM (read-only)", "CRAM"),
    State.CRAM_WRITABLE: ("CRAM (writable)", "CRAM"),
    State.CRAM_POISONED: ("CRAM (poisoned)", "CRAM"),
    State.ZSWAP: ("zswap", "zswap"),
    State.SWAPFILE: ("swapfile", "swapfile"),
    State.STORE: ("plug-in's tier", "by its name"),
}
"""Where a page is in plain words, and the tier that is."""

_SCHEMA = {
    "access": pl.Int64,
    "op": pl.String,
    "accessed": pl.Int64,
    "page": pl.Int64,
    "place": pl.String,
    "tier": pl.String,
    "event": pl.String,
}


def follow(trace: Trace, machine: Machine, *, seed: int = 0) -> pl.DataFrame:
    """Write down where every page is after every access.

    Parameters
    ----------
    trace : Trace
        A small one: accesses times pages may not exceed 20,000.
    machine : Machine
    seed : int
        Of the draws that writes make, as in ``simulate``.

    Returns
    -------
    steps : polars.DataFrame
        One row per access and page: ``access`` (index), ``op`` (read, write or
        free) and ``accessed`` (page) say what the access was; ``page`` is
        ``place`` after it, in plain words, which is in ``tier`` (as in
        ``Result.tiers``, or nowhere); ``event`` is the access's outcome, a
        counter. The table ends before an access that found no frame.

    Raises
    ------
    InputError
        The trace is too long to follow, or the corpus lacks a profile's column.

    Examples
    --------
    >>> from vswaplab.machine.config import Dram, Swapfile
    >>> machine = Machine(dram=Dram(1, high=1), swapfiles=[Swapfile(8)])
    >>> follow(Trace([0, 1]), machine).select("access", "page", "place").rows()
    [(0, 0, 'DRAM'), (0, 1, 'nowhere'), (1, 0, 'swapfile'), (1, 1, 'DRAM')]
    """
    check_run(trace, machine)
    _check_size(trace)
    plan = make_plan(trace, machine, seed)
    runner = make_engine(plan, trace, "reference")
    rows: list[tuple[int, str, int, int, str, str, str]] = []
    places = _places(runner.page_table(is_ranked=False), plan)
    events = (*OUTCOMES, *(f"{store.name}_in" for store in machine.stores), "frees")
    for index in range(len(trace)):
        before = dict(runner.count)
        if runner.run(index, index + 1) == index:
            break
        op = Op(int(trace.op[index])).name.lower()
        found = [name for name in events if runner.count[name] > before[name]]
        access = (index, op, int(trace.page[index]))
        event = _event(found, places[access[2]][1])
        places = _places(runner.page_table(is_ranked=False), plan)
        rows += [(*access, page, *place, event) for page, place in enumerate(places)]
    return pl.DataFrame(rows, schema=_SCHEMA, orient="row")


def _event(found: list[str], tier: str) -> str:
    # A kernel that reads ahead counts its neighbours' loads too: of several the one from where the page was.
    loads = {"ZERO": "swpin_zero", "zswap": "zswpin", "zram": "pswpin", "swapfile": "pswpin"}
    return loads[tier] if len(found) > 1 and loads.get(tier) in found else next(iter(found), "")


def _places(table: PageTable, plan: Plan) -> list[tuple[str, str]]:
    places = [PLACES[State(state)] for state in table.state.tolist()]
    for page in ((table.state == State.SWAPFILE) & (table.slot == plan.zram_device)).nonzero()[0].tolist():
        places[page] = "zram", "zram"
    for page in (table.state == State.STORE).nonzero()[0].tolist():
        name = plan.stores[table.store[page]].name
        places[page] = name, name
    return places


def _check_size(trace: Trace) -> None:
    if not isinstance(trace, Trace):
        raise InputError(f"follow needs a trace in memory, got {shown(trace)}: read it with vl.load_trace")
    rows = len(trace) * trace.n_pages
    if rows > MAX_ROWS:
        raise InputError(
            f"cannot follow {len(trace):,} accesses on {trace.n_pages:,} pages: that is {rows:,} rows, and "
            f"{MAX_ROWS:,} is the limit; cut the trace with head(), or use fewer pages, or simulate()"
        )
