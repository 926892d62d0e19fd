"""Rule 2 for a whole batch: which backing admits each page that leaves DRAM or CRAM.

``decide`` changes nothing: each page's fate depends only on the pages before
it, so a caller may cut the batch anywhere and ``commit`` the part before the
cut.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from vswaplab.base.units import PAGE_SIZE
from vswaplab.engine.plan import FOOTPRINT_PAGE, NO_LIMIT, CramPlan, ZswapPlan
from vswaplab.engine.vectorised.memory import Mask, Memory, Pages, which
from vswaplab.engine.vectorised.states import CRAM_READONLY, CRAM_SOFTLEAF, STAYS, STORE, SWAPFILE, ZERO, ZSWAP
from vswaplab.engine.vectorised.stores import Stored, commit_stores, offer_stores, stored_charge
from vswaplab.engine.vectorised.zram import zram_footprints, zram_store

_CRAM_REFUSALS = ("cram_refused_gate", "cram_refused_full", "cram_refused")
_ZSWAP_REFUSALS = ("pool_limit_hit", "reject_accept_threshold", "reject_compress_poor")
_TAKEN = 0
_GATE, _FULL, _MEDIA = 1, 2, 3
_LIMIT, _ACCEPT, _POOR = 1, 2, 3
_NOT_TRIED = 255


@dataclass
class Placement:
    """Where each page of a batch goes; arrays are parallel to ``pages``."""

    pages: Pages
    rows: NDArray[np.integer]
    """Their contents."""
    target: NDArray[np.uint8]
    """A ``State``; ``STAYS``: nowhere."""
    is_clean_drop: Mask
    cram_refusal: NDArray[np.uint8]
    zswap_refusal: NDArray[np.uint8]
    device: NDArray[np.int8]
    """Swap device of a page that goes to one."""
    zram_refused: Mask
    """A write that zram's memory limit made fail."""
    stored: Stored | None = None
    """What plug-ins' tiers do; None: there are none."""

    def freed_charge(self, mem: Memory, page_charge: int) -> NDArray[np.int64]:
        """DRAM each page frees when it leaves, if staying costs ``page_charge``."""
        freed = np.where(self.target != STAYS, page_charge, 0)
        to_zswap = which(self.target == ZSWAP)
        if to_zswap.size and mem.plan.zswap is not None:
            zswap = mem.plan.zswap
            freed[to_zswap] -= zswap.charge_of_length.take(zswap.length_of_row.take(self.rows.take(to_zswap)))
        if mem.plan.cram is not None and mem.plan.cram.charge:
            freed[self.target >= CRAM_SOFTLEAF] -= mem.plan.cram.charge
        if self.stored is not None:
            to_store = which(self.target == STORE)
            freed[to_store] -= stored_charge(mem, self.stored, to_store)
        if mem.plan.zram is not None:
            zram, to_zram = mem.plan.zram, which(self.to_zram(mem))
            length = zram.length_of_row.take(self.rows.take(to_zram))
            freed[to_zram] -= zram.charge_of_length.take(length)
        return freed

    def to_zram(self, mem: Memory) -> Mask:
        """Say which pages are written to zram."""
        is_there: Mask = (self.target == SWAPFILE) & ~self.is_clean_drop & (self.device == mem.plan.zram_device)
        return is_there

    def cut(self, n: int) -> Placement:
        """Keep the first n pages."""
        part = Placement(*(getattr(self, name)[:n] for name in _ARRAYS))
        if self.stored is not None:
            part.stored = self.stored.cut(n)
        return part

    def take(self, index: Pages) -> Placement:
        """Keep the pages at these places."""
        assert self.stored is None  # where there are stores nobody looks ahead
        return Placement(*(getattr(self, name).take(index) for name in _ARRAYS))


_ARRAYS = tuple(field.name for field in fields(Placement) if field.name != "stored")


