"""A machine in words and bytes, one line a tier, for people to read."""

from __future__ import annotations

from vswaplab.base.units import PAGE_SIZE, format_bytes, format_ns
from vswaplab.machine.config import Cram, Dram, Machine, Swapfile, Zram, Zswap
from vswaplab.machine.profiles import Profile
from vswaplab.machine.stores import Store


def machine_words(machine: Machine) -> list[str]:
    """Say what a machine is: fastest tier first, then who owns the names.

    Examples
    --------
    >>> for line in machine_words(Machine(Dram(capacity_pages=512), swapfiles=[Swapfile(capacity_slots=1024)])):
    ...     print(line)
    DRAM: 2.0 MiB (512 pages); reclaim frees 32 pages at a time; the pool is charged by compressed length
    swapfile 0: 4.0 MiB (1,024 slots), 80.00 us a read
    layer: vswap
    """
    lines = [_dram_words(machine.dram)]
    if machine.cram is not None:
        lines.append(_cram_words(machine.cram))
    if machine.zswap is not None:
        lines.append(_zswap_words(machine.zswap, machine.dram.host_pages))
    if machine.zram is not None:
        lines.append(_zram_words(machine.zram))
    lines += [_swapfile_words(i, device) for i, device in enumerate(machine.swapfiles)]
    lines += [_store_words(store) for store in machine.stores]
    limit = machine.swap_max_slots
    return [*lines, f"layer: {machine.layer}" + ("" if limit is None else f"; at most {limit:,} swap slots")]


def _pages(n_pages: int) -> str:
    return f"{format_bytes(n_pages * PAGE_SIZE)} ({n_pages:,} pages)"


def _evidence(profile: Profile) -> str:
    return f"{profile.name} (figures partly guessed)" if profile.guesses else profile.name


def _dram_words(dram: Dram) -> str:
    charged = "compressed length" if dram.charge == "memcg" else "what the allocator takes"
    frees = dram.high_pages - dram.low
    order = "" if dram.policy == "lru" else f", in the order {dram.policy}"
    return (
        f"DRAM: {_pages(dram.capacity_pages)}; reclaim frees {frees} page{'s' * (frees != 1)} at a time{order}; "
        f"the pool is charged by {charged}"
    )


def _cram_words(cram: Cram) -> str:
    mode = "behind swap entries" if cram.mode == "swap" else "a read-only memory tier"
    words = (
        f"CRAM: shows {_pages(cram.device_pages)} over {format_bytes(cram.media_bytes)} of media, "
        f"mode {cram.mode} ({mode}), device {_evidence(cram.device)}"
    )
    if cram.budget_owner == "device":
        words += f", the device grants up to {cram.writable_budget_pages:,} writes in place a report"
    elif cram.writable_budget_pages:
        words += f", {cram.writable_budget_pages:,} pages may be writable"
    if cram.pressure_law == "proportional":
        words += ", pressure rises in proportion"
    if cram.writeback_policy != "lru":
        words += f", written back in the order {cram.writeback_policy}"
    return words + (", with a balloon" if cram.balloon else "")


def _zswap_words(zswap: Zswap, host_pages: int) -> str:
    limit = host_pages * zswap.max_pool_percent // 100
    return f"zswap: {_evidence(zswap.profile)}, pool of at most {_pages(limit)} inside DRAM"


def _zram_words(zram: Zram) -> str:
    size = format_bytes(zram.disksize_bytes)
    words = f"zram: shows {size} ({zram.capacity_slots:,} slots), {_evidence(zram.profile)}, priority {zram.priority}"
    if zram.mem_limit_bytes:
        words += f", at most {format_bytes(zram.mem_limit_bytes)} of DRAM"
    second = zram.second_profile
    if second is not None:
        words += f", idle pages recompressed with {_evidence(second)}"
    if zram.backing_slots:
        words += f", {zram.writeback} pages written back to {zram.backing_slots:,} slots"
    return words


def _swapfile_words(index: int, device: Swapfile) -> str:
    size = format_bytes(device.capacity_slots * PAGE_SIZE)
    return f"swapfile {index}: {size} ({device.capacity_slots:,} slots), {format_ns(device.read_ns)} a read"


def _store_words(store: Store) -> str:
    place = f"before {store.before}" + (", inside DRAM" if store.in_dram else "")
    return (
        f"{store.name} (a plug-in's): {format_bytes(store.capacity_bytes)}, {place}, {format_ns(store.load_ns)} a load"
    )
