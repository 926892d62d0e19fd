"""Open an image: a plain file, an ELF core dump, the memory of a running process.

Nothing in a file is believed before it is checked against the file's size; a
core's program headers are the only thing read of it besides pages.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vswaplab.base.errors import InputError
from vswaplab.base.units import PAGE_SIZE
from vswaplab.images.stretches import MOST_STRETCHES, Reader, Stretches


@dataclass(frozen=True)
class Image:
    """Pages that can be read.

    Parameters
    ----------
    name
        For files and titles.
    title
        What it is, in words.
    stretches : Stretches
    read : callable
    n_left_out : pages
        That the image has and nobody swaps: code and read-only data.
    """

    name: str
    title: str
    stretches: Stretches
    read: Reader
    n_left_out: int = 0


# A plain file ------------------------------------------------------------------------------------

_PACKED = {
    b"\x1f\x8b": "gzip -d",
    b"\x28\xb5\x2f\xfd": "zstd -d",
    b"\xfd7zXZ": "xz -d",
    b"\x04\x22\x4d\x18": "lz4 -d",
}


@contextmanager
def open_file(path: Path) -> Iterator[Image]:
    """Open a file or block device: its bytes by pages, the last one filled up with zeros, as in a page cache."""
    with _opened(path) as (read, size):
        n_pages = -(-size // PAGE_SIZE)
        yield Image(path.name, f"the file {path.name}", Stretches.of([(0, 0, n_pages)]), read)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Reader, int]]:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError) as error:
        raise InputError(
            f"cannot read {path}: {getattr(error, 'strerror', None) or error}; give a file that you may read"
        ) from None
    try:
        size = _size(path, handle)
        yield lambda offset, n: os.pread(handle, n, offset), size
    finally:
        os.close(handle)


def _size(path: Path, handle: int) -> int:
    mode = os.fstat(handle).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISBLK(mode)):
        raise InputError(f"{path} is neither a file nor a block device: copy what it holds into a file")
    try:
        size = os.lseek(handle, 0, os.SEEK_END)
    except OSError as error:  # /proc/PID/mem, say
        raise InputError(
            f"{path} does not say how long it is ({error.strerror}): copy what it holds into a file, or give a "
            f"process by its number (--pid)"
        ) from None
    if not size:
        raise InputError(f"{path} is empty: it has no pages to measure")
    return size


# An ELF core dump --------------------------------------------------------------------------------

# Field offsets of the header and of a program header, by class: 1 is 32 bits, 2 is 64 (man 5 elf).
_HEADER = {1: (28, 4, 32, 42, 44, 52), 2: (32, 8, 40, 54, 56, 64)}
_SEGMENT = {
    1: np.dtype({"names": ["type", "offset", "address", "size", "flags"], "formats": ["<u4"] * 5,
                 "offsets": [0, 4, 8, 16, 24], "itemsize": 32}),
    2: np.dtype({"names": ["type", "flags", "offset", "address", "size"], "formats": ["<u4"] * 2 + ["<u8"] * 3,
                 "offsets": [0, 4, 8, 16, 32], "itemsize": 56}),
}  # fmt: skip
_CORE, _LOAD, _WRITABLE, _MANY = 4, 1, 2, 0xFFFF


@contextmanager
def open_core(path: Path) -> Iterator[Image]:
    """Open an ELF core dump: its writable segments, as far as their bytes are in the file.

    Segments that nobody may write are code and read-only data of files, which
    are not swapped. If no segment is marked writable (dumps of a machine's RAM)
    all are taken.
    """
    with _opened(path) as (read, size):
        try:
            segments = _segments(path, read, size)
        except OSError as error:  # a bad disk
            raise InputError(f"cannot read {path}: {error.strerror}; copy it again, or dump it again") from None
        is_swappable = (segments["flags"] & _WRITABLE) > 0
        if not is_swappable.any():
            is_swappable[:] = True
        stretches, left_out = _stretches(segments[is_swappable]), _stretches(segments[~is_swappable])
        if not stretches.total:
            raise InputError(f"{path} has no memory in it, only headers: see core_pattern and coredump_filter")
        yield Image(path.name, f"the core dump {path.name}", stretches, read, left_out.total)


def _segments(path: Path, read: Reader, size: int) -> NDArray[np.void]:
    head = read(0, 64)
    packed = next((remedy for magic, remedy in _PACKED.items() if head.startswith(magic)), None)
    if packed:
        raise InputError(f"{path} is compressed: unpack it first, {packed}")
    if len(head) < 52 or head[:4] != b"\x7fELF" or head[4] not in _HEADER:
        raise InputError(f"{path} is not an ELF core dump: make one with gcore PID, or measure it as a plain file")
    if head[5] != 1:
        raise InputError(f"{path} is of a big-endian machine: only little-endian memory can be measured")
    if _number(head, 16, 2) != _CORE:
        raise InputError(f"{path} is an ELF file but no core dump: make one with gcore PID, or measure it as a file")
    where, width, sections, entry, count, head_bytes = _HEADER[head[4]]
    dtype = _SEGMENT[head[4]]
    start, n = _number(head, where, width), _number(head, count, 2)
    if n == _MANY:  # the number is in the first section header: sh_info
        at = _number(head, sections, width)
        n = _number(read(at, 64) if at < size else b"", 28 if head[4] == 1 else 44, 4)
    if _number(head, entry, 2) != dtype.itemsize or not head_bytes <= start <= size:
        raise InputError(f"{path} is a damaged core dump: its program headers are not where it says; dump it again")
    if n > MOST_STRETCHES or start + n * dtype.itemsize > size:
        raise InputError(f"{path} is a cut or damaged core dump: it lacks its {n:,} program headers; dump it again")
    return _checked(path, np.frombuffer(read(start, n * dtype.itemsize), dtype), size)


def _number(data: bytes, at: int, n_bytes: int) -> int:
    return int.from_bytes(data[at : at + n_bytes], "little")


def _checked(path: Path, headers: NDArray[np.void], size: int) -> NDArray[np.void]:
    loads: NDArray[np.void] = headers[(headers["type"] == _LOAD) & (headers["size"] > 0)]
    start, length = loads["offset"].astype(np.uint64), loads["size"].astype(np.uint64)
    beyond = np.flatnonzero((start > size) | (length > np.uint64(size) - np.minimum(start, np.uint64(size))))
    if beyond.size:
        k = int(beyond[0])
        raise InputError(
            f"{path} is cut short: segment {k} has {int(length[k]):,} bytes from {int(start[k]):,} on, "
            f"the file ends at {size:,}; dump it again with ulimit -c unlimited"
        )
    if float(length.sum(dtype=np.float64)) > size:
        raise InputError(f"{path} is a damaged core dump: its segments overlap; dump it again")
    return loads


def _stretches(loads: NDArray[np.void]) -> Stretches:
    rows = []
    for address, offset, length in zip(
        loads["address"].tolist(), loads["offset"].tolist(), loads["size"].tolist(), strict=True
    ):
        skip = -address % PAGE_SIZE
        rows.append(((address + skip) // PAGE_SIZE, offset + skip, max(0, length - skip) // PAGE_SIZE))
    return Stretches.of(rows)


# A running process -------------------------------------------------------------------------------

_MAPPING = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (\S{4}) ")
_KIB = re.compile(r"(Anonymous|Swap): +(\d+) kB")
_PRESENT, _SWAPPED, _OF_FILE = 1 << 63, 1 << 62, 1 << 61  # Documentation/admin-guide/mm/pagemap.rst
_ENTRIES = 1 << 18  # of the page map in memory at once: 2 MiB


@contextmanager
def open_process(pid: int, proc: Path = Path("/proc")) -> Iterator[Image]:
    """Open the anonymous pages of a running process, those in swap included (looking at them brings them in)."""
    folder = proc / str(pid)
    try:
        mappings = (folder / "smaps").read_text(encoding="utf-8", errors="replace")
        name = (folder / "comm").read_text(encoding="utf-8", errors="replace").strip()
        pagemap = os.open(folder / "pagemap", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise _no_access(pid, error) from None
    try:
        stretches = Stretches.of(list(_anonymous(mappings, pagemap)))
    finally:
        os.close(pagemap)
    if not stretches.total:
        raise InputError(f"process {pid} has no anonymous memory to measure: a kernel thread, or it has just ended")
    try:
        memory = os.open(folder / "mem", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise _no_access(pid, error) from None
    try:
        _try(pid, memory, int(stretches.offset[0]))
        yield Image(
            name or str(pid),
            f"process {pid} ({name})",
            stretches,
            lambda offset, n: os.pread(memory, n, offset),
        )
    finally:
        os.close(memory)


def _try(pid: int, memory: int, offset: int) -> None:
    try:
        os.pread(memory, 1, offset)
    except OSError as error:
        raise _no_access(pid, error) from None


def _no_access(pid: int, error: OSError) -> InputError:
    if isinstance(error, FileNotFoundError | ProcessLookupError):
        return InputError(f"there is no process {pid}: see ps -e")
    return InputError(
        f"cannot read the memory of process {pid}: {error.strerror}; run as root, or as its owner with "
        f"kernel.yama.ptrace_scope at 0"
    )


def _anonymous(smaps: str, pagemap: int) -> Iterator[tuple[int, int, int]]:
    # Mappings with anonymous pages, and of these the pages that are there or in swap.
    mapping, kib = (0, 0), 0
    for line in [*smaps.split("\n"), "0-0 ---- "]:
        found = _MAPPING.match(line)
        if found is None:
            kib += sum(int(n) for _, n in _KIB.findall(line))
            continue
        if kib:
            yield from _populated(pagemap, *mapping)
        mapping, kib = (int(found[1], 16) // PAGE_SIZE, int(found[2], 16) // PAGE_SIZE), 0


def _populated(pagemap: int, first: int, end: int) -> Iterator[tuple[int, int, int]]:
    for start in range(first, end, _ENTRIES):
        try:
            entry = np.frombuffer(os.pread(pagemap, 8 * min(_ENTRIES, end - start), 8 * start), "<u8")
        except (OSError, ValueError):  # the mapping is gone, or outside of what the page map knows ([vsyscall])
            return
        is_there = ((entry & np.uint64(_PRESENT | _SWAPPED)) > 0) & ((entry & np.uint64(_OF_FILE)) == 0)
        edges = np.flatnonzero(np.diff(np.r_[False, is_there, False])).reshape(-1, 2)
        for low, high in edges.tolist():
            yield start + low, (start + low) * PAGE_SIZE, high - low