@dataclass
class Choice:
    """Where pages go that CRAM does not take, if the pool has room for all; arrays are parallel to ``pages``."""

    pages: Pages
    rows: NDArray[np.int64]
    target: NDArray[np.uint8]
    is_clean_drop: Mask
    freed: NDArray[np.int64]
    footprint: NDArray[np.int64] | None
    may_stay: bool
    placed: Placement | None
    """Worked out page by page; None: nothing can run out, and the content says it all."""

    def n_with_slots(self, mem: Memory, n_loads: int) -> int:
        """Say how many of the pages certainly find a slot, and leave swap on its side of half full.

        ``n_loads`` is the most that can be loaded meanwhile.
        """
        if self.placed is None:
            return self.pages.size
        in_doubt = _slots_in_doubt(mem, self.placed, n_loads)
        if mem.plan.holds_slots:  # if CRAM takes a page that zram refused, it holds a slot after all
            in_doubt |= self.placed.zram_refused
        doubtful = which(in_doubt)
        return int(doubtful[0]) if doubtful.size else self.pages.size

    def place(self, mem: Memory, index: Pages) -> Placement:
        """Give the placement of some of the pages."""
        if self.placed is not None:
            return self.placed.take(index)
        pages, rows, target = self.pages.take(index), self.rows.take(index), self.target.take(index)
        n, is_clean = index.size, self.is_clean_drop.take(index)
        refusal = np.full(n, _NOT_TRIED, np.uint8)
        if mem.plan.zswap is not None:
            refusal *= target != ZSWAP  # those that go there are taken
            if mem.row_facts.has_poor:
                refusal[mem.row_facts.is_poor.take(rows) & ~is_clean] = _POOR
        device = np.zeros(n, np.int8)
        if len(mem.slots_used) > 1:
            wants = which(target == SWAPFILE) if not mem.plan.holds_slots else np.arange(n)
            own = mem.slot.take(pages.take(wants))
            device[wants] = np.where(own < 0, np.int8(mem.top_device), own)
        return Placement(
            pages, rows, target, is_clean, np.full(n, _TAKEN, np.uint8), refusal, device, np.zeros(n, np.bool_),
        )  # fmt: skip


def second_choice(mem: Memory, pages: Pages) -> Choice:
    """Choose a backing for each page as if there were no CRAM and the zswap pool had no limit."""
    rows = mem.content.take(pages).astype(np.int64)  # once, not at every look-up
    if mem.plan.zram is not None or not _are_slots_ample(mem, pages.size):
        return _choice_one_by_one(mem, pages, rows)
    facts = mem.row_facts
    target, freed = facts.target.take(rows), facts.freed.take(rows)
    footprint = None if facts.footprint is None else facts.footprint.take(rows)
    is_clean = np.zeros(pages.size, np.bool_)
    if any(mem.slots_used):
        is_clean = mem.clean.take(pages) & (target != ZERO)
        index = which(is_clean)
        target[index], freed[index] = SWAPFILE, mem.plan.page_charge
        if footprint is not None:
            footprint[index] = 0
    return Choice(pages, rows, target, is_clean, freed, footprint, facts.may_stay, None)


def _choice_one_by_one(mem: Memory, pages: Pages, rows: NDArray[np.int64]) -> Choice:
    placed, zswap = decide(mem, pages, cram=False, zswap=True, is_limited=False), mem.plan.zswap
    footprint = None
    if zswap is not None:
        footprint = np.where(placed.target == ZSWAP, zswap.footprint_of_length.take(zswap.length_of_row.take(rows)), 0)
    freed = placed.freed_charge(mem, mem.plan.page_charge)
    return Choice(pages, rows, placed.target, placed.is_clean_drop, freed, footprint, True, placed)


def _are_slots_ample(mem: Memory, n: int) -> bool:
    # Whether n pages can take slots without any of them running out or swap becoming half full.
    plan, in_use, top = mem.plan, sum(mem.slots_used), mem.top_device if mem.slots_used else 0
    if not mem.slots_used:
        return not plan.holds_slots
    if mem.half_full:
        return False
    room = min(mem.capacity[top] - mem.slots_used[top], plan.max_slots - in_use)
    return n <= room and 2 * (in_use + n) <= mem.all_slots


