"""Reclaim as one Linux version does it: the setting ``Machine.kernel``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from vswaplab.base.errors import InputError, shown
from vswaplab.machine.checks import MOST_PAGES, choice, flag, set_fields, whole

Version = Literal["6.12", "7.1", "7.2", "7.3"]
LRU_GEN_VERSIONS: tuple[Version, ...] = ("6.12", "7.3")
"""Those whose MGLRU is modelled."""
FLUSH_TIME_NS = 2_000_000_000
"""How often the kernel brings the statistics of all groups up to date (FLUSH_TIME, mm/memcontrol.c)."""


@dataclass(frozen=True)
class Kernel:
    """How one Linux version reclaims, in place of exact LRU.

    Pages lie on an active and an inactive list, with accessed bits and the
    refault distance of mm/workingset.c; a group at its limit is charged in
    batches of 64 pages and reclaims 32; zswap holds zspages with holes, and its
    worker writes back beside the program. One process, no zram.

    With ``Dram.charge`` ``memcg`` the limit is the group's memory.max, and
    ``Dram.low`` and ``high`` mean nothing. With ``host`` it is the DRAM node:
    below ``low`` kswapd is woken and reclaims above ``high``, and as far below
    ``low`` again the program reclaims itself. A CRAM node (``mode="tier"``,
    mm/cram.c of RFC v4) takes what DRAM demotes, has lists and a kswapd of its
    own, and refuses what its pressure, its watermarks or its media forbid.

    Parameters
    ----------
    version : {"6.12", "7.1", "7.2", "7.3"}
        Of mm/, as measured (data/truth). All but 7.3, which tries 32, try one
        entry of the pool at a time; from 7.0 on a worker waits until the program
        goes back to user mode; 7.1 and 7.2 keep a slot when its page is written
        to.
    swappiness : 0..200
        vm.swappiness or memory.swappiness.
    base_pages : pages
        What the group's own kernel objects take of memory.max before a page is
        touched. Page tables come on top, one page for 512 pages touched.
    stat_read_accesses, stat_read_from : accesses
        How often somebody reads memory.stat, and before which access first; 0:
        nobody does. Reclaim goes by the statistics of the last flush, and a
        read flushes.
    stat_flush_ns : ns
        When the kernel itself flushes them first; then every two seconds, which
        run from boot: 1 to 2,000,000,000.
    zswap_walk : entries
        How many the pool's worker looks at in one try; None: as many as the
        version.
    lru_gen : bool
        /sys/kernel/mm/lru_gen/enabled: generations (MGLRU) in place of the
        active and the inactive list; of 6.12 and 7.3 only, which were measured so.
    """

    version: Version = "7.3"
    swappiness: int = 60  # vm.swappiness, docs.kernel.org/admin-guide/sysctl/vm.html [P]
    base_pages: int = 5  # upper page tables and slab of a small process (kernel-truth, 0.52 MiB with 128 tables) [D]
    stat_read_accesses: int = 0
    stat_read_from: int = 0
    stat_flush_ns: int = FLUSH_TIME_NS
    zswap_walk: int | None = None
    lru_gen: bool = False

    def __post_init__(self) -> None:
        choice("kernel", "version", self.version, get_args(Version))
        flag("kernel", "lru_gen", self.lru_gen)
        if self.lru_gen and self.version not in LRU_GEN_VERSIONS:
            known = " and ".join(LRU_GEN_VERSIONS)
            raise InputError(f"kernel.lru_gen is modelled of Linux {known}, not of {self.version}: set another version")
        set_fields(self, swappiness=whole("kernel", "swappiness", self.swappiness, 0, 200))
        set_fields(self, base_pages=whole("kernel", "base_pages", self.base_pages, 0, MOST_PAGES))
        for name in ("stat_read_accesses", "stat_read_from"):
            set_fields(self, **{name: whole("kernel", name, getattr(self, name), 0)})
        set_fields(self, stat_flush_ns=whole("kernel", "stat_flush_ns", self.stat_flush_ns, 1, FLUSH_TIME_NS))
        if self.zswap_walk is not None:
            set_fields(self, zswap_walk=whole("kernel", "zswap_walk", self.zswap_walk, 1))


_NODE: dict[str, object] = {
    "mode": "tier", "pressure_law": "two-level", "balloon": False, "writeback_high": 1.0, "writeback_policy": "lru",
    "report_lag": 0, "flush_period": 0, "reaper_period": 0, "writeback_to": "zswap", "trim_batch_pages": 512,
    "balloon_reserve": 0.0,
}  # fmt: skip


def check_node(cram: object) -> None:
    """Check that a CRAM device is what mm/cram.c of RFC v4 has: a node that takes pages until its driver says 1000.

    Parameters
    ----------
    cram : Cram

    Raises
    ------
    InputError
        It has a control loop of another kind.
    """
    for name, value in _NODE.items():
        found = getattr(cram, name)
        if found != value:
            raise InputError(f"machine.kernel models cram.{name} {value!r} only, got {shown(found)}: set it so")
