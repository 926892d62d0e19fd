"""A policy of a plug-in, written for one access at a time, as an order for whole windows.

Every access of a window is told to it in time order, and it is asked for one
victim after the other: slow, and exact by construction. A plug-in that has an
order for whole windows of its own names it in its attribute ``vectorised``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np

from vswaplab.engine.vectorised.logs import NO_PAGES, Mask, Pages
from vswaplab.engine.vectorised.memory import Memory
from vswaplab.engine.vectorised.states import DRAM_HIT, FREE, FREED, IS_SERVED_IN_CRAM, NEEDS_FRAME, RESIDENT
from vswaplab.engine.vectorised.window import Special, Window, goes_from_cram


class PluggedOrder(Protocol):
    """What a plug-in is, as ``vswaplab.engine.reference.policies.Lru``."""

    def __len__(self) -> int:
        """Count the pages that are here."""
        ...

    def __iter__(self) -> Iterator[int]:
        """Go through the pages in the order in which they would be looked at."""
        ...

    def arrive(self, page: int) -> None:
        """Take in a page."""
        ...

    def touch(self, page: int) -> None:
        """Note an access to a page that is here."""
        ...

    def discard(self, page: int) -> None:
        """Let a page go that was freed."""
        ...

    def begin(self) -> None:
        """Note that a reclaim begins."""
        ...

    def next_victim(self) -> int:
        """Take out the page that must leave."""
        ...


class OneByOne:
    """The plug-in's order, told of one page after the other.

    Parameters
    ----------
    order : PluggedOrder
    """

    def __init__(self, order: PluggedOrder) -> None:
        self.order = order

    def arrive(self, pages: Pages) -> None:
        """Take in distinct pages, in this order."""
        for page in pages.tolist():
            self.order.arrive(page)

    def settle(self, mem: Memory, window: Window, special: Special) -> None:
        """Tell the accesses of a window before its stop, in time order."""
        n = window.stop
        outcome = np.full(n, DRAM_HIT, np.uint8)
        outcome[window.touches.op[:n] >= FREE] = FREED + 1  # whoever unmaps does not touch
        was = np.full(n, RESIDENT, np.uint8)
        outcome[special.at], was[special.at] = special.outcome, special.was
        arrives = NEEDS_FRAME[np.minimum(outcome, FREED)]
        leaves = (outcome == FREED) & (was == RESIDENT)
        touches = outcome == DRAM_HIT
        pages, order = window.touches.page[:n], self.order
        repeats = are_repeated(mem, np.arange(window.start, window.start + n))
        for i in np.flatnonzero(arrives | leaves | touches).tolist():
            page = int(pages[i])
            if leaves[i]:
                order.discard(page)
                continue
            if arrives[i]:
                order.arrive(page)
            else:
                order.touch(page)
            if repeats[i]:
                order.touch(page)

    def discard(self, pages: Pages) -> None:
        """Let pages go that leave of their own, in this order."""
        for page in pages.tolist():
            self.order.discard(page)

    def settle_on_device(self, mem: Memory, window: Window, special: Special) -> None:
        """Tell the accesses of a window that were served on the device or took pages away, in time order."""
        goes, touches = goes_from_cram(special), IS_SERVED_IN_CRAM.take(special.outcome)
        repeats = are_repeated(mem, window.start + special.at)
        pages, order = special.page, self.order
        for i in np.flatnonzero(goes | touches).tolist():
            page = int(pages[i])
            if goes[i]:
                order.discard(page)
                continue
            order.touch(page)
            if repeats[i]:
                order.touch(page)

    def takes_arrivals_first(self, special: Special) -> bool:
        """Say no: all is told in time order."""
        return False

    def begin(self) -> None:
        """Note that a reclaim begins."""
        self.order.begin()

    def candidates(self, wanted: int) -> Pages:
        """Take out the page that leaves next."""
        return np.array([self.order.next_victim()]) if len(self.order) else NO_PAGES

    def take(self, n: int) -> None:
        """Do nothing: the one candidate has left."""

    def ranking(self) -> Pages:
        """List all pages in the order in which they would be looked at."""
        return np.fromiter(self.order, np.int64)


def are_repeated(mem: Memory, accesses: Pages) -> Mask:
    """Say which records stand for more than one touch."""
    is_repeated = np.zeros(accesses.size, np.bool_)
    for repeats in (mem.trace.repeat_reads, mem.trace.repeat_writes):
        if repeats is not None:
            is_repeated |= repeats.take(accesses - mem.trace.start) > 0
    return is_repeated