def _slots_in_doubt(mem: Memory, placed: Placement, n_loads: int) -> Mask:
    # True from the victim on whose slot, or whose effect on the half-full mark, is not certain.
    plan, in_use = mem.plan, sum(mem.slots_used)
    if not plan.slots_of_device:
        return np.full(placed.pages.size, plan.holds_slots)
    held = mem.slot.take(placed.pages) >= 0
    to_swap = (placed.target == SWAPFILE) & ~placed.is_clean_drop
    if plan.holds_slots:
        to_swap = ~placed.is_clean_drop
    takes = (to_swap & ~held).cumsum()
    top = mem.top_device
    no_room = takes > min(mem.capacity[top] - mem.slots_used[top], plan.max_slots - in_use)
    if mem.half_full:
        gives = 0 if plan.holds_slots else (~to_swap & held).cumsum()
        in_doubt: Mask = no_room | (2 * (in_use - n_loads - gives) <= mem.all_slots)
    else:
        in_doubt = no_room | (2 * (in_use + takes) > mem.all_slots)
    return in_doubt


def keep_in_cram(mem: Memory, placed: Placement, may_enter: Mask, in_cram: Mask) -> Placement:
    """Send pages to CRAM whose second choice was elsewhere.

    Parameters
    ----------
    mem : Memory
    placed : Placement
        Where they would go without CRAM.
    may_enter : (n,)
        Pages that are offered to CRAM.
    in_cram : (n,)
        Those that it takes.
    """
    cram, index = mem.plan.cram, which(in_cram)
    placed.cram_refusal = (may_enter & ~in_cram) * np.uint8(_FULL if mem.gate_open else _GATE)
    if index.size and cram is not None:
        placed.target[index] = CRAM_READONLY if cram.is_tier else CRAM_SOFTLEAF
        placed.is_clean_drop[index] = placed.zram_refused[index] = False
        placed.zswap_refusal[index] = _NOT_TRIED
    return placed


def decide(mem: Memory, pages: Pages, *, cram: bool, zswap: bool, is_limited: bool = True) -> Placement:
    """Choose a backing for each page of a batch, in order.

    Parameters
    ----------
    mem : Memory
    pages : (n,) distinct pages, coldest first
    cram, zswap : bool
        Tiers that may be used; zero pages, clean copies and swapfiles always.
    is_limited : bool
        False: as if the zswap pool could not fill up.
    """
    n = pages.size
    rows = mem.content.take(pages)
    placed = Placement(
        pages=pages,
        rows=rows,
        target=np.full(n, STAYS, np.uint8),
        is_clean_drop=np.zeros(n, np.bool_),
        cram_refusal=np.full(n, _TAKEN, np.uint8),
        zswap_refusal=np.full(n, _NOT_TRIED, np.uint8),
        device=np.full(n, -1, np.int8),
        zram_refused=np.zeros(n, np.bool_),
        stored=Stored.nothing(n) if mem.plan.stores else None,
    )
    node = mem.plan.cram if cram and not mem.is_removed else None
    if node is not None and node.is_tier:
        _offer_cram(mem, node, placed, np.arange(n), rows)
    left = placed.target == STAYS
    if mem.plan.holds_slots:
        left &= _have_slots(mem, placed, left)
    is_zero = left & mem.plan.zero_of_row.take(rows)
    placed.target[is_zero] = ZERO
    placed.is_clean_drop = left & ~is_zero & mem.clean.take(pages)
    placed.target[placed.is_clean_drop] = SWAPFILE
    if node is not None and not node.is_tier:
        _offer_cram(mem, node, placed, which(left & (placed.target == STAYS)), rows)
    stored = placed.stored if cram else None  # only what leaves DRAM is offered to a store
    if stored is not None:
        offer_stores(mem, stored, placed.target, left, rows, _fits, before_zswap=True)
    pool = mem.plan.zswap if zswap else None
    if pool is not None:
        _offer_zswap(mem, pool, placed, which(left & (placed.target == STAYS)), rows, is_limited)
    if pool is None or pool.writeback:
        if stored is not None:
            offer_stores(mem, stored, placed.target, left, rows, _fits, before_zswap=False)
        _offer_swapfile(mem, placed, which(left & (placed.target == STAYS)))
    return placed


