"""A part of a trace's pages with all their accesses, chosen by a hash of the page number.

Spatial sampling as in SHARDS (Waldspurger, Park, Garthwaite and Ahmad, FAST
2015): a page is in or out for good, so that its reuse is kept, and a machine
scaled down by the same share sees the same pressure. Groups have no page in
common, so that they can be set against each other to say how far off each is.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from vswaplab.base.checks import number, whole
from vswaplab.base.draws import SAMPLE, draws, threshold
from vswaplab.base.errors import InputError, shown
from vswaplab.trace.trace import Piece, Trace, Workload, check_trace

_BLOCK = 1 << 20  # pages whose hashes are looked at at once

_Part = tuple[NDArray[np.int64], Piece]


def sample(trace: Workload, rate: float, *, group: int = 0) -> Trace:
    """Take a share of a trace's pages, with all their accesses.

    A run on the machine that ``vl.scaled`` makes for the same share counts, in
    proportion, what the whole would; ``vl.Sampled`` does that and says how far
    off it may be.

    Parameters
    ----------
    trace : Trace or TraceFile
        Read once, a piece at a time: one of ``vl.open_trace`` may be larger than memory.
    rate : from 2**-53 up to 1
        Share of the pages. A smaller sample of group 0 is a part of a larger one of group 0.
    group : int
        Samples of one rate and different groups have no page in common; there are ``1 / rate`` of them.

    Returns
    -------
    sample : Trace
        Its pages are numbered anew, in their order.

    Raises
    ------
    InputError
        A rate out of range, a group that is not there, a sample without any access.

    Examples
    --------
    >>> from vswaplab.trace.synthetic import scan
    >>> trace = scan(n_pages=4000, n_accesses=8000)
    >>> [sample(trace, 0.25, group=g).n_pages for g in range(4)]
    [949, 994, 1053, 1004]
    """
    check_trace(trace)
    share = checked_rate(rate)
    expected = f"a whole number below 1 / rate ({1 / share:.6g})"
    group = whole("group", group, 0, _n_groups(share) - 1, expected=expected)
    found = _samples(trace, share, range(group, group + 1))
    if not found:
        raise InputError(f"no access falls into a sample of {rate} of {trace.n_pages:,} pages: raise the rate")
    return found[0]


def sample_groups(
    trace: Workload, rate: float, n_groups: int, watch: Callable[[Piece], None] | None = None
) -> list[Trace]:
    """Take several samples in one pass.

    Parameters
    ----------
    trace, rate
        As in ``sample``; each group has this share of the pages.
    n_groups : int
    watch : callable
        Is shown every piece on the way.

    Returns
    -------
    samples : list of Trace
        Groups that an access falls in.

    Raises
    ------
    InputError
        More groups than the rate allows, or none.
    """
    share = checked_rate(rate)
    if n_groups < 1 or n_groups * share > 1 + 1e-9:
        raise InputError(f"n_groups must be from 1 to 1 / rate ({1 / share:.6g}), got {n_groups}")
    return _samples(trace, share, range(n_groups), watch)


def group_sizes(n_pages: int, rate: float, n_groups: int) -> list[int]:
    """Count the pages of each group of ``sample_groups``, accessed or not."""
    return [pages.size for pages in _pages(n_pages, checked_rate(rate), range(n_groups)).values()]


def checked_rate(rate: object) -> float:
    """Give a rate of sampling as a number above 0 and up to 1, not too small for a hash of 53 bits to tell from 0."""
    expected = "a number above 0 and up to 1, the share of the pages to keep"
    share = number("rate", rate, above=0, at_most=1, expected=expected)
    if not threshold(share):
        raise InputError(f"rate must be at least 2**-53 ({2**-53:.3g}), got {shown(rate)}: raise the rate")
    return share


def _n_groups(rate: float) -> int:
    # 1/93, as a float, goes into 1 some 1e-14 less than 93 times: what is so near a whole number is meant to be one.
    found = 1 / rate
    return round(found) if abs(found - round(found)) <= 4 * math.ulp(found) else int(found)


def _samples(trace: Workload, rate: float, groups: range, watch: Callable[[Piece], None] | None = None) -> list[Trace]:
    parts: dict[int, list[_Part]] = {g: [] for g in groups}
    for piece in trace.pieces():
        of = _groups(piece.page.astype(np.int64), rate)
        for g in groups:
            at = np.flatnonzero(of == g)
            parts[g].append((at + piece.start, _taken(piece, at)))
        if watch is not None:
            watch(piece)
    pages = _pages(trace.n_pages, rate, groups)
    return [_sample(trace, pages[g], parts[g], rate) for g in groups if any(at.size for at, _ in parts[g])]


def _groups(page: NDArray[np.int64], rate: float) -> NDArray[np.int64]:
    # The hash cut into windows as wide as the rate; what is left over at its end is a group that nobody asks for.
    return ((draws(0, page, SAMPLE) >> np.uint64(11)) // np.uint64(threshold(rate))).astype(np.int64)


def _pages(n_pages: int, rate: float, groups: range) -> dict[int, NDArray[np.int64]]:
    # In blocks, so that memory follows the sample and not the trace.
    found: dict[int, list[NDArray[np.int64]]] = {g: [] for g in groups}
    for start in range(0, n_pages, _BLOCK):
        of = _groups(np.arange(start, min(start + _BLOCK, n_pages), dtype=np.int64), rate)
        for g in groups:
            found[g].append(np.flatnonzero(of == g) + start)
    return {g: np.concatenate(blocks) for g, blocks in found.items()}


def _taken(piece: Piece, at: NDArray[np.int64]) -> Piece:
    columns = ("page", "op", "repeat_reads", "repeat_writes", "mapper")
    return Piece(piece.start, **{n: getattr(piece, n)[at] for n in columns if getattr(piece, n) is not None})


def _sample(trace: Workload, pages: NDArray[np.int64], parts: list[_Part], rate: float) -> Trace:
    # A repeat column that some pieces lack is 0 there.
    at = np.concatenate([where for where, _ in parts])

    def column(name: str) -> NDArray[np.generic] | None:
        found = [getattr(piece, name) for _, piece in parts]
        if all(values is None for values in found):
            return None
        return np.concatenate(
            [np.zeros(len(piece), np.int32) if v is None else v for v, (_, piece) in zip(found, parts, strict=True)]
        )

    page = column("page")
    assert page is not None
    return Trace(
        np.searchsorted(pages, page),
        column("op"),
        n_pages=pages.size,
        repeat_reads=column("repeat_reads"),
        repeat_writes=column("repeat_writes"),
        mapper=column("mapper"),
        mappers=None if trace.mappers is None else trace.mappers[pages],
        content=trace.content[pages],
        corpus=trace.corpus,
        redraw_probability=trace.redraw_probability,
        content_shifts=[*{int(np.searchsorted(at, access)): rows for access, rows in trace.content_shifts}.items()],
        recorder_k=round(trace.recorder_k * rate),
        name=trace.name,
        title=trace.title,
    )
