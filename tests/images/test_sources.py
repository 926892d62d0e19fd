"""Files, core dumps and processes as images; and what is refused, in one line."""

from __future__ import annotations

import contextlib
import errno
import gzip
import mmap
import os
import re
import shutil
import struct
import subprocess

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.images.conftest import NOISE, PAGE, READABLE, TEXT, WRITABLE, ZERO, core_bytes
from vswaplab.base.errors import InputError
from vswaplab.images.sources import open_core, open_file, open_process
from vswaplab.images.stretches import Stretches, chunks


def content(image, chunk_pages: int = 3) -> bytes:
    kept = image.stretches
    return b"".join(chunk.pages.tobytes() for chunk in chunks(kept, kept, image.read, chunk_pages))


def numbers(image) -> list[int]:
    kept = image.stretches
    return np.concatenate([chunk.number for chunk in chunks(kept, kept, image.read, 2)]).tolist()


def refusal(opener, *arguments) -> str:
    with pytest.raises(InputError) as caught, opener(*arguments):
        pass
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_open_file__gives_all_pages_and_fills_the_last_one_up(write):
    with open_file(write(TEXT + ZERO + b"end")) as image:
        assert image.stretches.total == 3
        assert content(image) == TEXT + ZERO + b"end" + bytes(PAGE - 3)


@pytest.mark.parametrize("machine", [1, 2])
def test_open_core__gives_writable_segments_in_order_of_address(write, machine):
    segments = [(9 * PAGE, WRITABLE, NOISE), (2 * PAGE, WRITABLE, TEXT + ZERO), (5 * PAGE, READABLE, TEXT)]

    with open_core(write(core_bytes(segments, machine=machine))) as image:
        assert content(image) == TEXT + ZERO + NOISE
        assert image.n_left_out == 1
        assert numbers(image) == [0, 1, 3]  # a gap leaves one number out


def test_open_core__takes_everything_if_nothing_is_marked_writable(write):
    with open_core(write(core_bytes([(0, 0, TEXT), (PAGE, 0, ZERO)]))) as image:
        assert content(image) == TEXT + ZERO


def test_open_core__begins_at_a_page_of_an_odd_address(write):
    with open_core(write(core_bytes([(PAGE - 16, WRITABLE, bytes(16) + TEXT + b"rest")]))) as image:
        assert content(image) == TEXT


@pytest.mark.skipif(not shutil.which("readelf"), reason="needs readelf of binutils")
def test_core_bytes__is_a_core_dump_to_readelf(write):
    path = write(core_bytes([(2 * PAGE, WRITABLE, TEXT), (9 * PAGE, READABLE, ZERO)]))
    listed = subprocess.run(["readelf", "-hlW", path], check=True, capture_output=True, text=True).stdout

    assert "CORE" in listed
    assert re.search(r"LOAD +0x0000b0 0x0*2000 \S+ 0x0*1000 0x0*1000 RW", listed)


WHOLE = core_bytes([(PAGE, WRITABLE, TEXT)])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (b"no core", "is not an ELF core dump"),
        (TEXT, "is not an ELF core dump"),
        (core_bytes([(PAGE, WRITABLE, TEXT)], kind=2), "is an ELF file but no core dump"),
        (WHOLE[:-1], "is cut short: segment 0 has 4,096 bytes from 120 on, the file ends at 4,215"),
        (WHOLE[:90], "lacks its 1 program headers"),
        (core_bytes([(PAGE, WRITABLE, TEXT)], n_headers=60_000), "lacks its 60,000 program headers"),
        (core_bytes([(PAGE, WRITABLE, TEXT)], n_headers=0xFFFF), "has no memory in it"),
        (core_bytes([(PAGE, WRITABLE, b"")]), "has no memory in it"),
        (gzip.compress(WHOLE), "is compressed: unpack it first, gzip -d"),
        (b"\x28\xb5\x2f\xfd" + WHOLE, "is compressed: unpack it first, zstd -d"),
        (WHOLE[:5] + b"\x02" + WHOLE[6:], "is of a big-endian machine"),
        (WHOLE[:54] + struct.pack("<H", 1) + WHOLE[56:], "program headers are not where it says"),
        (WHOLE[:32] + struct.pack("<Q", 1 << 60) + WHOLE[40:], "program headers are not where it says"),
        (WHOLE[:72] + struct.pack("<QQQQ", 1 << 63, 0, 0, 1 << 63) + WHOLE[104:], "is cut short"),
        (WHOLE[:72] + struct.pack("<QQQQ", (1 << 64) - 1, 0, 0, (1 << 64) - 1) + WHOLE[104:], "is cut short"),
    ],
)
def test_open_core__refuses_in_one_line(write, data, words):
    assert words in refusal(open_core, write(data))


