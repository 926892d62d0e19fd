"""What a machine is: frozen, validated configuration objects.

Every default carries its source in the field's comment; ``[guess]`` marks a
number nobody has published, ``[choice]`` one that leaves a mechanism out or is
ours to make; both are of November 2026. Sizes are bytes, pages (4 KiB) or slots (one page
each) as the field's name says; times are ns; shares are of the media.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from fractions import Fraction
from typing import Literal, get_args

from vswaplab.base.errors import InputError, shown
from vswaplab.base.units import PAGE_SIZE
from vswaplab.machine.checks import (
    MOST_BYTES,
    MOST_NS,
    MOST_PAGES,
    choice,
    flag,
    set_fields,
    share,
    swap_tiers,
    swap_tiers_max,
    whole,
)
from vswaplab.machine.kernel import Kernel, check_node
from vswaplab.machine.policies import check_policy
from vswaplab.machine.profiles import Profile, find_profile
from vswaplab.machine.stores import Store, check_stores, store_class, store_fields

Charge = Literal["memcg", "host"]
CramMode = Literal["swap", "tier"]
WritebackTo = Literal["zswap", "swapfile"]
Layer = Literal["none", "vswap", "swap-table"]
BudgetOwner = Literal["host", "device"]
PressureLaw = Literal["two-level", "proportional"]
ZramWriteback = Literal["idle", "huge", "huge-idle"]


def _compressor(owner: str, name: str, value: str | Profile) -> Profile:
    profile = find_profile(value, "compressor") if isinstance(value, str) else value
    if not isinstance(profile, Profile) or profile.kind != "compressor":
        raise InputError(f"{owner}.{name} must name a compressor profile (see `vswaplab profiles`), got {shown(value)}")
    return profile


@dataclass(frozen=True)
class Dram:
    """DRAM that folios and the compressed pool share.

    Parameters
    ----------
    capacity_pages : pages
        Room for resident pages and the pool together (rule 0).
    total_pages : pages
        RAM of the host, of which ``max_pool_percent`` is a percentage; it bounds
        nothing else, and may be less than ``capacity_pages`` (``unlimited``).
        Default: ``capacity_pages``.
    low, high : pages
        Reclaim runs when free pages are at or below ``low`` and stops at
        ``high``. Default high: min(capacity, max(32, capacity // 1000)); 32 is
        the kernel's SWAP_CLUSTER_MAX.
    charge : {"memcg", "host"}
        What the pool costs: compressed lengths (memory.max of a cgroup) or the
        allocator's footprint.
    policy : {"lru", "fifo", "clock", "sieve", "generations", "clairvoyant"}
        Which page leaves first; ``vswaplab.machine.policies`` defines each. Or
        the name of a plug-in.
        ``clairvoyant`` knows the future and needs a trace in memory.
    """

    capacity_pages: int
    total_pages: int | None = None
    low: int = 0  # rule 1: with high 1, textbook LRU
    high: int | None = None
    charge: Charge = "memcg"  # kernel-truth README, fact 1 [measured]
    policy: str = "lru"  # rule 1

    def __post_init__(self) -> None:
        capacity = whole("dram", "capacity_pages", self.capacity_pages, 1, MOST_PAGES)
        total = capacity if self.total_pages is None else whole("dram", "total_pages", self.total_pages, 1, MOST_PAGES)
        high = min(capacity, max(32, capacity // 1000)) if self.high is None else self.high
        low, high = whole("dram", "low", self.low, 0), whole("dram", "high", high, 1)
        if not low < high <= capacity:
            raise InputError(
                f"dram.low {low} and dram.high {high} are out of order: "
                f"choose 0 <= low < high <= capacity_pages ({capacity})"
            )
        choice("dram", "charge", self.charge, get_args(Charge))
        check_policy("dram.policy", self.policy)
        set_fields(self, capacity_pages=capacity, total_pages=total, low=low, high=high)

    @property
    def host_pages(self) -> int:
        """RAM of the host, pages."""
        return self.capacity_pages if self.total_pages is None else self.total_pages

    @property
    def high_pages(self) -> int:
        """The upper watermark, pages."""
        return self.capacity_pages if self.high is None else self.high


@dataclass(frozen=True)
class Cram:
    """Hardware-compressed RAM: an advertised size over smaller media.

    Parameters
    ----------
    media_bytes : bytes
        What is really there.
    profile : str or Profile
        The device (``vl.profiles()``).
    advertised_bytes : bytes
        What the node shows; default: media times the profile's
        advertised-to-media ratio, in whole pages.
    mode : {"swap", "tier"}
        ``swap``: VSWAP_CRAM, behind a swap entry. ``tier``: a read-only memory
        tier, pages arrive by migration.
    writable_budget_pages : pages
        CRAM pages that may be mapped writable at once (``swap`` mode only);
        if the device owns the budget, writes in place it grants a report.
    budget_owner : {"host", "device"}
        ``host``: a slot returns when its page leaves CRAM, and pages may
        overrun the media. ``device``: with each report it grants as many
        writes in place as its free media can take at worst, at most
        ``writable_budget_pages``, and keeps that room; a write without a grant
        promotes, and nothing can overrun.
    writeback_to : {"zswap", "swapfile"}
        Where pages go when media runs short.
    writeback_policy : {"lru", "fifo", "clock", "sieve", "generations", "clairvoyant"}
        Which page leaves the device first, as ``Dram.policy`` for DRAM:
        ``vswaplab.machine.policies`` defines each, and what is a touch there.
    close_at, open_at : share of media
        Reported pressure at or above ``close_at`` closes the admission gate
        until it falls to ``open_at``.
    writeback_high, writeback_low : share of media
        Above ``writeback_high`` the coldest pages are written back, as many as
        should bring the report down to ``writeback_low``.
    pressure_law : {"two-level", "proportional"}
        ``two-level``: the gate above, with hysteresis. ``proportional``:
        pressure rises from 0 at ``open_at`` to 1000 at ``close_at``; both node
        watermarks rise by that share of the device's pages, and the gate is
        closed at 1000 only.
    node_low, node_high : device pages
        When free device pages fall to ``node_low`` the coldest go on until
        ``node_high`` are free; 0 turns it off.
    report_lag, flush_period, reaper_period : accesses
        How often the device reports, freed bytes are given back, zombies are
        reaped; 0: at once.
    trim_batch_pages : device pages
        Freed pages of one TRIM command; a flush sends as many as it needs.
    balloon : bool
        Hold back device pages while the reported ratio is below the
        advertised one: pages shown x (advertised - reported) / advertised.
        Free pages go first; while the gate is closed the coldest pages are
        written back for it, and after three looks in vain memory is out.
    balloon_reserve : share of media
        Media that the balloon keeps free: it takes the reported ratio for that
        much lower. With 0, the law as posted, the last two rungs are out of
        reach, because stored bytes never exceed the media.
    """

    media_bytes: int
    profile: str | Profile = "ocp-spec"  # [choice]: from a public specification
    advertised_bytes: int | None = None
    mode: CramMode = "swap"  # founding mail, 24 April 2026: VSWAP_CRAM [P]
    writable_budget_pages: int = 0  # founding mail: no direct writable mapping unless budgeted
    budget_owner: BudgetOwner = "host"  # G. Price, 24 April 2026; "device" is A. George's reply [P]
    writeback_to: WritebackTo = "zswap"  # founding mail: write back to zswap or swap
    writeback_policy: str = "lru"  # rule 4: the coldest
    close_at: float = 0.95  # [guess]: the posted code has two unnamed levels
    open_at: float = 0.90  # [guess]
    writeback_high: float = 0.90  # [guess]
    writeback_low: float = 0.85  # [guess]
    pressure_law: PressureLaw = "two-level"  # RFC v4 patch 27 as posted [P]
    node_low: int = 0  # [choice]: off, as the next
    node_high: int = 0
    report_lag: int = 0  # [choice]: the device says at once what it holds, as for the next two
    flush_period: int = 0
    reaper_period: int = 0
    trim_batch_pages: int = 512  # mm/cram.c of autumn 2026 [P]; retries are not modelled
    balloon: bool = False  # [choice]: off; mm/cram.c of autumn 2026 has one [P], RFC v4 had pressure instead
    balloon_reserve: float = 0.0  # mm/cram.c of autumn 2026 has none [P]

    def __post_init__(self) -> None:
        device = find_profile(self.profile, "cram") if isinstance(self.profile, str) else self.profile
        if not isinstance(device, Profile) or device.kind != "cram":
            raise InputError(
                f"cram.profile must name a device profile (see `vswaplab profiles`), got {shown(self.profile)}"
            )
        media = whole("cram", "media_bytes", self.media_bytes, 1)
        if self.advertised_bytes is None:
            pages = max(math.ceil(media / PAGE_SIZE), int(media * device.advertised_ratio) // PAGE_SIZE)
            advertised = pages * PAGE_SIZE
        else:
            advertised = whole("cram", "advertised_bytes", self.advertised_bytes, 1)
        if advertised < media:
            raise InputError(
                f"cram.advertised_bytes {advertised} is below cram.media_bytes {media}: a CRAM node shows at least "
                f"its media; raise advertised_bytes or lower media_bytes"
            )
        set_fields(self, media_bytes=media, advertised_bytes=advertised)
        choice("cram", "mode", self.mode, get_args(CramMode))
        choice("cram", "writeback_to", self.writeback_to, get_args(WritebackTo))
        check_policy("cram.writeback_policy", self.writeback_policy)
        choice("cram", "budget_owner", self.budget_owner, get_args(BudgetOwner))
        choice("cram", "pressure_law", self.pressure_law, get_args(PressureLaw))
        flag("cram", "balloon", self.balloon)
        set_fields(self, balloon_reserve=share("cram", "balloon_reserve", self.balloon_reserve))
        self._check_marks()
        for name in ("writable_budget_pages", "node_low", "node_high", "report_lag", "flush_period", "reaper_period"):
            set_fields(self, **{name: whole("cram", name, getattr(self, name), 0)})
        set_fields(self, trim_batch_pages=whole("cram", "trim_batch_pages", self.trim_batch_pages, 1))
        self._check_combinations()

    def _check_marks(self) -> None:
        for lower, upper in (("open_at", "close_at"), ("writeback_low", "writeback_high")):
            low, high = share("cram", lower, getattr(self, lower)), share("cram", upper, getattr(self, upper))
            if low > high:
                raise InputError(f"cram.{lower} {low} is above cram.{upper} {high}: put them in order")
            set_fields(self, **{lower: low, upper: high})

    def _check_combinations(self) -> None:
        if self.node_high and not self.node_low:
            raise InputError(f"cram.node_high {self.node_high} needs cram.node_low of at least 1: 0 turns both off")
        if self.node_low and not self.node_low < self.node_high <= self.device_pages:
            raise InputError(
                f"cram.node_low {self.node_low} and cram.node_high {self.node_high} are out of order: "
                f"choose node_low < node_high <= {self.device_pages} device pages, or node_low 0"
            )
        if self.mode == "tier" and self.writable_budget_pages:
            raise InputError(
                f"cram.writable_budget_pages {self.writable_budget_pages} needs mode 'swap': "
                f"in tier mode every write promotes"
            )
        if self.budget_owner == "device" and not self.writable_budget_pages:
            raise InputError("cram.budget_owner 'device' needs cram.writable_budget_pages: what it may grant a report")

    @property
    def device(self) -> Profile:
        """The device profile."""
        return find_profile(self.profile, "cram") if isinstance(self.profile, str) else self.profile

    def bytes_of(self, share: float | Fraction) -> int:
        """Give a share of the media in whole bytes, by floor; of the decimal that was written, not of its float."""
        return int(Fraction(str(share)) * self.media_bytes)

    @property
    def device_pages(self) -> int:
        """Pages the node shows."""
        return (self.advertised_bytes or 0) // PAGE_SIZE


@dataclass(frozen=True)
class Zswap:
    """The compressed pool in DRAM, with the kernel's knobs and defaults.

    Parameters
    ----------
    compressor : str or Profile
        A compressor profile (``vl.profiles()``).
    max_pool_percent : percent of the host's RAM
    accept_threshold_percent : percent of the pool limit
        A full pool takes stores again at or below it.
    writeback : bool
        memory.zswap.writeback: off forbids writeback and, for a page zswap
        refused, the swapfile too.
    store_incompressible : bool
        Keep pages that do not compress as 4096-byte entries (Linux 7.3, while
        writeback is on); off: refuse them (Linux 6.12).
    shrinker_enabled : bool
        Reclaim writes old entries back, at the pool's limit or not; only where
        ``Machine.kernel`` is set.
    max_bytes : bytes
        memory.zswap.max: at it a store first has to write an old entry back,
        and is refused if that fails; None: no limit. Only where
        ``Machine.kernel`` is set.
    """

    compressor: str | Profile = "lz4"  # [choice]; mainline's default is lzo [R]
    max_pool_percent: int = 20  # docs.kernel.org zswap [A]
    accept_threshold_percent: int = 90  # mm/zswap.c [P]
    writeback: bool = True  # cgroup-v2 memory.zswap.writeback [P]
    store_incompressible: bool = True  # Linux 7.3, kernel-truth README fact 5 [measured]
    shrinker_enabled: bool = False  # CONFIG_ZSWAP_SHRINKER_DEFAULT_ON is off in mainline [R]
    max_bytes: int | None = None  # cgroup-v2 memory.zswap.max: no limit by default [P]

    def __post_init__(self) -> None:
        _compressor("zswap", "compressor", self.compressor)
        for name in ("max_pool_percent", "accept_threshold_percent"):
            percent = whole("zswap", name, getattr(self, name), 0)
            if percent > 100:
                raise InputError(f"zswap.{name} must be a percentage of at most 100, got {percent}")
            set_fields(self, **{name: percent})
        if self.max_bytes is not None:
            set_fields(self, max_bytes=whole("zswap", "max_bytes", self.max_bytes, 0))
        for name in ("writeback", "store_incompressible", "shrinker_enabled"):
            flag("zswap", name, getattr(self, name))

    @property
    def profile(self) -> Profile:
        """The compressor profile."""
        return _compressor("zswap", "compressor", self.compressor)


@dataclass(frozen=True)
class Swapfile:
    """One swap device.

    Parameters
    ----------
    capacity_slots : slots of 4096 bytes
    priority : int
        Higher is filled first; equal ones in the order given.
    read_ns : ns
        Latency of reading one page. Nobody waits for a write.
    bandwidth_bytes_per_s : bytes/s
        Adds 4096 / bandwidth to a read.
    page_cluster : int
        vm.page-cluster: a fault reads up to 2**page_cluster pages around its own
        in the program's memory, at most 32, and fewer the fewer of them are
        wanted. Only where a kernel reclaims (``Machine.kernel``) and there is one
        swapfile; 0: no readahead. The kernel's default is 3.
    """

    capacity_slots: int
    priority: int = 0  # [choice]: equal ones in the order given; the kernel counts down from -2 [R]
    read_ns: int = 80_000  # NVMe 4 KiB read at queue depth 1, 70-100 us [R]
    bandwidth_bytes_per_s: int = 3_000_000_000  # [guess]
    page_cluster: int = 0  # [choice]: readahead is modelled only where a kernel reclaims

    def __post_init__(self) -> None:
        capacity = whole("swapfile", "capacity_slots", self.capacity_slots, 1)
        set_fields(self, capacity_slots=capacity, priority=whole("swapfile", "priority", self.priority, -(1 << 31)))
        for name, least, most in (("read_ns", 0, MOST_NS), ("bandwidth_bytes_per_s", 1, MOST_BYTES)):
            set_fields(self, **{name: whole("swapfile", name, getattr(self, name), least, most)})
        set_fields(self, page_cluster=whole("swapfile", "page_cluster", self.page_cluster, 0, 31))

    @property
    def transfer_ns(self) -> int:
        """Time 4096 bytes take on the wire, ns."""
        return PAGE_SIZE * 1_000_000_000 // self.bandwidth_bytes_per_s


@dataclass(frozen=True)
class Zram:
    """A compressed block device in DRAM, used as a swap device.

    All-zero pages never reach it: the swap code catches them first. Other pages
    that repeat one word (the corpus column ``same_filled``) take a slot of it
    and nothing of its pool, and no pass touches them. A page that is loaded gives its slot back at
    once, as the kernel does for synchronous devices (mm/memory.c,
    ``should_try_to_free_swap``).

    Parameters
    ----------
    disksize_bytes : bytes
        What the device shows, uncompressed: 4096 a slot.
    compressor : str or Profile
        A compressor profile (``vl.profiles()``).
    mem_limit_bytes : bytes
        The most its pool may take, zsmalloc's footprint, rounded up to whole
        pages; 0: no limit. A page that does not fit is a failed write: it stays
        where it was.
    priority : int
        As a swapfile's; higher is filled first.
    idle_period : accesses
        How often a script of the administrator runs: what the pass before
        marked idle and nobody loaded since is recompressed, then written back
        if there is a backing device; then every page is marked. 0: never.
    recompressor : str or Profile
        A second compressor for idle pages; None: no recompression.
    backing_slots : pages
        Size of the backing device that pages are written back to; 0: none.
    writeback : {"idle", "huge", "huge-idle"}
        Which pages a pass writes back: idle ones, incompressible ones whatever
        their age, or those that are both.
    writeback_limit : pages
        The most that may be written back in a run; None: no limit.
    backing_read_ns : ns
        Latency of reading one page from the backing device.
    """

    disksize_bytes: int
    compressor: str | Profile = "lzo-rle"  # CONFIG_ZRAM_DEF_COMP of mainline [R]
    mem_limit_bytes: int = 0  # docs.kernel.org zram: off by default [P]
    priority: int = 100  # what zram-generator and most distributions set [R]
    idle_period: int = 0  # docs.kernel.org zram: nothing runs by itself [P]
    recompressor: str | Profile | None = None  # as for the next: none until one is set up [P]
    backing_slots: int = 0
    writeback: ZramWriteback = "idle"  # [choice]
    writeback_limit: int | None = None  # docs.kernel.org zram: off by default [P]
    backing_read_ns: int = 80_000  # as a swapfile's

    def __post_init__(self) -> None:
        _compressor("zram", "compressor", self.compressor)
        if self.recompressor is not None:
            _compressor("zram", "recompressor", self.recompressor)
        for name in ("mem_limit_bytes", "idle_period", "backing_slots"):
            set_fields(self, **{name: whole("zram", name, getattr(self, name), 0)})
        set_fields(
            self,
            disksize_bytes=whole("zram", "disksize_bytes", self.disksize_bytes, PAGE_SIZE),
            priority=whole("zram", "priority", self.priority, -(1 << 31)),
            backing_read_ns=whole("zram", "backing_read_ns", self.backing_read_ns, 0, MOST_NS),
        )
        choice("zram", "writeback", self.writeback, get_args(ZramWriteback))
        if self.writeback_limit is not None:
            set_fields(self, writeback_limit=whole("zram", "writeback_limit", self.writeback_limit, 0))
        if (self.recompressor is not None or self.backing_slots) and not self.idle_period:
            raise InputError("zram.recompressor and zram.backing_slots need zram.idle_period: how often a pass runs")

    @property
    def capacity_slots(self) -> int:
        """Pages the device shows."""
        return self.disksize_bytes // PAGE_SIZE

    @property
    def profile(self) -> Profile:
        """The compressor profile."""
        return _compressor("zram", "compressor", self.compressor)

    @property
    def second_profile(self) -> Profile | None:
        """The profile of recompression, if any."""
        return None if self.recompressor is None else _compressor("zram", "recompressor", self.recompressor)


@dataclass(frozen=True)
class Costs:
    """Time of the events that no device or compressor profile prices, in ns.

    They price what a run counted and change no counter, but of a machine with
    ``kernel``: there they decide how much runs beside the program meanwhile.
    What names no other date was set in November 2026.
    """

    dram_ns: int = 100  # local DRAM, 78-115 ns on the hosts of Pond (ASPLOS 2023) [S]
    fault_ns: int = 1_000  # page fault without I/O, entry to exit [guess]
    zero_fill_ns: int = 250  # clear 4 KiB at about 16 GB/s [guess]
    victim_ns: int = 500  # reclaim work on one victim: rmap walk, unmap [guess]
    io_cpu_ns: int = 3_000  # CPU time to submit and complete one block request [guess]
    pte_visit_ns: int = 2  # look at one page-table entry in a scan: 8 of them share a cache line [guess]
    slot_visit_ns: int = 2  # look at one entry of a virtual table in a scan, likewise [guess]
    rmap_visit_ns: int = 100  # follow one physical slot to its virtual one: a cache miss [guess]
    swap_write_ns: int = 20_000  # until a write to a swap device has ended; NVMe buffered, 10-30 us (facts 9) [U]
    zswap_try_ns: int = 1_000  # one try of zswap's worker, besides what it moves [guess]
    zswap_rotate_ns: int = 20  # give an entry of the pool its second chance [guess]
    zswap_writeback_ns: int = 8_000  # decompress an entry and submit its write [guess]
    context_switch_ns: int = 2_000  # to another task and back [guess]
    cram_loaded: bool = False  # price CRAM reads at the profile's loaded latency

    def __post_init__(self) -> None:
        for name in [f.name for f in fields(self) if f.name.endswith("_ns")]:
            set_fields(self, **{name: whole("costs", name, getattr(self, name), 0, MOST_NS)})
        flag("costs", "cram_loaded", self.cram_loaded)


@dataclass(frozen=True)
class Machine:
    """A whole machine: tiers, layer and cost table.

    Parameters
    ----------
    dram : Dram
    cram, zswap : optional
        None: the machine has no such tier.
    swapfiles : sequence of Swapfile
        May be empty.
    zram : optional
        A swap device too: alone, or before or behind the swapfiles by priority.
    swap_max_slots : slots
        memory.swap.max; None: no limit.
    layer : {"none", "vswap", "swap-table"}
        Who owns the names. With a layer only a page on a swapfile holds a
        slot; with ``none`` every swapped page does, in zswap, CRAM behind swap
        entries or all zero, and a full device stops them all.
    costs : Costs
    kernel : optional
        Reclaim as a Linux version does it; None: by ``dram.policy``. It needs
        ``layer`` "none" or "swap-table"; ``vl.linux`` makes such a machine.
        CRAM is then a tier without balloon, report lag, flush period or
        writeback by media.
    tiers : mapping
        Swap tiers: name to the lowest and highest priority of its devices. They
        must not overlap; a device may be in none.
    tiers_max : mapping
        memory.swap.tiers.max of the group: tier to 0, its devices may not be
        used, or "max", the default.
    stores : sequence of Store
        Tiers of plug-ins, in the order in which a page is offered to them.
    """

    dram: Dram
    cram: Cram | None = None
    zswap: Zswap | None = None
    swapfiles: Sequence[Swapfile] = ()
    layer: Layer = "vswap"  # founding mail, 24 April 2026 [P]
    costs: Costs = field(default_factory=Costs)
    swap_max_slots: int | None = None
    zram: Zram | None = None
    kernel: Kernel | None = None
    tiers: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    tiers_max: Mapping[str, int | str] = field(default_factory=dict)
    stores: Sequence[Store] = ()

    def __post_init__(self) -> None:
        self._check_parts()
        self._check_devices()
        choice("machine", "layer", self.layer, get_args(Layer))
        if self.swap_max_slots is not None:
            set_fields(self, swap_max_slots=whole("machine", "swap_max_slots", self.swap_max_slots, 0))
        set_fields(self, tiers=swap_tiers(self.tiers), tiers_max=swap_tiers_max(self.tiers_max, self.tiers))
        self._check_page_cluster()
        if self.kernel is None:
            self._check_without_kernel()
        else:
            self._check_with_kernel(self.kernel)

    def _check_parts(self) -> None:
        parts: tuple[tuple[str, type, bool], ...] = (
            ("dram", Dram, False),
            ("cram", Cram, True),
            ("zswap", Zswap, True),
            ("zram", Zram, True),
            ("kernel", Kernel, True),
            ("costs", Costs, False),
        )
        for name, kind, may_lack in parts:
            part = getattr(self, name)
            if not isinstance(part, kind) and not (part is None and may_lack):
                raise InputError(f"machine.{name} must be a vl.{kind.__name__}, got {shown(part)}")

    def _check_devices(self) -> None:
        is_list = isinstance(self.swapfiles, Sequence) and not isinstance(self.swapfiles, str)
        if not is_list or not all(isinstance(s, Swapfile) for s in self.swapfiles):
            raise InputError(f"machine.swapfiles must be a list of vl.Swapfile, got {shown(self.swapfiles)}")
        if len(self.swapfiles) >= 30:  # MAX_SWAPFILES is 23..29 by configuration
            raise InputError(f"machine.swapfiles has {len(self.swapfiles)} devices: Linux allows fewer than 30")
        if not isinstance(self.stores, Sequence) or isinstance(self.stores, str):
            raise InputError(f"machine.stores must be a list of vl.Store subclasses' objects, got {shown(self.stores)}")
        set_fields(self, swapfiles=tuple(self.swapfiles), stores=tuple(self.stores))
        check_stores(tuple(self.stores))

    def _check_page_cluster(self) -> None:
        reads_ahead = [device.page_cluster for device in self.swapfiles if device.page_cluster]
        if reads_ahead and (self.kernel is None or len(self.swapfiles) > 1):
            raise InputError(
                f"swapfile.page_cluster {reads_ahead[0]}: readahead is modelled only where a kernel reclaims and there "
                "is one swapfile: set kernel too (vl.linux), or leave page_cluster at 0"
            )

    def _check_without_kernel(self) -> None:
        if self.zswap is not None and self.zswap.shrinker_enabled:
            raise InputError("zswap.shrinker_enabled true is modelled only where a kernel reclaims: set kernel too")
        if self.zswap is not None and self.zswap.max_bytes is not None:
            raise InputError(
                f"zswap.max_bytes {self.zswap.max_bytes} is modelled only where a kernel reclaims: set kernel too"
            )

    def _check_with_kernel(self, kernel: Kernel) -> None:
        if self.zram is not None:
            raise InputError("machine.kernel does not model zram: leave one of the two out")
        if self.stores:
            raise InputError("machine.kernel does not model stores of plug-ins: leave one of the two out")
        if self.dram.policy != "lru":
            raise InputError(
                f"machine.kernel has lists of its own: leave out kernel, or dram.policy {self.dram.policy!r}"
            )
        if self.layer == "vswap":
            raise InputError(f"machine.kernel needs the layer 'none' or 'swap-table', got {shown(self.layer)}")
        if kernel.lru_gen and self.cram is not None:
            raise InputError(
                "kernel.lru_gen true is not modelled of a machine with a CRAM node: leave one of the two out"
            )
        if self.cram is not None:
            check_node(self.cram)

    def to_dict(self) -> dict[str, object]:
        """Everything that defines the machine, ready for JSON; profiles in full."""
        tables = asdict(replace(self, stores=()))
        if self.stores:
            tables["stores"] = [store_fields(store) for store in self.stores]
        else:
            del tables["stores"]
        if self.cram is not None:
            tables["cram"]["profile"] = asdict(self.cram.device)
        if self.zswap is not None:
            tables["zswap"]["compressor"] = asdict(self.zswap.profile)
        if self.zram is not None:
            second = self.zram.second_profile
            tables["zram"]["compressor"] = asdict(self.zram.profile)
            tables["zram"]["recompressor"] = None if second is None else asdict(second)
        tables["swapfiles"] = list(tables["swapfiles"])
        tables["tiers"] = {name: list(span) for name, span in tables["tiers"].items()}
        return tables

    def may_use(self, device: Swapfile | Zram) -> bool:
        """Say whether the group's swap tiers let it use a device."""
        return not any(
            self.tiers_max.get(name) == 0 and low <= device.priority <= high for name, (low, high) in self.tiers.items()
        )

    @property
    def swap_devices(self) -> tuple[Swapfile | Zram, ...]:
        """Every swap device, in the order in which tables number them: the swapfiles, then zram."""
        return (*self.swapfiles, *(() if self.zram is None else (self.zram,)))

    @property
    def policies(self) -> dict[str, str]:
        """What decides which page leaves DRAM, and the CRAM device if there is one: setting to policy."""
        of_cram = {} if self.cram is None else {"cram.writeback_policy": self.cram.writeback_policy}
        return {"dram.policy": self.dram.policy, **of_cram}


def check_machine(machine: object) -> None:
    """Check that it is a machine."""
    if not isinstance(machine, Machine):
        raise InputError(
            f"machine must be a vl.Machine, got {shown(machine)}: make one, or take vl.preset(name, n_pages)"
        )


def _build(kind: type, owner: str, table: object) -> object:
    if not isinstance(table, Mapping):
        raise InputError(f"{owner} must be a table of settings, got {shown(table)}")
    known = [f.name for f in fields(kind)]
    for name in table:
        if name not in known:
            raise InputError(f"{owner}.{name} is not a setting: choose from {', '.join(known)}")
    values = dict(table)
    for name in ("profile", "compressor", "recompressor"):
        if isinstance(values.get(name), Mapping):
            values[name] = _build(Profile, f"{owner}.{name}", values[name])
    try:
        return kind(**values)
    except TypeError:
        sizes = ("capacity_pages", "media_bytes", "capacity_slots", "disksize_bytes", "capacity_bytes")
        missing = [f for f in sizes if f in known and f not in values]
        raise InputError(f"{owner} needs {', '.join(missing) or 'more settings'}: add it") from None


def _list_of_tables(name: str, table: object) -> Sequence[object]:
    if not isinstance(table, Sequence) or isinstance(table, str):
        raise InputError(f"{name} must be a list of tables ([[{name}]] in TOML), got {shown(table)}")
    return table


def _build_store(table: object) -> object:
    if not isinstance(table, Mapping) or "kind" not in table:
        raise InputError(f"stores must be tables with a kind, the name of a plug-in's tier, got {shown(table)}")
    kind = store_class(table["kind"])
    return _build(kind, kind.name, {name: value for name, value in table.items() if name != "kind"})


def machine_from_dict(tables: Mapping[str, object]) -> Machine:
    """Build a machine from nested tables, as ``to_dict`` or a TOML file give them.

    Sizes are numbers here; those with a unit, such as ``"64MiB"``, are read by
    ``vswaplab.machine.presets.load_machine``.

    Raises
    ------
    InputError
        An unknown table or setting, a missing size, a value out of range.
    """
    if not isinstance(tables, Mapping):
        raise InputError(f"a machine must be a table of dram, cram, zswap..., got {shown(tables)}")
    parts = {"dram": Dram, "cram": Cram, "zswap": Zswap, "zram": Zram, "costs": Costs, "kernel": Kernel}
    known = [f.name for f in fields(Machine)]
    values: dict[str, object] = {}
    for name, table in tables.items():
        if name not in known:
            raise InputError(f"{name} is not a part of a machine: choose from {', '.join(known)}")
        if name == "swapfiles":
            values[name] = [_build(Swapfile, "swapfile", item) for item in _list_of_tables(name, table)]
        elif name == "stores":
            values[name] = [_build_store(item) for item in _list_of_tables(name, table)]
        else:
            values[name] = _build(parts[name], name, table) if name in parts and table is not None else table
    if "dram" not in values:
        raise InputError("a machine needs a dram table: add [dram] with capacity_pages")
    return Machine(**values)  # type: ignore[arg-type]  # each part is checked in __post_init__
