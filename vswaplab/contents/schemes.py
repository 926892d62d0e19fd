"""Compression schemes that no library offers, as sizes computed in numpy.

Base-delta-immediate and frequent pattern compression work on 64-byte lines, 842 on a whole page.
Every function takes pages, shape (n, 4096), dtype uint8, and returns bytes per page, at most 4096.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vswaplab.base.units import PAGE_SIZE

Pages = NDArray[np.uint8]
Sizes = NDArray[np.uint16]

LINE = 64
BDI_TAG_BITS = 4
BDI_SHAPES = ((8, 1), (8, 2), (8, 4), (4, 1), (4, 2), (2, 1))
"""Base-delta-immediate encodings: width in bytes of an element and of its delta."""
FPC_PREFIX_BITS = 3
W842_OPCODE_BITS = 5
W842_REPEAT_BITS = 6
W842_END_BITS = 5 + 32
"""The end opcode and a checksum."""
W842_WINDOWS = {8: 256, 4: 512, 2: 256}
"""Width of an element in bytes to the number of latest elements an index can name."""


def bdi_shape_fits(lines: Pages, width: int, delta: int) -> NDArray[np.bool_]:
    """Whether each line is one base plus small deltas, where small values need no base."""
    values = lines.view(f"<i{width}")
    limit = 1 << (8 * delta - 1)
    immediate = (values >= -limit) & (values < limit)
    base = np.take_along_axis(values, immediate.argmin(axis=1)[:, None], axis=1)
    with np.errstate(over="ignore"):
        deltas = values - base
    based = (deltas >= -limit) & (deltas < limit)
    return np.asarray((immediate | based).all(axis=1))


def bdi_sizes(pages: Pages) -> Sizes:
    """Base-delta-immediate over 64-byte lines: 4 tag bits a line, 1 mask bit an element."""
    lines = np.ascontiguousarray(pages).reshape(-1, LINE)
    words = lines.view("<u8")
    bits = np.full(len(lines), 8 * LINE, dtype=np.int64)
    for width, delta in BDI_SHAPES:
        elements = LINE // width
        cost = 8 * (width + elements * delta) + elements
        bits[bdi_shape_fits(lines, width, delta) & (bits > cost)] = cost
    bits[(words == words[:, :1]).all(axis=1)] = 64
    bits[~words.any(axis=1)] = 8
    return line_bits_to_bytes(bits + BDI_TAG_BITS)


def fpc_word_bits(words: NDArray[np.int32]) -> NDArray[np.int64]:
    """Count the data bits of a non-zero 32-bit word under frequent pattern compression."""
    halves = words.view("<i2").reshape(*words.shape, 2)
    octets = words.view("u1").reshape(*words.shape, 4)
    small_halves = ((halves >= -128) & (halves < 128)).all(axis=-1)
    bits = np.full(words.shape, 32, dtype=np.int64)
    bits[small_halves] = 16
    bits[halves[..., 0] == 0] = 16
    bits[(words >= -(1 << 15)) & (words < 1 << 15)] = 16
    bits[(words >= -128) & (words < 128)] = 8
    bits[(octets == octets[..., :1]).all(axis=-1)] = 8
    bits[(words >= -8) & (words < 8)] = 4
    return bits


def fpc_sizes(pages: Pages) -> Sizes:
    """Frequent pattern compression over 64-byte lines: 3 prefix bits, zero runs of up to 8 words."""
    words = np.ascontiguousarray(pages).reshape(-1, LINE).view("<i4")
    word_bits = fpc_word_bits(words) + FPC_PREFIX_BITS
    bits = np.zeros(len(words), dtype=np.int64)
    run = np.zeros(len(words), dtype=np.int64)
    for column in range(words.shape[1]):
        zero = words[:, column] == 0
        starts_run = zero & (run % 8 == 0)
        bits += np.where(zero, 2 * FPC_PREFIX_BITS * starts_run, word_bits[:, column])
        run = np.where(zero, run + 1, 0)
    return line_bits_to_bytes(bits)


def line_bits_to_bytes(bits: NDArray[np.int64]) -> Sizes:
    """Bits per line to bytes per page, rounded up, at most one page."""
    total: NDArray[np.int64] = bits.reshape(-1, PAGE_SIZE // LINE).sum(axis=1)
    sizes: Sizes = np.minimum(-(-total // 8), PAGE_SIZE).astype(np.uint16)
    return sizes


def previous_equal(values: NDArray[np.unsignedinteger]) -> NDArray[np.int64]:
    """Position of the latest equal element before each one in its row, -1: none."""
    n = values.shape[1]
    if values.itemsize == 8:
        order = np.argsort(values, axis=1, kind="stable")
        ordered = np.take_along_axis(values, order, axis=1)
    else:  # value and position in one number: plain sorting is several times as fast as argsort
        key = values.astype(np.uint64) * n + np.arange(n, dtype=np.uint64)
        key.sort(axis=1)
        order, ordered = (key % n).astype(np.int64), key // n
    before = np.full(values.shape, -1, dtype=np.int64)
    before[:, 1:] = np.where(ordered[:, 1:] == ordered[:, :-1], order[:, :-1], -1)
    previous = np.empty_like(before)
    np.put_along_axis(previous, order, before, axis=1)
    return previous


def w842_matches(pages: Pages, width: int) -> NDArray[np.bool_]:
    """Whether each element is among the latest ones before the 8-byte word it belongs to."""
    values = np.ascontiguousarray(pages).view(f"<u{width}")
    per_word = 8 // width
    previous = previous_equal(values)
    word_start = np.arange(values.shape[1]) // per_word * per_word
    found = previous
    for _ in range(per_word - 1):  # an equal element of the same word is not in the window yet
        earlier = np.take_along_axis(previous, np.maximum(found, 0), axis=1)
        found = np.where(found >= word_start, earlier, found)
    matches: NDArray[np.bool_] = (found >= 0) & (found >= word_start - W842_WINDOWS[width])
    return matches


def w842_word_bits(pages: Pages) -> NDArray[np.int64]:
    """Cheapest template of each 8-byte word: an index to 8 bytes, or the best of either half.

    A half is an index to 4 bytes (9 bits) or two pieces of 2 bytes, index (8) or data (16).
    """
    pieces = np.where(w842_matches(pages, 2), 8, 16).reshape(len(pages), -1, 2).sum(axis=2)
    halves = np.where(w842_matches(pages, 4), 9, pieces).reshape(len(pages), -1, 2).sum(axis=2)
    bits: NDArray[np.int64] = np.where(w842_matches(pages, 8), 8, halves)
    return bits + W842_OPCODE_BITS


def w842_sizes(pages: Pages) -> Sizes:
    """842 as the kernel's software makes it, with checksum and padding to 8 bytes."""
    words = np.ascontiguousarray(pages).view("<u8")
    bits = np.where(words == 0, W842_OPCODE_BITS, w842_word_bits(pages))
    run = np.zeros(len(words), dtype=np.int64)
    for column in range(1, words.shape[1]):
        repeats = words[:, column] == words[:, column - 1]
        starts = run % (1 << W842_REPEAT_BITS) == 0
        repeat_bits = np.where(starts, W842_OPCODE_BITS + W842_REPEAT_BITS, 0)
        bits[:, column] = np.where(repeats, repeat_bits, bits[:, column])
        run = np.where(repeats, run + 1, 0)
    total = bits.sum(axis=1) + W842_END_BITS
    sizes: Sizes = np.minimum(-(-total // 64) * 8, PAGE_SIZE).astype(np.uint16)
    return sizes
