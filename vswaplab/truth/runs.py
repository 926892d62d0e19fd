"""One run of a real kernel: what it was set to, and what it counted."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vswaplab.base.errors import InputError
from vswaplab.base.units import PAGE_SIZE
from vswaplab.truth.traces import TraceSettings

Kind = Literal["zswap", "vswap", "cram"]


@dataclass(frozen=True)
class ContentClass:
    """Pages of one kind of content: random bytes, then zeros."""

    percent: int
    """Share of the pages."""
    random_bytes: int
    """Bytes of a page that are random; 0: all zero, 4096: does not compress."""


@dataclass(frozen=True)
class CramGuest:
    """The two memory nodes of a CRAM guest."""

    dram_mib: float
    cram_mib: int
    """0: the machine has no CRAM node."""
    pressure: int
    """What the node's driver reports, 0 to 1000."""


@dataclass(frozen=True, eq=False)
class TruthRun:
    """A run of a real kernel.

    Parameters
    ----------
    name, config : str
        ``config`` is the same for all repetitions.
    rep : int
    kind : {"zswap", "vswap", "cram"}
        Of the folder's format: ``vswap`` folders say of each run whether the
        kernel had the layer.
    kernel : str
    vcpus : int
    guest_ram_mib : MiB
    total_ram_pages : pages
        MemTotal, of which ``max_pool_percent`` is a percentage.
    trace : TraceSettings
    trace_sha256 : str
        Of the accesses; None if the folder does not say.
    classes : tuple of ContentClass
    seed_class : int
    seed_content : int
        Of the random bytes themselves.
    epoch_accesses : accesses
        Between two snapshots.
    zswap : mapping
        Compressor, percentages and whether the dynamic shrinker was on, under
        the kernel's names; None: off.
    memory_max, swap_max, zswap_max : bytes
        Of the memory cgroup; None: no limit.
    zswap_writeback : bool
        memory.zswap.writeback.
    swap_device_mib : MiB
        0: no swap device.
    lru_gen, swappiness, page_cluster : int
        As the kernel read them back.
    has_vswap : bool
    swapoff : str
        When the device was taken away, in words; None: never.
    kill : mapping
        What the kernel reported at an OOM kill of the workload, KiB and bytes
        by their names; None: the run was completed.
    cram : CramGuest
        Of a ``cram`` run, else None.
    epochs : polars.DataFrame
        One row per snapshot, the kernel's counters since boot: ``row`` is
        ``start`` (before the fill), ``fill`` (after it), ``epoch`` or later.
    code : (n_acc,) uint8
        Outcome of every access: 0 no fault, 1 minor fault, 2 loaded without
        input, 3 read from disk. None if the folder did not keep them.
    swapoff_counts : mapping
        What was found before and after the device was taken away; else None.
    lengths : tuple
        (n_classes,) bytes that the kernel stored of a page of each class; None:
        measured nowhere.
    noise : mapping
        Counter to its least and most over repetitions, as ``noise.csv`` has
        them: of those that are not in the folder too.
    """

    name: str
    config: str
    rep: int
    kind: Kind
    kernel: str
    vcpus: int
    guest_ram_mib: int
    total_ram_pages: int
    trace: TraceSettings
    trace_sha256: str | None
    classes: tuple[ContentClass, ...]
    seed_class: int
    seed_content: int
    epoch_accesses: int
    zswap: Mapping[str, str | int | bool] | None
    memory_max: int | None
    swap_max: int | None
    zswap_max: int | None
    zswap_writeback: bool
    swap_device_mib: int
    lru_gen: int
    swappiness: int
    page_cluster: int
    has_vswap: bool
    swapoff: str | None
    kill: Mapping[str, int] | None
    cram: CramGuest | None
    epochs: pl.DataFrame = field(repr=False)
    code: NDArray[np.uint8] | None = field(repr=False)
    swapoff_counts: Mapping[str, int] | None = field(default=None, repr=False)
    lengths: tuple[int, ...] | None = None
    noise: Mapping[str, tuple[float, float]] = field(default_factory=dict, repr=False)

    @property
    def is_killed(self) -> bool:
        """Whether the kernel killed the workload for want of memory."""
        return self.kill is not None

    @property
    def is_killed_by_swapoff(self) -> bool:
        """Whether that happened after the last access, while the device was taken away."""
        return self.is_killed and self.swapoff is not None

    @property
    def read_ahead(self) -> tuple[int, int] | None:
        """Pages that were read ahead, and pages read, at the last snapshot; None: nobody counted them."""
        names = ["vm_swap_ra", "vm_pswpin"]
        if not set(names) <= set(self.epochs.columns) or not self.epochs.height:
            return None
        ahead, read = self.epochs.select(pl.col(names).fill_null(0)).row(-1)
        return int(ahead), int(read)

    @property
    def version(self) -> tuple[int, int]:
        """The kernel's version, major and minor."""
        found = re.match(r"(\d+)\.(\d+)", self.kernel)
        if found is None:
            raise InputError(f"run {self.name!r}: kernel {self.kernel!r} does not begin with a version: write 7.3.4")
        return int(found[1]), int(found[2])


