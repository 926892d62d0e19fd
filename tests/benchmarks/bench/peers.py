"""The other side: libCacheSim's LRU, an OrderedDict, a compiled loop. Each counts the misses of a stream."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

import vswaplab as vl
from bench.measure import Side, Timed, timed

HAS_LIBCACHESIM = find_spec("libcachesim") is not None
HAS_NUMBA = find_spec("numba") is not None
NO_NUMBA = "numba is not installed, a yardstick: pip install numba"
NO_LIBCACHESIM = "libcachesim is not installed: pip install -e '.[bench]'"

_CHUNK = 1 << 20  # requests written at once
_REQUEST = np.dtype([("time_s", "<u4"), ("id", "<u8"), ("bytes", "<u4"), ("next", "<i8")])  # oracleGeneral


class LibCacheSim:
    """libCacheSim's LRU through its Python package, with its fastest reader: a memory-mapped binary trace.

    One request file is kept at a time. Opening it is not on the clock; making
    the cache is, unless the clock starts later, with a hash table presized to
    the cache (its default of 2^24 buckets is slower at 1 Mi and 4 Mi pages).
    """

    def __init__(self) -> None:
        self._folder = TemporaryDirectory(prefix="vswaplab-speed-")
        self._name = ""

    def close(self) -> None:
        """Delete the request file."""
        self._folder.cleanup()

    def side(self, trace: vl.Trace, capacity: int, start: int = 0) -> Side:
        """Prepare a run on a trace's pages with a cache of ``capacity`` of them, on the clock from an access on."""
        return partial(self._run, trace, capacity, start)

    def _run(self, trace: vl.Trace, capacity: int, start: int) -> Timed[int]:
        import libcachesim as lcs  # an extra: only where it is used

        reader = lcs.TraceReader(str(self._requests(trace)), lcs.TraceType.ORACLE_GENERAL_TRACE)
        make = partial(lcs.LRU, capacity, hashpower=capacity.bit_length() + 1)
        warm = make() if start else None
        if warm is not None:
            warm.process_trace(reader, 0, start)

        def replay() -> tuple[object, float]:
            cache = make() if warm is None else warm
            return cache, cache.process_trace(reader, start)[0]

        run = timed(replay)
        return Timed(run.wall_s, run.cpu_s, round(run.answer[1] * (len(trace) - start)))

    def _requests(self, trace: vl.Trace) -> Path:
        path = Path(self._folder.name, "requests.bin")
        if trace.name != self._name:
            with path.open("wb") as file:
                for start in range(0, len(trace), _CHUNK):
                    page = trace.page[start : start + _CHUNK]
                    requests = np.zeros(page.size, _REQUEST)
                    requests["id"], requests["bytes"], requests["next"] = page, 1, -2
                    requests.tofile(file)
            self._name = trace.name
        return path


def ordered_dict_lru(pages: list[int], capacity: int) -> int:
    """Count misses one access at a time, as one would write it in Python."""
    cache: OrderedDict[int, None] = OrderedDict()
    misses = 0
    for page in pages:
        if page in cache:
            cache.move_to_end(page)
        else:
            misses += 1
            if len(cache) == capacity:
                cache.popitem(last=False)
            cache[page] = None
    return misses


def linked_list_lru(pages: NDArray[np.int32], n_pages: int, capacity: int) -> int:
    """Count misses with a doubly linked list in arrays, to be compiled; ``n_pages`` is the list's head."""
    older, newer = np.full(n_pages + 1, -1, np.int32), np.full(n_pages + 1, -1, np.int32)
    older[n_pages] = newer[n_pages] = n_pages
    resident = misses = 0
    for page in pages:
        if older[page] >= 0:
            older[newer[page]], newer[older[page]] = older[page], newer[page]
        else:
            misses += 1
            resident += 1
            if resident > capacity:
                victim = newer[n_pages]
                older[newer[victim]], newer[n_pages] = n_pages, newer[victim]
                older[victim] = -1
                resident -= 1
        first = older[n_pages]
        older[page], newer[page], older[n_pages], newer[first] = first, n_pages, page, page
    return misses


def ordered_dict_side(trace: vl.Trace, capacity: int) -> Side:
    """Prepare the OrderedDict; the list of numbers it walks is made before the clock starts."""
    pages = trace.page.tolist()
    return lambda: timed(lambda: ordered_dict_lru(pages, capacity))


def numba_side(trace: vl.Trace, capacity: int) -> Side:
    """Prepare the compiled linked list; compiling is not on the clock."""
    compiled = jit(linked_list_lru)
    compiled(trace.page[:10], trace.n_pages, capacity)
    return lambda: timed(lambda: compiled(trace.page, trace.n_pages, capacity))


def jit(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let numba compile a function when it is called first."""
    import numba  # a yardstick, nobody's dependency

    compiled: Callable[..., Any] = numba.njit(function)
    return compiled
