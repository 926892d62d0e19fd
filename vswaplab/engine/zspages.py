"""zsmalloc with zspages as objects: holes stay until a zspage is empty, or the pool is compacted (mm/zsmalloc.c).

A zspage of ``pages`` pages holds ``objects`` objects of one size class. Its
fullness puts it in one of twelve groups; an object goes to the most recently
moved zspage of the fullest group that has room.
"""

from __future__ import annotations

from functools import cache

from vswaplab.base.units import PAGE_SIZE
from vswaplab.engine.zsmalloc import SizeClass, class_of

_EMPTY, _FULL, _GROUPS = 0, 11, 12


@cache
def _classes() -> list[SizeClass]:
    # By length in bytes.
    return [class_of(length) for length in range(PAGE_SIZE + 1)]


class _Zspage:
    # Where each object lies; freed places are taken again last in, first out.

    __slots__ = ("free", "group", "handle_at")

    def __init__(self, n_objects: int) -> None:
        self.handle_at: list[int | None] = [None] * n_objects
        self.free = list(range(n_objects - 1, -1, -1))
        self.group = _EMPTY


class _Class:
    # The zspages of one size class by group; of each group the last one is the list's head.

    __slots__ = ("groups", "in_use", "n_zspages", "objects", "pages")

    def __init__(self, size_class: SizeClass) -> None:
        self.pages, self.objects = size_class.pages, size_class.objects
        self.groups: list[dict[_Zspage, None]] = [{} for _ in range(_GROUPS)]
        self.n_zspages = self.in_use = 0

    def first(self, groups: range) -> _Zspage | None:
        """Give the head of the first of these groups that has any."""
        return next((next(reversed(self.groups[g])) for g in groups if self.groups[g]), None)

    def fix_fullness(self, zspage: _Zspage) -> int:
        """fix_fullness_group: a zspage moves only if its group changes."""
        in_use = self.objects - len(zspage.free)
        new = _EMPTY if in_use == 0 else _FULL if in_use == self.objects else 100 * in_use // self.objects // 10 + 1
        if new != zspage.group:
            self.groups[zspage.group].pop(zspage, None)
            self.groups[new][zspage] = None
            zspage.group = new
        return new

    def to_free(self) -> int:
        """zs_can_compact: pages of the zspages that the holes add up to."""
        return (self.n_zspages * self.objects - self.in_use) // self.objects * self.pages


class ZsPool:
    """The pool: what is in it, in pages of memory that its zspages take.

    Examples
    --------
    >>> pool = ZsPool()
    >>> first, second = pool.malloc(2048), pool.malloc(2048)
    >>> pool.pages  # one zspage of 8 pages holds 15 objects of 2176 bytes
    8
    >>> pool.free(first)
    >>> pool.pages
    8
    >>> pool.free(second)
    >>> pool.pages
    0
    """

    def __init__(self) -> None:
        self.pages = 0
        self._class_of = _classes()
        self._classes: dict[SizeClass, _Class] = {}
        self._place: dict[int, tuple[_Class, _Zspage, int]] = {}
        self._next = 0

    def malloc(self, length: int) -> int:
        """Store an object of so many bytes; return its handle."""
        key = self._class_of[length]
        found = self._classes.get(key)
        if found is None:
            found = self._classes[key] = _Class(key)
        zspage = found.first(range(_FULL - 1, _EMPTY - 1, -1))
        if zspage is None:
            zspage = _Zspage(found.objects)
            found.groups[_EMPTY][zspage] = None
            found.n_zspages += 1
            self.pages += found.pages
        handle, self._next = self._next, self._next + 1
        self._put(found, zspage, handle)
        found.in_use += 1
        found.fix_fullness(zspage)
        return handle

    def free(self, handle: int) -> None:
        """Drop an object; a zspage that is empty then gives its pages back."""
        found, zspage = self._take(handle)
        found.in_use -= 1
        if found.fix_fullness(zspage) == _EMPTY:
            self._free_zspage(found, zspage)

    def to_free(self) -> int:
        """zs_shrinker_count: pages that ``compact`` would free."""
        return sum(found.to_free() for found in self._classes.values())

    def compact(self) -> int:
        """zs_compact: fill the fullest zspages from the emptiest, class by class; return the pages freed."""
        before = self.pages
        for key in sorted(self._classes, key=lambda key: key.size, reverse=True):
            self._compact_class(self._classes[key])
        return before - self.pages

    def _compact_class(self, found: _Class) -> None:
        target: _Zspage | None = None
        while found.to_free():
            target = target or self._isolate(found, range(_FULL - 1, _EMPTY, -1))
            source = self._isolate(found, range(_EMPTY + 1, _FULL))
            if target is None or source is None:
                break
            self._migrate(found, source, target)
            if self._put_back(found, source) == _EMPTY:
                self._free_zspage(found, source)
            if not target.free:
                self._put_back(found, target)
                target = None
        if target is not None:
            self._put_back(found, target)

    @staticmethod
    def _isolate(found: _Class, groups: range) -> _Zspage | None:
        zspage = found.first(groups)
        if zspage is not None:
            del found.groups[zspage.group][zspage]
        return zspage

    @staticmethod
    def _put_back(found: _Class, zspage: _Zspage) -> int:
        # At the head of its list, whether or not its group changed.
        group = found.fix_fullness(zspage)
        found.groups[group].pop(zspage, None)
        found.groups[group][zspage] = None
        return group

    def _migrate(self, found: _Class, source: _Zspage, target: _Zspage) -> None:
        # In the order in which the objects lie in the zspage, until it is empty or the other is full.
        for handle in [handle for handle in source.handle_at if handle is not None]:
            if not target.free:
                return
            self._take(handle)
            self._put(found, target, handle)

    def _put(self, found: _Class, zspage: _Zspage, handle: int) -> None:
        place = zspage.free.pop()
        zspage.handle_at[place] = handle
        self._place[handle] = found, zspage, place

    def _take(self, handle: int) -> tuple[_Class, _Zspage]:
        found, zspage, place = self._place.pop(handle)
        zspage.handle_at[place] = None
        zspage.free.append(place)
        return found, zspage

    def _free_zspage(self, found: _Class, zspage: _Zspage) -> None:
        del found.groups[_EMPTY][zspage]
        found.n_zspages -= 1
        self.pages -= found.pages
