"""zsmalloc with zspages as objects: holes stay until a zspage is empty (mm/zsmalloc.c).

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
        self._groups: dict[SizeClass, list[dict[int, None]]] = {}  # of each group, the last zspage is the list's head
        self._class: dict[int, SizeClass] = {}
        self._in_use: dict[int, int] = {}
        self._group: dict[int, int] = {}
        self._next = 0

    def malloc(self, length: int) -> int:
        """Store an object of so many bytes; return its zspage."""
        size_class = self._class_of[length]
        zspage = self._with_room(size_class)
        if zspage is None:
            zspage, self._next = self._next, self._next + 1
            self._class[zspage], self._in_use[zspage], self._group[zspage] = size_class, 0, _EMPTY
            self._groups[size_class][_EMPTY][zspage] = None
            self.pages += size_class.pages
        self._in_use[zspage] += 1
        self._fix_fullness(zspage)
        return zspage

    def free(self, zspage: int) -> None:
        """Drop an object of a zspage; an empty zspage gives its pages back."""
        self._in_use[zspage] -= 1
        if self._fix_fullness(zspage) == _EMPTY:
            size_class = self._class.pop(zspage)
            del self._groups[size_class][_EMPTY][zspage], self._in_use[zspage], self._group[zspage]
            self.pages -= size_class.pages

    def _with_room(self, size_class: SizeClass) -> int | None:
        groups = self._groups.setdefault(size_class, [{} for _ in range(_GROUPS)])
        for group in reversed(groups[:_FULL]):
            if group:
                return next(reversed(group))
        return None

    def _fix_fullness(self, zspage: int) -> int:
        # fix_fullness_group: a zspage moves only if its group changes.
        size_class, in_use, old = self._class[zspage], self._in_use[zspage], self._group[zspage]
        if in_use in (0, size_class.objects):
            new = _FULL if in_use else _EMPTY
        else:
            new = 100 * in_use // size_class.objects // 10 + 1
        if new != old:
            groups = self._groups[size_class]
            del groups[old][zspage]
            groups[new][zspage] = None
            self._group[zspage] = new
        return new
