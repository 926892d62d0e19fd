"""The traces that kernels replayed, made again bit for bit.

Only whole numbers are used, so the same settings give the same accesses
everywhere; a truth folder holds the SHA-256 of what its kernels replayed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from vswaplab.base.errors import InputError

WRITE_BIT = 31
PAGE_MASK = (1 << WRITE_BIT) - 1

_Words = NDArray[np.uint64]
_LEAST_PAGES, _LEAST_ACCESSES = 10, 8  # below, a window or a phase would be empty
_MOST = 1 << 26


@dataclass(frozen=True)
class TraceSettings:
    """What a trace is made from.

    Parameters
    ----------
    kind : str
        One of ``TRACE_KINDS``.
    n_pages : pages
    n_acc : accesses
        Without the fill, which writes every page once before them.
    seed : int
    write_pct : percent
        Of the accesses, drawn one by one.
    """

    kind: str
    n_pages: int
    n_acc: int
    seed: int
    write_pct: int

    def __post_init__(self) -> None:
        if self.kind not in TRACE_KINDS:
            raise InputError(f"no trace of kind {self.kind!r}: choose from {', '.join(TRACE_KINDS)}")
        ranges = {
            "n_pages": (_LEAST_PAGES, _MOST),
            "n_acc": (_LEAST_ACCESSES, _MOST),
            "seed": (0, 1 << 58),
            "write_pct": (0, 100),
        }
        for name, (least, most) in ranges.items():
            if not least <= getattr(self, name) <= most:
                raise InputError(f"trace {name} must be between {least} and {most}, got {getattr(self, name)}")


@lru_cache(maxsize=16)
def accesses(settings: TraceSettings) -> NDArray[np.uint32]:
    """Make the accesses of a trace.

    Returns
    -------
    packed : (n_acc,) uint32
        Page number in bits 0 to 30; bit 31 is set for a write. Read-only.
    """
    maker = _Maker(settings)
    page = TRACE_KINDS[settings.kind](maker).astype(np.uint32)
    is_write = maker.draws(5, 100) < settings.write_pct
    packed: NDArray[np.uint32] = page | is_write.astype(np.uint32) << np.uint32(WRITE_BIT)
    packed.flags.writeable = False
    return packed


def trace_sha256(packed: NDArray[np.uint32]) -> str:
    """Hash accesses as a truth folder does: little-endian 32-bit words."""
    return hashlib.sha256(packed.astype("<u4").tobytes()).hexdigest()


def content_classes(n_pages: int, percent: Sequence[int], seed_class: int) -> NDArray[np.int64]:
    """Draw the content class of every page.

    Parameters
    ----------
    n_pages : pages
    percent : (n_classes,) percent
        Share of each class; they add up to 100.
    seed_class : int

    Returns
    -------
    content : (n_pages,) class
    """
    hundredth = (_mix(_word(seed_class) + np.arange(n_pages, dtype=np.uint64)) % _word(100)).astype(np.int64)
    return np.searchsorted(np.cumsum(percent), hundredth, side="right").clip(max=len(percent) - 1)


def _word(value: int) -> np.uint64:
    return np.uint64(value & (1 << 64) - 1)


def _mix(words: _Words) -> _Words:
    # splitmix64: a step, then two rounds of shift and multiply; all of it modulo 2**64
    mixed = words + _word(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ mixed >> _word(shift)) * _word(factor)
    return mixed ^ mixed >> _word(31)


class _Maker:
    # Draws of one trace: each stream of its seed is one purpose.

    def __init__(self, settings: TraceSettings) -> None:
        self.n_pages, self.n_acc, self.seed = settings.n_pages, settings.n_acc, settings.seed

    def words(self, stream: int, n: int) -> _Words:
        """Draw n whole numbers below 2**32."""
        origin = _mix(np.array([self.seed * 16 + stream], np.uint64))
        return _mix(origin + np.arange(n).astype(np.uint64)) >> _word(32)

    def draws(self, stream: int, below: int) -> NDArray[np.int64]:
        """Draw a whole number below ``below`` for every access."""
        return (self.words(stream, self.n_acc) * _word(below) >> _word(32)).astype(np.int64)

    @property
    def order(self) -> NDArray[np.int64]:
        """The pages, shuffled."""
        return np.argsort(self.words(1, self.n_pages), kind="stable")

    def uniform(self) -> NDArray[np.int64]:
        return self.draws(2, self.n_pages)

    def loop(self) -> NDArray[np.int64]:
        return np.arange(self.n_acc) % self.n_pages

    def zipf(self) -> NDArray[np.int64]:
        # the r-th page of a shuffled order weighs 2**24 // r
        upto = np.cumsum((1 << 24) // np.arange(1, self.n_pages + 1))
        return self.order[np.searchsorted(upto, self.draws(2, int(upto[-1])), side="right")]

    def hotscan(self) -> NDArray[np.int64]:
        # 90 of 100 go anywhere in a hot fifth, the others on along a scan of all pages in order
        is_scan = self.draws(3, 100) < 10
        along = (np.cumsum(is_scan) - 1) % self.n_pages
        return np.where(is_scan, along, self.order[self.draws(2, self.n_pages // 5)])

    def phases(self) -> NDArray[np.int64]:
        # 95 of 100 go to a window of three tenths, which moves by half of itself eight times; the others anywhere
        width = self.n_pages * 3 // 10
        start = np.arange(self.n_acc) // (self.n_acc // 8) * (width // 2)
        near = self.order[(start + self.draws(2, width)) % self.n_pages]
        return np.where(self.draws(3, 100) < 5, self.draws(4, self.n_pages), near)


TRACE_KINDS: dict[str, Callable[[_Maker], NDArray[np.int64]]] = {
    "uniform": _Maker.uniform,
    "loop": _Maker.loop,
    "zipf": _Maker.zipf,
    "hotscan": _Maker.hotscan,
    "phases": _Maker.phases,
}
"""Kind of trace: what makes its pages."""