def test_open_core__refuses_segments_that_overlap(write):
    body = TEXT * 8
    data = bytearray(core_bytes([(PAGE * k, WRITABLE, body if k == 0 else b"") for k in range(4)]))
    for k in range(1, 4):  # they all claim the bytes of the first
        data[64 + 56 * k + 8 : 64 + 56 * k + 16] = data[72:80]
        data[64 + 56 * k + 32 : 64 + 56 * k + 40] = data[96:104]

    assert "its segments overlap" in refusal(open_core, write(bytes(data)))


@settings(max_examples=60)
@given(st.data())
def test_open_core__reads_or_refuses_whatever_is_damaged(tmp_path_factory, data):
    damaged = bytearray(core_bytes([(PAGE, WRITABLE, TEXT), (4 * PAGE, READABLE, ZERO)]))
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, 175))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("core") / "core"
    path.write_bytes(damaged[: data.draw(st.integers(0, len(damaged)))])

    with contextlib.suppress(InputError), open_core(path) as image:
        assert len(content(image)) <= len(damaged)


def test_open_file__refuses_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")

    assert "is neither a file nor a block device" in refusal(open_file, tmp_path / "pipe")
    assert "is neither a file nor a block device" in refusal(open_file, tmp_path)
    assert "No such file" in refusal(open_file, tmp_path / "nothing")


def test_open_file__refuses_a_sparse_file_larger_than_can_be_looked_at(tmp_path):
    path = tmp_path / "huge"
    with path.open("wb") as file:
        file.truncate((1 << 43) + PAGE)

    assert "2,147,483,649 pages: at most" in refusal(open_file, path)


def test_open_process__gives_touched_anonymous_pages_only():
    memory = mmap.mmap(-1, 16 * PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory[4 * PAGE : 6 * PAGE] = NOISE * 2
    start = np.frombuffer(memory, np.uint8).ctypes.data // PAGE

    with open_process(os.getpid()) as image:
        stretches = image.stretches
        inside = (stretches.address >= start) & (stretches.address < start + 16)
        mine = Stretches(stretches.address[inside], stretches.offset[inside], stretches.n_pages[inside])
        found = b"".join(chunk.pages.tobytes() for chunk in chunks(stretches, mine, image.read, 4))

    assert (mine.address - start).tolist() == [4]
    assert found == NOISE * 2


def test_open_process__refuses_in_one_line(tmp_path):
    assert "there is no process 4194305" in refusal(open_process, 4_194_305)
    kernel = tmp_path / "7"
    kernel.mkdir()
    for name in ("smaps", "comm", "pagemap", "mem"):
        (kernel / name).write_text("")
    assert "no anonymous memory" in refusal(open_process, 7, tmp_path)


@pytest.mark.parametrize("denied", ["pagemap", "mem"])
def test_open_process__says_who_may_read_it(monkeypatch, denied):
    real = os.open

    def guarded(path, flags):
        if path.name == denied:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return real(path, flags)

    monkeypatch.setattr(os, "open", guarded)
    said = refusal(open_process, os.getpid())
    assert said.startswith(f"cannot read the memory of process {os.getpid()}: Permission denied; run as root")


# Samples -----------------------------------------------------------------------------------------


@settings(max_examples=50)
@given(
    st.lists(st.tuples(st.integers(0, 3000), st.integers(1, 300)), min_size=1, max_size=8),
    st.integers(1, 2000),
)
def test_sample__keeps_at_most_so_many_pages_and_whole_pieces(parts, most):
    rows, at = [], 0
    for gap, length in parts:
        rows.append((at + gap, 10 * (at + gap) * PAGE, length))
        at += gap + length
    whole = Stretches.of(rows)
    kept = whole.sample(most)

    pages = {a + k: o + k * PAGE for a, o, n in zip(*_columns(kept), strict=True) for k in range(n)}
    known = {a + k: o + k * PAGE for a, o, n in zip(*_columns(whole), strict=True) for k in range(n)}
    assert 0 < len(pages) <= most
    assert pages.items() <= known.items()
    if len(known) <= most:
        assert pages == known


def _columns(stretches: Stretches) -> tuple[list[int], list[int], list[int]]:
    return stretches.address.tolist(), stretches.offset.tolist(), stretches.n_pages.tolist()


def test_sample__takes_one_piece_in_two():
    kept = Stretches.of([(0, 0, 256)]).sample(128)

    assert kept.address.tolist() == [0, 128]
    assert kept.n_pages.tolist() == [64, 64]