def batch_limit(mem: Memory, n: int) -> int:
    """Say how many of n pages one placement may decide.

    Without a layer a page that finds no room hands its slot on to the next
    one: where zswap may refuse for good and a device fills up, one at a time.
    """
    zswap, zram = mem.plan.zswap, mem.plan.zram
    if not n or not mem.plan.holds_slots:
        return n
    if zram is not None and zram.limit_footprint < NO_LIMIT:
        return 1
    if zswap is None or zswap.writeback:
        return n
    devices = next_devices(mem, n)
    return n if devices.size == n and devices[0] == devices[-1] else 1


def _have_slots(mem: Memory, placed: Placement, left: Mask) -> Mask:
    # No layer: a page needs a slot before anything else. New ones fill the devices by priority.
    own = mem.slot.take(placed.pages)
    wants = which(left & (own < 0))
    new = next_devices(mem, wants.size)
    placed.device[left] = own[left]
    placed.device[wants[: new.size]] = new
    have: Mask = placed.device >= 0
    return have


def next_devices(mem: Memory, n: int) -> NDArray[np.int8]:
    """List the devices of the next n slots, highest priority first; fewer if they run out."""
    order = mem.plan.device_order
    room = [min(n, max(0, mem.capacity[d] - mem.slots_used[d])) for d in order]
    return np.repeat(np.array(order, np.int8), room)[: min(n, mem.free_slots)]


def _offer_cram(mem: Memory, cram: CramPlan, placed: Placement, index: Pages, rows: NDArray[np.int32]) -> None:
    if not mem.gate_open:
        placed.cram_refusal[index] = _GATE
        return
    size = cram.bytes_of_row.take(rows[index]).astype(np.int64)
    refusal = _fit(size, mem.free_device_pages, cram.media_bytes - mem.media_bytes - mem.reserved_bytes)
    placed.cram_refusal[index] = refusal
    taken = refusal == _TAKEN
    placed.target[index[taken]] = CRAM_READONLY if cram.is_tier else CRAM_SOFTLEAF


def _fit(size: NDArray[np.int64], device_pages: int, room: int) -> NDArray[np.uint8]:
    # A page too large for what is left is passed over; a smaller one behind it may still fit.
    refusal = np.full(size.size, _MEDIA, np.uint8)
    i = 0
    while i < size.size:
        if device_pages <= 0:
            refusal[i:] = _FULL
            break
        filled = size[i : i + device_pages].cumsum()
        n = int(filled.searchsorted(room, "right"))
        if n:
            refusal[i : i + n] = _TAKEN
            device_pages, room, i = device_pages - n, room - int(filled[n - 1]), i + n
        else:
            fits = which(size[i:] <= room)
            if not fits.size:
                break
            i += int(fits[0])
    return refusal


def _fits(size: NDArray[np.int64], room: int) -> Mask:
    fits: Mask = _fit(size, size.size + 1, room) == _TAKEN
    return fits


def _offer_zswap(
    mem: Memory, zswap: ZswapPlan, placed: Placement, index: Pages, rows: NDArray[np.int32], is_limited: bool
) -> None:
    if not index.size:
        return
    if is_limited and mem.pool_pages >= zswap.max_pages:
        placed.zswap_refusal[index] = _LIMIT
        return
    if is_limited and mem.pool_full and mem.pool_pages > zswap.accept_pages:
        placed.zswap_refusal[index] = _ACCEPT
        return
    length = zswap.length_of_row.take(rows[index]).astype(np.int64)
    is_poor = length >= PAGE_SIZE if not zswap.stores_raw else np.zeros(index.size, np.bool_)
    refusal = np.where(is_poor, _POOR, _TAKEN).astype(np.uint8)
    if is_limited:
        footprint = zswap.footprint_of_length.take(length)
        footprint[is_poor] = 0
        before = mem.pool_footprint + footprint.cumsum() - footprint
        # The pool is at its limit once more than (max - 1) whole pages are in it.
        refusal[before > (zswap.max_pages - 1) * FOOTPRINT_PAGE] = _LIMIT
    placed.zswap_refusal[index] = refusal
    taken = index[refusal == _TAKEN]
    placed.target[taken] = ZSWAP


