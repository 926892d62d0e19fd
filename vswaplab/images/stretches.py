"""Where the pages of an image lie, and which of them are looked at when there are too many."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vswaplab.base.errors import InputError
from vswaplab.base.units import PAGE_SIZE
from vswaplab.contents.schemes import Pages
from vswaplab.trace.corpus import REGION_PAGES

MOST_STRETCHES = 1 << 20
"""Stretches of an image: a process may have 65,530 mappings (vm.max_map_count), each with holes."""

MOST_PAGES = 1 << 31
"""Pages of an image, 8 TiB."""

Reader = Callable[[int, int], bytes]
"""Bytes of an image from an offset on, fewer than asked for at its end; OSError: they are gone."""


@dataclass(frozen=True)
class Stretches:
    """Runs of pages, in order of address.

    Parameters
    ----------
    address : (n,) pages
        Address of the first page, in pages.
    offset : (n,) bytes
        Where its bytes lie.
    n_pages : (n,)
    """

    address: NDArray[np.int64]
    offset: NDArray[np.int64]
    n_pages: NDArray[np.int64]

    def __post_init__(self) -> None:
        if len(self.address) > MOST_STRETCHES or self.total > MOST_PAGES:
            raise InputError(
                f"the image has {len(self.address):,} stretches and {self.total:,} pages: at most {MOST_STRETCHES:,} "
                f"and {MOST_PAGES:,} can be looked at; cut it"
            )

    @classmethod
    def of(cls, rows: list[tuple[int, int, int]]) -> Stretches:
        """Make it from rows of address, offset and number of pages, in any order."""
        table = np.array(sorted(row for row in rows if row[2] > 0), np.int64).reshape(-1, 3)
        return cls(table[:, 0], table[:, 1], table[:, 2])

    @property
    def total(self) -> int:
        """Pages of all of them."""
        return int(self.n_pages.sum())

    @property
    def first_number(self) -> NDArray[np.int64]:
        """(n,) number of each first page: pages count in order of address, and a gap leaves one number out."""
        ends = self.address + self.n_pages
        is_gap = np.r_[False, self.address[1:] != ends[:-1]]
        number: NDArray[np.int64] = np.cumsum(self.n_pages) - self.n_pages + np.cumsum(is_gap)
        return number

    def sample(self, most_pages: int) -> Stretches:
        """Keep whole aligned pieces of 256 KiB, one in so many, so that at most about ``most_pages`` pages are left.

        Neighbours stay together: what is said of runs and regions holds for a sample.
        """
        every = max(1, -(-self.total // most_pages))
        kept = self._one_piece_in(every)
        while kept.total > most_pages and every < self.total:
            every += -(-every // 8)
            kept = self._one_piece_in(every)
        return kept if 0 < kept.total <= most_pages else self._head(most_pages)

    def _one_piece_in(self, every: int) -> Stretches:
        if every == 1:
            return self
        step = every * REGION_PAGES
        ends = self.address + self.n_pages
        n_pieces = np.maximum(0, (ends - 1) // step - self.address // step + 1)
        of = np.repeat(np.arange(len(self.address)), n_pieces)
        nth = np.arange(of.size) - np.repeat(np.cumsum(n_pieces) - n_pieces, n_pieces)
        piece = (self.address[of] // step + nth) * step
        start = np.maximum(piece, self.address[of])
        length = np.minimum(piece + REGION_PAGES, ends[of]) - start
        inside = length > 0
        start, of = start[inside], of[inside]
        return Stretches(start, self.offset[of] + (start - self.address[of]) * PAGE_SIZE, length[inside])

    def _head(self, most_pages: int) -> Stretches:
        # So few pages are wanted, or so scattered, that pieces do not do.
        before = np.cumsum(self.n_pages) - self.n_pages
        n_pages = np.clip(most_pages - before, 0, self.n_pages)
        some = n_pages > 0
        return Stretches(self.address[some], self.offset[some], n_pages[some])


@dataclass(frozen=True)
class Chunk:
    """Pages read together.

    Parameters
    ----------
    number : (n,)
        Page numbers, in order of address.
    address : (n,) pages
    pages : (n, 4096) uint8
    """

    number: NDArray[np.int64]
    address: NDArray[np.int64]
    pages: Pages


def chunks(all_of: Stretches, kept: Stretches, read: Reader, chunk_pages: int) -> Iterator[Chunk]:
    """Read the pages of some stretches, so many at a time; what cannot be read any more is left out.

    Parameters
    ----------
    all_of : Stretches
        The whole image: its numbers count.
    kept : Stretches
        Those to read, inside it.
    read : callable
    chunk_pages
    """
    home = np.searchsorted(all_of.address, kept.address, "right") - 1
    first = all_of.first_number[home] + kept.address - all_of.address[home]
    parts: list[Chunk] = []
    filled = 0
    for address, offset, n_pages, number in zip(kept.address, kept.offset, kept.n_pages, first, strict=True):
        done = 0
        while done < n_pages:
            wanted = int(min(n_pages - done, chunk_pages - filled))
            part = _read(read, int(offset) + done * PAGE_SIZE, wanted)
            if len(part):
                steps = np.arange(len(part)) + done
                parts.append(Chunk(int(number) + steps, int(address) + steps, part))
            filled += wanted
            done += wanted
            if filled == chunk_pages:
                yield from _joined(parts)
                parts, filled = [], 0
    yield from _joined(parts)


def _joined(parts: list[Chunk]) -> Iterator[Chunk]:
    if parts:
        columns = zip(*((part.number, part.address, part.pages) for part in parts), strict=True)
        yield Chunk(*(np.concatenate(column) for column in columns))


def _read(read: Reader, offset: int, n_pages: int) -> Pages:
    try:
        data = read(offset, n_pages * PAGE_SIZE)
    except OSError:  # a process that has unmapped it since
        data = b""
    data += bytes(-len(data) % PAGE_SIZE)
    return np.frombuffer(data, np.uint8).reshape(-1, PAGE_SIZE)
