"""One size in bytes for each page, codec and granule.

The byte-stream codecs are the libraries themselves (extra ``record``; LZO is
the system's liblzo2); the schemes of hardware are computed in numpy.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import zlib
from collections.abc import Callable, Mapping
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray

from vswaplab.base.checks import array_of
from vswaplab.base.codecs import FACT_COLUMNS
from vswaplab.base.errors import InputError
from vswaplab.base.plugins import all_plugins
from vswaplab.base.units import PAGE_SIZE
from vswaplab.contents.schemes import Pages, Sizes, bdi_sizes, fpc_sizes, w842_sizes

Codec = Callable[[bytes], int]
"""Compressed length in bytes of one block."""

Measure = Callable[[Pages], Sizes]
"""Pages, shape (n, 4096), to bytes, shape (n,), each 1 to 4096."""

LZO_WORK_BYTES = 16384 * 8
"""Working memory of lzo1x_1_compress, from its header."""

LZO_MISSING = "liblzo2 is not there: apt-get install liblzo2-2, or name the file in LIBLZO2"

_BATCH = 128  # pages measured together: what numpy makes of them stays in a second-level cache


def lzo_library() -> ctypes.CDLL | None:
    """Find liblzo2, the system's or the file named by LIBLZO2; None: not there."""
    name = os.environ.get("LIBLZO2") or ctypes.util.find_library("lzo2")
    try:
        return ctypes.CDLL(name) if name else None
    except OSError:
        return None


def make_lzo(library: ctypes.CDLL) -> Codec:
    """Length of the raw LZO1X-1 stream, the algorithm of the kernel's `lzo`."""
    compress = library.lzo1x_1_compress
    work = ctypes.create_string_buffer(LZO_WORK_BYTES)
    room = ctypes.create_string_buffer(PAGE_SIZE + PAGE_SIZE // 16 + 67)
    length = ctypes.c_size_t()

    def size(block: bytes) -> int:
        compress(block, ctypes.c_size_t(len(block)), room, ctypes.byref(length), work)
        return length.value

    return size


def make_lz4() -> Codec:
    """Length of the raw LZ4 block (no size prefix, no frame), acceleration 1."""
    from lz4.block import compress

    return lambda block: len(compress(block, store_size=False))


def make_zstd(level: int) -> Codec:
    """Length of a Zstandard frame without checksum; 4 magic bytes and the frame header count."""
    from zstandard import ZstdCompressor

    compressor = ZstdCompressor(level=level, write_checksum=False)
    return lambda block: len(compressor.compress(block))


def make_deflate(strategy: int) -> Codec:
    """Length of a raw deflate stream, level 1, window larger than a page."""

    def size(block: bytes) -> int:
        stream = zlib.compressobj(1, zlib.DEFLATED, -13, zlib.DEF_MEM_LEVEL, strategy)
        return len(stream.compress(block)) + len(stream.flush())

    return size


def by_blocks(codec: Codec, block: int) -> Measure:
    """Sum over the blocks of each page, a block that does not shrink counted at its own length."""

    def sizes(pages: Pages) -> Sizes:
        rows = (page.tobytes() for page in pages)
        starts = range(0, PAGE_SIZE, block)
        found = [sum(min(block, codec(row[start : start + block])) for start in starts) for row in rows]
        return np.array(found, np.uint16)

    return sizes


def measures() -> dict[str, Measure]:
    """Name every size column to what measures it.

    Returns
    -------
    measures : column to function
        Without ``lzo_4k`` where liblzo2 is not there.

    Raises
    ------
    InputError
        The libraries of the extra ``record`` are missing.
    """
    try:
        lz4, zstd1, zstd3 = make_lz4(), make_zstd(1), make_zstd(3)
    except ImportError as error:
        raise InputError(
            f"measuring pages needs the Python package {error.name}: pip install 'vswaplab[record]'"
        ) from None
    deflate, fixed = make_deflate(zlib.Z_DEFAULT_STRATEGY), make_deflate(zlib.Z_FIXED)
    library = lzo_library()
    lzo = {} if library is None else {"lzo_4k": by_blocks(make_lzo(library), 4096)}
    ours = {
        "lz4_4k": by_blocks(lz4, 4096),
        **lzo,
        "zstd1_4k": by_blocks(zstd1, 4096),
        "zstd3_4k": by_blocks(zstd3, 4096),
        "deflate1_4k": by_blocks(deflate, 4096),
        "deflate_fixed_4k": by_blocks(fixed, 4096),
        "lz4_1k": by_blocks(lz4, 1024),
        "deflate1_1k": by_blocks(deflate, 1024),
        "bdi_64": bdi_sizes,
        "fpc_64": fpc_sizes,
        "w842_4k": w842_sizes,
    }
    own = {name: plugged(name, plugin) for name, plugin in all_plugins("codec").items() if name not in FACT_COLUMNS}
    return own | ours


def plugged(name: str, plugin: object) -> Measure:
    """Make a column of a plug-in: what it gives is checked.

    Parameters
    ----------
    name
        Of the column; one that we have stays ours.
    plugin
        Takes pages, shape (n, 4096), uint8, and gives n whole numbers.

    Raises
    ------
    InputError
        It cannot be called; later, if what it gives is not one size a page from 1 to 4096.
    """
    if not callable(plugin):
        raise InputError(f"the codec {name!r} is {plugin!r}: it must be a function from pages to sizes")

    def sizes(pages: Pages) -> Sizes:
        found = array_of(f"what the codec {name!r} gave", plugin(pages))
        fits = found.shape == (len(pages),) and np.issubdtype(found.dtype, np.integer)
        if not fits or (found.size and not 1 <= int(found.min()) <= int(found.max()) <= PAGE_SIZE):
            raise InputError(
                f"the codec {name!r} gave {found.dtype} of shape {found.shape}: it must give {len(pages)} whole "
                f"numbers from 1 to {PAGE_SIZE}, the bytes of each page"
            )
        return found.astype(np.uint16)

    return sizes


def measure_pages(pages: Pages, measures: Mapping[str, Measure]) -> dict[str, NDArray[np.generic]]:
    """Make every content column of a corpus for some pages.

    Parameters
    ----------
    pages : (n, 4096) uint8
    measures : column to function
        What ``measures()`` gives.
    """
    words = np.ascontiguousarray(pages).view("<u8")
    columns: dict[str, NDArray[np.generic]] = {
        "is_zero": np.asarray(~words.any(axis=1)),
        "same_filled": np.asarray((words == words[:, :1]).all(axis=1)),
    }
    batches = [pages[start : start + _BATCH] for start in range(0, len(pages), _BATCH)]
    for name, measure in measures.items():
        columns[name] = np.concatenate([measure(batch) for batch in batches])
    return columns


def versions() -> dict[str, str]:
    """Versions of the libraries behind the columns."""
    import lz4
    import zstandard

    found = {name: version(name) for name in ("lz4", "zstandard", "numpy")}
    found["lz4 library"] = lz4.library_version_string()
    found["zstd library"] = ".".join(str(part) for part in zstandard.ZSTD_VERSION)
    library = lzo_library()
    if library is not None:
        library.lzo_version_string.restype = ctypes.c_char_p
        found["lzo library"] = library.lzo_version_string().decode()
    return found | {"zlib": zlib.ZLIB_RUNTIME_VERSION}