class Entry:
    """A table of JSON whose values are checked as they are read.

    Parameters
    ----------
    table : mapping
    where : str
        What an error begins with.
    """

    def __init__(self, table: object, where: str) -> None:
        if not isinstance(table, Mapping):
            raise InputError(f"{where} is not a table of settings: copy the file again")
        self.table, self.where = table, where

    def has(self, name: str) -> bool:
        """Say whether a setting is there and not null."""
        return self.table.get(name) is not None

    def part(self, name: str) -> Entry:
        """Give a table inside this one."""
        return Entry(self._need(name), f"{self.where}, {name}")

    def parts(self, name: str) -> list[Entry]:
        """Give a list of tables inside this one."""
        rows = self._need(name)
        if not isinstance(rows, list):
            raise self.wrong(name, "a list")
        return [Entry(row, f"{self.where}, {name} {i}") for i, row in enumerate(rows)]

    def text(self, name: str) -> str:
        """Give a word."""
        value = self._need(name)
        if not isinstance(value, str) or not value:
            raise self.wrong(name, "text")
        return value

    def whole(self, name: str, default: int | None = None) -> int:
        """Give a whole number; text of digits is one, as sysfs shows it."""
        if default is not None and not self.has(name):
            return default
        value = self._need(name)
        number = int(value) if isinstance(value, str) and value.isdecimal() else value
        if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < 1 << 60:
            raise self.wrong(name, "a whole number of at least 0")
        return number

    def decimal(self, name: str) -> float:
        """Give a number of at least 0."""
        value = self._need(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
            raise self.wrong(name, "a number of at least 0")
        return float(value)

    def flag(self, name: str) -> bool:
        """Give true or false, which sysfs shows as Y and N."""
        value = self._need(name)
        if value in (True, "Y", "1"):
            return True
        if value in (False, "N", "0"):
            return False
        raise self.wrong(name, "true or false")

    def limit(self, name: str) -> int | None:
        """Give a limit in bytes; none if it is "max" or not there."""
        return None if self.table.get(name) in (None, "max") else self.whole(name)

    def wrong(self, name: str, expected: str) -> InputError:
        """Make the error of a value that is not as expected."""
        return InputError(f"{self.where}: {name} must be {expected}, got {self.table.get(name)!r}; mend the file")

    def _need(self, name: str) -> object:
        if not self.has(name):
            raise InputError(f"{self.where} has no {name}: the file is not whole, copy it again")
        return self.table[name]


def run_of(entry: Entry, kind: Kind, *, is_failed: bool) -> TruthRun:
    """Read what a run was set to; what it counted is not in there.

    Parameters
    ----------
    entry : Entry
        Of ``runs`` or ``failed_runs``.
    kind : {"zswap", "vswap", "cram"}
    is_failed : bool
        The entry tells of an OOM kill.

    Raises
    ------
    InputError
        A setting is missing or of the wrong kind.
    """
    content = entry.part("content")
    group = entry.part("memcg") if entry.has("memcg") else entry
    names = {"memory_max": "memory_max"} if kind == "cram" else {
        "memory_max": "memory.max", "swap_max": "memory.swap.max", "zswap_max": "memory.zswap.max"
    }  # fmt: skip
    limits = {ours: group.limit(theirs) for ours, theirs in names.items()}
    return TruthRun(
        name=entry.text("run"),
        config=entry.text("config"),
        rep=entry.whole("rep"),
        kind=kind,
        kernel=entry.text("kernel"),
        vcpus=entry.whole("vcpus"),
        guest_ram_mib=entry.whole("guest_ram_mib", 0),
        total_ram_pages=entry.whole("totalram_pages", 0),
        trace=_trace(entry.part("trace")),
        trace_sha256=entry.part("trace").text("sha256") if entry.part("trace").has("sha256") else None,
        classes=_classes(content),
        seed_class=content.whole("seed_class"),
        seed_content=content.whole("seed_content"),
        epoch_accesses=_at_least_one(entry, "epoch_accesses"),
        zswap=_zswap(entry, kind),
        memory_max=limits["memory_max"],
        swap_max=limits.get("swap_max"),
        zswap_max=limits.get("zswap_max"),
        zswap_writeback=bool(group.whole("memory.zswap.writeback", 1)),
        swap_device_mib=entry.whole("swap_device_mib"),
        lru_gen=entry.whole("lru_gen"),
        swappiness=entry.whole("swappiness"),
        page_cluster=entry.whole("page_cluster"),
        has_vswap=kind == "vswap" and entry.flag("vswap"),
        swapoff=entry.text("swapoff") if entry.has("swapoff") else None,
        kill=_kill(entry) if is_failed else None,
        cram=_cram(entry) if kind == "cram" else None,
        epochs=pl.DataFrame(),
        code=None,
    )


def _at_least_one(entry: Entry, name: str) -> int:
    number = entry.whole(name)
    if not number:
        raise entry.wrong(name, "at least 1")
    return number


def _trace(entry: Entry) -> TraceSettings:
    names = ("n_pages", "n_acc", "seed", "write_pct")
    try:
        return TraceSettings(entry.text("kind"), *(entry.whole(name) for name in names))
    except InputError as error:
        known = str(error).startswith(entry.where)
        raise (error if known else InputError(f"{entry.where}: {error}")) from None


def _classes(content: Entry) -> tuple[ContentClass, ...]:
    classes = tuple(ContentClass(row.whole("percent"), row.whole("k_random_bytes")) for row in content.parts("mix"))
    if sum(found.percent for found in classes) != 100 or any(found.random_bytes > PAGE_SIZE for found in classes):
        raise content.wrong("mix", f"classes of at most {PAGE_SIZE} bytes whose percentages add up to 100")
    return classes


def _zswap(entry: Entry, kind: Kind) -> dict[str, str | int | bool] | None:
    if not entry.flag("zswap_enabled"):
        return None
    if kind == "cram":
        return {"max_pool_percent": entry.whole("max_pool_percent"), "shrinker_enabled": False}
    settings = entry.part("zswap_parameters")
    return {
        "compressor": settings.text("compressor"),
        "max_pool_percent": settings.whole("max_pool_percent"),
        "accept_threshold_percent": settings.whole("accept_threshold_percent"),
        "shrinker_enabled": settings.flag("shrinker_enabled"),
    }


def _kill(entry: Entry) -> dict[str, int]:
    return {name: entry.whole(name) for name in entry.table if str(name).endswith("_at_kill")}


def _cram(entry: Entry) -> CramGuest:
    return CramGuest(
        dram_mib=entry.decimal("dram_node0_mib"),
        cram_mib=entry.whole("cram_node1_mib"),
        pressure=entry.whole("cram_pressure", 0),
    )
