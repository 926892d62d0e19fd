"""Measure how well pages compress: one size in bytes per page, codec and granule.

Only sizes leave this module. Every function takes an array of pages, shape (n, 4096), dtype uint8.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import zlib
from collections.abc import Callable
from importlib.metadata import version

import lz4  # type: ignore[import-untyped]
import lz4.block  # type: ignore[import-untyped]
import numpy as np
import zstandard
from numpy.typing import NDArray

Pages = NDArray[np.uint8]
Sizes = NDArray[np.uint16]
Codec = Callable[[bytes], int]
"""Compressed length in bytes of one block."""

PAGE = 4096
LINE = 64
BDI_TAG_BITS = 4
BDI_SHAPES = ((8, 1), (8, 2), (8, 4), (4, 1), (4, 2), (2, 1))
"""Base-delta-immediate encodings: width in bytes of an element and of its delta."""
FPC_PREFIX_BITS = 3
LZO_WORK_BYTES = 16384 * 8
"""Working memory of lzo1x_1_compress, from its header."""


def lz4_size(block: bytes) -> int:
    """Length of the raw LZ4 block (no size prefix, no frame), acceleration 1."""
    return len(lz4.block.compress(block, store_size=False))


def lzo_library() -> ctypes.CDLL:
    """liblzo2, from the system or from the file named by LIBLZO2."""
    name = os.environ.get("LIBLZO2") or ctypes.util.find_library("lzo2")
    if not name:
        raise SystemExit("recorder: liblzo2 not found; install it with: apt-get install liblzo2-2")
    return ctypes.CDLL(name)


def make_lzo() -> Codec:
    """Length of the raw LZO1X-1 stream, the algorithm of the kernel's `lzo`."""
    compress = lzo_library().lzo1x_1_compress
    work = ctypes.create_string_buffer(LZO_WORK_BYTES)
    room = ctypes.create_string_buffer(PAGE + PAGE // 16 + 67)
    length = ctypes.c_size_t()

    def size(block: bytes) -> int:
        compress(block, ctypes.c_size_t(len(block)), room, ctypes.byref(length), work)
        return length.value

    return size


def make_zstd(level: int) -> Codec:
    """Length of a Zstandard frame without checksum; 4 magic bytes and the frame header count."""
    compressor = zstandard.ZstdCompressor(level=level, write_checksum=False)
    return lambda block: len(compressor.compress(block))


def make_deflate(strategy: int) -> Codec:
    """Length of a raw deflate stream, level 1, window larger than a page."""

    def size(block: bytes) -> int:
        stream = zlib.compressobj(1, zlib.DEFLATED, -13, zlib.DEF_MEM_LEVEL, strategy)
        return len(stream.compress(block)) + len(stream.flush())

    return size


def by_blocks(pages: Pages, codec: Codec, block: int) -> Sizes:
    """Sum over the blocks of each page, a block that does not shrink counted at its own length."""
    sizes = [
        sum(min(block, codec(bytes(page[start : start + block]))) for start in range(0, PAGE, block)) for page in pages
    ]
    return np.array(sizes, dtype=np.uint16)


def codecs() -> dict[str, tuple[Codec, int]]:
    """Column name to codec and block length in bytes, for the byte-stream codecs."""
    deflate, fixed = make_deflate(zlib.Z_DEFAULT_STRATEGY), make_deflate(zlib.Z_FIXED)
    return {
        "lz4_4k": (lz4_size, 4096),
        "lzo_4k": (make_lzo(), 4096),
        "zstd1_4k": (make_zstd(1), 4096),
        "zstd3_4k": (make_zstd(3), 4096),
        "deflate1_4k": (deflate, 4096),
        "deflate_fixed_4k": (fixed, 4096),
        "lz4_1k": (lz4_size, 1024),
        "deflate1_1k": (deflate, 1024),
    }


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
    total: NDArray[np.int64] = bits.reshape(-1, PAGE // LINE).sum(axis=1)
    sizes: Sizes = np.minimum(-(-total // 8), PAGE).astype(np.uint16)
    return sizes


def measure(pages: Pages) -> dict[str, NDArray[np.generic]]:
    """Every content column of the corpus for these pages."""
    words = np.ascontiguousarray(pages).view("<u8")
    columns: dict[str, NDArray[np.generic]] = {
        "is_zero": np.asarray(~words.any(axis=1)),
        "same_filled": np.asarray((words == words[:, :1]).all(axis=1)),
    }
    for name, (codec, block) in codecs().items():
        columns[name] = by_blocks(pages, codec, block)
    columns["bdi_64"] = bdi_sizes(pages)
    columns["fpc_64"] = fpc_sizes(pages)
    return columns


def versions() -> dict[str, str]:
    """Versions of the libraries behind the columns."""
    names = ("lz4", "zstandard", "numpy")
    found = {name: version(name) for name in names}
    found["lz4 library"] = lz4.library_version_string()
    found["zstd library"] = ".".join(str(part) for part in zstandard.ZSTD_VERSION)
    lzo_version = lzo_library().lzo_version_string
    lzo_version.restype = ctypes.c_char_p
    found["lzo library"] = lzo_version().decode()
    return found | {"zlib": zlib.ZLIB_RUNTIME_VERSION}