def _offer_swapfile(mem: Memory, placed: Placement, index: Pages) -> None:
    if not index.size or not mem.slots_used:
        return
    if mem.plan.holds_slots:
        placed.target[index] = SWAPFILE
        _refuse_beyond_zram(mem, placed, index)
        return
    own = mem.slot.take(placed.pages[index])
    needs_slot = int(np.count_nonzero(own < 0))
    top = mem.top_device
    in_use = sum(mem.slots_used)
    if needs_slot <= min(mem.capacity[top] - mem.slots_used[top], mem.plan.max_slots - in_use):
        placed.device[index] = np.where(own < 0, top, own)
        placed.target[index] = SWAPFILE
        _refuse_beyond_zram(mem, placed, index)
        return
    releases = (placed.target == ZERO) | (placed.target == ZSWAP) | (placed.target == STORE)
    releases &= mem.slot.take(placed.pages) >= 0
    if not mem.free_slots and not releases.any():
        index, own = index[own >= 0], own[own >= 0]
        placed.device[index] = own
        placed.target[index] = SWAPFILE
        return
    _offer_swapfile_one_by_one(mem, placed, index, releases)


def _refuse_beyond_zram(mem: Memory, placed: Placement, index: Pages) -> None:
    # A page too large for what is left of zram's memory stays; a smaller one behind it may still fit.
    zram = mem.plan.zram
    if zram is None or zram.limit_footprint == NO_LIMIT:
        return
    index = index[placed.device[index] == zram.device]
    footprint = zram_footprints(mem, zram, placed.pages[index])
    refused = index[_fit(footprint, index.size + 1, zram.limit_footprint - mem.zram_footprint) != _TAKEN]
    placed.target[refused] = STAYS
    placed.device[refused] = -1
    placed.zram_refused[refused] = True


def _offer_swapfile_one_by_one(mem: Memory, placed: Placement, index: Pages, releases: Mask) -> None:
    # Slots freed by earlier pages of the batch may be taken by later ones: several devices, or a nearly full one.
    order, capacity, zram = mem.plan.device_order, mem.capacity, mem.plan.zram
    used, in_use = list(mem.slots_used), sum(mem.slots_used)
    footprint = np.zeros(0, np.int64) if zram is None else zram_footprints(mem, zram, placed.pages)
    zram_room = 0 if zram is None else zram.limit_footprint - mem.zram_footprint
    slots = mem.slot.take(placed.pages).tolist()
    wants = np.zeros(placed.pages.size, np.bool_)
    wants[index] = True
    for i in which(wants | releases).tolist():
        device = slots[i]
        if not wants[i]:
            used[device] -= 1
            in_use -= 1
            continue
        is_new = device < 0
        if is_new and in_use < mem.plan.max_slots:
            device = next((d for d in order if used[d] < capacity[d]), -1)
        if zram is not None and device == zram.device:
            if footprint[i] > zram_room:
                placed.zram_refused[i] = True
                continue
            zram_room -= int(footprint[i])
        if device >= 0 and is_new:
            used[device] += 1
            in_use += 1
        if device >= 0:
            placed.device[i] = device
            placed.target[i] = SWAPFILE


def commit(mem: Memory, placed: Placement, places: NDArray[np.integer] | None = None) -> None:
    """Carry a placement out: where pages are, what tiers hold, what was counted.

    DRAM accounting of the pages themselves is the caller's; what they cost in
    zswap is not. ``places`` are those of pages of DRAM in the log.
    """
    pages, rows, target = placed.pages, placed.rows, placed.target
    _count_refusals(mem, placed)
    to_cram = which(target >= CRAM_SOFTLEAF)
    if to_cram.size:
        assert places is not None
        assert mem.plan.cram is not None
        _arrive(mem, pages.take(to_cram), places.take(to_cram))
        _cram_store(mem, pages.take(to_cram), mem.plan.cram.bytes_of_row.take(rows.take(to_cram)))
    is_stuck = target == STAYS
    if is_stuck.any():
        mem.move(pages[~is_stuck], target[~is_stuck])
    else:
        mem.move(pages, target)
    is_zero, is_zswap, is_swap = target == ZERO, target == ZSWAP, target == SWAPFILE
    is_store = target == STORE if placed.stored is not None else np.False_
    n_zero = int(np.count_nonzero(is_zero))
    mem.zero_pages += n_zero
    mem.swapped_pages += int(np.count_nonzero(is_swap))
    mem.count["swpout_zero"] += n_zero
    mem.count["clean_drop"] += int(np.count_nonzero(placed.is_clean_drop))
    if mem.plan.holds_slots:
        named = is_zero | is_zswap | is_store | (target == CRAM_SOFTLEAF)
        take_slots(mem, pages[named], placed.device[named])
    else:
        mem.release_slots(pages.take(which(is_zero | is_zswap | is_store)))
    to_zswap = which(is_zswap)
    if to_zswap.size and mem.plan.zswap is not None:
        zswap_store(mem, pages.take(to_zswap), mem.plan.zswap.length_of_row.take(rows.take(to_zswap)))
    if placed.stored is not None:
        commit_stores(mem, placed.stored, pages, which(target == STORE))
    to_swap = which(is_swap & ~placed.is_clean_drop)
    swapfile_store(mem, pages.take(to_swap), placed.device.take(to_swap))


