"""What the reference keeps: dicts, ordered dicts and running sums, and how they are laid out at the end."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vswaplab.base.backing import MAX_MAPPERS, State
from vswaplab.engine.outcome import Occupancy, PageTable
from vswaplab.engine.plan import CramPlan, Plan
from vswaplab.engine.reference.policies import make_device_order, make_order
from vswaplab.trace.redraws import Redraws
from vswaplab.trace.trace import Workload

CRAM_MAPPED = (State.CRAM_SOFTLEAF, State.CRAM_READONLY, State.CRAM_WRITABLE)
"""States of a page on the device that is not lost."""

FIRST, SECOND, BACKING = range(3)
"""Where a zram page lies: under the first or second compressor, or on the backing device."""

LAST_RUNG = 3
"""Looks in vain before the balloon's OOM kill (mm/cram.c, autumn 2026)."""


class Memory:
    """Everything that changes while a trace runs.

    Parameters
    ----------
    plan : Plan
    trace : Trace or TraceFile
    """

    def __init__(self, plan: Plan, trace: Workload) -> None:
        self.plan, self.trace = plan, trace
        self.redraws = Redraws(trace, plan.seed)
        self.count = dict.fromkeys(plan.counter_names, 0)
        self.device_in = [0] * len(plan.slots_of_device)
        self.device_out = [0] * len(plan.slots_of_device)

        self.mappers: dict[int, set[int]] = {}  # page -> processes that map it; absent: the trace's
        self.own: dict[tuple[int, int], int] = {}  # page, mapper -> number of the mapper's own copy
        self.first: dict[int, int] = {}  # copy -> page of the trace that it descends from
        self.touched: dict[int, set[int]] = {}  # page -> mappers that touched it since it appeared

        self.state: dict[int, State] = {}  # absent: NONE
        self.content: dict[int, int] = {}  # page -> row of the corpus; absent: the trace's
        self.next_use: dict[int, int] = {}  # page -> access that touches it next, if the plan knows
        self.resident = make_order(plan.policy, self.next_use)
        self.set_aside: list[int] = []  # resident pages that found no room in the reclaim under way
        self.clock = 0  # grows with every touch and put-back
        self.last: dict[int, int] = {}  # page -> clock of its last touch
        self.slot: dict[int, int] = {}  # page -> swap device of its slot
        self.clean: set[int] = set()  # pages whose slot holds a valid copy
        self.capacity = list(plan.slots_of_device)  # 0 after swapoff
        self.slots_used = [0] * len(plan.slots_of_device)
        self.half_full = False
        self.cache_only: set[int] = set()  # resident pages that a swapoff left in the swap cache

        self.zram: dict[int, list[int]] = {}  # page -> [bytes stored, where it lies, is idle]
        self.zram_footprint = 0
        self.zram_charge = 0
        self.zram_backed = 0  # pages on its backing device

        self.pool: OrderedDict[int, list[int]] = OrderedDict()  # page -> [length, referenced], oldest first
        self.pool_bytes = 0
        self.pool_footprint = 0
        self.pool_charge = 0
        self.pool_full = False

        self.in_store: dict[int, tuple[int, int]] = {}  # page -> plug-in's tier that holds it, bytes there
        self.store_bytes = [0] * len(plan.stores)

        self.cram: dict[int, int] = {}  # page -> bytes on the device
        self.on_device = make_device_order(plan, self.next_use, self.last)  # its pages, poisoned ones left out
        self.cram_bytes = 0  # their sum
        self.mapped: dict[int, set[int]] = {}  # page on CRAM -> mappers that have it mapped
        self.writable = 0  # budget slots in use
        self.zombies: list[int] = []  # bytes held by freed pages the kernel has not seen
        self.unflushed = 0  # bytes freed but not yet given back
        self.unflushed_pages = 0
        self.gate_open = True
        self.report = (0, 0)  # the device's last report: stored bytes, pages
        self.report_used = True  # whether writeback has acted on it
        self.boost = 0  # device pages by which pressure raises the node's watermarks
        self.balloon = 0  # device pages held back
        self.fruitless = 0  # looks in a row at which the balloon wanted pages and got none
        self.credits = self._grant()  # writes in place that the device still takes
        self.is_removed = False  # the device is gone
        self.source: int | None = None  # shared page that the access being served copies

    # Pages and their mappers -----------------------------------------------------------------

    def _mappers(self, page: int) -> set[int]:
        if page not in self.mappers:
            bits = 1 if self.trace.mappers is None else int(self.trace.mappers[page])
            self.mappers[page] = {m for m in range(MAX_MAPPERS) if bits >> m & 1}
        return self.mappers[page]

    def _state(self, page: int) -> State:
        return self.state.get(page, State.NONE)

    def _row(self, page: int) -> int:
        return self.content.get(page, self._first_row(page))

    def _first_row(self, page: int) -> int:
        return int(self.trace.content[self.first.get(page, page)])

    # DRAM ------------------------------------------------------------------------------------

    def _make_resident(self, page: int) -> None:
        if page in self.resident:
            self.resident.touch(page)
        else:
            self.resident.arrive(page)
        self.state[page] = State.RESIDENT
        self._note_touch(page)

    def _note_touch(self, page: int) -> None:
        self.clock += 1
        self.last[page] = self.clock

    def _free_pages(self) -> int:
        plan = self.plan
        n_resident = len(self.resident) + len(self.set_aside)
        used = n_resident * plan.page_charge + self.pool_charge + self.zram_charge
        if plan.cram is not None:
            used += len(self.cram) * plan.cram.charge
        used += sum(store.charge * held for store, held in zip(plan.stores, self.store_bytes, strict=True))
        return (plan.capacity_charge - used) // plan.page_charge

    def _is_out_of_memory(self) -> bool:
        is_out = self._free_pages() < 1 or self.fruitless >= LAST_RUNG
        self.count["oom"] = int(is_out)
        return is_out

    # CRAM ------------------------------------------------------------------------------------

    def _cram_plan(self) -> CramPlan:
        assert self.plan.cram is not None
        return self.plan.cram

    def _stored(self) -> int:
        # What the device holds: pages, zombies, and what is freed but not yet flushed.
        return self.cram_bytes + sum(self.zombies) + self.unflushed

    def _device_pages(self) -> int:
        return len(self.cram) + len(self.zombies)

    def _free_device_pages(self) -> int:
        return self._cram_plan().device_pages - self._device_pages() - self.balloon

    def _grant(self) -> int:
        # A device that owns the budget grants what its free media can take if no page that is written compresses.
        cram = self.plan.cram
        if cram is None or not cram.is_device_budget:
            return 0
        return min(cram.budget, (cram.media_bytes - self._stored()) // cram.worst_bytes)

    # Slots, and what zram holds in them ------------------------------------------------------

    def _release_slot(self, page: int) -> None:
        self.clean.discard(page)
        if page in self.zram:
            self._zram_remove(page)
        if page in self.slot:
            self.slots_used[self.slot.pop(page)] -= 1

    def _is_on_zram(self, page: int) -> bool:
        return self.slot.get(page) == self.plan.zram_device

    def _zram_remove(self, page: int) -> None:
        length, where, _ = self.zram.pop(page)
        self.zram_backed -= where == BACKING
        self._zram_add(length, -1)

    def _zram_add(self, length: int, sign: int) -> None:
        zram = self.plan.zram
        assert zram is not None
        self.zram_footprint += sign * int(zram.footprint_of_length[length])
        self.zram_charge += sign * int(zram.charge_of_length[length])

    # What came out ---------------------------------------------------------------------------

    def occupancy(self) -> Occupancy:
        """Count what each tier holds now."""
        where = list(self.state.values())
        zram = [length for length, _, _ in self.zram.values()]
        return Occupancy(
            resident=len(self.resident),
            zero=where.count(State.ZERO),
            cram=len(self.cram),
            cram_bytes=self.cram_bytes,
            cram_media_bytes=self._stored(),
            multi_state=sum(0 < len(mapped) < len(self._mappers(page)) for page, mapped in self.mapped.items()),
            writable=self.writable,
            zombies=len(self.zombies),
            balloon=self.balloon,
            zswap=len(self.pool),
            zswap_bytes=self.pool_bytes,
            zswap_footprint=self.pool_footprint,
            swapped=where.count(State.SWAPFILE) - len(zram),
            zram=len(zram),
            zram_bytes=sum(zram),
            zram_footprint=self.zram_footprint,
            cache_only=len(self.cache_only),
            slots=tuple(self.slots_used),
            free_pages=self._free_pages(),
            gate_open=self.gate_open,
            pool_full=self.pool_full,
            stores=tuple(
                (sum(held == k for held, _ in self.in_store.values()), n_bytes)
                for k, n_bytes in enumerate(self.store_bytes)
            ),
        )

    def page_table(self, *, is_ranked: bool = True) -> PageTable:
        """Lay the state out as arrays."""
        table = PageTable.empty(self.trace.first_content)
        for page, state in self.state.items():
            table.state[page] = state
        for page, row in self.content.items():
            table.content[page] = row
        if self.trace.mappers is not None:
            table.mappers[:] = self.trace.mappers if self.trace.sharing is None else self.trace.sharing.mappers
        for page, mappers in self.mappers.items():
            table.mappers[page] = sum(1 << m for m in mappers)
        for page, mapped in self.mapped.items():
            if self.state[page] != State.CRAM_POISONED:
                table.mapped[page] = sum(1 << m for m in mapped)
        for page, device in self.slot.items():
            table.slot[page] = device
        table.clean[list(self.clean)] = True
        for page, stored in self.cram.items():
            table.stored_bytes[page] = stored
        for page, (length, referenced) in self.pool.items():
            table.stored_bytes[page] = length
            table.referenced[page] = bool(referenced)
        for page, (length, where, _) in self.zram.items():
            table.stored_bytes[page] = length
            table.zram_level[page] = where
        for page, (store, stored) in self.in_store.items():
            table.store[page] = store
            table.stored_bytes[page] = stored
        table.cache_only[list(self.cache_only)] = True
        poisoned = [page for page in self.cram if self.state[page] == State.CRAM_POISONED]
        assert not any(table.stored_bytes[page] for page in poisoned)
        return replace(table, rank=self._ranks()) if is_ranked else table

    def _ranks(self) -> NDArray[np.int32]:
        rank = np.full(self.trace.first_content.size, -1, np.int32)
        for queue in (self.resident, self.on_device, self.pool):
            rank[list(queue)] = np.arange(len(queue))
        return rank

    def check(self) -> None:
        """Assert the invariants of the model."""
        where = [page for page, state in self.state.items() if state == State.RESIDENT]
        assert set(where) == set(self.resident)
        in_cram = {page for page, state in self.state.items() if state >= State.CRAM_SOFTLEAF}
        assert in_cram == set(self.cram)
        assert set(self.on_device) == {page for page in in_cram if self.state[page] != State.CRAM_POISONED}
        assert {page for page, state in self.state.items() if state == State.ZSWAP} == set(self.pool)
        assert {page for page, state in self.state.items() if state == State.STORE} == set(self.in_store)
        for k, store in enumerate(self.plan.stores):
            held = sum(stored for where, stored in self.in_store.values() if where == k)
            assert held == self.store_bytes[k] <= store.capacity_bytes
        assert self.cram_bytes == sum(self.cram.values())
        assert self.pool_bytes == sum(length for length, _ in self.pool.values())
        assert self.clean <= set(self.slot)
        zram = {page for page, state in self.state.items() if state == State.SWAPFILE and self._is_on_zram(page)}
        assert zram == set(self.zram)
        assert self.cache_only <= set(self.resident)
        assert all(page in self.clean for page, state in self.state.items() if state == State.SWAPFILE)
        for device, used in enumerate(self.slots_used):
            assert used == sum(d == device for d in self.slot.values()) <= self.plan.slots_of_device[device]
        if self.plan.cram is not None:
            assert self._stored() + self.credits * self.plan.cram.worst_bytes <= self.plan.cram.media_bytes
            assert self._free_device_pages() >= 0
            assert self.plan.cram.is_device_budget or self.writable <= self.plan.cram.budget
        assert self._free_pages() >= 0 or self.count["oom"]
