"""A part of a trace's pages with all their accesses, chosen by a hash of the page number.

Spatial sampling as in SHARDS (Waldspurger, Park, Garthwaite and Ahmad, FAST
2015): a page is in or out for good, so that its reuse is kept, and a machine
scaled down by the same share sees the same pressure. Groups have no page in
common, so that they can be set against each other to say how far off each is.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vswaplab.base.draws import SAMPLE, draws
from vswaplab.base.errors import InputError
from vswaplab.trace.trace import Piece, Trace, Workload


def sample_pages(trace: Workload, one_in: int, n_groups: int) -> list[Trace]:
    """Split some of a trace's pages into groups, each one of ``one_in`` pages with all their accesses.

    Parameters
    ----------
    trace : Trace or TraceFile
        Read once, a piece at a time.
    one_in : int
        Each group has about one of so many pages; at least ``n_groups``.
    n_groups : int

    Returns
    -------
    samples : list of Trace
        Groups that an access falls in; pages are numbered anew in their order.

    Raises
    ------
    InputError
        More groups than ``one_in``, or none.

    Examples
    --------
    >>> from vswaplab.trace.synthetic import scan
    >>> [sample.n_pages for sample in sample_pages(scan(n_pages=4000, n_accesses=8000), 8, 2)]
    [494, 489]
    """
    if not 1 <= n_groups <= one_in:
        raise InputError(f"n_groups must be from 1 to one_in ({one_in}), got {n_groups}")
    group = (draws(0, np.arange(trace.n_pages, dtype=np.int64), SAMPLE) % np.uint64(one_in)).astype(np.int32)
    parts: list[list[tuple[NDArray[np.int64], Piece]]] = [[] for _ in range(n_groups)]
    for piece in trace.pieces():
        of = group[piece.page]
        for g in range(n_groups):
            at = np.flatnonzero(of == g)
            parts[g].append((at + piece.start, _taken(piece, at)))
    return [
        _sample(trace, np.flatnonzero(group == g), part) for g, part in enumerate(parts) if any(a.size for a, _ in part)
    ]


def _taken(piece: Piece, at: NDArray[np.int64]) -> Piece:
    columns = ("page", "op", "repeat_reads", "repeat_writes", "mapper")
    return Piece(piece.start, **{n: getattr(piece, n)[at] for n in columns if getattr(piece, n) is not None})


def _sample(trace: Workload, pages: NDArray[np.int64], parts: list[tuple[NDArray[np.int64], Piece]]) -> Trace:
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
        content_shifts=[(int(np.searchsorted(at, access)), rows) for access, rows in trace.content_shifts],
        name=trace.name,
        title=trace.title,
    )
