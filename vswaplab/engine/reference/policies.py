"""Which page leaves DRAM or the CRAM device next: ``vswaplab.machine.policies``, in the plainest form."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping

from vswaplab.engine.plan import Plan
from vswaplab.machine.policies import plugged_policy

MIN_GENERATIONS = 2
"""Generations from which nothing is taken: the youngest (MIN_NR_GENS, include/linux/mmzone.h)."""


class Lru:
    """Pages by last touch."""

    def __init__(self) -> None:
        self.pages: OrderedDict[int, bool] = OrderedDict()  # page -> accessed bit, for those who keep one

    def __len__(self) -> int:
        return len(self.pages)

    def __contains__(self, page: int) -> bool:
        return page in self.pages

    def __iter__(self) -> Iterator[int]:
        """Go through the pages in the order in which they would be looked at."""
        return iter(self.pages)

    def arrive(self, page: int) -> None:
        """Take in a page that came in, or found no room elsewhere."""
        self.pages[page] = False

    def touch(self, page: int) -> None:
        """Note an access to a page that stays here."""
        self.pages.move_to_end(page)

    def discard(self, page: int) -> None:
        """Let a page go that was freed, or left of its own."""
        del self.pages[page]

    def begin(self) -> None:
        """Note that a reclaim begins."""

    def next_victim(self) -> int:
        """Take out the page that must leave."""
        page, _ = self.pages.popitem(last=False)
        return page


class Fifo(Lru):
    """Pages by arrival."""

    def touch(self, page: int) -> None:
        """Nothing."""


class LastTouch(Lru):
    """Pages by last touch, wherever that was: what comes from an LRU in DRAM keeps its place.

    Parameters
    ----------
    last : mapping of page to the time of its last touch
        Kept up to date by the engine.
    """

    def __init__(self, last: Mapping[int, int]) -> None:
        super().__init__()
        self.last = last

    def __iter__(self) -> Iterator[int]:
        """Go from the page touched longest ago to the one touched last."""
        return iter(sorted(self.pages, key=self.last.__getitem__))

    def begin(self) -> None:
        """Put the pages in order."""
        self.pages = OrderedDict.fromkeys(self, False)


class Clock(Lru):
    """Pages by arrival, each with a second chance if it was touched."""

    def touch(self, page: int) -> None:
        """Set the accessed bit."""
        self.pages[page] = True

    def next_victim(self) -> int:
        """Take out the first page whose bit is not set."""
        while True:
            page, is_accessed = self.pages.popitem(last=False)
            if not is_accessed:
                return page
            self.pages[page] = False


class Sieve(Clock):
    """Pages by arrival, and a hand that spares those that were touched."""

    def __init__(self) -> None:
        super().__init__()
        self.hand: int | None = None  # page to be looked at next; None: the oldest

    def __iter__(self) -> Iterator[int]:
        """Go from the hand to the youngest page, then from the oldest to the hand."""
        pages = list(self.pages)
        start = 0 if self.hand is None else pages.index(self.hand)
        return iter(pages[start:] + pages[:start])

    def discard(self, page: int) -> None:
        """Let a page go; the hand goes on if it was there."""
        if page == self.hand:
            self.hand = self._younger(page)
        super().discard(page)

    def next_victim(self) -> int:
        """Take out the first page from the hand on whose bit is not set."""
        page = self._or_oldest(self.hand)
        while self.pages[page]:
            self.pages[page] = False
            page = self._or_oldest(self._younger(page))
        self.hand = self._younger(page)
        del self.pages[page]
        return page

    def _younger(self, page: int) -> int | None:
        pages = [*self.pages, None]
        return pages[pages.index(page) + 1]

    def _or_oldest(self, page: int | None) -> int:
        return next(iter(self.pages)) if page is None else page


class Generations:
    """Generations of pages, oldest first."""

    def __init__(self) -> None:
        self.generations: list[OrderedDict[int, bool]] = [OrderedDict()]  # page -> accessed bit

    def __len__(self) -> int:
        return sum(len(pages) for pages in self.generations)

    def __contains__(self, page: int) -> bool:
        return any(page in pages for pages in self.generations)

    def __iter__(self) -> Iterator[int]:
        """Go through the generations, and through each in its order."""
        return (page for pages in self.generations for page in pages)

    def arrive(self, page: int) -> None:
        """Take a page into the youngest generation."""
        self.generations[-1][page] = False

    def touch(self, page: int) -> None:
        """Set the accessed bit."""
        self._of(page)[page] = True

    def discard(self, page: int) -> None:
        """Let a page go that was freed, or left of its own."""
        del self._of(page)[page]

    def begin(self) -> None:
        """Age if the three generations are uneven."""
        self._drop_empty()
        if len(self.generations) == MIN_GENERATIONS + 1:
            oldest, youngest, total = len(self.generations[0]), len(self.generations[-1]), len(self)
            if MIN_GENERATIONS * youngest > total or (MIN_GENERATIONS + 2) * oldest < total:
                self._age()

    def next_victim(self) -> int:
        """Take out the first page of the oldest generation whose bit is not set."""
        while True:
            self._drop_empty()
            if len(self.generations) <= MIN_GENERATIONS:
                self._age()
                continue
            page, is_accessed = self.generations[0].popitem(last=False)
            if not is_accessed:
                return page
            self.arrive(page)

    def _drop_empty(self) -> None:
        while len(self.generations) > MIN_GENERATIONS and not self.generations[0]:
            del self.generations[0]

    def _age(self) -> None:
        *older, youngest = self.generations
        for pages in older:
            for page in [page for page, is_accessed in pages.items() if is_accessed]:
                del pages[page]
                youngest[page] = False
        for page in youngest:
            youngest[page] = False
        self.generations.append(OrderedDict())

    def _of(self, page: int) -> OrderedDict[int, bool]:
        return next(pages for pages in self.generations if page in pages)


class Clairvoyant(Lru):
    """Pages by their next use.

    Parameters
    ----------
    next_use : mapping of page to access index
        Kept up to date by the engine; of pages never used again all the same.
    """

    def __init__(self, next_use: Mapping[int, int]) -> None:
        super().__init__()
        self.next_use = next_use

    def __iter__(self) -> Iterator[int]:
        """Go from the farthest next use to the nearest; of equal ones the coldest comes first."""
        return iter(sorted(self.pages, key=lambda page: -self.next_use[page]))

    def next_victim(self) -> int:
        """Take out the page whose next use is farthest."""
        page = max(self.pages, key=self.next_use.__getitem__)
        del self.pages[page]
        return page


ReclaimOrder = Lru | Generations


def make_device_order(plan: Plan, next_use: Mapping[int, int], last: Mapping[int, int]) -> ReclaimOrder:
    """Make an empty order for a plan's CRAM device."""
    policy = "lru" if plan.cram is None else plan.cram.policy
    if policy == "lru" and plan.policy == "lru":
        return LastTouch(last)
    return make_order(policy, next_use)


def make_order(policy: str, next_use: Mapping[int, int]) -> ReclaimOrder:
    """Make an empty order for a policy."""
    if policy == "clairvoyant":
        return Clairvoyant(next_use)
    kinds: dict[str, type[ReclaimOrder]] = {
        "lru": Lru,
        "fifo": Fifo,
        "clock": Clock,
        "sieve": Sieve,
        "generations": Generations,
    }
    if policy in kinds:
        return kinds[policy]()
    plugged: ReclaimOrder = plugged_policy(policy)()
    return plugged