def _count_refusals(mem: Memory, placed: Placement) -> None:
    if mem.plan.zram is not None:
        mem.count["zram_failed_writes"] += int(np.count_nonzero(placed.zram_refused))
    if placed.cram_refusal.any():
        _count_each(mem, _CRAM_REFUSALS, placed.cram_refusal)
    refusal = placed.zswap_refusal
    last = refusal.size - 1 - int((refusal[::-1] != _NOT_TRIED).argmax())
    if refusal[last] == _NOT_TRIED:
        return
    mem.pool_full = bool(refusal[last] in (_LIMIT, _ACCEPT))
    if (refusal + np.uint8(1) > _TAKEN + 1).any():  # those not tried come out as 0
        _count_each(mem, _ZSWAP_REFUSALS, refusal)


def _count_each(mem: Memory, names: tuple[str, ...], refusal: NDArray[np.uint8]) -> None:
    for name, n in zip(names, np.bincount(refusal, minlength=4)[1:4].tolist(), strict=True):
        mem.count[name] += n


def zswap_store(mem: Memory, pages: Pages, length: NDArray[np.integer]) -> None:
    """Store compressed copies at the young end of the queue; DRAM pays for them."""
    mem.count["zswpout"] += pages.size
    mem.count["zswpout_bytes"] += mem.pool_add(length, 1)
    mem.stored[pages] = length
    mem.place[pages] = mem.queue.append(pages)


def swapfile_store(mem: Memory, pages: Pages, device: NDArray[np.int8]) -> None:
    """Write pages to their devices; a page without a slot takes one."""
    if not pages.size:
        return
    mem.count["pswpout"] += pages.size
    for d, n in enumerate(mem.per_device(device)):
        mem.device_out[d] += n
    take_slots(mem, pages, device)
    if mem.plan.zram is not None:
        zram_store(mem, mem.plan.zram, pages[device == mem.plan.zram.device])
    mem.clean[pages] = True


def take_slots(mem: Memory, pages: Pages, device: NDArray[np.int8]) -> None:
    """Give pages slots on their devices; a page that has one keeps it."""
    is_new = which(mem.slot.take(pages) < 0)
    for d, n in enumerate(mem.per_device(device.take(is_new))):
        mem.slots_used[d] += n
    mem.slot[pages] = device


def _arrive(mem: Memory, pages: Pages, places: NDArray[np.integer]) -> None:
    # The device's order takes pages in.
    if mem.cram_order is not None:
        mem.cram_order.arrive(pages)
        mem.place[pages] = -1
    elif mem.order is None:  # they keep their place in the order of accesses
        mem.place[pages] = places
        mem.arrived.append(pages, places)
    else:
        mem.place[pages] = here = mem.log.append(pages)
        mem.accessed.append(pages, here)


def _cram_store(mem: Memory, pages: Pages, size: NDArray[np.integer]) -> None:
    total = int(size.sum())
    mem.count["cram_in"] += pages.size
    mem.count["cram_in_bytes"] += total
    mem.stored[pages] = size
    mem.cram_pages += pages.size
    mem.cram_bytes += total
    is_tier = mem.plan.cram is not None and mem.plan.cram.is_tier
    if mem.trace.shares is not None:
        mem.readonly[pages] = mem.mappers.take(pages) if is_tier else 0
