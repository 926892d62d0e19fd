"""The accesses as the vectorised engine reads them: copies already under their own numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vswaplab.trace.corpus import Corpus
from vswaplab.trace.trace import Trace


@dataclass(frozen=True)
class Shares:
    """What several mappers add to a stream. Arrays are (n_accesses,) unless said otherwise."""

    bit: NDArray[np.uint8]
    """One bit: the access's mapper."""
    is_copy: NDArray[np.bool_]
    """The access gives its mapper a page of its own, copied from a shared one."""
    leaves: NDArray[np.int32]
    """Page that the access's mapper leaves, -1: none."""
    is_further: NDArray[np.bool_]
    """First touch of the page by a mapper that did not bring it in."""
    address_space: int
    """Pages of one mapper's address space."""


@dataclass(frozen=True)
class Stream:
    """Parallel arrays of accesses, and what each page contains when first touched."""

    page: NDArray[np.int32]
    op: NDArray[np.uint8]
    n_pages: int
    content: NDArray[np.int32]
    corpus: Corpus
    repeat_reads: NDArray[np.int32] | None
    repeat_writes: NDArray[np.int32] | None
    mappers: NDArray[np.uint8]
    """(n_pages,) mapper set of each page at the start, one bit a mapper."""
    shares: Shares | None

    @property
    def has_repeats(self) -> bool:
        """Whether any record stands for several touches."""
        return self.repeat_reads is not None or self.repeat_writes is not None


def stream_of(trace: Trace) -> Stream:
    """Lay a trace out for the engine."""
    sharing, n_pages = trace.sharing, trace.n_pages
    repeats = (trace.repeat_reads, trace.repeat_writes)
    if sharing is None:
        mappers = np.ones(n_pages, np.uint8) if trace.mappers is None else trace.mappers
        return Stream(trace.page, trace.op, n_pages, trace.content, trace.corpus, *repeats, mappers, None)
    mapper = np.zeros(len(trace), np.uint8) if trace.mapper is None else trace.mapper
    shares = Shares(
        bit=(np.uint8(1) << mapper).astype(np.uint8),
        is_copy=sharing.copied_from >= 0,
        leaves=sharing.leaves,
        is_further=sharing.is_further,
        address_space=n_pages,
    )
    return Stream(
        sharing.page, sharing.op, sharing.n_pages, trace.first_content, trace.corpus, *repeats, sharing.mappers, shares
    )
