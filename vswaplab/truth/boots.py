"""What no configuration says: how the kernel's clock and the guest's speed fell in one boot.

A kernel brings the statistics of its groups up to date every two seconds from
boot on (FLUSH_TIME, mm/memcontrol.c), and reclaim goes by the last flush: when
a run begins between two flushes decides which reclaim first sees that the
active list has grown. And a guest that shares its host's processors is now
faster, now slower, while clock tick, time slice and flusher keep their pace:
how far a worker gets in one slice changes with it. A model that fixes both
says what one boot does. Some boots say how far a counter moves by them alone.

Eight can pass a narrow window by. Linux 7.3's shrinker counts by the last
flush, so with one shortly before the pool first fills (0.4 to 0.7 s from the
start; to 0.5 s in a guest 0.8 times as slow as the model's) it sleeps until the
next: in a zipf_mp10 with the shrinker on the full pool then refuses 1,855 to
5,994 stores, and 49,783 to 54,788 pages are written back; in the first eight
boots none to 974, and 55,169 or more. A kernel refused 3,997, and wrote 52,706.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from vswaplab.machine.config import Costs, Machine
from vswaplab.machine.kernel import FLUSH_TIME_NS

SLOWNESS = (0.73, 2.36)
"""Least and most of a run's duration over the model's. Five repetitions of zipf_mp10 took 11.3 to 33.2 s, three of
zipf_off 9.1 to 15.3 s; the model says 14.1 and 12.5 (t_ns in epochs.csv) [M]."""

_STEPS = (0.7548776662, 0.5698402910)
"""Of a sequence that fills a square evenly (powers of the inverse of the root of x^3 = x + 1)."""


@dataclass(frozen=True)
class Boot:
    """One boot.

    Parameters
    ----------
    flush_ns : ns
        From the start of the run to the first flush of the statistics.
    slowness : float
        Times of the guest over those of the model.
    """

    flush_ns: int = FLUSH_TIME_NS
    slowness: float = 1.0


def boots(n: int) -> list[Boot]:
    """Give so many boots: the one that every other command takes, and others spread evenly over what can be.

    Examples
    --------
    >>> [(round(boot.flush_ns / 1e9, 2), round(boot.slowness, 2)) for boot in boots(4)]
    [(2.0, 1.0), (1.51, 1.42), (1.02, 0.86), (0.53, 1.68)]
    """
    return [Boot(), *(_spread(i) for i in range(1, n))]


def _spread(i: int) -> Boot:
    least, most = SLOWNESS
    at, how = ((i * step) % 1 for step in _STEPS)
    return Boot(max(1, round(at * FLUSH_TIME_NS)), least * (most / least) ** how)


def in_boot(machine: Machine, boot: Boot) -> Machine:
    """Build a machine as it was in one boot: every time that the guest's speed decides is longer or shorter.

    Parameters
    ----------
    machine : Machine
        With ``kernel`` set.
    boot : Boot
    """
    assert machine.kernel is not None
    names = [field.name for field in fields(Costs) if field.name.endswith("_ns")]
    costs = replace(machine.costs, **_scaled(machine.costs, names, boot))
    files = [replace(file, **_scaled(file, ["read_ns"], boot)) for file in machine.swapfiles]
    zswap = machine.zswap
    if zswap is not None:
        profile = replace(zswap.profile, **_scaled(zswap.profile, ["store_ns", "load_ns"], boot))
        zswap = replace(zswap, compressor=profile)
    kernel = replace(machine.kernel, stat_flush_ns=boot.flush_ns)
    return replace(machine, kernel=kernel, costs=costs, swapfiles=files, zswap=zswap)


def _scaled(of: object, names: Sequence[str], boot: Boot) -> dict[str, Any]:
    return {name: round(getattr(of, name) * boot.slowness) for name in names}
