"""From what a box shows to a machine that starts from it; every setting says how it came to be known."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import polars as pl

from vswaplab.base.checks import text_of
from vswaplab.base.errors import InputError
from vswaplab.base.units import PAGE_SIZE
from vswaplab.boxes.box import Box, chosen, whole
from vswaplab.boxes.contents import PoolContents, mm_stat, zram_contents, zswap_contents
from vswaplab.machine.config import Machine, Swapfile, machine_from_dict
from vswaplab.machine.linux import watermarks
from vswaplab.machine.profiles import find_profile
from vswaplab.machine.scale import scaled
from vswaplab.trace.corpus import Corpus

Evidence = Literal["seen", "derived", "ASSUMED"]
"""Read from the box; computed from what was read; not known, a stand-in."""

STAND_INS = {"lz4hc": "lz4", "deflate": "deflate-iaa-dynamic", "842": "lzo"}
"""Kernel compressors without a profile, and the nearest that has one."""

COUNTERS = ("pswpin", "pswpout", "zswpin", "zswpout", "zswpwb", "swpin_zero", "swpout_zero", "workingset_refault_anon",
            "pgmajfault", "pgsteal_kswapd", "pgsteal_direct", "swap_ra", "swap_ra_hit")  # fmt: skip
"""Of /proc/vmstat: what the box did since it was booted."""

_DEBUGFS = ("pool_limit_hit", "reject_compress_poor", "reject_alloc_fail", "written_back_pages", "stored_pages",
            "stored_incompressible_pages", "pool_total_size")  # fmt: skip
_ZRAM = re.compile(r"/zram\d+$")
_PSI = re.compile(r"(some|full) avg10=(\d+\.\d\d) avg60=(\d+\.\d\d) avg300=(\d+\.\d\d) total=(\d{1,20})")
_MEMINFO = ("MemTotal", "MemAvailable", "AnonPages", "Zswap", "Zswapped")
_GROUPS = "sys/fs/cgroup"
_KIB = 1024
_GIB = 1 << 30


@dataclass(frozen=True)
class Setting:
    """One setting of a machine."""

    part: str
    """Table of the machine file; empty: at its top."""
    name: str
    value: int | float | bool | str
    evidence: Evidence
    why: str


@dataclass
class Calibration:
    """What a box says of itself.

    Parameters
    ----------
    settings : list of Setting
        What is not in it has the package's default.
    seen : dict
        Counters and pressures of the box, to hold a run against: name to value.
    notes : list of str
        What the box has and the model lacks, and what could not be read.
    contents : PoolContents, optional
        What the fullest pool holds.
    compressor : str, optional
        Profile of that pool.
    demand_pages : pages
        Anonymous pages of the box, in DRAM and out of it; 0: not known.
    """

    settings: list[Setting] = field(default_factory=list)
    seen: dict[str, int | float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    contents: PoolContents | None = None
    compressor: str | None = None
    demand_pages: int = 0

    @property
    def machine(self) -> Machine:
        """The machine."""
        return machine_from_dict(self._tables())

    @property
    def table(self) -> pl.DataFrame:
        """One row a setting: ``part``, ``name``, ``value`` (as text), ``evidence``, ``why``."""
        rows = [(s.part, s.name, _toml(s.value), s.evidence, s.why) for s in self.settings]
        return pl.DataFrame(rows, schema=["part", "name", "value", "evidence", "why"], orient="row")

    def corpus(self, *, n_regions: int = 64, seed: int = 0) -> Corpus:
        """Make up contents that compress as those of the fullest pool do.

        Raises
        ------
        InputError
            The box has none, or does not tell.
        """
        if self.contents is None or self.compressor is None:
            raise InputError("the box shows no pool with pages in it: measure pages themselves, vswaplab measure --pid")
        return self.contents.corpus(self.compressor, n_regions=n_regions, seed=seed)

    def scaled(self, n_pages: int) -> Calibration:
        """Make the box small, so that a workload of so many pages is to it what its own is to the real one.

        Raises
        ------
        InputError
            The box does not tell what its own workload is.
        """
        if not self.demand_pages:
            raise InputError("how many anonymous pages the box has is not known: copy /proc/meminfo of it too")
        share = n_pages / self.demand_pages
        tables = scaled(self.machine, share).to_dict()
        return replace(self, settings=[_times(setting, tables, share) for setting in self.settings])

    def toml(self, source: str) -> str:
        """Write the machine file: every setting with how it is known, what was seen in comments at the top."""
        lines = [f"{HEAD} {_plain(source)}", "# seen: read there; derived: computed from that; ASSUMED: not known."]
        lines += [f"# {_plain(text)}" for text in (*contents_words(self.contents), *self.notes)]
        if self.seen:
            lines.append("# Counted there (since boot; PSI in percent and microseconds):")
            lines += [f"#   {_plain(name)} {value}" for name, value in self.seen.items()]
        lines += [""]
        part = ""
        for setting in sorted(self.settings, key=lambda s: s.part != ""):  # what stands at the top comes first
            if setting.part != part:
                part = setting.part
                header = f"[[{_base(part)}]]" if _base(part) == "swapfiles" else f"[{part}]"
                lines += ["", header]
            lines.append(f"{setting.name} = {_toml(setting.value)}  # {setting.evidence}: {_plain(setting.why)}")
        return "\n".join(lines) + "\n"

    def _tables(self) -> dict[str, Any]:
        tables: dict[str, Any] = {}
        for setting in self.settings:
            if not setting.part:
                tables[setting.name] = setting.value
            else:
                tables.setdefault(setting.part, {})[setting.name] = setting.value
        devices = [tables.pop(part) for part in list(tables) if _base(part) == "swapfiles"]
        return tables | ({"swapfiles": devices} if devices else {})


HEAD = "# A machine that starts from what a Linux box showed; made by `vswaplab calibrate` from"


def calibrate(folder: str | Path = "/", *, cgroup: str | None = None) -> Calibration:
    """Read what a running Linux box shows, and make a machine that starts from it.

    Parameters
    ----------
    folder : path
        ``/``: this box. Else a folder with copies of files of a box, under
        their full names or the last parts of them: one file is enough.
    cgroup
        A memory group below /sys/fs/cgroup: its limits are the machine's.

    Returns
    -------
    calibration : Calibration

    Raises
    ------
    InputError
        No such folder or group, nothing in it that tells anything, a file that
        is no copy of what a kernel wrote.
    """
    group = None if cgroup is None else text_of("cgroup", cgroup)
    return _Reading(Box(folder), group).calibration()


class _Reading:
    # One look at a box.

    def __init__(self, box: Box, cgroup: str | None) -> None:
        self.box, self.found = box, Calibration()
        self.meminfo = box.table("proc/meminfo", _MEMINFO)
        self.group = None if cgroup is None else f"{_GROUPS}/{cgroup.strip('/')}".rstrip("/")
        if self.group is not None and box.text(f"{self.group}/memory.max") is None:
            place = box.root / self.group / "memory.max"
            raise InputError(f"no memory group {cgroup!r}: {place} is not there; name one below {box.root / _GROUPS}")
        self.pool_bytes = 0  # of zram and zswap, in DRAM
        self.stored_pages = 0
        self.pools: list[tuple[PoolContents, str]] = []

    def calibration(self) -> Calibration:
        self._layer()
        self._zram()
        self._swapfiles()
        self._zswap()
        dram = self._dram()
        self._counters()
        self.found.settings[:0] = dram
        self.found.demand_pages = self._demand()
        if self.pools:
            self.found.contents, self.found.compressor = max(self.pools, key=lambda pool: pool[0].pages)
        self.found.notes += [f"could not be read (as root it can): {name}" for name in dict.fromkeys(self.box.locked)]
        return self.found

    def _put(self, part: str, name: str, value: int | float | bool | str, evidence: Evidence, why: str) -> None:
        self.found.settings.append(Setting(part, name, value, evidence, why))

    # The layer of names ----------------------------------------------------------------------

    def _layer(self) -> None:
        if self.box.text("sys/kernel/debug/vswap/used") is not None:
            self._put("", "layer", "vswap", "seen", "/sys/kernel/debug/vswap is there")
            return
        found = re.search(r"Linux version (\d+\.\d+\S*)", self.box.text("proc/version") or "")
        if found:
            why = f"Linux {found[1]}: no released kernel has a virtual swap layer"
            self._put("", "layer", "none", "derived", why)
        else:
            self._put("", "layer", "none", "ASSUMED", "no released kernel has a virtual swap layer")

    # DRAM ------------------------------------------------------------------------------------

    def _dram(self) -> list[Setting]:
        before = len(self.found.settings)
        total_kib = self.meminfo.get("MemTotal")
        limit = None if self.group is None else self.box.number(f"{self.group}/memory.max")
        if limit is not None and limit < PAGE_SIZE:
            raise InputError(f"/{self.group}/memory.max is {limit}: less than a page")
        if limit is not None:
            self._under_limit(limit, total_kib)
        elif total_kib:
            self._whole_box(total_kib * _KIB // PAGE_SIZE)
        elif self.stored_pages:
            guess = 2 * self.stored_pages
            why = "no meminfo: twice what its pools and swap devices hold; set it to what the box has"
            self._put("dram", "capacity_pages", guess, "ASSUMED", why)
            self._put("dram", "charge", "host", "derived", "the whole box: pools are in its RAM")
        else:
            raise InputError(
                f"{self.box.root} holds nothing that tells of a machine: copy /proc/meminfo, /proc/swaps, "
                f"/proc/vmstat, /sys/block/zram0/mm_stat and /sys/module/zswap/parameters into it"
            )
        settings, self.found.settings[before:] = self.found.settings[before:], []
        return settings

    def _under_limit(self, limit: int, total_kib: int | None) -> None:
        self._put("dram", "capacity_pages", limit // PAGE_SIZE, "seen", f"/{self.group}/memory.max {limit}")
        if total_kib:
            why = f"/proc/meminfo MemTotal {total_kib} kB"
            self._put("dram", "total_pages", total_kib * _KIB // PAGE_SIZE, "seen", why)
        self._put("dram", "charge", "memcg", "derived", "a group's memory.max counts compressed lengths")

    def _whole_box(self, total: int) -> None:
        self._put("dram", "capacity_pages", *self._capacity(total))
        self._put("dram", "total_pages", total, "seen", f"/proc/meminfo MemTotal {self.meminfo['MemTotal']} kB")
        self._put("dram", "charge", "host", "derived", "the whole box: pools are in its RAM")
        capacity = self.found.settings[-3].value
        assert isinstance(capacity, int)
        low, high, evidence, why = self._watermarks(total)
        high = max(1, min(high, capacity))
        self._put("dram", "low", min(low, high - 1), evidence, why)
        self._put("dram", "high", high, evidence, why)

    def _capacity(self, total: int) -> tuple[int, Evidence, str]:
        kib = [self.meminfo.get(name) for name in ("AnonPages", "MemAvailable")]
        if None in kib:
            return total, "ASSUMED", "all of MemTotal: what kernel and files take is not known (no MemAvailable)"
        used = sum(n for n in kib if n is not None) * _KIB + self.pool_bytes
        why = "AnonPages + MemAvailable + what pools take: the rest is the kernel's and locked files'"
        return max(1, min(total, used // PAGE_SIZE)), "derived", why

    def _watermarks(self, total: int) -> tuple[int, int, Evidence, str]:
        zones = self.box.text("proc/zoneinfo") or ""
        sums = {name: sum(map(int, re.findall(rf"^ +{name} +(\d{{1,15}})$", zones, re.M))) for name in ("low", "high")}
        if 0 < sums["low"] < sums["high"]:
            return sums["low"], sums["high"], "seen", "/proc/zoneinfo, all zones"
        kib = self.box.number("proc/sys/vm/min_free_kbytes")
        if kib is not None and kib >= 16:
            least = kib * _KIB // PAGE_SIZE
            return (
                least * 5 // 4,
                least * 3 // 2,
                "derived",
                f"min_free_kbytes {kib}, low a quarter and high a half above",
            )
        return *watermarks(total, total), "derived", "from MemTotal, as the kernel does (__setup_per_zone_wmarks)"

    def _demand(self) -> int:
        if self.group is not None:
            out = self.box.number(f"{self.group}/memory.swap.current")
            stat = self.box.table(f"{self.group}/memory.stat", ("anon", "zswapped"))
            away = stat.get("zswapped", 0) if out is None else out
            return (stat["anon"] + away) // PAGE_SIZE if "anon" in stat else 0
        if "AnonPages" in self.meminfo:
            return self.meminfo["AnonPages"] * _KIB // PAGE_SIZE + self.stored_pages
        if not self.stored_pages:
            return 0
        capacity = self._value("dram", "capacity_pages")  # as if the rest of it were full of anonymous pages
        assert isinstance(capacity, int)
        return capacity - self.pool_bytes // PAGE_SIZE + self.stored_pages

    # Swap devices ----------------------------------------------------------------------------

    def _swaps(self) -> list[tuple[str, int, int, int]]:
        # Name, KiB, KiB in use, priority of each line of /proc/swaps.
        found = []
        for line in (self.box.text("proc/swaps") or "").split("\n")[1:]:
            words = line.split()
            if not words:
                continue
            if len(words) < 5 or not re.fullmatch(r"-?\d{1,9}", words[-1]):
                raise InputError(f"/proc/swaps has the line {line[:80]!r}: expected name, type, size, used, priority")
            size, used = (whole("/proc/swaps", word) for word in words[-3:-1])
            if size * _KIB < PAGE_SIZE:
                raise InputError(f"/proc/swaps: {words[0][:80]} has {size} KiB: less than a page")
            found.append((words[0], size, used, int(words[-1])))
        return found

    def _swapfiles(self) -> None:
        devices = [row for row in self._swaps() if not _ZRAM.search(row[0])]
        for k, (name, size, used, priority) in enumerate(devices):
            part = f"swapfiles.{k}"
            self._put(part, "capacity_slots", size * _KIB // PAGE_SIZE, "seen", f"/proc/swaps {name} {size} KiB")
            self._put(part, "priority", priority, "seen", "/proc/swaps")
            why = f"the default, an NVMe drive; measure {name} with fio --rw=randread --bs=4k --iodepth=1"
            self._put(part, "read_ns", Swapfile(1).read_ns, "ASSUMED", why)
            self.stored_pages += used * _KIB // PAGE_SIZE
        if self._swaps() and self.group is not None:
            most = self.box.number(f"{self.group}/memory.swap.max")
            if most is not None:
                where = f"/{self.group}/memory.swap.max {most}"
                self.found.settings.insert(0, Setting("", "swap_max_slots", most // PAGE_SIZE, "seen", where))

    # Compressed pools ------------------------------------------------------------------------

    def _zram(self) -> None:
        stats = {}
        for name in self.box.zram_devices():
            where = f"sys/block/{name}/mm_stat"
            stats[name] = mm_stat(f"/{where}", self.box.text(where) or "")
        swaps = {row[0].rpartition("/")[2]: row for row in self._swaps() if _ZRAM.search(row[0])}
        used = sorted(swaps) or [name for name in stats if any(stats[name].values())]
        if not used:
            return
        held = {name: stats[name]["orig_data_size"] if name in stats else swaps[name][2] * _KIB for name in used}
        name = max(used, key=held.__getitem__)
        if len(used) > 1:
            self.found.notes.append(f"has {len(used)} zram devices: the model has one, here the fullest, {name}")
        self.stored_pages += held[name] // PAGE_SIZE
        self._zram_device(name, stats.get(name), swaps.get(name))

    def _zram_device(self, device: str, stat: dict[str, int] | None, swap: tuple[str, int, int, int] | None) -> None:
        folder = f"sys/block/{device}"
        self._put("zram", "disksize_bytes", *self._disksize(folder, stat, swap))
        algorithm = self.box.text(f"{folder}/comp_algorithm")
        self._compressor(
            "zram", None if algorithm is None else chosen(algorithm), f"/{folder}/comp_algorithm", "lzo-rle"
        )
        if stat is not None and stat["mem_limit"]:
            self._put("zram", "mem_limit_bytes", stat["mem_limit"], "seen", f"/{folder}/mm_stat")
        if swap is not None:
            self._put("zram", "priority", swap[3], "seen", "/proc/swaps")
        else:
            self._put("zram", "priority", 100, "ASSUMED", "what zram-generator and most distributions set")
        self._zram_extras(folder)
        if stat is None:
            self.found.notes.append(
                f"has {device} in /proc/swaps and no mm_stat of it: what its pages take of DRAM is not known and "
                f"counts as nothing; copy /{folder}/mm_stat too"
            )
            return
        self.pool_bytes += stat["mem_used_total"]
        contents = zram_contents(f"/{folder}/mm_stat", stat)
        if contents is not None:
            self.pools.append((contents, str(self._value("zram", "compressor"))))

    def _disksize(
        self, folder: str, stat: dict[str, int] | None, swap: tuple[str, int, int, int] | None
    ) -> tuple[int, Evidence, str]:
        size = self.box.number(f"{folder}/disksize")
        if size is not None and size >= PAGE_SIZE:
            return size, "seen", f"/{folder}/disksize"
        if swap is not None:
            return swap[1] * _KIB, "seen", f"/proc/swaps {swap[0]} {swap[1]} KiB"
        assert stat is not None  # one of the two told of the device
        peak = stat["orig_data_size"] * stat["mem_used_max"] // max(1, stat["mem_used_total"])
        least = max(1, -(-max(peak, stat["orig_data_size"]) // _GIB)) * _GIB
        return least, "ASSUMED", "whole GiB that its pages have needed; it may be larger"

    def _zram_extras(self, folder: str) -> None:
        if "#" in (self.box.text(f"{folder}/recomp_algorithm") or ""):
            self.found.notes.append("recompresses on zram when a script says so: left out (zram.recompressor)")
        if (self.box.text(f"{folder}/backing_dev") or "none").strip() != "none":
            self.found.notes.append("writes zram pages back when a script says so: left out (zram.backing_slots)")

    def _zswap(self) -> None:
        folder = "sys/module/zswap/parameters"
        enabled = self.box.text(f"{folder}/enabled")
        contents = zswap_contents(self.box, self.meminfo, self.group)
        if enabled is None and contents is None:
            return
        if enabled is not None and enabled.strip().upper() not in ("Y", "1"):
            return
        algorithm = self.box.text(f"{folder}/compressor")
        name = None if algorithm is None else algorithm.strip()
        self._compressor("zswap", name, f"/{folder}/compressor", "lzo")
        for percent in ("max_pool_percent", "accept_threshold_percent"):
            value = self.box.number(f"{folder}/{percent}")
            if value is not None:
                self._put("zswap", percent, value, "seen", f"/{folder}/{percent}")
        self._zswap_extras(folder)
        if contents is not None:
            self.pools.append((contents, str(self._value("zswap", "compressor"))))
            self.pool_bytes += contents.pool_bytes
            self.stored_pages += contents.pages

    def _zswap_extras(self, folder: str) -> None:
        if (self.box.text(f"{folder}/shrinker_enabled") or "").strip().upper() in ("Y", "1"):
            self.found.notes.append("runs zswap's shrinker, which is modelled only with Machine.kernel: left out")
        writeback = None if self.group is None else self.box.number(f"{self.group}/memory.zswap.writeback")
        if writeback is not None:
            self._put("zswap", "writeback", bool(writeback), "seen", f"/{self.group}/memory.zswap.writeback")
        if self.group is not None and self.box.number(f"{self.group}/memory.zswap.max") is not None:
            self.found.notes.append("has memory.zswap.max, which is modelled only with Machine.kernel: left out")
        if self.box.text("sys/kernel/debug/zswap/stored_incompressible_pages") is not None:
            self._put("zswap", "store_incompressible", True, "seen", "debugfs counts stored_incompressible_pages")

    def _compressor(self, part: str, name: str | None, where: str, default: str) -> None:
        if name is None or not name:
            self._put(part, "compressor", default, "ASSUMED", f"the kernel's default; {where} was not there")
            return
        try:
            find_profile(name, "compressor")
        except InputError:
            stand_in = STAND_INS.get(name, default)
            why = f"the box uses {name}, of which there is no profile; add one ([[profile]] in a TOML file)"
            self._put(part, "compressor", stand_in, "ASSUMED", why)
            return
        self._put(part, "compressor", name, "seen", where)

    def _value(self, part: str, name: str) -> int | float | bool | str:
        return next(s.value for s in self.found.settings if (s.part, s.name) == (part, name))

    # What it did -----------------------------------------------------------------------------

    def _counters(self) -> None:
        seen = self.found.seen
        seen |= self.box.table("proc/vmstat", COUNTERS)
        for name in _DEBUGFS:
            value = self.box.number(f"sys/kernel/debug/zswap/{name}")
            if value is not None:
                seen[f"zswap/{name}"] = value
        for name in ("page-cluster", "swappiness"):
            value = self.box.number(f"proc/sys/vm/{name}")
            if value is not None:
                seen[f"vm.{name}"] = value
        if seen.get("vm.page-cluster"):
            cluster = seen["vm.page-cluster"]
            self.found.notes.append(f"reads ahead (vm.page-cluster {cluster}): the model does only with vl.linux")
        pressure = "proc/pressure/memory" if self.group is None else f"{self.group}/memory.pressure"
        seen |= psi(f"/{pressure}", self.box.text(pressure) or "")


def psi(where: str, text: str) -> dict[str, int | float]:
    """Read a PSI file.

    Raises
    ------
    InputError
        A line that no kernel wrote.

    Examples
    --------
    >>> psi("memory", "some avg10=0.00 avg60=1.50 avg300=0.20 total=7")["psi some avg60"]
    1.5
    """
    found: dict[str, int | float] = {}
    for line in text.split("\n"):
        match = _PSI.fullmatch(line)
        if not line:
            continue
        if match is None:
            raise InputError(f"{where} has the line {line[:80]!r}: expected some avg10=... total=...; copy it again")
        found |= {f"psi {match[1]} avg{span}": float(match[k]) for k, span in ((2, 10), (3, 60), (4, 300))}
        found[f"psi {match[1]} total"] = int(match[5])
    return found


def contents_words(contents: PoolContents | None) -> list[str]:
    """Say in lines what a pool holds."""
    if contents is None:
        return []
    lines = [f"Contents ({contents.source}): {contents.pages:,} pages in a pool"]
    if contents.total_ratio is not None and contents.allocator_overhead is not None:
        lines.append(
            f"  total ratio {contents.total_ratio:.2f} by compressed bytes, {contents.pool_ratio:.2f} with the "
            f"allocator's {contents.allocator_overhead:.1%}"
        )
    else:
        lines.append(f"  total ratio {contents.pool_ratio:.2f} with the allocator's share; zswap tells no more")
    lines.append(f"  same-filled {contents.same_filled:.1%}, incompressible {contents.incompressible:.1%}")
    return [*lines, "  in Python, vl.calibrate(...).corpus() makes up contents like these"]


def _times(setting: Setting, tables: dict[str, Any], share: float) -> Setting:
    if not setting.name.endswith(("_pages", "_slots", "_bytes")) and setting.name not in ("low", "high"):
        return setting
    base, _, number = setting.part.partition(".")
    table = tables[base][int(number)] if number else tables[base] if base else tables
    return replace(setting, value=table[setting.name], why=f"{setting.why}; here times {share:.3g}")


def _base(part: str) -> str:
    return part.partition(".")[0]


def _toml(value: int | float | bool | str) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return json.dumps(value) if isinstance(value, str) else str(value)


def _plain(text: str) -> str:
    # A name in a file of the box may hold anything; a comment ends at a line's end, and knows no control characters.
    return "".join(c if c.isprintable() else "?" for c in text)
