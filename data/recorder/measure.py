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
from schemes import PAGE, Pages, Sizes, bdi_sizes, fpc_sizes, w842_sizes

Codec = Callable[[bytes], int]
"""Compressed length in bytes of one block."""

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
    columns["w842_4k"] = w842_sizes(pages)
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
