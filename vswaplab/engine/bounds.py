"""Policies between floor and ceiling: one trace and machine under every order of DRAM or CRAM, and two bounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Literal, get_args

import polars as pl

from vswaplab.base.checks import names_of
from vswaplab.base.errors import InputError
from vswaplab.engine.plan import check_run
from vswaplab.engine.run import Progress, simulate
from vswaplab.engine.turns import in_turn
from vswaplab.machine.checks import choice
from vswaplab.machine.config import Machine
from vswaplab.machine.policies import POLICIES, check_policy, policy_title
from vswaplab.results.counters import OUTCOMES
from vswaplab.results.result import Result
from vswaplab.results.summary import effective_access_ns
from vswaplab.trace.trace import Trace, Workload

FLOOR = "unlimited"
"""What tables call a machine whose DRAM never runs out."""

FAULTS = tuple(name for name in OUTCOMES if name not in ("dram_hit", "cram_read", "cram_write"))
"""Outcomes that are page faults."""

IN_CRAM = tuple(name for name in OUTCOMES if name.startswith("cram_"))
"""Outcomes that found their page on the device."""

Of = Literal["dram", "cram"]

_COPIED = ("reclaim_runs", "first_touch", "pswpin", "pswpout", "zswpin", "zswpout", "cram_in", "oom")
_WRITTEN_BACK = ("cram_writeback_zero", "cram_writeback_zswap", "cram_writeback_swapfile")


def unlimited(machine: Machine, trace: Workload) -> Machine:
    """Give a machine so much DRAM that it never reclaims on a trace: the floor of every comparison.

    Parameters
    ----------
    machine
    trace

    Returns
    -------
    machine
        The same, with room for every page and its copies above ``low``; the
        host's RAM, of which zswap's limit is a share, stays what it was.

    Raises
    ------
    InputError
        A machine with ``kernel``.
    """
    check_run(trace, machine)
    if machine.kernel is not None:
        raise InputError("unlimited needs a machine without kernel, which keeps pages for itself: leave it out")
    n_pages = int(trace.first_content.size)
    dram, capacity = machine.dram, max(machine.dram.capacity_pages, n_pages + machine.dram.low + 1)
    return replace(machine, dram=replace(dram, capacity_pages=capacity, total_pages=dram.host_pages))


def compare_policies(
    trace: Trace,
    machine: Machine,
    *,
    of: Of = "dram",
    policies: Sequence[str] = POLICIES,
    seed: int = 0,
    progress: Progress | None = None,
) -> pl.DataFrame:
    """Run a trace under several orders of reclaim, or of CRAM writeback, between the two bounds.

    The floor is a machine with DRAM for every page: what is left are first
    touches and copies on write, which no policy avoids. The ceiling is the clairvoyant, the best
    choice of victims for the DRAM, or the device, that there is (its definition
    in ``vswaplab.machine.policies`` says when that is proven).

    Parameters
    ----------
    trace : Trace
        In memory: the clairvoyant must know all of it.
    machine : Machine
        Its own policy, of that which is compared, does not matter.
    of : {"dram", "cram"}
        What is compared: ``dram.policy`` or ``cram.writeback_policy``.
    policies
        Which; the bounds are in the table whether named or not.
    seed
        As in ``simulate``.
    progress : callable
        Called as ``progress(done, total)`` after every run.

    Returns
    -------
    table : polars.DataFrame
        One row a policy, the floor first, the ceiling second, the others in
        the order given:

        * ``policy``: its name, or "unlimited"; ``title``: for people.
        * ``bound``: "floor", "ceiling", or null.
        * ``capacity_pages``: DRAM, pages.
        * ``misses``: records that did not find their page in DRAM, or if CRAM's
          orders are compared, neither there nor on the device; frees left out. A
          write that makes a copy of a shared page counts: the copy was not there.
          ``miss_share``: over all records but frees. Repeats that a recorder
          dropped are in neither, but their time is in the next two.
        * ``faults``: records that were page faults: of those that did not find
          their page in DRAM all but accesses to mapped CRAM pages.
        * ``stall_ns``: time the accesses waited; ``access_ns``: over all touches.
        * counters of the run: ``reclaim_runs``, ``first_touch``, ``pswpin``,
          ``pswpout``, ``zswpin``, ``zswpout``, ``cram_in``, ``oom`` (1: memory
          ran out, and the row tells of the accesses before that).
        * of CRAM's orders only: ``of``, "cram", and three counters more,
          ``cram_writeback_zero``, ``..._zswap`` and ``..._swapfile``.

        After Ctrl-C the runs that were finished.

    Raises
    ------
    InputError
        An unknown policy, a machine with ``kernel`` or without the CRAM whose
        orders are to be compared, a trace read piece by piece.

    Examples
    --------
    >>> from vswaplab import Dram, Swapfile, loop
    >>> machine = Machine(Dram(40, high=1), swapfiles=[Swapfile(100)])
    >>> table = compare_policies(loop(n_pages=50, n_accesses=500), machine, policies=["lru", "sieve"])
    >>> table.select("policy", "bound", "misses").rows()
    [('unlimited', 'floor', 50), ('clairvoyant', 'ceiling', 140), ('lru', None, 500), ('sieve', None, 500)]
    """
    check_run(trace, machine)
    policies = names_of("policies", policies)
    for policy in policies:
        check_policy("each of policies", policy)
    if machine.kernel is not None:
        raise InputError("compare_policies needs a machine without kernel, which has lists of its own: leave it out")
    choice("compare_policies", "of", of, get_args(Of))
    if of == "cram" and machine.cram is None:
        raise InputError("compare_policies of 'cram' needs a machine with cram: give it one, or compare of='dram'")
    machines: dict[str, Machine] = {FLOOR: unlimited(_under(machine, of, "lru"), trace)}
    names: list[str] = ["clairvoyant", *(policy for policy in policies if policy != "clairvoyant")]
    machines |= {policy: _under(machine, of, policy) for policy in names}
    runs = in_turn([partial(simulate, trace, each, seed=seed) for each in machines.values()], progress)
    rows = [_row(of, name, each, result) for result, (name, each) in zip(runs, machines.items(), strict=False)]
    return pl.DataFrame(rows, schema_overrides={"bound": pl.String})


def _under(machine: Machine, of: Of, policy: str) -> Machine:
    if of == "cram" and machine.cram is not None:
        return replace(machine, cram=replace(machine.cram, writeback_policy=policy))
    return replace(machine, dram=replace(machine.dram, policy=policy))


def _row(of: Of, name: str, machine: Machine, result: Result) -> dict[str, object]:
    totals = result.totals
    served = totals["accesses"] - totals["frees"]
    misses = served - totals["dram_hit"]
    misses -= sum(totals[outcome] for outcome in IN_CRAM) if of == "cram" else 0
    row: dict[str, object] = {
        "policy": name,
        "title": "unlimited DRAM" if name == FLOOR else policy_title(name),
        "bound": {FLOOR: "floor", "clairvoyant": "ceiling"}.get(name),
        "capacity_pages": machine.dram.capacity_pages,
        "misses": misses,
        "miss_share": misses / max(1, served),
        "faults": sum(totals[outcome] for outcome in (*FAULTS, *(f"{store.name}_in" for store in machine.stores))),
        "stall_ns": totals["stall_ns"],
        "access_ns": effective_access_ns(result),
        **{counter: totals[counter] for counter in _COPIED},
    }
    return row if of == "dram" else row | {"of": of, **{counter: totals[counter] for counter in _WRITTEN_BACK}}
