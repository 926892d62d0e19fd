"""The recorder's plugin against a small program whose touches are known."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

RECORDER = Path(__file__).parents[2] / "data" / "recorder"
READ, WRITE, FREE = 0, 1, 2
PAGE = 4096
RECORD = np.dtype([("time", "<u8"), ("row", "<u4", 4)])
DUMP = np.dtype([("page", "<u8"), ("address", "<u8"), ("bytes", "u1", PAGE)])

GUEST = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
#define PAGE 4096L
int main(void)
{
    volatile char *a = mmap(0, 64 * PAGE, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int i = 0; i < 64; i++) a[i * PAGE] = 100;          /* 64 writes */
    for (int i = 0; i < 64; i++) (void)a[i * PAGE];          /* 64 reads */
    madvise((void *)a, 8 * PAGE, MADV_DONTNEED);             /* 8 frees */
    munmap((void *)(a + 60 * PAGE), 4 * PAGE);               /* 4 frees */
    volatile char *b = mremap((void *)(a + 8 * PAGE), 40 * PAGE, 80 * PAGE, MREMAP_MAYMOVE);
    b[0] = 101;                                              /* the page that was a[8] */
    b[79 * PAGE] = 102;                                      /* a new page */
    int fd = open("/dev/zero", O_RDONLY);
    if (read(fd, (void *)(b + 40 * PAGE), 3 * PAGE) < 0)     /* 3 new pages, written by the kernel */
        return 1;
    volatile char *f = mmap(0, 2 * PAGE, 3, MAP_PRIVATE, open("data", O_RDONLY), 0);
    (void)f[0];                                              /* a file page: not recorded */
    f[PAGE] = 103;                                           /* copied on write: recorded */
    munmap((void *)b, 80 * PAGE);                            /* 40 + 1 + 3 frees */
    return 0;
}
"""


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """Records, totals and the one dump, taken as early as frees allow, of the guest above."""
    qemu, compiler = shutil.which("qemu-x86_64"), shutil.which("gcc")
    if not qemu or not compiler:
        pytest.skip("no qemu-x86_64 or no gcc: nothing can be recorded here")
    work = tmp_path_factory.mktemp("recorded")
    (work / "guest.c").write_text(GUEST)
    (work / "data").write_bytes(b"x" * 2 * PAGE)
    subprocess.run([compiler, "-O1", "-static", "-o", "guest", "guest.c"], cwd=work, check=True)
    flags = ["-O2", "-Wall", "-Wextra", "-Werror", "-std=gnu11", "-fPIC", "-shared"]
    subprocess.run([compiler, *flags, "-o", "plugin.so", RECORDER / "plugin.c"], cwd=work, check=True)
    options = "out=records,k=512,dump=dump,stride=1,moments=1"
    subprocess.run([qemu, "-cpu", "max", "-plugin", f"./plugin.so,{options}", "./guest"], cwd=work, check=True)
    records = np.fromfile(work / "records", RECORD)
    assert (np.diff(records["time"].astype(np.int64)) > 0).all()
    records = records["row"][records["row"][:, 1] <= FREE]  # without marks
    return records, json.loads((work / "records.json").read_text()), np.fromfile(work / "dump.0", DUMP)


def guest_pages(records):
    """The numbers of the guest's 64 pages: the first 64 that are written in a row without a repeat."""
    first_free = int(np.flatnonzero(records[:, 1] == FREE)[0])
    return range(int(records[first_free, 0]), int(records[first_free, 0]) + 64)


def test_totals_add_up(recorded):
    records, totals, _ = recorded
    touches = records[records[:, 1] != FREE]
    assert totals["n_records"] == len(records)
    assert totals["n_frees"] == (records[:, 1] == FREE).sum()
    assert totals["n_accesses"] == len(touches) + int(touches[:, 2:].sum())
    assert totals["n_pages"] == records[:, 0].max() + 1


def test_madvise_munmap_and_the_last_unmapping_are_frees(recorded):
    records, _, _ = recorded
    freed = records[records[:, 1] == FREE, 0].tolist()
    a = guest_pages(records)
    assert freed[:12] == [*a[:8], *a[60:]]
    assert freed[12:52] == list(a[8:48])
    assert len(freed) == 12 + 40 + 4


def test_a_moved_page_keeps_its_number(recorded):
    records, _, _ = recorded
    a = guest_pages(records)
    moved = records[records[:, 0] == a[8]]
    assert moved[:, 1].tolist() == [WRITE, READ, WRITE, FREE]


def test_kernel_writes_and_copies_on_write_are_seen(recorded):
    records, _, _ = recorded
    after = records[records[:, 0] >= guest_pages(records)[-1] + 1]
    new = after[after[:, 1] == WRITE, 0]
    assert len(set(new.tolist())) >= 1 + 3 + 1


def test_contents_are_those_of_the_pages(recorded):
    records, _, dump = recorded
    a = guest_pages(records)
    mine = dump[np.isin(dump["page"], a)]
    assert len(mine) == 64
    assert (mine["bytes"][:, 0] == 100).all()
    assert (mine["bytes"][:, 1:] == 0).all()
